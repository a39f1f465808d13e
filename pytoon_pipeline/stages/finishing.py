"""Finishing: captions and overlays laid on footage, frame by frame, before it is encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np

from pytoon_pipeline.compiler.typeset import text_style
from pytoon_pipeline.engines.base import Footage
from pytoon_pipeline.errors import RenderError, quote_text
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture.badge import draw_badge, fit_badge
from pytoon_pipeline.picture.captions import (
    EXIT_SECONDS,
    STICKER_SECONDS,
    CaptionText,
    TimedTile,
    draw_words,
    from_right,
    words_frames,
)
from pytoon_pipeline.picture.contrast import TextToning, choose_toning, measure_luminance_behind
from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.fitted_text import FittedText
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.layers import TextTile, make_scrim
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.picture.yuv import Planes
from pytoon_pipeline.plan.segment_jobs import JobBadge, JobCaption, SegmentJob
from pytoon_pipeline.plan.timeline import frames_of


@dataclass(frozen=True)
class _DrawnLayers:
    """What is laid over the footage, back to front: shades, then logos and badges, which no shade
    of a caption may darken, then the captions."""

    shades: list[TimedTile | None]
    overlays: list[TimedTile]
    badges: list[TimedTile]
    texts: list[TimedTile]

    def in_order(self) -> list[TimedTile]:
        layers = (*self.shades, *self.overlays, *self.badges, *self.texts)
        return [layer for layer in layers if layer]


class SeenLimits(TypedDict):
    """Frames that a tile is left to the linker outside of, as `TimedTile` has them."""

    not_before: int | None
    not_after: int | None


class SegmentFinishing:
    """The captions and overlays of one segment, set when it is made, drawn when they are needed."""

    def __init__(self, job: SegmentJob, fonts: FontLibrary, media: Mapping[str, Path]):
        self._job, self._fonts, self._media = job, fonts, media
        self._fitted = [self._fit_cue(cue) for cue in job.captions]
        self._tones = [TextToning(False, cue.style.scrim) for cue in job.captions]
        self._drawn: _DrawnLayers | None = None

    def _fit_cue(self, cue: JobCaption) -> FittedText:
        style = text_style(cue.style, cue.align_y, self._job.language)
        box = cue.box
        fitted = fit_text(cue.text, style, box[2] - box[0], box[3] - box[1], self._fonts)
        if fitted is None:
            raise RenderError(
                f"{self._job.segment_id}: the caption {cue.text!r} does not fit its box {box}."
            )
        return fitted

    def _fit_badge(self, badge: JobBadge) -> FittedText:
        style = text_style(badge.style, "middle", self._job.language)
        x0, y0, x1, y1 = badge.box
        fitted = fit_badge(
            badge.text, style, badge.shape, badge.rotation, (x1 - x0, y1 - y0), self._fonts
        )
        if fitted is None:
            raise RenderError(
                f"{self._job.segment_id}: the badge {badge.text!r} does not fit its box "
                f"{badge.box}."
            )
        return fitted

    def look(self) -> dict[str, Any]:
        """The files that draw the captions, for the fingerprint: fonts by hash."""
        fitted = (*self._fitted, *(self._fit_badge(b) for b in self._job.badges))
        return {"fonts": sorted({face.sha256 for f in fitted for face in f.faces})}

    @property
    def _draw_layers(self) -> _DrawnLayers:
        if self._drawn is None:
            shades, texts = self._draw_captions()
            self._drawn = _DrawnLayers(shades, self._draw_overlays(), self._draw_badges(), texts)
        return self._drawn

    def over(self, footage: Footage) -> Iterator[Planes]:
        """The frames of footage, drawn upon."""
        self._tones = [self._choose_tone(c, f, footage) for c, f in self._fitted_cues()]
        self._drawn = None
        layers = self._draw_layers.in_order()
        for index, planes in enumerate(footage.frames()):
            for layer in layers:
                layer.draw(planes, index)
            yield planes

    def shared_tail(self) -> list[TimedTile]:
        """What both sides of the transition at the end show alike: the linker draws it, standing
        still, over the transition."""
        job, drawn = self._job, self._draw_layers
        cues = [c.shared_tail for c in job.captions]
        return _DrawnLayers(
            [s for s, shared in zip(drawn.shades, cues, strict=True) if shared],
            [o for o, own in zip(drawn.overlays, job.overlays, strict=True) if own.shared_tail],
            [b for b, own in zip(drawn.badges, job.badges, strict=True) if own.shared_tail],
            [t for t, shared in zip(drawn.texts, cues, strict=True) if shared],
        ).in_order()

    def _fitted_cues(self) -> list[tuple[JobCaption, FittedText]]:
        return list(zip(self._job.captions, self._fitted, strict=True))

    def _choose_tone(self, cue: JobCaption, fitted: FittedText, footage: Footage) -> TextToning:
        """The colour and shade of a cue, by what lies behind it while it is seen.

        One that runs on into a neighbour is toned by its style alone, so that it looks the same on
        both sides of the cut.
        """
        if not cue.style.scrim or cue.style.box:
            return TextToning(False, 0.0)
        if cue.first < 0 or cue.end > self._job.count:
            return TextToning(False, cue.style.scrim)
        x0, y0, x1, y1 = fitted.ink
        box = (cue.box[0] + x0, cue.box[1] + y0, cue.box[0] + x1, cue.box[1] + y1)
        if footage.at is not None:
            times = sorted({cue.first, (cue.first + cue.end) // 2, cue.end - 1})
            samples = [footage.at(t) for t in times]
        else:
            # The clip's first picture stands for all of it, so nothing is left to the edge.
            y, u, v = next(footage.frames())
            samples = [(y.copy(), u.copy(), v.copy())]
        low, high = measure_luminance_behind(samples, box)
        if footage.at is None:
            low, high = 0.0, min(1.0, max(high * 1.3, 0.35))
        return choose_toning(cue.style.color, cue.style.alternate, low, high, cue.style.scrim)

    def _seen_limits(self, shared_head: bool, shared_tail: bool) -> SeenLimits:
        job = self._job
        return {
            "not_before": 2 * job.head if shared_head else None,
            "not_after": job.head + job.body - job.tail if shared_tail else None,
        }

    def _draw_captions(self) -> tuple[list[TimedTile | None], list[TimedTile]]:
        """The shade of each cue (None for none) and its text."""
        job = self._job
        shades: list[TimedTile | None] = []
        texts: list[TimedTile] = []
        for (cue, fitted), tone in zip(self._fitted_cues(), self._tones, strict=True):
            if tone.alternate and cue.style.alternate:
                # Dark on a bright picture: a dark shadow would only smear it.
                style = replace(fitted.style, color=cue.style.alternate, shadow=None)
                fitted = replace(fitted, style=style)
            tile = draw_text(fitted, self._fonts)
            x, y = cue.box[0], cue.box[1]
            entrance = cue.style.entrance.kind if cue.entrance else "none"
            enters = entrance != "none"
            seconds = frames_of(cue.style.entrance.seconds, job.rate) if enters else 0
            words, travel = None, 0.35 * fitted.size
            if entrance == "words":
                parts, under = draw_words(fitted, self._fonts, x, y)
                seconds, each = words_frames(len(parts), seconds, cue.end - cue.first, job.rate)
                words = CaptionText(tuple(parts), under, each)
            elif entrance == "slide":
                travel = self._entrance_distance(cue, tile.rgba, x + tile.x, fitted.size)
            timing: dict[str, Any] = {
                "first": cue.first,
                "end": cue.end,
                "enter_frames": seconds,
                "exit_frames": frames_of(EXIT_SECONDS, job.rate) if cue.exit else 0,
                **self._seen_limits(cue.shared_head, cue.shared_tail),
            }
            texts.append(
                TimedTile(
                    TextTile.from_rgba(tile.rgba, x + tile.x, y + tile.y),
                    entrance=entrance,
                    rise=travel,
                    words=words,
                    **timing,
                )
            )
            # From the nearer edge of the frame to the text, fading out beyond it: a shade that
            # begins in the picture is seen as a bar.
            size = fitted.size
            top, bottom = y + tile.ink[1] - size // 2, y + tile.ink[3] + size // 4
            high = top + bottom < job.height
            behind_text = make_scrim(
                job.width,
                job.height,
                0 if high else top,
                bottom if high else job.height,
                tone.shade,
                max(round(3.2 * size), job.height // 4),
            )
            shades.append(
                TimedTile(behind_text, entrance="fade" if enters else "none", **timing)
                if behind_text
                else None
            )
        return shades, texts

    def _entrance_distance(self, cue: JobCaption, rgba: np.ndarray, x: int, size: int) -> float:
        """Pixels that a text slides in by, from the side where reading begins; no part of it ever
        lies beyond the frame."""
        columns = np.flatnonzero(rgba[..., 3].any(axis=0))
        left, right = x + int(columns[0]), self._job.width - (x + int(columns[-1]) + 1)
        backwards = from_right(self._job.language) or cue.style.align == "right"
        way = min(1.6 * size, max(0, right if backwards else left))
        return -way if backwards else way

    def _draw_overlays(self) -> list[TimedTile]:
        found = []
        for overlay in self._job.overlays:
            x0, y0, x1, y1 = overlay.box
            rgba = _scale_overlay(load_image(self._media[overlay.asset]), x1 - x0, y1 - y0)
            pad = 0
            if overlay.shadow:
                pad = max(2, (y1 - y0) // 3)
                rgba = _with_shadow(rgba, pad, overlay.shadow)
            found.append(
                TimedTile(
                    TextTile.from_rgba(rgba, x0 - pad, y0 - pad, overlay.opacity),
                    overlay.first,
                    overlay.end,
                    **self._seen_limits(overlay.shared_head, overlay.shared_tail),
                )
            )
        return found

    def _draw_badges(self) -> list[TimedTile]:
        job, found = self._job, []
        for badge in job.badges:
            x0, y0, x1, y1 = badge.box
            rgba = draw_badge(
                badge.text,
                text_style(badge.style, "middle", job.language),
                badge.shape,
                badge.color,
                badge.rotation,
                (x1 - x0, y1 - y0),
                self._fonts,
            )
            if rgba is None:
                raise RenderError(f"The badge {quote_text(badge.text)} does not fit its box.")
            pad = 0
            if badge.shadow:
                pad = max(2, min(x1 - x0, y1 - y0) // 9)
                rgba = _with_shadow(rgba, pad, badge.shadow, drop=pad // 3)
            found.append(
                TimedTile(
                    TextTile.from_rgba(rgba, x0 - pad, y0 - pad, badge.opacity),
                    badge.first,
                    badge.end,
                    entrance="sticker",
                    enter_frames=frames_of(STICKER_SECONDS, job.rate),
                    **self._seen_limits(badge.shared_head, badge.shared_tail),
                )
            )
        return found


def _with_shadow(rgba: np.ndarray, pad: int, strength: float, drop: int = 0) -> np.ndarray:
    """The picture over its own soft black shadow, `drop` pixels lower, with a margin of `pad`
    pixels for it."""
    rgba = np.pad(rgba, ((pad, pad), (pad, pad), (0, 0))).astype(np.float32)
    alpha = rgba[..., 3:] / 255
    soft = cv2.GaussianBlur(np.roll(alpha[..., 0], drop, axis=0), (0, 0), pad / 2.5)[..., None]
    # Spread a little, so that thin letters cast enough of it.
    below = np.clip(soft * 1.6, 0, 1) * strength
    out = alpha + below * (1 - alpha)
    colour = rgba[..., :3] * alpha / np.maximum(out, 1e-4)
    return np.rint(np.concatenate([colour, out * 255], axis=2)).astype(np.uint8)


def _scale_overlay(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """RGBA of this size; alpha-weighted, so that hidden colours don't seep into the edges."""
    if picture.shape[2] == 3:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        picture = np.concatenate([picture, opaque], axis=2)
    alpha = picture[..., 3:].astype(np.float32) / 255
    premultiplied = np.concatenate([picture[..., :3] * alpha, alpha * 255], axis=2)
    smaller = width < picture.shape[1]
    sized = cv2.resize(
        premultiplied.astype(np.float32),
        (width, height),
        interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC,
    )
    sized = np.clip(sized, 0, 255)
    colour = sized[..., :3] / np.maximum(sized[..., 3:] / 255, 1e-4)
    out = np.concatenate([np.clip(colour, 0, 255), sized[..., 3:]], axis=2)
    return np.rint(out).astype(np.uint8)
