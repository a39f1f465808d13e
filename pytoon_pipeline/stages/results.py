"""The last stages: judge the finished file, choose its thumbnail, write down what is known."""

from __future__ import annotations

import base64
import hashlib
import json
import platform

import cv2
import numpy as np

from pytoon_pipeline import RENDERER_VERSION, __version__
from pytoon_pipeline.compiler.passes.end_card import ID as END_CARD
from pytoon_pipeline.errors import MediaError, StoreError
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.media.images import save_jpeg
from pytoon_pipeline.media.measure import MEASURE_VERSION, measure_traced
from pytoon_pipeline.media.measurement import Measurement
from pytoon_pipeline.media.probe import hash_file
from pytoon_pipeline.media.source_label import read_mark
from pytoon_pipeline.media.trace import FrameTrace
from pytoon_pipeline.picture.captions import EXIT_SECONDS, STICKER_SECONDS
from pytoon_pipeline.picture.yuv import Planes, planes_to_rgb
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.plan.timeline import Timeline, build_timeline, frames_of
from pytoon_pipeline.quality import frame_text
from pytoon_pipeline.quality.checks import run_checks
from pytoon_pipeline.quality.match import compare_traces
from pytoon_pipeline.quality.verdicts import CheckVerdict, ExpectedFile, SeenText
from pytoon_pipeline.stages.assemble import heard_files, sound_notes
from pytoon_pipeline.stages.documents import (
    MetricsDocument,
    SegmentsDocument,
    ThumbnailDocument,
    VideoDocument,
)
from pytoon_pipeline.stages.labelling import build_disclosure, source_type
from pytoon_pipeline.stages.licences import list_licences
from pytoon_pipeline.stages.segments import open_workdir
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.stages.source_faults import explain_stretches
from pytoon_pipeline.stages.traces import load_trace
from pytoon_pipeline.store.reuse import retry_if_missing

# --- judgement


def build_expected(
    spec: Plan,
    line: Timeline,
    video: VideoDocument,
    segments: SegmentsDocument | None,
    services: Services,
) -> ExpectedFile:
    """What the finished file is held against."""
    delivery, audio = services.presets.facts().delivery, spec.audio
    degraded = {r.segment_id for r in segments.segments if r.degraded} if segments else set()
    heard = any(
        s.type == "video" and s.audio.use and s.media and spec.asset(s.media[0]).has_audio
        for s in spec.segments
    )
    planned = audio is not None and bool(audio.music or audio.voice or heard)
    files = heard_files(spec)
    # With all of it silent nothing can be heard, whatever was planned.
    silent = [files[p] for p in video.sound.silent if p in files]
    silent = list(dict.fromkeys(silent)) if len(set(video.sound.silent)) >= len(files) else []
    # Clips have silent tracks as often as not: that is no news.
    planned = planned and not (silent and all(p.startswith("clip") for p in files))
    still = [
        (span.first, span.first + span.count)
        for segment, span in zip(spec.segments, line.spans, strict=True)
        # Only what the plan moves is held to moving; clips by what they do themselves (`explain`).
        if segment.type == "text"
        or segment.motion is None
        and segment.type != "video"
        or segment.motion is not None
        and segment.motion.kind == "still"
        and segment.type != "video"
        or segment.id in degraded
    ]
    return ExpectedFile(
        width=spec.resolution.width,
        height=spec.resolution.height,
        rate=line.rate,
        frames=line.frames,
        max_mbps=delivery.max_mbps,
        max_bytes=delivery.max_bytes,
        max_gop=delivery.video.gop,
        max_b_frames=delivery.video.bframes,
        min_seconds=delivery.min_seconds,
        target_lufs=audio.loudness.target_lufs if audio else -14,
        true_peak_db=audio.loudness.true_peak_db if audio else -1,
        sound=planned,
        silent_files=silent,
        mastered_lufs=video.sound.lufs if video.sound.short_lu > 0.5 else None,
        black=[(w.first, w.first + w.count) for w in line.windows if w.kind == "fade_black"],
        still=still,
        degraded=[s.id for s in spec.segments if s.id in degraded],
        clear_box=spec.constraints.clear_box,
        texts=len(spec.captions) + sum(1 for o in spec.overlays if o.text),
        source_type=source_type(spec, segments),
        signer=video.signer,
        signature_required=services.settings.c2pa_required,
    )


_OVER_FOOTAGE = {"captions", "styles", "overlays", "resolution", "frame_rate"}


@retry_if_missing
def seen_of(
    spec: Plan,
    line: Timeline,
    video: VideoDocument,
    services: Services,
    again: bool = False,
    frames_there: int | None = None,
) -> list[SeenText]:
    """What of the plan's captions and overlays is on the finished file: one decoded frame for each
    moment looked at, once for each content and plan."""
    store = services.store
    plan = spec.model_dump_json(include=_OVER_FOOTAGE)
    lengths = [(w.first, w.count) for w in line.windows]
    mark = hashlib.sha256(f"{plan}{lengths}{spec.locale}{RENDERER_VERSION}".encode()).hexdigest()
    memo = f"sightings/{video.sha256}-{mark[:16]}-{frame_text.SIGHT_VERSION}.json"
    if store.exists(memo) and not again:
        return [SeenText.model_validate(s) for s in json.loads(store.read_bytes(memo))]
    planned = frame_text.plan_texts(
        spec, line, services.fonts, lambda asset: store.local(asset.key)
    )
    path, width = store.local(video.key), spec.resolution.width
    frames: dict[int, Planes] = {}
    seen = []
    for shape in planned:
        # A file that lacks frames is another check's to say.
        frame = min(shape.frame, (video.frames if frames_there is None else frames_there) - 1)
        if frame not in frames:
            frames = {frame: next(read_frames(path, frame, 1))}
        seen.append(frame_text.read_frame_text(shape, frames[frame], width))
    store.put_bytes(memo, json.dumps([s.model_dump() for s in seen]).encode())
    return seen


def judge_video(
    spec: Plan,
    video: VideoDocument,
    services: Services,
    segments: SegmentsDocument | None = None,
    *,
    again: bool = False,
) -> tuple[dict, list[CheckVerdict]]:
    """Measurement and verdicts of the finished file; a file is measured once for its content,
    unless it is to be measured `again`.

    Raises StoreError when it is no longer the file that was rendered.
    """
    store = services.store
    if again and hash_file(store.local(video.key)) != video.sha256:
        raise StoreError(
            f"{video.key} is not the file that was rendered: it was changed, or is damaged. "
            "Render this brief again (action `rerender`)."
        )
    measurement, found = measured_of(video, services, again)
    line = build_timeline(spec)
    wanted = build_expected(spec, line, video, segments, services)
    wanted.shown = explain_stretches(spec, line, measurement, wanted, services)
    seen = []
    if measurement.video:
        seen = seen_of(spec, line, video, services, again, measurement.video.frames)
    planned = load_trace(store, video.fingerprint)
    verdicts = run_checks(
        measurement,
        wanted,
        seen,
        read_mark(store.local(video.key)),
        compare_traces(planned, found) if planned else None,
    )
    return measurement.as_dict(), verdicts


@retry_if_missing
def measured_of(
    video: VideoDocument, services: Services, again: bool = False
) -> tuple[Measurement, FrameTrace]:
    """Measurement and trace of a finished file, taken once for its content."""
    store = services.store
    memo = f"measurements/{video.sha256}-{MEASURE_VERSION}"
    if not again and store.exists(f"{memo}.json") and store.exists(f"{memo}.trace"):
        try:
            trace = FrameTrace.from_bytes(store.read_bytes(f"{memo}.trace"))
            return Measurement.from_dict(json.loads(store.read_bytes(f"{memo}.json"))), trace
        except MediaError:
            pass  # a damaged memo is taken anew
    measurement, trace = measure_traced(store.local(video.key))
    store.put_bytes(f"{memo}.trace", trace.to_bytes())
    store.put_bytes(f"{memo}.json", json.dumps(measurement.as_dict()).encode())
    return measurement, trace


# --- thumbnail

CANDIDATES = 6


def _thumbnail_candidates(spec: Plan, line: Timeline) -> list[int]:
    """Frames worth showing, hook first: no transition, no caption on its way in or out, no badge
    that pops in, no end card."""
    busy: list[tuple[int, int]] = [(w.first, w.first + w.count) for w in line.windows]
    out = frames_of(EXIT_SECONDS, line.rate)
    cues = spec.captions
    for cue in cues:
        first, end = frames_of(cue.start, line.rate), frames_of(cue.end, line.rate)
        enter = frames_of(spec.styles[cue.style].entrance.seconds, line.rate)
        busy += [(first, first + enter), (end - out, end)]
    for overlay in spec.overlays:
        if overlay.type == "badge":
            first = frames_of(overlay.start or 0, line.rate)
            busy.append((first, first + frames_of(STICKER_SECONDS, line.rate)))
    if spec.segments[-1].id == END_CARD and len(line.spans) > 1:
        busy.append((line.spans[-1].start, line.frames))

    def is_calm(frame: int) -> bool:
        return 0 <= frame < line.frames and not any(a <= frame < b for a, b in busy)

    wanted = []
    for cue in sorted(cues, key=lambda c: (c.role != "hook", c.start)):
        first, end = frames_of(cue.start, line.rate), frames_of(cue.end, line.rate)
        wanted += [first + (end - first) * k // 4 for k in (2, 3)]
    wanted += [span.start + span.body // 2 for span in line.spans]
    found = [f for f in dict.fromkeys(wanted) if is_calm(f)]
    return found[:CANDIDATES] or [line.frames // 2]


def _score_frame(planes: Planes) -> float:
    """Sharp, contrasty, neither dark nor blown out."""
    small = cv2.resize(planes[0], (270, 480), interpolation=cv2.INTER_AREA).astype(np.float32)
    sharp = float(cv2.Laplacian(small, cv2.CV_32F).std())
    light = float(small.mean())
    exposure = 1 - abs(light - 126) / 126
    return sharp * max(0.1, exposure) * float(np.sqrt(small.std() + 1))


@retry_if_missing
def make_thumbnail(
    spec: Plan, video: VideoDocument, services: Services, key: str
) -> ThumbnailDocument:
    """The best frame as a JPEG beside the video, chosen once for each content. The hook's frames
    count half as much again: the first line is what a person should see."""
    store, place = services.store, f"videos/{key}/thumbnail.jpg"
    memo = f"thumbnails/{video.sha256}-{RENDERER_VERSION}"
    chosen, made = f"{memo}.json", f"{memo}.jpg"
    if not (store.exists(chosen) and store.exists(made)):
        frame, planes = _best_frame(spec, video, services)
        with open_workdir(services) as folder:
            jpeg = folder / "thumbnail.jpg"
            save_jpeg(planes_to_rgb(planes), jpeg)
            store.put(made, jpeg)
        store.put_bytes(chosen, json.dumps({"frame": frame}).encode())
    store.put(place, store.local(made))
    frame = json.loads(store.read_bytes(chosen))["frame"]
    return ThumbnailDocument(key=place, frame=frame, width=video.width, height=video.height)


def _best_frame(spec: Plan, video: VideoDocument, services: Services) -> tuple[int, Planes]:
    line = build_timeline(spec)
    path = services.store.local(video.key)
    hooks = [
        (frames_of(c.start, line.rate), frames_of(c.end, line.rate))
        for c in spec.captions
        if c.role == "hook"
    ]

    def score_candidate(frame: int) -> tuple[float, int, Planes]:
        planes = next(read_frames(path, frame, 1))
        weight = 1.5 if any(a <= frame < b for a, b in hooks) else 1.0
        return _score_frame(planes) * weight, frame, planes

    # The first of several that are equally good.
    scored = map(score_candidate, _thumbnail_candidates(spec, line))
    _, frame, planes = max(scored, key=lambda found: found[0])
    return frame, planes


PREVIEW_BYTES = 700
"""Dagster shows Markdown of under 1,000 characters inline, longer only after a click."""


def preview_data_uri(thumbnail: ThumbnailDocument, services: Services, width: int = 54) -> str:
    """A tiny WebP as a data address, for metadata that hold their picture inside."""
    data = np.frombuffer(services.store.read_bytes(thumbnail.key), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise StoreError(f"{thumbnail.key} is not a picture. Render the brief again.")
    height = round(picture.shape[0] * width / picture.shape[1])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    webp = b""
    for quality in range(60, 0, -5):
        webp = cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()
        if len(webp) <= PREVIEW_BYTES:
            break
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


# --- metrics


def list_versions() -> dict[str, str]:
    """What made the video, by version."""
    return {
        "pytoon": __version__,
        "renderer": RENDERER_VERSION,
        "python": platform.python_version(),
        "ffmpeg": ffmpeg.read_version(),
        "opencv": cv2.__version__,
    }


def write_metrics(
    spec: Plan,
    segments: SegmentsDocument,
    video: VideoDocument,
    services: Services,
    key: str,
) -> MetricsDocument:
    """`metrics.json` beside the video."""
    measurement, verdicts = judge_video(spec, video, services, segments)
    campaign, _, brief = key.rpartition("/")
    music = None
    if spec.audio.music:
        asset = spec.asset(spec.audio.music.media)
        music = {"source": asset.source, "sha256": asset.sha256, "licence": asset.licence}
    document = MetricsDocument(
        key=key,
        campaign=campaign,
        brief=brief,
        video=video,
        segments=segments.segments,
        verdicts=verdicts,
        measurement=measurement,
        notes=[*spec.notes, *sound_notes(spec, video.sound)],
        music=music,
        licences=list_licences(spec, services),
        disclosure=build_disclosure(spec, segments, services, video.signer),
        versions=list_versions(),
    )
    services.store.put_bytes(
        f"videos/{key}/metrics.json", document.model_dump_json(indent=2).encode() + b"\n"
    )
    return document
