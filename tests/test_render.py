"""From a brief to a finished file, for real: 270x480, a second or two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import clip, cut_out, picture, tone
from test_engines import job_of

from pytoon_pipeline.errors import BriefError, EngineFailedError, MediaError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.plan.segment_jobs import segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.documents import MetricsDocument, SegmentsDocument
from pytoon_pipeline.stages.results import make_thumbnail, write_metrics
from pytoon_pipeline.stages.segments import SegmentsFailedError, render_segments
from pytoon_pipeline.stages.services import Services, open_services


def build(services: Services, folder: Path) -> tuple[SegmentsDocument, MetricsDocument]:
    """All stages, one after the other."""
    source = find_sources([folder])[0]
    spec = compile_source(source, services)
    segments = render_segments(spec, services, source.key)
    video = assemble_video(spec, segments, services, source.key)
    make_thumbnail(spec, video, services, source.key)
    return segments, write_metrics(spec, segments, video, services, source.key)


def small_spec(folder: Path, **changes) -> Path:
    """A campaign's brief as a hand-written spec: a picture, a clip, a card, a cut-out."""
    picture(folder / "a.jpg", (500, 400))
    clip(folder / "b.mp4", rate="24000/1001", seconds=1)
    cut_out(folder / "c.png")
    tone(folder / "t.wav")
    spec = {
        "archetype": "hero",
        "brand": "morrow",
        "resolution": "270x480",
        "segments": [
            {"media": "a.jpg", "duration": 1, "text": "One", "transition": "slide"},
            {"media": "b.mp4", "duration": 0.8, "transition": {"type": "fade", "duration": 0.3}},
            {"type": "text", "text": "Two words", "duration": 1, "transition": "fadeBlack"},
            {"media": "c.png", "duration": 0.7},
        ],
        "audioTrack": "t.wav",
        **changes,
    }
    (folder / "render_spec.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def frames(path: Path, size=(270, 480)) -> list[np.ndarray]:
    """Luma of every frame."""
    with av.open(str(path)) as container:
        decoded = (f.to_ndarray(format="yuv420p") for f in container.decode(video=0))
        return [f[: size[1], : size[0]] for f in decoded]


def test_every_kind_of_segment_and_transition_ends_in_a_good_file(
    services: Services, tmp_path: Path
) -> None:
    segments, metrics = build(services, small_spec(tmp_path / "camp" / "mixed"))
    faults = [v for v in metrics.verdicts if not v.passed and v.severity == "error"]
    assert not faults, faults
    assert metrics.video.frames == 105 == len(frames(services.store.local(metrics.video.key)))
    assert not metrics.video.degraded and segments.engines == ["compositor"]
    names = sorted(k.rsplit("/", 1)[1] for k in services.store.keys("videos/camp/mixed"))
    assert names == [
        "captions.srt",
        "captions.vtt",
        "metrics.json",
        "render_spec.json",
        "thumbnail.jpg",
        "video.mp4",
    ]
    srt = services.store.read_bytes("videos/camp/mixed/captions.srt").decode()
    assert "Two words" in srt and "-->" in srt


def test_unchanged_work_is_not_done_again_and_an_edit_renders_one_segment(
    services: Services, tmp_path: Path
) -> None:
    folder = small_spec(tmp_path / "camp" / "again")
    first, metrics = build(services, folder)
    assert not any(r.cached for r in first.segments)
    video = services.store.local(metrics.video.key)
    before = video.stat().st_mtime_ns
    second, again = build(services, folder)
    assert all(r.cached for r in second.segments) and again.video.cached
    assert video.stat().st_mtime_ns == before

    spec = json.loads((folder / "render_spec.json").read_text())
    spec["segments"][2]["text"] = "Too words"
    (folder / "render_spec.json").write_text(json.dumps(spec))
    third, edited = build(services, folder)
    assert [r.cached for r in third.segments] == [True, True, False, True]
    assert not edited.video.cached and edited.video.sha256 != metrics.video.sha256


def test_the_same_brief_gives_the_same_bytes_elsewhere(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_spec(tmp_path / "one" / "same")
    _, first = build(services, folder)
    monkeypatch.setenv("PYTOON_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("PYTOON_WORKERS", "1")
    other = open_services(load_settings())
    shutil.copytree(folder, tmp_path / "two" / "renamed")
    _, second = build(other, tmp_path / "two" / "renamed")
    assert first.video.sha256 == second.video.sha256


def test_a_watermark_stands_still_while_pictures_slide(services: Services, tmp_path: Path) -> None:
    folder = tmp_path / "camp" / "slide"
    picture(folder / "a.jpg", (270, 480), (60, 60, 60))
    picture(folder / "b.jpg", (270, 480), (80, 80, 80))
    cut_out(folder / "logo.png", (60, 60))
    spec = {
        "archetype": "hero",
        "resolution": "270x480",
        "segments": [
            {"media": "a.jpg", "duration": 1, "transition": {"type": "slide", "duration": 0.4}},
            {"media": "b.jpg", "duration": 1},
        ],
        "overlays": [{"src": "logo.png", "box": [100, 200, 160, 260], "opacity": 1.0}],
        "audioTrack": False,
    }
    (folder / "render_spec.json").write_text(json.dumps(spec))
    _, metrics = build(services, folder)
    # The logo is opaque between x 110..150, y 215..245: those pixels never change.
    inside = [
        f[222:238, 122:138].astype(int) for f in frames(services.store.local(metrics.video.key))
    ]
    for patch in inside:
        assert np.abs(patch - inside[0]).max() <= 6
    assert next(v for v in metrics.verdicts if v.name == "loudness").message.startswith("silent")


def test_a_still_moves_smoothly_by_parts_of_a_pixel(services: Services, tmp_path: Path) -> None:
    """A soft spot panned over the frame: its middle, measured to hundredths of a pixel, always
    moves on, and never with a jerk."""
    from PIL import Image

    y, x = np.mgrid[0:1280, 0:720]
    spot = 16 + 220 * np.exp(-((x - 360) ** 2 + (y - 640) ** 2) / (2 * 40**2))
    path = tmp_path / "spot.png"
    Image.fromarray(spot.astype(np.uint8)).save(path)
    job = job_of(path, motion="pan_right", body=45)
    footage = services.engines.all()[0].render(job, {"a1": path}, tmp_path, lambda n: None)
    columns = np.arange(270)
    middles = []
    for luma, _, _ in footage.frames():
        light = np.maximum(luma.astype(float) - 40, 0).sum(axis=0)
        middles.append((light * columns).sum() / light.sum())
    steps = np.diff(middles)
    assert (steps < -0.1).all()
    # OpenCV places samples to 1/32 pixel; whole pixels would make steps of 1.
    assert np.abs(np.diff(steps)).max() < 0.1


def test_a_failing_engine_leaves_a_degraded_still_and_says_so(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = services.engines.engines[0]

    def broken(*args, **kwargs):
        raise EngineFailedError("out of memory", "last lines of a log")

    monkeypatch.setattr(engine, "render", broken)
    segments, metrics = build(services, small_spec(tmp_path / "camp" / "broken"))
    assert {r.engine for r in segments.segments} == {"still"}
    assert all(r.degraded and "out of memory" in r.tries[0].reason for r in segments.segments)
    verdict = next(v for v in metrics.verdicts if v.name == "engine_footage")
    assert not verdict.passed and verdict.severity == "warning"
    assert metrics.video.degraded


def test_finished_segments_survive_a_failure_of_others(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pytoon_pipeline.stages.segments as stage

    real = stage.encode_video

    def picky(planes, path, **options):
        if options["count"] == wanted:
            raise stage.FfmpegError("encode", ["ffmpeg"], 1, "no space left on device")
        real(planes, path, **options)

    folder = small_spec(tmp_path / "camp" / "partly")
    source = find_sources([folder])[0]
    spec = compile_source(source, services)
    wanted = segment_jobs(spec, build_timeline(spec))[1].count
    monkeypatch.setattr(stage, "encode_video", picky)
    with pytest.raises(SegmentsFailedError) as failure:
        render_segments(spec, services, source.key)
    assert list(failure.value.failed) == ["s2"]
    assert "no space left" in str(failure.value)
    monkeypatch.setattr(stage, "encode_video", real)
    again = render_segments(spec, services, source.key)
    assert [r.cached for r in again.segments] == [True, False, True, True]
    assert not list(services.settings.scratch.iterdir())


def test_media_are_rendered_as_they_were_checked(services: Services, tmp_path: Path) -> None:
    folder = small_spec(tmp_path / "camp" / "gone")
    spec = compile_source(find_sources([folder])[0], services)
    shutil.rmtree(folder)
    assert len(render_segments(spec, services, "camp/gone").segments) == 4


def test_nothing_is_stored_for_a_broken_brief(services: Services, tmp_path: Path) -> None:
    folder = tmp_path / "camp" / "bad"
    folder.mkdir(parents=True)
    (folder / "brief.yaml").write_text("media: [missing.jpg]\n")
    with pytest.raises(BriefError) as failure:
        compile_source(find_sources([folder])[0], services)
    assert [p.field for p in failure.value.problems] == ["media[0]"]
    assert not list(Path(services.settings.store).rglob("*.*"))


def test_frames_are_found_again_exactly(services: Services, tmp_path: Path) -> None:
    folder = small_spec(tmp_path / "camp" / "cross")
    _, metrics = build(services, folder)
    path = services.store.local(metrics.video.key)
    decoded = frames(path)
    for first in (0, 29, 30, 31, len(decoded) - 3):
        for at, (luma, _, _) in enumerate(read_frames(path, first, 3), first):
            assert np.array_equal(luma, decoded[at])
    with pytest.raises(MediaError):
        list(read_frames(path, len(decoded) - 1, 2))


def test_a_failure_names_brief_segment_engines_and_remedy(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pytoon_pipeline.stages.segments as stage

    def full(*args, **options):
        raise stage.FfmpegError("encode", ["ffmpeg"], 1, "no space left on device")

    source = find_sources([small_spec(tmp_path / "camp" / "full")])[0]
    spec = compile_source(source, services)
    monkeypatch.setattr(stage, "encode_video", full)
    with pytest.raises(SegmentsFailedError) as failure:
        render_segments(spec, services, source.key)
    for word in ("camp/full", "s1:", "compositor:", "still", "no space left", "render again"):
        assert word in str(failure.value)
