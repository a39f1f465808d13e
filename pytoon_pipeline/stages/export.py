"""The plan as an OpenTimelineIO timeline, so that an editor can go on from it in another program.

The timeline holds the media as its author gave them, not the rendered segments: cuts, lengths,
transitions and sound stand where the video has them, in whole frames of its rate. What OTIO has no
word for (movement, layout, levels, the text's style) is in each item's metadata under `pytoon`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange

from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture import backgrounds
from pytoon_pipeline.plan.complete import Plan, PlanSegment
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Background
from pytoon_pipeline.plan.text import Caption, Overlay
from pytoon_pipeline.plan.timeline import SegmentSpan, Timeline, build_timeline, frames_of
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.stages.subtitles import to_srt

MEDIA = "media"
"""Folder of the media, beside the timeline."""
FINISHED = "finished.mp4"
"""Name of the finished video in it."""
_LOOP_SEAM_S = 1
"""Music that is repeated crosses over with itself for this long, or a third of it, as the mixer
does it."""
_GROUND = "ground"
"""In place of an asset's id: a colour, gradient or blurred copy, which is drawn."""
_CUE_COLOURS = {"hook": "GREEN", "beat": "CYAN", "cta": "MAGENTA"}


@dataclass(frozen=True)
class ExportBackground:
    """A still to draw: a colour, a gradient, or the blurred copy of a picture."""

    background: Background
    picture: Asset | None = None


@dataclass
class TimelineExport:
    """A timeline and the files that it refers to as `media/<name>`."""

    timeline: otio.schema.Timeline
    assets: dict[str, Asset] = field(default_factory=dict)
    """Name of the file -> what it is a copy of."""
    grounds: dict[str, ExportBackground] = field(default_factory=dict)
    """Name of a PNG -> what to draw on it."""


def export_timeline(
    spec: Plan,
    name: str,
    *,
    finished: bool = False,
    fingerprints: Mapping[str, str] | None = None,
) -> TimelineExport:
    """The timeline of a complete plan; nothing is read or written.

    From below: what lies behind pictures that don't fill the frame; V1 the footage (further
    pictures of a segment on tracks of their own above it); V2 watermark and logos, with captions
    and badges as markers on the track; then A1 music, A2 voice, A3 the clips' own sound. With
    `finished_track` the whole video lies on top, switched off, to compare with. Every track is
    exactly as long as the video. `fingerprints`: segment id -> name of the rendered segment."""
    return _TimelineBuilder(spec, fingerprints or {}).build(name, finished)


def export_files(
    export: TimelineExport,
    spec: Plan,
    name: str,
    services: Services,
    video: Path | None = None,
) -> dict[str, Path | bytes]:
    """All files of an export by their place in its folder: `<name>.otio`, `captions.srt` where
    there are captions, and `media/`. Raises StoreError when the store lacks a file."""
    files: dict[str, Path | bytes] = {
        f"{name}.otio": export.timeline.to_json_string(indent=2).encode() + b"\n"
    }
    if spec.captions:
        files["captions.srt"] = to_srt(spec).encode()
    for file, asset in export.assets.items():
        files[f"{MEDIA}/{file}"] = services.store.local(asset.key)
    for file, ground in export.grounds.items():
        files[f"{MEDIA}/{file}"] = _ground_png(ground, spec, services)
    if video is not None:
        files[f"{MEDIA}/{FINISHED}"] = video
    return files


def _ground_png(ground: ExportBackground, spec: Plan, services: Services) -> bytes:
    size = width, height = spec.resolution.width, spec.resolution.height
    background, colours = ground.background, ground.background.colors or ["#000000"]
    if ground.picture is not None:
        own = load_image(services.store.local(ground.picture.key), min_side=2 * max(size))
        copy = backgrounds.draw_blurred(own[..., :3], width, height, background.darken)
        rgb = backgrounds.apply_wash(copy, colours[0], background.wash or 0.0)
    elif background.kind == "gradient" and len(colours) > 1:
        rgb = backgrounds.draw_gradient(width, height, colours, background.light)
    else:
        rgb = backgrounds.draw_flat(width, height, colours[0])
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


class _TimelineBuilder:
    def __init__(self, spec: Plan, fingerprints: Mapping[str, str]):
        self.spec, self.line, self.rate = spec, build_timeline(spec), spec.frame_rate
        self.prints = fingerprints
        self.names: dict[str, str] = {}
        self.assets: dict[str, Asset] = {}
        self.grounds: dict[str, ExportBackground] = {}

    def build(self, name: str, finished: bool) -> TimelineExport:
        spec, line = self.spec, self.line
        made = otio.schema.Timeline(name, global_start_time=self.time(0))
        made.metadata["pytoon"] = {
            "archetype": spec.archetype,
            "preset": spec.preset,
            "brand": spec.brand,
            "brand_safe": spec.brand_safe,
            "width": spec.resolution.width,
            "height": spec.resolution.height,
            "frame_rate": self.rate,
            "frames": line.frames,
            "loudness": spec.audio.loudness.model_dump(),
        }
        tracks = [*self.background_tracks(), *self.footage(), *self.overlays(), *self.sound()]
        if finished:
            tracks.append(self.finished())
        for track in tracks:
            made.tracks.append(track)
        return TimelineExport(made, self.assets, self.grounds)

    # Small parts

    def time(self, frames: int) -> RationalTime:
        return RationalTime(frames, self.rate)

    def range(self, first: int, count: int) -> TimeRange:
        return TimeRange(self.time(first), self.time(count))

    def make_gap(self, count: int) -> otio.schema.Gap:
        return otio.schema.Gap(source_range=self.range(0, count))

    def frames(self, asset: Asset) -> int:
        """Whole frames that a clip or sound lasts, at the rate of the video."""
        return max(1, int(Fraction(str(asset.seconds or 0)) * self.rate))

    def reference(self, asset: Asset, count: int) -> otio.schema.ExternalReference:
        """An asset as a file of the export; `count`: frames it offers."""
        file = self.file(asset)
        made = otio.schema.ExternalReference(f"{MEDIA}/{file}", self.range(0, count))
        made.name = file
        made.metadata["pytoon"] = {
            "source": asset.source,
            "sha256": asset.sha256,
            "licence": asset.licence,
        }
        return made

    def file(self, asset: Asset) -> str:
        """Name of an asset's file: its author's, in characters that no program trips over."""
        if asset.id not in self.names:
            source = asset.source.rpartition("/")[2]
            stem = (
                source[: -len(asset.suffix)]
                if (asset.suffix and source.lower().endswith(asset.suffix.lower()))
                else source
            )
            stem = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:60] or asset.sha256[:12]
            self.names[asset.id] = self.free(stem, asset.suffix)
            self.assets[self.names[asset.id]] = asset
        return self.names[asset.id]

    def free(self, stem: str, suffix: str) -> str:
        """A file name that is not taken, not even by one that differs in case."""
        taken = {n.lower() for n in (*self.assets, *self.grounds, FINISHED)}
        name, n = f"{stem}{suffix}", 2
        while name.lower() in taken:
            name, n = f"{stem}-{n}{suffix}", n + 1
        return name

    # Picture

    def background_tracks(self) -> list[otio.schema.Track]:
        """What is seen around media that don't fill the frame, on a track of its own: pictures and
        clips as they are, the rest as stills. A clip's own blurred copy is an effect, which the
        metadata tell of."""
        found: list[str | None] = []
        for segment in self.spec.segments:
            ground, layout = segment.background, segment.layout
            if not segment.media or ground is None or layout is None:
                found.append(None)
            elif ground.media:
                found.append(ground.media)
            elif layout.fit == "cover" and not layout.places:
                found.append(None)
            else:
                own = self.spec.asset(segment.media[0])
                moves = ground.kind == "blur" and own.kind == "video"
                found.append(None if moves else _GROUND)
        return [self.layer_track("V0 background", found)] if any(found) else []

    def footage(self) -> list[otio.schema.Track]:
        segments = self.spec.segments
        # Words without a picture stand on their background alone.
        first = [
            s.media[0] if s.media else (s.background and s.background.media) or _GROUND
            for s in segments
        ]
        tracks = [self.layer_track("V1 footage", first)]
        for n in range(1, max(len(s.media) for s in segments)):
            more = [s.media[n] if len(s.media) > n else None for s in segments]
            tracks.append(self.layer_track(f"V1 footage, picture {n + 1}", more))
        return tracks

    def layer_track(self, name: str, media: Sequence[str | None]) -> otio.schema.Track:
        """One media (id of an asset, the ground, or nothing) for each segment, end to end."""
        track = otio.schema.Track(name, kind=otio.schema.TrackKind.Video)
        windows = {w.left: w for w in self.line.windows}
        spans = self.line.spans
        for i, (segment, span, shown) in enumerate(
            zip(self.spec.segments, spans, media, strict=True)
        ):
            track.extend(self.pieces(segment, span, shown) if shown else [self.make_gap(span.body)])
            if i in windows and (shown or media[i + 1]):
                track.append(self.transition(windows[i].kind, windows[i].count // 2))
        return track

    def pieces(self, segment: PlanSegment, span: SegmentSpan, media: str) -> list[otio.schema.Clip]:
        """The clips of one segment: one, or several where its clip begins anew."""
        about: dict[str, Any] = {
            "segment": segment.id,
            "type": segment.type,
            "head": span.head,
            "tail": span.tail,
            "motion": segment.motion.model_dump(mode="json") if segment.motion else None,
            "layout": segment.layout.model_dump(mode="json", exclude_none=True)
            if segment.layout
            else None,
            "background": segment.background.model_dump(mode="json", exclude_none=True)
            if segment.background
            else None,
            "text": segment.text,
            "fingerprint": self.prints.get(segment.id),
        }
        if segment.generate:
            about["generate"] = segment.generate.model_dump(mode="json", exclude_none=True)
        about = {k: v for k, v in about.items() if v is not None}
        name = segment.id

        def make_clip(reference, first: int, count: int) -> otio.schema.Clip:
            made = otio.schema.Clip(name, reference, self.range(first, count))
            made.metadata["pytoon"] = about
            return made

        if media == _GROUND:
            return [make_clip(self.ground(segment, span), span.head, span.body)]
        asset = self.spec.asset(media)
        if asset.kind != "video":
            return [make_clip(self.reference(asset, span.count), span.head, span.body)]
        length = self.frames(asset)
        # A clip that plays behind others starts at its beginning.
        shown = media in segment.media
        first = frames_of(segment.audio.start, self.rate) % length if shown else 0
        made, left = [], span.body
        while left:
            count = min(left, length - first)
            made.append(make_clip(self.reference(asset, length), first, count))
            first, left = 0, left - count
        return made

    def ground(self, segment: PlanSegment, span: SegmentSpan) -> otio.schema.ExternalReference:
        """What a segment stands on, as a still of its own."""
        background = segment.background or Background()
        picture = None
        if background.kind == "blur" and segment.media:
            picture = self.spec.asset(segment.media[0])
        wanted = ExportBackground(background, picture)
        file = next((n for n, g in self.grounds.items() if g == wanted), None)
        if file is None:
            file = self.free(f"ground-{segment.id}", ".png")
            self.grounds[file] = wanted
        made = otio.schema.ExternalReference(f"{MEDIA}/{file}", self.range(0, span.count))
        made.name = file
        return made

    def transition(self, kind: str, half: int, after: int | None = None) -> otio.schema.Transition:
        """Centred on the cut, unless `after` says how far it reaches beyond."""
        types = otio.schema.TransitionTypes
        return otio.schema.Transition(
            name=kind,
            transition_type=types.SMPTE_Dissolve if kind == "fade" else types.Custom,
            in_offset=self.time(half),
            out_offset=self.time(half if after is None else after),
            metadata={"pytoon": {"kind": kind}},
        )

    def overlays(self) -> list[otio.schema.Track]:
        """V2 and, where overlays meet in time, tracks above it, in the order they are drawn."""
        placed: list[tuple[Overlay, int, int, int]] = []
        for overlay in self.spec.overlays:
            first = min(frames_of(overlay.start or 0, self.rate), self.line.frames)
            end = self.line.frames if overlay.end is None else frames_of(overlay.end, self.rate)
            end = min(end, self.line.frames)
            below = [level for _, a, b, level in placed if a < end and b > first]
            if first < end and overlay.media:
                placed.append((overlay, first, end, 1 + max(below, default=-1)))
        tracks = []
        for level in range(1 + max((p[3] for p in placed), default=0)):
            track = otio.schema.Track(f"V{level + 2} overlays", kind=otio.schema.TrackKind.Video)
            at = 0
            for overlay, first, end, _ in sorted(
                (p for p in placed if p[3] == level), key=lambda p: p[1]
            ):
                if first > at:
                    track.append(self.make_gap(first - at))
                asset = self.spec.asset(overlay.media)
                clip = otio.schema.Clip(
                    overlay.type, self.reference(asset, end - first), self.range(0, end - first)
                )
                clip.metadata["pytoon"] = overlay.model_dump(mode="json", exclude_none=True)
                track.append(clip)
                at = end
            if at < self.line.frames:
                track.append(self.make_gap(self.line.frames - at))
            tracks.append(track)
        for cue in self.spec.captions:
            first, end = frames_of(cue.start, self.rate), frames_of(cue.end, self.rate)
            colour = _CUE_COLOURS[cue.role]
            tracks[0].markers.append(self.mark(cue.text, first, end, colour, cue, cue.style))
        for badge in self.spec.overlays:
            if badge.text:
                first = frames_of(badge.start or 0, self.rate)
                end = self.line.frames if badge.end is None else frames_of(badge.end, self.rate)
                tracks[0].markers.append(
                    self.mark(badge.text, first, end, "RED", badge, badge.style)
                )
        return tracks

    def mark(
        self,
        text: str,
        first: int,
        end: int,
        colour: str,
        what: Caption | Overlay,
        style: str | None,
    ) -> otio.schema.Marker:
        about = what.model_dump(mode="json", exclude_none=True)
        if style in self.spec.styles:
            about["style"] = self.spec.styles[style].model_dump(mode="json", exclude_none=True)
        return otio.schema.Marker(
            name=" ".join(text.split()),
            marked_range=self.range(first, end - first),
            color=colour,
            comment=text,
            metadata={"pytoon": about},
        )

    def finished(self) -> otio.schema.Track:
        count = self.line.frames
        reference = otio.schema.ExternalReference(f"{MEDIA}/{FINISHED}", self.range(0, count))
        reference.name = FINISHED
        track = otio.schema.Track("Finished video", kind=otio.schema.TrackKind.Video)
        clip = otio.schema.Clip("finished", reference, self.range(0, count))
        clip.enabled = track.enabled = False
        track.append(clip)
        return track

    # Sound

    def sound(self) -> list[otio.schema.Track]:
        tracks = [
            ("A1 music", self.music()),
            ("A2 voice", self.voice()),
            ("A3 clip sound", self.clips()),
        ]
        return [
            otio.schema.Track(name, children=items, kind=otio.schema.TrackKind.Audio)
            for name, items in tracks
        ]

    def heard(
        self, name: str, asset: Asset, first: int, count: int, about: Mapping[str, Any]
    ) -> otio.schema.Clip:
        clip = otio.schema.Clip(
            name, self.reference(asset, self.frames(asset)), self.range(first, count)
        )
        clip.metadata["pytoon"] = dict(about)
        return clip

    def music(self) -> Sequence[otio.core.Composable]:
        audio, total = self.spec.audio, self.line.frames
        if audio is None or audio.music is None:
            return [self.make_gap(total)]
        asset = self.spec.asset(audio.music.media)
        about = audio.music.model_dump(mode="json", exclude={"media"})
        if audio.voice:
            about["ducking"] = audio.ducking.model_dump(mode="json")
        length = self.frames(asset)
        items: list[otio.core.Composable] = []
        # A loop crosses over with itself: each piece ends and begins in the middle of the seam.
        half = min(_LOOP_SEAM_S * self.rate, length // 3) // 2 if length < total else 0
        first, left = 0, total
        while left:
            count = left if left <= length - first else length - half - first
            if items and half:
                items.append(self.transition("fade", half))
            items.append(self.heard("music", asset, first, count, about))
            first, left = half, left - count
        last = items[-1].source_range.duration.to_frames()
        seam = half if len(items) > 1 else 0
        out = min(frames_of(audio.music.fade_out, self.rate), total // 2, last - seam)
        if out > 0:
            items.append(self.transition("fade", out, 0))
        return items

    def voice(self) -> Sequence[otio.core.Composable]:
        audio, total = self.spec.audio, self.line.frames
        if audio is None or audio.voice is None:
            return [self.make_gap(total)]
        asset = self.spec.asset(audio.voice.media)
        first = min(frames_of(audio.voice.start, self.rate), total)
        count = min(self.frames(asset), total - first)
        about = audio.voice.model_dump(mode="json", exclude={"media"})
        return [
            *([self.make_gap(first)] if first else []),
            *([self.heard("voice", asset, 0, count, about)] if count else []),
            *([self.make_gap(total - first - count)] if total > first + count else []),
        ]

    def clips(self) -> Sequence[otio.core.Composable]:
        """The clips' own sound under their pictures; it crosses over as they do."""
        line: Timeline = self.line
        windows = {w.left: w for w in line.windows}
        sounding = [self.sound_of_segment(s) for s in self.spec.segments]
        if not any(sounding):
            return [self.make_gap(line.frames)]
        items: list[otio.core.Composable] = []
        for i, (segment, span) in enumerate(zip(self.spec.segments, line.spans, strict=True)):
            asset = sounding[i]
            count = 0
            if asset is not None:
                first = frames_of(segment.audio.start, self.rate)
                # Sound does not begin anew with its picture.
                count = max(0, min(span.body, self.frames(asset) - first))
                if count:
                    about = {"segment": segment.id, "gain_db": segment.audio.gain_db}
                    items.append(self.heard(segment.id, asset, first, count, about))
            if count < span.body:
                items.append(self.make_gap(span.body - count))
            if i in windows and (sounding[i] or sounding[i + 1]):
                items.append(self.transition("fade", windows[i].count // 2))
        return items

    def sound_of_segment(self, segment: PlanSegment) -> Asset | None:
        if segment.type != "video" or not segment.audio.use or not segment.media:
            return None
        asset = self.spec.asset(segment.media[0])
        return asset if asset.has_audio else None
