"""The stage `assembled_video`: segments linked, transitions between them, sound laid once."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytoon_pipeline import RENDERER_VERSION
from pytoon_pipeline.errors import LinkError
from pytoon_pipeline.media import credentials, ffmpeg, loudness, sound, sound_plan
from pytoon_pipeline.media.encode import encode_video
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.media.link import LinkPart, link_video
from pytoon_pipeline.media.probe import hash_file
from pytoon_pipeline.media.trace import FrameTrace, TraceRecorder
from pytoon_pipeline.picture.transitions import blend_frames
from pytoon_pipeline.picture.yuv import Planes
from pytoon_pipeline.plan.complete import Plan, PlanSegment
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_jobs
from pytoon_pipeline.plan.timeline import Timeline, TransitionWindow, build_timeline
from pytoon_pipeline.stages.compile import spec_json
from pytoon_pipeline.stages.documents import (
    LinkedDocument,
    SegmentRecord,
    SegmentsDocument,
    SoundRecord,
    SoundRepair,
    VideoDocument,
)
from pytoon_pipeline.stages.finishing import SegmentFinishing
from pytoon_pipeline.stages.labelling import build_disclosure, build_xmp_packet, label_video
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.segments import (
    encoding_look,
    media_file,
    media_of,
    open_workdir,
    render_segments,
)
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.stages.subtitles import to_srt, to_vtt
from pytoon_pipeline.stages.traces import drawn_key, keep_trace, plan_trace, trace_of_sound
from pytoon_pipeline.store import ObjectNotFoundError, Store
from pytoon_pipeline.store.reuse import touch_if_present
from pytoon_pipeline.store.sums import remember_sum

SOUND_RATE = 48000
_TRIES = 2
"""Times that parts which turn out to be damaged are made again."""

log = logging.getLogger("pytoon.assemble")


def assemble_video(
    spec: Plan,
    segments: SegmentsDocument,
    services: Services,
    key: str,
    reporter: Reporter | None = None,
    *,
    fresh: bool = False,
) -> VideoDocument:
    """The finished file under `videos/<key>/`, with its plan and caption files.

    What has been linked before from the same parts is not linked again, nor signed anew, unless
    `fresh`. One with generated footage bears its mark, and is signed where there is a certificate.
    A part that is damaged, or is no longer in the store, is made again first.

    Raises LinkError, FfmpegError, MediaError, RenderError, StoreError or CredentialsError;
    SettingsError when the certificate can't sign.
    """
    reporter = reporter or Reporter()
    for _ in range(_TRIES):
        try:
            return _assemble_parts(spec, segments, services, key, reporter, fresh)
        except ObjectNotFoundError:
            log.warning("%s: a part of it is not in the store; it is made again.", key)
            # The others are found there.
            segments = render_segments(spec, services, key, reporter)
    return _assemble_parts(spec, segments, services, key, reporter, fresh)


def _assemble_parts(
    spec: Plan,
    segments: SegmentsDocument,
    services: Services,
    key: str,
    reporter: Reporter,
    fresh: bool,
) -> VideoDocument:
    store, line = services.store, build_timeline(spec)
    jobs = segment_jobs(spec, line)
    records = segments.segments
    if [r.segment_id for r in records] != [s.id for s in spec.segments]:
        raise LinkError("The segments that came are not the segments of the plan.")
    for record in records:
        if not touch_if_present(store, record.key):
            raise ObjectNotFoundError(
                f"{record.segment_id}: {record.key} is no longer in the store. "
                "Materialize `segments` again."
            )
    look = encoding_look(services)
    windows = [
        _own_digest(
            "window",
            w.kind,
            w.count,
            look,
            RENDERER_VERSION,
            records[w.left].fingerprint,
            records[w.left + 1].fingerprint,
        )
        for w in line.windows
    ]
    plan, plan_mark = _sound_plan(spec, line, services)
    said, identity, label = build_disclosure(spec, segments, services), None, []
    if said.ai_generated:
        config = services.settings
        identity = credentials.load_identity(config.c2pa_certificate, config.c2pa_key)
        # Signatures differ each time, so what is signed stands for them.
        by = identity.fingerprint if identity else None
        label = [[build_xmp_packet(said).decode(), said.model_dump(mode="json"), by]]
    prints = [r.fingerprint for r in records]
    mark = _own_digest("video", prints, windows, plan_mark, line.rate, *label)

    folder_key = f"videos/{key}"
    _write_documents(spec, services, folder_key)
    sidecar = f"linked/{key}.json"
    made_of = {
        "parts": _list_parts(spec, records, windows, plan_mark, mark),
        "takes": _list_takes(records),
    }
    there = None if fresh else store.whole(f"{folder_key}/video.mp4")
    before = _linked_before(store, sidecar, made_of) if there else None
    if there and before and before.fingerprint == mark and before.bytes == there.bytes:
        return before.video.model_copy(update={"cached": True, "seconds_spent": {}})

    if identity:
        credentials.check_identity(identity)
    spent: dict[str, float] = {}
    with open_workdir(services) as folder, ThreadPoolExecutor(services.settings.workers) as pool:

        def window_file(window: TransitionWindow, name: str) -> Path:
            place = _window_key(name)
            if fresh or not touch_if_present(store, place):
                path = folder / f"window-{window.left:02d}.mp4"
                keep_trace(store, name, _blend_transition(window, jobs, records, services, path))
                store.put(place, path, move=True)
            return store.local(place)

        started = time.monotonic()
        files = [pool.submit(window_file, w, n) for w, n in zip(line.windows, windows, strict=True)]
        audio, heard = _render_sound(plan, plan_mark, services, folder, fresh)
        spent["sound"] = time.monotonic() - started
        blended = {w.left: f.result() for w, f in zip(line.windows, files, strict=True)}
        spent["transitions"] = time.monotonic() - started - spent["sound"]

        started = time.monotonic()
        parts = []
        for i, (span, record) in enumerate(zip(line.spans, records, strict=True)):
            first, end = span.copied_frames
            parts.append(LinkPart(store.local(record.key), first, end - first))
            if i in blended:
                count = next(w.count for w in line.windows if w.left == i)
                parts.append(LinkPart(blended[i], 0, count))
        video = folder / "video.mp4"
        link_video(parts, audio, video, rate=line.rate)
        planned = plan_trace(
            line,
            [(r.fingerprint, store.local(r.key)) for r in records],
            [(n, blended[w.left]) for w, n in zip(line.windows, windows, strict=True)],
            (plan_mark, audio),
            store,
        )
        keep_trace(store, mark, planned)
        if said.ai_generated:
            linked, video = video, folder / "labelled.mp4"
            label_video(linked, video, said, identity, spec, segments, services)
        digest, size = hash_file(video), video.stat().st_size
        remember_sum(video, digest)
        store.put(f"{folder_key}/video.mp4", video, move=True)
        spent["link"] = time.monotonic() - started

    document = LinkedDocument(
        key=f"{folder_key}/video.mp4",
        sha256=digest,
        bytes=size,
        frames=line.frames,
        rate=line.rate,
        width=spec.resolution.width,
        height=spec.resolution.height,
        fingerprint=mark,
        cached=False,
        degraded=any(r.degraded for r in records),
        used_fallback=any(r.used_fallback for r in records),
        engines=segments.engines,
        sound=heard,
        signer=identity.name if identity else None,
        seconds_spent={k: round(v, 3) for k, v in spent.items()},
        **made_of,
    )
    store.put_bytes(sidecar, document.model_dump_json().encode())
    return document.video


def _linked_before(store: Store, sidecar: str, made_of: dict[str, Any]) -> LinkedDocument | None:
    """What was written down when the video was linked; None where nothing was, or nothing whole."""
    try:
        written = json.loads(store.read_bytes(sidecar))
        # An earlier version did not write down what it is made of.
        before = LinkedDocument.model_validate({**written, **made_of})
    except (ObjectNotFoundError, ValueError, TypeError):
        return None
    if written != before.model_dump(mode="json"):
        store.put_bytes(sidecar, before.model_dump_json().encode())
    return before


def _window_key(name: str) -> str:
    return f"windows/{name}.mp4"


def _sound_keys(mark: str) -> tuple[str, str]:
    """Of the track, and of what was measured of it."""
    return f"sound/{mark}.m4a", f"sound/{mark}.json"


def _list_parts(
    spec: Plan,
    records: list[SegmentRecord],
    windows: list[str],
    sound_mark: str,
    video_mark: str,
) -> list[str]:
    """All in the store that the video is made of. As long as the video is there these stay."""
    names = [
        *(r.key for r in records),
        *(_window_key(name) for name in windows),
        *_sound_keys(sound_mark),
        *(drawn_key(r.fingerprint) for r in records),
        *(drawn_key(name) for name in (*windows, sound_mark, video_mark)),
        *(asset.key for asset in spec.assets),
    ]
    return list(dict.fromkeys(names))


def _list_takes(records: list[SegmentRecord]) -> list[dict]:
    return [r.take for r in records if r.take]


def _own_digest(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _write_documents(spec: Plan, services: Services, folder_key: str) -> None:
    for name, text in (
        ("render_spec.json", spec_json(spec)),
        ("captions.srt", to_srt(spec)),
        ("captions.vtt", to_vtt(spec)),
    ):
        services.store.put_bytes(f"{folder_key}/{name}", text.encode())


def _blend_transition(
    window: TransitionWindow, jobs: list[SegmentJob], records: list, services: Services, path: Path
) -> FrameTrace:
    """The frames of a transition, decoded from both sides, mixed, and encoded like a segment.
    Returns the trace of what was drawn."""
    left = jobs[window.left]
    start = left.head + left.body - left.tail
    ends = [
        read_frames(services.store.local(record.key), first, window.count)
        for record, first in ((records[window.left], start), (records[window.left + 1], 0))
    ]
    shared = []
    if left.clean_tail:
        shared = SegmentFinishing(left, services.fonts, media_of(left, services)).shared_tail()

    def iterate_blended() -> Iterator[Planes]:
        for index, (a, b) in enumerate(zip(*ends, strict=True)):
            planes = blend_frames(window.kind, a, b, index, window.count)
            for layer in shared:
                layer.draw_at(planes, start + index)
            yield planes

    recorder = TraceRecorder()
    encode_video(
        recorder.follow(iterate_blended()),
        path,
        size=(left.width, left.height),
        rate=left.rate,
        count=window.count,
        settings=services.video_settings,
    )
    return recorder.trace


# --- sound


def _sound_plan(spec: Plan, line: Timeline, services: Services) -> tuple[sound_plan.SoundPlan, str]:
    """What is heard, in samples, and its hash (files by theirs)."""
    audio = spec.audio

    def sample_at(frame: int) -> int:
        return frame * SOUND_RATE // line.rate

    def asset_path(asset_id: str) -> Path:
        return media_file(spec.asset(asset_id), services)

    hashes: list[str] = []
    music = voice = None
    if audio.music:
        hashes.append(spec.asset(audio.music.media).sha256)
        music = sound_plan.MixMusic(
            asset_path(audio.music.media),
            gain_db=audio.music.gain_db,
            fade_in_s=audio.music.fade_in,
            fade_out_s=min(audio.music.fade_out, line.frames / line.rate / 2),
        )
    if audio.voice:
        hashes.append(spec.asset(audio.voice.media).sha256)
        voice = sound_plan.MixVoice(
            asset_path(audio.voice.media), start=audio.voice.start, gain_db=audio.voice.gain_db
        )
    clips = []
    for segment, span in zip(spec.segments, line.spans, strict=True):
        if not _is_heard(spec, segment):
            continue
        asset = spec.asset(segment.media[0])
        # Heard as long as seen: the handles too, so that sound crosses over with the picture.
        first = max(0, span.first)
        late = first - span.start
        clip_start = segment.audio.start + late / line.rate
        if clip_start < 0:
            first -= round(clip_start * line.rate)
            clip_start = 0.0
        fade = sample_at(2 * max(span.head, span.tail)) or 480
        hashes.append(asset.sha256)
        clips.append(
            sound_plan.MixClipSound(
                asset_path(asset.id),
                clip_start_s=clip_start,
                at_sample=sample_at(first),
                n_samples=sample_at(span.start + span.body + span.tail) - sample_at(first),
                gain_db=segment.audio.gain_db,
                fade_samples=fade,
            )
        )
    plan = sound_plan.SoundPlan(
        n_samples=sample_at(line.frames),
        music=music,
        voice=voice,
        clips=tuple(clips),
        ducking=sound_plan.MixDucking(
            depth_db=audio.ducking.depth_db,
            attack_s=audio.ducking.attack,
            release_s=audio.ducking.release,
        ),
        loudness=sound_plan.MixLoudness(
            target_lufs=audio.loudness.target_lufs, true_peak_db=audio.loudness.true_peak_db
        ),
    )
    numbers = asdict(plan)
    for part in (numbers["music"], numbers["voice"], *numbers["clips"]):
        if part:
            part.pop("path")
    rate = services.presets.facts().delivery.audio_kbps
    mark = _own_digest(
        "sound", numbers, hashes, rate, ffmpeg.read_version(), RENDERER_VERSION, sound.SOUND_VERSION
    )
    return plan, mark


def _is_heard(spec: Plan, segment: PlanSegment) -> bool:
    """Is the own sound of a segment's clip heard?"""
    if segment.type != "video" or not segment.audio.use or not segment.media:
        return False
    return bool(spec.asset(segment.media[0]).has_audio)


def heard_files(spec: Plan) -> dict[str, str]:
    """The parts of the sound, by the names that `media.sound` gives them, and their files."""
    audio = spec.audio
    found = {}
    if audio and audio.music:
        found["music"] = spec.asset(audio.music.media).source
    if audio and audio.voice:
        found["voice"] = spec.asset(audio.voice.media).source
    clips = [s for s in spec.segments if _is_heard(spec, s)]
    found |= {f"clip {i}": spec.asset(s.media[0]).source for i, s in enumerate(clips)}
    return found


def sound_notes(spec: Plan, record: SoundRecord) -> list[str]:
    """What was put right in the sounds of a video, each naming its file."""
    files = heard_files(spec)
    told = [f"{files.get(r.part, 'the mix')}: {r.what}." for r in record.repairs]
    # Clips have silent tracks as often as not.
    told += [
        f"{files[part]}: nothing is to be heard in it."
        for part in record.silent
        if part in files and not part.startswith("clip")
    ]
    return list(dict.fromkeys(told))


def _render_sound(
    plan: sound_plan.SoundPlan, mark: str, services: Services, folder: Path, fresh: bool
) -> tuple[Path, SoundRecord]:
    """The sound track, laid once for each content."""
    store = services.store
    track, report = _sound_keys(mark)
    if fresh or not (touch_if_present(store, track) and touch_if_present(store, report)):
        path = folder / "sound.m4a"
        rate = services.presets.facts().delivery.audio_kbps
        laid = sound.render_soundtrack(plan, path, bit_rate_kbps=rate)
        audible = laid.lufs > loudness.SILENCE_LUFS
        record = SoundRecord(
            lufs=round(laid.lufs, 2) if audible else None,
            true_peak_db=round(laid.true_peak_db, 2) if audible else None,
            gain_db=round(laid.gain_db, 2),
            duck_db=round(laid.ducked_db, 2),
            short_lu=round(laid.short_lu, 2),
            repairs=[SoundRepair(part=r.part, what=r.what) for r in laid.repairs],
            silent=list(laid.silent),
        )
        keep_trace(store, mark, trace_of_sound(laid))
        store.put(track, path, move=True)
        store.put_bytes(report, record.model_dump_json().encode())
    return store.local(track), SoundRecord.model_validate_json(store.read_bytes(report))
