"""The timeline for editing programs: as long as the video, frame by frame, and nothing missing."""

from __future__ import annotations

import json
from pathlib import Path

import opentimelineio as otio
import pytest
from conftest import clip, cut_out, picture, tone
from test_render import build
from typer.testing import CliRunner

from pytoon_pipeline.cli import app
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.plan.timeline import build_timeline, frames_of
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.stages.compile import compile_source

FIXTURES = Path(__file__).parent / "fixtures" / "briefs"
SOURCES = find_sources([FIXTURES, project_data("briefs")])


def export(*args: object) -> tuple[otio.schema.Timeline, Path]:
    """The timeline that the command wrote, read again, and its folder."""
    ran = CliRunner().invoke(app, ["export", "--json", *map(str, args)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    said = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    file = Path(said[0]["timeline"])
    return otio.adapters.read_from_file(str(file)), file.parent


def track(made: otio.schema.Timeline, name: str) -> otio.schema.Track:
    return next(t for t in made.tracks if t.name.startswith(name))


def cuts(items: otio.schema.Track) -> list[tuple[int, int, int, str]]:
    """Transitions as (frame of the cut, frames before it, frames after it, kind)."""
    found, at = [], 0
    for item in items:
        if isinstance(item, otio.schema.Transition):
            before, after = item.in_offset.to_frames(), item.out_offset.to_frames()
            found.append((at, before, after, item.name))
        else:
            at += item.duration().to_frames()
    return found


def holds(made: otio.schema.Timeline, folder: Path, frames: int, rate: int) -> None:
    """What is true of every timeline."""
    for items in made.tracks:
        lengths = [i.duration() for i in items if not isinstance(i, otio.schema.Transition)]
        assert all(d.rate == rate and d.value == int(d.value) and d.value > 0 for d in lengths)
        assert sum(d.to_frames() for d in lengths) == frames, items.name
        ends = [0, *(a for a, *_ in cuts(items)), frames]
        assert all(0 <= a <= frames for a in ends)
    named = set()
    for part in made.find_clips():
        reference = part.media_reference
        named.add(reference.target_url)
        assert (folder / reference.target_url).is_file()
        offered, taken = reference.available_range, part.source_range
        assert offered.start_time <= taken.start_time
        assert taken.end_time_exclusive() <= offered.end_time_exclusive()
    # Nothing lies there that the timeline does not use.
    assert named == {f"media/{p.name}" for p in (folder / "media").iterdir()}


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.key)
def test_every_brief_becomes_a_timeline_of_its_frames(source, services, tmp_path: Path) -> None:
    spec = compile_source(source, services)
    line = build_timeline(spec)
    made, folder = export(source.path, "-o", tmp_path / "out")
    assert folder == tmp_path / "out" / source.key
    holds(made, folder, line.frames, line.rate)

    footage = track(made, "V1")
    assert cuts(footage) == [
        (w.first + w.count // 2, w.count // 2, w.count // 2, w.kind) for w in line.windows
    ]
    shown = [c for c in footage if isinstance(c, otio.schema.Clip)]
    assert [c.metadata["pytoon"]["segment"] for c in shown] == [s.id for s in spec.segments]
    for part, segment, span in zip(shown, spec.segments, line.spans, strict=True):
        assert part.range_in_parent().start_time.to_frames() == span.start
        assert part.duration().to_frames() == span.body
        assert part.metadata["pytoon"]["motion"]["kind"] == segment.motion.kind
        if segment.type == "image":
            # A still offers exactly the handles that its transitions take.
            before = part.source_range.start_time - part.available_range().start_time
            after = (
                part.available_range().end_time_exclusive() - part.source_range.end_time_exclusive()
            )
            assert (before.to_frames(), after.to_frames()) == (span.head, span.tail)
    marks = [
        (m.comment, m.marked_range.start_time.to_frames(), m.marked_range.duration.to_frames())
        for m in track(made, "V2").markers
    ]
    rate = line.rate
    badges = [o.text for o in spec.overlays if o.type == "badge"]
    assert [m for m in marks if m[0] not in badges] == [
        (c.text, frames_of(c.start, rate), frames_of(c.end, rate) - frames_of(c.start, rate))
        for c in spec.captions
    ]
    assert [m[0] for m in marks if m[0] in badges] == badges
    assert not any(t.name.startswith("Finished") for t in made.tracks)
    music = [c for c in track(made, "A1") if isinstance(c, otio.schema.Clip)]
    assert bool(music) == bool(spec.audio.music)


def film(folder: Path) -> Path:
    """Everything that a timeline can hold: a clip that begins anew, music that repeats, a voice, a
    card, names that are no file names."""
    picture(folder / "été & co.png", (360, 640))
    clip(folder / "b.mp4", rate="24000/1001", seconds=1.5)
    tone(folder / "t.wav", seconds=2)
    tone(folder / "v.wav", seconds=1)
    spec = {
        "archetype": "hero",
        "brand": "morrow",
        "resolution": "270x480",
        "segments": [
            {"media": "été & co.png", "duration": 1, "text": "One", "transition": "slide"},
            {
                "media": "b.mp4",
                "duration": 2,
                "audio": {"start": 0.5},
                "transition": {"type": "fade", "duration": 0.4},
            },
            {"type": "text", "text": "Two words", "duration": 1.5},
        ],
        "audio": {"music": {"media": "t.wav"}, "voice": {"media": "v.wav", "start": 0.5}},
    }
    (folder / "render_spec.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def test_a_finished_video_is_exported_with_all_its_tracks(services, tmp_path: Path) -> None:
    folder = film(tmp_path / "camp" / "film")
    segments, metrics = build(services, folder)
    made, out = export(folder, "-o", tmp_path / "out")
    frames = metrics.video.frames
    holds(made, out, frames, 30)

    shown = [c for c in track(made, "V1") if isinstance(c, otio.schema.Clip)]
    prints = [c.metadata["pytoon"]["fingerprint"] for c in shown]
    assert list(dict.fromkeys(prints)) == [r.fingerprint for r in segments.segments]
    ranges = [
        (
            c.media_reference.target_url,
            *(t.to_frames() for t in (c.source_range.start_time, c.source_range.duration)),
        )
        for c in shown
    ]
    # The clip's 45 frames are entered at the 15th and begin anew after the last.
    assert [r for r in ranges if "b.mp4" in r[0]] == [
        ("media/b.mp4", 15, 30),
        ("media/b.mp4", 0, 30),
    ]
    assert ranges[-1][0] == "media/ground-s3.png"
    assert {"media/t-co.png", "media/finished.mp4"} <= {
        c.media_reference.target_url for c in made.find_clips()
    }
    music, voice, own = (track(made, name) for name in ("A1", "A2", "A3"))
    # Two seconds of music under four and a half, crossed over with themselves twice, faded out.
    assert [c.duration().to_frames() for c in music if isinstance(c, otio.schema.Clip)] == [
        50,
        40,
        45,
    ]
    assert cuts(music) == [(50, 10, 10, "fade"), (90, 10, 10, "fade"), (135, 35, 0, "fade")]
    (spoken,) = [c for c in voice if isinstance(c, otio.schema.Clip)]
    assert spoken.range_in_parent().start_time.to_frames() == 15
    (heard,) = [c for c in own if isinstance(c, otio.schema.Clip)]
    # Sound starts with its picture, and does not begin anew.
    assert heard.range_in_parent().start_time.to_frames() == 30
    assert heard.duration().to_frames() == 30
    assert not track(made, "Finished").enabled
    assert (out / "captions.srt").read_text("utf-8").count("-->") == 2

    # An earlier export is replaced; a video that no longer fits the brief is left out.
    plan = json.loads((folder / "render_spec.json").read_text("utf-8"))
    plan["segments"][2]["text"] = "Other words"
    (folder / "render_spec.json").write_text(json.dumps(plan), encoding="utf-8")
    made, again = export(folder, "-o", tmp_path / "out")
    assert again == out
    assert not any(t.name.startswith("Finished") for t in made.tracks)
    assert not (out / "media" / "finished.mp4").exists()


def test_what_lies_behind_beside_and_upon_has_its_place(services, tmp_path: Path) -> None:
    folder = tmp_path / "camp" / "offer"
    cut_out(folder / "a.png")
    cut_out(folder / "b.png", (240, 200))
    picture(folder / "room.jpg")
    (folder / "brief.yaml").write_text(
        "archetype: overlay\nbrand: morrow\nbackground: room.jpg\nbadge: 30% OFF\n"
        "media: [{paths: [a.png, b.png]}, a.png, {text: Only words}]\nhook: Two\nend_card: false\n",
        "utf-8",
    )
    spec = compile_source(find_sources([folder])[0], services)
    made, out = export(folder, "-o", tmp_path / "out")
    line = build_timeline(spec)
    holds(made, out, line.frames, line.rate)

    def shown(name: str) -> list[str | None]:
        return [
            part.media_reference.name if isinstance(part, otio.schema.Clip) else None
            for part in track(made, name)
            if not isinstance(part, otio.schema.Transition)
        ]

    assert [t.name for t in made.tracks][:3] == [
        "V0 background",
        "V1 footage",
        "V1 footage, picture 2",
    ]
    assert shown("V0 background") == ["room.jpg", "room.jpg", None]
    assert shown("V1 footage") == ["a.png", "a.png", "room.jpg"]
    assert shown("V1 footage, picture 2") == ["b.png", None, None]
    assert "30% OFF" in [m.comment for m in track(made, "V2").markers]

    # Around what does not fill the frame, a colour or gradient is a still of its own.
    studio = find_sources([project_data("briefs") / "morrow" / "candle-offer"])[0]
    made, out = export(studio.path, "-o", tmp_path / "out")
    assert {name for name in shown("V0 background") if name} == {"ground-s1.png"}
    assert (out / "media" / "ground-s1.png").stat().st_size > 1000
    kettle = find_sources([project_data("briefs") / "morrow" / "kettle"])[0]
    made, out = export(kettle.path, "-o", tmp_path / "out")
    wide = track(made, "V1")
    around = [name for name in shown("V0 background") if name]
    assert around and len(around) < len([c for c in wide if isinstance(c, otio.schema.Clip)])


def test_results_that_were_copied_out_are_exported_too(services, tmp_path: Path) -> None:
    build(services, film(tmp_path / "camp" / "film"))
    copy = tmp_path / "videos" / "camp" / "film"
    copy.mkdir(parents=True)
    for name in ("video.mp4", "render_spec.json", "metrics.json"):
        (copy / name).write_bytes(services.store.read_bytes(f"videos/camp/film/{name}"))
    made, _ = export(copy, "-o", tmp_path / "out")
    assert any(t.name.startswith("Finished") for t in made.tracks)
    # Nor is a folder replaced that holds anything else.
    ran = CliRunner().invoke(app, ["export", str(copy), "-o", str(tmp_path / "videos")])
    assert ran.exit_code == 2 and "no earlier export" in ran.output
    assert (copy / "video.mp4").is_file()
