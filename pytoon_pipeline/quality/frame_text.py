"""Words and logos on the finished frame: are they where the plan put them, whole and legible?

What is planned is drawn once more as a mere shape, and that shape is looked for on the decoded
frame. Nothing is taken from the renderer but the shapes of the letters: the colours, the place and
what lies around are those of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from pytoon_pipeline.compiler.typeset import text_style
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture.badge import draw_badge, fit_badge
from pytoon_pipeline.picture.captions import EXIT_SECONDS, MAX_OF_CUE
from pytoon_pipeline.picture.contrast import contrast_ratio
from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.styles import TextStyle
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.picture.yuv import Planes, make_planes, planes_to_rgb
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.text import Caption, Overlay
from pytoon_pipeline.plan.timeline import Timeline, frames_of
from pytoon_pipeline.quality.verdicts import SeenText

SIGHT_VERSION = 2
"""Raise it when a number comes to mean something else: what was seen is kept by it."""
_SEARCH_EM = 0.35
_NEAR = 2
"""Pixels that rounding, chroma and encoding may move a shape by."""
_SURE = 0.6
"""Correlation of shape and frame from which the shape counts as found there."""
_TIE = 0.002
"""Correlations that are as good as each other."""
_MIN_PIXELS = 12
_LETTERS_PX = 24
"""Size of type, in pixels of the frame, from which single letters are compared."""
_SPOT_EM = 0.1
"""Side of a spot of ink that tells one letter from another: of a 6 and an 8, of an h and an l."""
_SPOT = 0.6
"""Coverage, in the mean of a spot, by which the frame may differ from the plan."""
_FLAT = 0.06
"""Coverage that 85 of 100 pixels of a flat ground seem to have at most, and 99 of 100 three times:
only before such a ground is ink that was not planned told from what lies there anyway."""


@dataclass(frozen=True)
class PlannedText:
    """A shape that should be seen on a frame."""

    id: str
    kind: str
    """caption, badge or overlay"""
    text: str
    frame: int
    """A frame at which it stands still, fully in."""
    box: Box
    """Its ink on the frame (an overlay's whole picture)."""
    mask: np.ndarray | None
    """Coverage, uint8 (h, w); None for an opaque picture, which has no shape of its own."""
    x: int = 0
    """Of the mask's top-left pixel on the frame; y likewise."""
    y: int = 0
    em: int = 0
    stroke: float = 0.0
    """Pixels that a stroke stands out around the letters."""
    words: list[tuple[str, Box]] = field(default_factory=list)


def plan_texts(
    spec: Plan, line: Timeline, fonts: FontLibrary, media: Callable[[Asset], Path]
) -> list[PlannedText]:
    """Everything that is laid over the footage of a complete plan."""
    captions = [_plan_caption(spec, line, cue, fonts) for cue in spec.captions]
    overlays = [
        _plan_badge(spec, line, o, fonts)
        if o.type == "badge"
        else _plan_overlay(spec, line, o, media)
        for o in spec.overlays
    ]
    return [p for p in (*captions, *overlays) if p is not None]


def _steady_frame(line: Timeline, first: int, end: int) -> int | None:
    """The frame three quarters through a stretch, or the nearest that no transition touches."""
    busy = [(w.first, w.first + w.count) for w in line.windows]
    calm = [
        f
        for f in range(max(0, first), min(end, line.frames))
        if not any(a <= f < b for a, b in busy)
    ]
    wanted = first + (end - first) * 3 // 4
    return min(calm, key=lambda f: (abs(f - wanted), f)) if calm else None


def _plan_caption(
    spec: Plan, line: Timeline, cue: Caption, fonts: FontLibrary
) -> PlannedText | None:
    style = spec.styles[cue.style]
    first, end = frames_of(cue.start, line.rate), frames_of(cue.end, line.rate)
    enters = frames_of(style.entrance.seconds, line.rate) if cue.entrance else 0
    if style.entrance.kind == "words":
        enters = min(enters, int(MAX_OF_CUE * (end - first)))
    frame = _steady_frame(line, first + enters, end - frames_of(EXIT_SECONDS, line.rate))
    x, y, x1, y1 = cue.box
    language = spec.locale
    fitted = fit_text(cue.text, text_style(style, cue.align_y, language), x1 - x, y1 - y, fonts)
    if frame is None or fitted is None:
        return None
    white, black = (
        draw_text(replace(fitted, style=_bare_style(fitted.style, colour)), fonts)
        for colour in _INKS
    )
    tile = white
    out = round(style.stroke * fitted.size)
    left, top, right, bottom = tile.ink
    return PlannedText(
        id=cue.id,
        kind="caption",
        text=cue.text,
        frame=frame,
        box=(x + left - out, y + top - out, x + right + out, y + bottom + out),
        mask=_letter_coverage(white.rgba, black.rgba),
        x=x + tile.x,
        y=y + tile.y,
        em=fitted.size,
        stroke=style.stroke * fitted.size,
        words=[(w.text, (x + w.x0, y + w.y0, x + w.x1, y + w.y1)) for w in tile.words],
    )


_INKS = "#FFFFFF", "#000000"


def _bare_style(style: TextStyle, colour: str) -> TextStyle:
    return replace(style, color=colour, stroke=0.0, shadow=None, box=None, highlight=None)


def _letter_coverage(white: np.ndarray, black: np.ndarray) -> np.ndarray:
    """Coverage, uint8, of what is drawn in the style's colour: where a drawing in white differs
    from one in black. Emoji have colours of their own, which nothing is asked of."""
    change = white[..., 0].astype(np.int16) - black[..., 0]
    return (np.clip(change, 0, 255) * (white[..., 3] / 255)).round().astype(np.uint8)


def _plan_badge(
    spec: Plan, line: Timeline, badge: Overlay, fonts: FontLibrary
) -> PlannedText | None:
    frame = _steady_frame(line, *_overlay_frames(line, badge))
    if badge.box is None or frame is None or not badge.style:
        return None
    x0, y0, x1, y1 = badge.box
    size, degrees = (x1 - x0, y1 - y0), badge.rotation or 0.0
    style = text_style(spec.styles[badge.style], "middle", spec.locale)
    text, shape = badge.text or "", badge.shape or "round"
    fitted = fit_badge(text, style, shape, degrees, size, fonts)
    white, black = (
        draw_badge(text, _bare_style(style, colour), shape, "#808080", degrees, size, fonts)
        for colour in _INKS
    )
    if fitted is None or white is None or black is None:
        return None
    mask = _letter_coverage(white, black)
    # The rim has the letters' colour: it is what reaches from side to side.
    count, parts, stats, _ = cv2.connectedComponentsWithStats((mask > 8).astype(np.uint8))
    for n in range(1, count):
        if stats[n, cv2.CC_STAT_WIDTH] > 0.8 * size[0]:
            mask[parts == n] = 0
    return PlannedText(
        id=f"badge {badge.text}",
        kind="badge",
        text=text,
        frame=frame,
        box=badge.box,
        mask=mask,
        x=x0,
        y=y0,
        em=fitted.size,
        words=[(text, badge.box)],
    )


def _overlay_frames(line: Timeline, overlay: Overlay) -> tuple[int, int]:
    """Frames of an overlay, first and end."""
    end = line.frames if overlay.end is None else frames_of(overlay.end, line.rate)
    return frames_of(overlay.start or 0, line.rate), end


def _plan_overlay(
    spec: Plan, line: Timeline, overlay: Overlay, media: Callable[[Asset], Path]
) -> PlannedText | None:
    if overlay.box is None or not overlay.media:
        return None
    asset = spec.asset(overlay.media)
    frame = _steady_frame(line, *_overlay_frames(line, overlay))
    if frame is None:
        return None
    x0, y0, x1, y1 = overlay.box
    mask = None
    if asset.has_alpha:
        alpha = np.ascontiguousarray(load_image(media(asset))[..., 3])
        mask = cv2.resize(alpha, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        mask = np.pad(mask, 2)
    return PlannedText(
        id=f"{overlay.type} {asset.id}",
        kind="overlay",
        text=asset.source,
        frame=frame,
        box=overlay.box,
        mask=mask,
        x=x0 - 2,
        y=y0 - 2,
        em=y1 - y0,
    )


# --- on the frame


def read_frame_text(planned: PlannedText, planes: Planes, width: int) -> SeenText:
    """What of it is on a frame. `width` is the frame's, for the size that type counts as."""
    seen = SeenText(
        id=planned.id,
        kind=planned.kind,
        text=planned.text,
        frame=planned.frame,
        planned=planned.box,
        px_of_1080=round(planned.em * 1080 / max(1, width)),
    )
    mask = planned.mask
    if mask is None:
        return seen
    view = _FrameView(planned, mask, planes)
    dx, dy, match = view.find()
    seen.match = round(match, 3)
    sure = match >= _SURE
    if sure:
        x0, y0, x1, y1 = planned.box
        seen.found = (x0 + dx, y0 + dy, x1 + dx, y1 + dy)
    if planned.kind != "overlay":
        view.shift(*((dx, dy) if sure else (0, 0)))
        seen.contrast, seen.weakest = view.contrast()
        seen.missing = view.missing() if sure else []
        seen.wrong = view.wrong() if sure else []
        # A badge's letters stand in the middle of it, its rim at the edge.
        seen.touches = _cut_edges(mask) if planned.kind == "caption" else []
    return seen


class _FrameView:
    """The part of a frame around a shape, and the shape in its pixels."""

    def __init__(self, planned: PlannedText, coverage: np.ndarray, planes: Planes):
        self.planned = planned
        self.reach = max(4, round(_SEARCH_EM * min(planned.em, 120)))
        height, width = planes[0].shape
        h, w = coverage.shape
        ring = self._ring_width + 4
        pad = self.reach + ring
        x0, y0 = planned.x - pad, planned.y - pad
        # Of the frame what there is; beyond it its border is repeated.
        left, top = max(0, x0) & ~1, max(0, y0) & ~1
        right = min(width, planned.x + w + pad + 1) & ~1
        bottom = min(height, planned.y + h + pad + 1) & ~1
        half = (slice(top // 2, bottom // 2), slice(left // 2, right // 2))
        part = (planes[0][top:bottom, left:right], planes[1][half], planes[2][half])
        rgb = planes_to_rgb(make_planes(np.ascontiguousarray(p) for p in part))
        tall, wide = h + 2 * pad, w + 2 * pad
        rgb = cv2.copyMakeBorder(
            rgb,
            top - y0 if top > y0 else 0,
            max(0, y0 + tall - bottom),
            left - x0 if left > x0 else 0,
            max(0, x0 + wide - right),
            cv2.BORDER_REPLICATE,
        )[max(0, y0 - top) :, max(0, x0 - left) :][:tall, :wide]
        self.origin = (x0, y0)
        self.light = _relative_luminance(rgb)
        # For telling shapes apart, steps that look alike are alike.
        self.tone = np.sqrt(self.light)
        mask = np.zeros((tall, wide), np.uint8)
        mask[pad : pad + h, pad : pad + w] = coverage
        self._mask_at_plan = mask
        self.shift(0, 0)

    @property
    def _ring_width(self) -> int:
        return max(3, round(0.18 * min(self.planned.em, 120)))

    def shift(self, dx: int, dy: int) -> None:
        """Lay the shape so far from where it was planned."""
        mask = np.roll(self._mask_at_plan, (dy, dx), (0, 1))
        self.at = (dx, dy)
        core = mask >= 250
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8)) >= 250
        self.mask, self.core = mask, inner if inner.sum() > 0.3 * core.sum() else core
        touched = (mask > 8).astype(np.uint8)
        stroke = round(self.planned.stroke)
        # What letters stand out from is their stroke, where it is wide enough to be seen.
        near, far = (0, stroke) if stroke >= 2 else (1, 1 + self._ring_width)
        self.ring = (_grow_mask(touched, far) > 0) & ~(_grow_mask(touched, near) > 0)

    def find(self) -> tuple[int, int, float]:
        """Where the shape correlates best with the frame, from where it was planned, and how well
        (0..1, of dark shapes and bright ones alike)."""
        r = self.reach
        used = self.core | self.ring
        if self.core.sum() < _MIN_PIXELS:
            return 0, 0, 0.0
        inside = np.s_[r:-r, r:-r]
        shape = np.ascontiguousarray(self.core[inside].astype(np.float32))
        weight = np.ascontiguousarray(used[inside].astype(np.float32))
        scores = cv2.matchTemplate(self.tone, shape, cv2.TM_CCOEFF_NORMED, mask=weight)
        scores = np.abs(np.nan_to_num(scores, nan=0.0, posinf=0.0, neginf=0.0))
        scores[scores > 1.001] = 0.0
        near = scores[r - _NEAR : r + _NEAR + 1, r - _NEAR : r + _NEAR + 1]
        best = near if near.max() >= 0.9 * scores.max() else scores
        from_plan = _NEAR if best is near else r
        y, x = np.unravel_index(int(best.argmax()), best.shape)
        if best is near:
            # Shifted by a pixel a shape's inside may fit as well: of such places the one next to
            # the plan counts.
            ys, xs = np.nonzero(near >= near.max() - _TIE)
            nearest = np.argmin(np.abs(ys - _NEAR) + np.abs(xs - _NEAR))
            y, x = ys[nearest], xs[nearest]
        return int(x) - from_plan, int(y) - from_plan, float(best[y, x])

    def _word_views(self) -> list[tuple[str, tuple[slice, slice]]]:
        """Each word with the part of the view that it and what is around it take."""
        found, ring = [], self._ring_width
        for text, (x0, y0, x1, y1) in self.planned.words:
            ox, oy = self.at[0] - self.origin[0], self.at[1] - self.origin[1]
            rows = slice(max(0, y0 + oy - ring), max(0, y1 + oy + ring))
            columns = slice(max(0, x0 + ox - ring), max(0, x1 + ox + ring))
            found.append((text, (rows, columns)))
        return found

    def contrast(self) -> tuple[float | None, str]:
        """Of the least legible word, and that word; letters against what lies right around."""
        worst: tuple[float | None, str] = (None, "")
        for text, part in self._word_views():
            core, ring = self.core[part], self.ring[part]
            if core.sum() < _MIN_PIXELS or ring.sum() < _MIN_PIXELS:
                continue
            light = self.light[part]
            ratio = contrast_ratio(float(np.median(light[core])), float(np.median(light[ring])))
            if worst[0] is None or ratio < worst[0]:
                worst = round(ratio, 2), text
        return worst

    def missing(self) -> list[str]:
        """Words, and sides of the whole, of which most does not show in the letters' colour."""
        shown = np.zeros(self.core.shape, bool)
        judged = np.zeros(self.core.shape, bool)
        gone = []
        # A tenth of a letter's edge is blurred by encoding: half covered pixels tell nothing.
        solid = self.mask >= 200
        for text, part in self._word_views():
            core, ring, light = self.core[part], self.ring[part], self.tone[part]
            if core.sum() < _MIN_PIXELS or ring.sum() < _MIN_PIXELS:
                continue
            ink, ground = np.median(light[core]), np.median(light[ring])
            if contrast_ratio(float(ink) ** 2, float(ground) ** 2) < 2:
                continue
            like = np.abs(light - ink) < np.abs(light - ground)
            shown[part] |= like & solid[part]
            judged[part] |= solid[part]
            if like[core].mean() < 0.7:
                gone.append(text)
        rows, columns = np.nonzero(judged)
        if not rows.size:
            return gone
        deep = max(_NEAR + 1, round(0.07 * self.planned.em))
        sides = {
            "top": np.s_[rows.min() : rows.min() + deep, :],
            "bottom": np.s_[rows.max() + 1 - deep : rows.max() + 1, :],
            "left": np.s_[:, columns.min() : columns.min() + deep],
            "right": np.s_[:, columns.max() + 1 - deep : columns.max() + 1],
        }
        for side, part in sides.items():
            ink = judged[part]
            if ink.sum() >= _MIN_PIXELS and shown[part][ink].mean() < 0.4:
                gone.append(f"the {side} edge")
        return gone

    def wrong(self) -> list[str]:
        """Words in which a letter seems to be another one: a spot of ink where none was planned, or
        none where one was. Told only of letters of some size; the former only on a flat ground."""
        return [text for text, spot in self.worst_spots() if spot > _SPOT]

    def worst_spots(self) -> list[tuple[str, float]]:
        """Each word that can be compared, and the coverage by which its worst spot differs."""
        em = self.planned.em
        if em < _LETTERS_PX:
            return []
        touched = (self.mask > 8).astype(np.uint8)
        # Letters with a stroke stand out from it, and only up to its edge.
        stroke = round(self.planned.stroke)
        near = _grow_mask(touched, max(2, stroke - 1 if stroke >= 2 else round(0.2 * em))) > 0
        # Beyond what a wrong letter could cover: what lies there tells how flat the ground is.
        letter = _grow_mask(touched, max(2, round(0.08 * em)))
        wide = (_grow_mask(touched, self._ring_width) > 0) & (letter == 0)
        wanted = self.mask.astype(np.float32) / 255
        side = max(3, round(_SPOT_EM * em))
        found = []
        for text, part in self._word_views():
            core, ring, tone = self.core[part], self.ring[part], self.tone[part]
            if core.sum() < _MIN_PIXELS or ring.sum() < _MIN_PIXELS:
                continue
            ink, ground = float(np.median(tone[core])), float(np.median(tone[ring]))
            if contrast_ratio(ink**2, ground**2) < 2:
                continue
            seen = np.clip((tone - ground) / (ink - ground), 0, 1)
            off = np.where(near[part], seen - wanted[part], 0.0).astype(np.float32)
            free = seen[wide[part] & (wanted[part] < 0.03)]
            flat = (
                stroke < 2
                and free.size
                and (np.percentile(free, 85) <= _FLAT and np.percentile(free, 99) <= 3 * _FLAT)
            )
            if not flat:
                off = np.minimum(off, 0)
            spots = cv2.blur(off, (side, side), borderType=cv2.BORDER_CONSTANT)
            found.append((text, round(float(np.abs(spots).max()), 3)))
        return found


def _grow_mask(mask: np.ndarray, pixels: int) -> np.ndarray:
    if pixels <= 0:
        return mask
    size = 2 * pixels + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def _relative_luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance (WCAG 2.1), float32 (h, w), of an RGB picture."""
    steps = np.arange(256) / 255
    curve = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    return curve.astype(np.float32)[rgb] @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def _cut_edges(mask: np.ndarray) -> list[str]:
    """Sides of its own tile that a shape runs into: it was cut there when it was drawn."""
    sides = {"top": mask[0], "bottom": mask[-1], "left": mask[:, 0], "right": mask[:, -1]}
    return [side for side, line in sides.items() if line.max() > 8]
