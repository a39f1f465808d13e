"""Clips of every kind that phones, cameras and programs write: what is drawn of them."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_compositor import footage, rgb_frames
from test_spec import SHOP

from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.engines.still import StillEngine
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.orientation import Orientation, matrix_orientation
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.sound_decoding import decode_sound
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline

CASES = Path(__file__).parent / "fixtures/cases/clips"
RED, GREEN, BLUE, YELLOW = (212, 40, 40), (31, 150, 70), (40, 70, 200), (235, 194, 40)
QUARTERS = (
    "color=0x2846c8:s=64x48:r=10:d=1[a];color=0xd42828:s=32x24:r=10:d=1[r];"
    "color=0x1f9646:s=32x24:r=10:d=1[g];color=0xebc228:s=32x24:r=10:d=1[y];"
    "[a][r]overlay=0:0[b];[b][g]overlay=32:0[c];[c][y]overlay=32:24"
)
"""Red and green above blue and yellow, ten frames of 64x48."""


def make(path: Path, *arguments: object) -> Path:
    ffmpeg.run_ffmpeg([*arguments, path], f"make {path.name}")
    return path


@pytest.fixture(scope="module")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "quarters.mp4"
    return make(path, "-filter_complex", QUARTERS, "-c:v", "libx264", "-qp", 8, "-bf", 0)


def first_frame(path: Path, **how: object) -> np.ndarray:
    return planes_to_rgb(next(iter(ClipFrames(path, None, 10, 0, 1, **how))))  # type: ignore[arg-type]


def near(pixel: np.ndarray, colour: tuple[int, int, int], most: int = 12) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= most)


def corners(rgb: np.ndarray) -> list[tuple[int, int, int]]:
    """The nearest of the four colours in each quarter, row by row."""
    h, w = rgb.shape[:2]
    found = []
    for y in (h // 4, 3 * h // 4):
        for x in (w // 4, 3 * w // 4):
            colours = (RED, GREEN, BLUE, YELLOW)
            found.append(min(colours, key=lambda c: np.abs(rgb[y, x].astype(int) - c).sum()))
            assert near(rgb[y, x], found[-1], 25)
    return found


def shown_corners(orientation: Orientation) -> list[tuple[int, int, int]]:
    grid = np.array([[RED, GREEN], [BLUE, YELLOW]])
    return [tuple(c) for c in orientation.turn_array(grid).reshape(4, 3).tolist()]  # type: ignore[misc]


def compiled_case(name: str) -> CompiledPlan:
    folder = CASES / name
    return compile_file(folder / "brief.yaml", folder, "brief", "brief.yaml", SHOP)


def rendered_case(
    name: str, tmp_path: Path, *, to_the_end: bool = False
) -> tuple[SegmentJob, list[np.ndarray]]:
    """Two early frames, or the first and one near the end, of the first segment of a case."""
    found = compiled_case(name)
    assert found.plan is not None, [str(p) for p in found.problems]
    job = segment_jobs(found.plan, build_timeline(found.plan))[0]
    media = {a.id: found.files[a.id] for a in job.all_assets}
    made = Compositor().render(job, media, tmp_path, lambda n: None)
    last = job.count - 3 if to_the_end else 6
    shown = enumerate(islice(made.frames(), last + 1))
    return job, [planes_to_rgb(p) for n, p in shown if n in (0, last)]


# --- turned and mirrored


@pytest.mark.parametrize(
    ("case", "wanted"),
    [("mirrored", [GREEN, RED, YELLOW, BLUE]), ("upside-down", [BLUE, YELLOW, RED, GREEN])],
)
def test_a_mirrored_clip_is_drawn_as_players_show_it(case, wanted, tmp_path):
    job, frames = rendered_case(case, tmp_path)
    asset = job.media[0]
    frame = frames[0]
    coloured = (frame.max(axis=-1).astype(int) - frame.min(axis=-1)) > 60
    rows, columns = np.flatnonzero(coloured.any(axis=1)), np.flatnonzero(coloured.any(axis=0))
    part = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert part.shape[0] > part.shape[1] and (asset.width, asset.height) == (180, 320)
    assert corners(part) == wanted


EIGHT = [Orientation(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (0, 1)]


def matrix_of(orientation: Orientation) -> tuple[int, ...]:
    """What x and y become: the two columns that a display matrix begins its rows with."""
    x, y = {
        0: ((1, 0), (0, 1)),
        90: ((0, 1), (-1, 0)),
        180: ((-1, 0), (0, -1)),
        270: ((0, -1), (1, 0)),
    }[orientation.degrees]
    x = (-x[0], -x[1]) if orientation.mirrored else x
    one = 1 << 16
    return x[0] * one, x[1] * one, 0, y[0] * one, y[1] * one, 0, 0, 0, 1 << 30


def with_matrix(source: Path, path: Path, box: bytes, matrix: tuple[int, ...]) -> Path:
    """A copy of an MP4 with the matrix of its `tkhd` or `mvhd`, version 0, written over."""
    data = bytearray(source.read_bytes())
    at = data.index(box) + 4 + {b"tkhd": 40, b"mvhd": 36}[box]
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("orientation", EIGHT, ids=str)
def test_all_eight_matrices_of_a_track(orientation, quarters, tmp_path):
    assert matrix_orientation(struct.pack("=9i", *matrix_of(orientation))) == orientation
    path = with_matrix(quarters, tmp_path / "c.mp4", b"tkhd", matrix_of(orientation))
    info = probe_media(path)
    assert (info.rotation, info.mirrored) == (orientation.degrees, orientation.mirrored)
    assert (info.width, info.height) == orientation.shown_size(64, 48)
    rgb = first_frame(path)
    assert rgb.shape[:2] == (info.height, info.width)
    assert corners(rgb) == shown_corners(orientation)


def test_matrices_of_movie_and_track_count_together(quarters, tmp_path):
    turned = with_matrix(quarters, tmp_path / "a.mp4", b"tkhd", matrix_of(Orientation(0, True)))
    both = with_matrix(turned, tmp_path / "b.mp4", b"mvhd", matrix_of(Orientation(90)))
    assert corners(first_frame(both)) == shown_corners(Orientation(90, True))


def test_turns_of_other_containers_and_of_streams(quarters, tmp_path):
    for name, options, wanted in (
        ("c.mkv", ["-display_hflip", "-i", quarters, "-c", "copy"], Orientation(0, True)),
        ("c.mov", ["-display_rotation", 90, "-display_hflip", "-i", quarters, "-c", "copy"], None),
        (
            "sei.mp4",
            [
                "-i",
                quarters,
                "-c",
                "copy",
                "-bsf:v",
                "h264_metadata=display_orientation=insert:rotate=90",
            ],
            Orientation(270),
        ),
        (
            "flip.mp4",
            [
                "-i",
                quarters,
                "-c",
                "copy",
                "-bsf:v",
                "h264_metadata=display_orientation=insert:flip=vertical",
            ],
            Orientation(180, True),
        ),
    ):
        path = make(tmp_path / name, *options)
        info = probe_media(path)
        if wanted is not None:
            assert (info.rotation, info.mirrored) == (wanted.degrees, wanted.mirrored), name
        wanted = Orientation(info.rotation, info.mirrored)
        for planes in ClipFrames(path, None, 10, 0, 10):
            assert corners(planes_to_rgb(planes)) == shown_corners(wanted), name


# --- transparent


def sticker(n: int = 0) -> Image.Image:
    """A red disc, in the middle of nothing that hides yellow."""
    image = Image.new("RGBA", (64, 64), (212, 200, 40, 0))
    ImageDraw.Draw(image).ellipse([12, 12, 51, 51], fill=(*RED, 255))
    return image


ALPHA = {
    "vp9.webm": ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", 10],
    "vp8.webm": ["-c:v", "libvpx", "-auto-alt-ref", 0, "-pix_fmt", "yuva420p", "-b:v", "2M"],
    "prores.mov": ["-c:v", "prores_ks", "-profile:v", 4, "-pix_fmt", "yuva444p10le"],
    "animation.mov": ["-c:v", "qtrle"],
    "png.mov": ["-c:v", "png"],
    "apng.png": ["-f", "apng", "-plays", 0],
    "lossless.mkv": ["-c:v", "ffv1", "-pix_fmt", "yuva444p"],
}


def make_sticker(name: str, folder: Path) -> Path:
    path = folder / name
    if name in ("s.gif", "s.webp"):
        # The third differs, lest the frames be joined to one.
        images = [sticker() for _ in range(4)]
        ImageDraw.Draw(images[2]).rectangle([30, 30, 33, 33], fill=(200, 30, 30, 255))
        images[0].save(
            path,
            save_all=True,
            append_images=images[1:],
            duration=100,
            disposal=2,
            loop=0,
            **({"lossless": True} if name == "s.webp" else {}),
        )
        return path
    sticker().save(folder / "s.png")
    return make(path, "-loop", 1, "-framerate", 10, "-t", 0.5, "-i", folder / "s.png", *ALPHA[name])


@pytest.mark.parametrize("name", [*ALPHA, "s.gif", "s.webp"])
def test_the_ground_shows_around_what_is_transparent(name, tmp_path):
    make_sticker(name, tmp_path)
    info = probe_media(tmp_path / name)
    assert (info.kind, info.has_alpha, info.width) == ("video", True, 64)
    job, made = footage(tmp_path, media=name, background="#0A4D3C")
    frames = rgb_frames(made)
    assert job.layout.fit == "cutout" and made.count > 20  # Longer than the clip: it loops.
    for frame in (frames[0], frames[-1]):
        red = frame[..., 0] > 150
        ground = np.abs(frame.astype(int) - (10, 77, 60)).max(axis=-1) <= 6
        assert 0.05 < red.mean() < 0.4
        # A disc of its own shape, and between the two no third colour.
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        assert abs(len(rows) - len(columns)) <= 6
        assert (red | ground).mean() > 0.95
        # What is hidden doesn't seep out; VP8 and VP9 themselves mix colours at an edge.
        assert frame[..., 1].max() <= (150 if name.startswith("vp") else 100)


@pytest.mark.parametrize("case", ["transparent-webm", "transparent-gif"])
def test_stickers_stand_on_the_briefs_ground(case, tmp_path):
    job, frames = rendered_case(case, tmp_path)
    for frame in frames:
        assert near(frame[4, 4], (10, 77, 60), 6)
        red = frame[..., 0] > 150
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        assert abs(len(rows) - len(columns)) <= 0.06 * len(rows)
        assert frame.min(axis=-1).max() < 120  # nothing white
    found = compiled_case(case)
    media = {a.id: found.files[a.id] for a in job.all_assets}
    still = planes_to_rgb(StillEngine().render(job, media, tmp_path, lambda n: None).at(0))
    assert near(still[4, 4], (10, 77, 60), 40) and (still[..., 0] > 150).mean() > 0.02
    assert still.min(axis=-1).max() < 120


@pytest.mark.parametrize("fit", ["cover", "contain"])
def test_transparency_shows_the_ground_however_it_is_fitted(fit, tmp_path):
    make_sticker("animation.mov", tmp_path)
    _, made = footage(tmp_path, media="animation.mov", background="#0A4D3C", layout={"fit": fit})
    frame = rgb_frames(made)[3]
    assert near(frame[4, 4], (10, 77, 60), 6) and near(frame[240, 135], RED, 12)


def test_an_opaque_clip_of_a_format_with_alpha_is_opaque(quarters, tmp_path):
    path = make(tmp_path / "o.mov", "-i", quarters, "-c:v", "qtrle", "-pix_fmt", "argb")
    assert not probe_media(path).has_alpha
    assert corners(first_frame(path)) == [RED, GREEN, BLUE, YELLOW]


def test_transparency_that_cannot_be_read_is_refused_by_name(tmp_path):
    sticker().save(tmp_path / "s.png")
    path = make(
        tmp_path / "a.mov",
        "-loop",
        1,
        "-t",
        0.3,
        "-i",
        tmp_path / "s.png",
        "-vf",
        "format=yuva420p",
        "-c:v",
        "libx265",
        "-tag:v",
        "hvc1",
        "-x265-params",
        "log-level=error",
    )
    with pytest.raises(UnreadableMediaError, match="HEVC with alpha"):
        probe_media(path)


def test_nothing_but_transparency_is_refused(tmp_path):
    Image.new("RGBA", (32, 32)).save(tmp_path / "s.png")
    path = make(tmp_path / "n.mov", "-loop", 1, "-t", 0.5, "-i", tmp_path / "s.png", "-c:v", "png")
    with pytest.raises(UnreadableMediaError, match="wholly transparent"):
        probe_media(path)


# --- animated pictures


def test_an_animated_webp_is_a_clip(tmp_path):
    job, frames = rendered_case("animated-webp", tmp_path)
    assert job.media[0].kind == "video" and job.media[0].seconds == pytest.approx(0.96)
    assert all((f[..., 0].astype(int) - f[..., 1] > 100).any() for f in frames)
    assert not np.array_equal(frames[0], frames[1])


def test_frames_of_a_webp_stay_as_long_as_it_says(tmp_path):
    tones = [Image.new("RGB", (32, 32), (v, v, v)) for v in (40, 120, 200)]
    tones[0].save(
        tmp_path / "t.webp",
        save_all=True,
        append_images=tones[1:],
        lossless=True,
        duration=[100, 300, 0],
    )
    info = probe_media(tmp_path / "t.webp")
    assert (info.seconds, info.frames, info.frame_rate) == (0.5, 3, Fraction(6))
    frames = ClipFrames(tmp_path / "t.webp", None, 10, 0, 7)
    shown = [int(planes_to_rgb(planes)[9, 9, 0]) for planes in frames]
    wanted = [40, 120, 120, 120, 200, 40, 120]
    assert np.abs(np.array(shown) - wanted).max() <= 2


def test_other_animations_are_refused_by_name(tmp_path):
    tones = [Image.new("RGB", (32, 32), (v, v, v)) for v in (40, 120, 200)]
    tones[0].save(tmp_path / "t.avif", save_all=True, append_images=tones[1:], duration=100)
    with pytest.raises(UnreadableMediaError, match="animated AVIF"):
        probe_media(tmp_path / "t.avif")


# --- clocks


def test_recordings_joined_end_to_end_are_shown_one_after_the_other(tmp_path):
    found = compiled_case("joined")
    assert found.plan is not None and any("at 2.0 s of the clip" in n for n in found.plan.notes)
    job, frames = rendered_case("joined", tmp_path, to_the_end=True)
    assert job.media[0].seconds == pytest.approx(4.0, abs=0.1)
    first, last = (f.astype(int) for f in frames)
    assert (first[..., 0] - first[..., 2] > 100).any() and (last[..., 2] - last[..., 0] > 100).any()
    assert not (last[..., 0] - last[..., 2] > 100).any()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of red, and one of blue at three times of the clock, as transport streams."""
    folder = tmp_path_factory.mktemp("parts")
    for name, colour, at in (
        ("red", "red", 0),
        ("blue", "blue", 0),
        ("late", "blue", 3600),
        ("gap", "blue", 8),
    ):
        make(
            folder / f"{name}.ts",
            "-f",
            "lavfi",
            "-i",
            f"color={colour}:s=64x48:r=10:d=1",
            "-c:v",
            "libx264",
            "-output_ts_offset",
            at,
        )
    return folder


@pytest.mark.parametrize(("second", "seconds"), [("blue", 2), ("late", 2), ("gap", 9)])
def test_clocks_that_jump(second, seconds, parts, tmp_path):
    path = tmp_path / "j.ts"
    path.write_bytes((parts / "red.ts").read_bytes() + (parts / f"{second}.ts").read_bytes())
    info = probe_media(path)
    assert info.seconds == pytest.approx(seconds, abs=0.3)
    assert bool(info.warnings) == (second == "gap")
    assert second != "gap" or "between 1.0 s and 7.8 s" in info.warnings[0][1]
    for start in (0, 12):  # Seeking would land in another part.
        shown = [planes_to_rgb(p)[20, 20] for p in ClipFrames(path, None, 10, start, 8)]
        late = start and second != "gap"
        assert all(near(pixel, (0, 0, 255) if late else (255, 0, 0), 20) for pixel in shown)
    last = list(ClipFrames(path, None, 10, seconds * 10 - 5, 3, loop=False))
    assert near(planes_to_rgb(last[0])[20, 20], (0, 0, 255), 20)


def test_a_short_recording_before_another_is_found_in_webm(tmp_path):
    """Matroska has no times of decoding, so that a short way back could be one of reordering."""
    part = ["-c:v", "libvpx-vp9", "-deadline", "realtime"]
    short = make(tmp_path / "a.webm", "-f", "lavfi", "-i", "color=red:s=64x48:r=10:d=0.6", *part)
    long = make(tmp_path / "b.webm", "-f", "lavfi", "-i", "color=blue:s=64x48:r=10:d=2", *part)
    (tmp_path / "c.webm").write_bytes(short.read_bytes() + long.read_bytes())
    info = probe_media(tmp_path / "c.webm")
    assert info.seconds == pytest.approx(2.6, abs=0.02) and "clock jumps" in info.notes[0]


def test_the_sound_of_what_was_joined_is_found_where_its_pictures_are(tmp_path):
    for name, pitch in (("a", 300), ("b", 3000)):
        make(tmp_path / f"{name}.ts", "-f", "lavfi", "-i", f"sine={pitch}:d=2", "-c:a", "aac")
    path = tmp_path / "ab.ts"
    path.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    for start, pitch in ((0.5, 300), (2.5, 3000)):
        sound = decode_sound(path, seconds=1, start=start)
        assert len(sound) == 48000
        assert np.abs(np.fft.rfft(sound[:, 0])).argmax() == pytest.approx(pitch, abs=3)


def test_joined_recordings_that_do_not_go_together_are_named(parts, tmp_path):
    """A Matroska file has the head of its first part alone; a transport stream names its tracks."""
    for name, size in (("a", "64x48"), ("b", "80x64")):
        make(
            tmp_path / f"{name}.mkv",
            "-f",
            "lavfi",
            "-i",
            f"testsrc=s={size}:r=10:d=2",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
        )
    both = (tmp_path / "a.mkv").read_bytes() + (tmp_path / "b.mkv").read_bytes()
    (tmp_path / "ab.mkv").write_bytes(both)
    (tmp_path / "aa.mkv").write_bytes(2 * (tmp_path / "a.mkv").read_bytes())
    assert probe_media(tmp_path / "aa.mkv").seconds == pytest.approx(4, abs=0.1)
    with pytest.raises(UnreadableMediaError, match="from 2.0 s on can't be decoded"):
        probe_media(tmp_path / "ab.mkv")
    other = make(tmp_path / "o.ts", "-i", parts / "blue.ts", "-c", "copy", "-streamid", "0:0x300")
    (tmp_path / "p.ts").write_bytes((parts / "red.ts").read_bytes() + other.read_bytes())
    assert [code for code, _, _ in probe_media(tmp_path / "p.ts").warnings] == ["media.tracks"]


def test_a_broadcast_that_was_cut_into_begins_with_its_first_whole_picture(tmp_path):
    path = make(
        tmp_path / "c.ts",
        "-f",
        "lavfi",
        "-i",
        "color=red:s=64x48:r=10:d=2",
        "-c:v",
        "libx264",
        "-g",
        10,
        "-bsf:v",
        r"noise=drop=lt(n\,4)",
    )
    assert probe_media(path).kind == "video"
    assert near(first_frame(path)[20, 20], (255, 0, 0), 20)


def test_lengths_that_no_header_says(quarters, tmp_path):
    raw = make(tmp_path / "r.h264", "-i", quarters, "-c", "copy", "-bsf:v", "h264_mp4toannexb")
    live = make(tmp_path / "l.mkv", "-i", quarters, "-c", "copy", "-live", 1)
    longer = make(
        tmp_path / "s.mkv",
        "-i",
        quarters,
        "-f",
        "lavfi",
        "-i",
        "sine=d=4",
        "-c:v",
        "copy",
        "-c:a",
        "flac",
    )
    late = make(tmp_path / "n.mkv", "-itsoffset", 3, "-i", quarters, "-c", "copy")
    for path in (raw, live, longer, late):
        info = probe_media(path)
        assert info.seconds == pytest.approx(1.0, abs=0.02), path.name
        assert corners(first_frame(path)) == [RED, GREEN, BLUE, YELLOW]


def test_frames_that_are_written_as_nothing_repeat_the_one_before(tmp_path):
    """Theora, and AVI of recorded screens: a packet of no bytes."""
    path = make(
        tmp_path / "s.ogv",
        "-f",
        "lavfi",
        "-i",
        "color=red:s=64x48:r=10:d=1",
        "-f",
        "lavfi",
        "-i",
        "color=blue:s=64x48:r=10:d=1",
        "-filter_complex",
        "concat",
        "-c:v",
        "libtheora",
        "-q:v",
        9,
    )
    assert probe_media(path).seconds == pytest.approx(2.0, abs=0.11)
    frames = [planes_to_rgb(f) for f in ClipFrames(path, None, 10, 0, 20)]
    assert [near(f[20, 20], (255, 0, 0), 20) for f in frames] == [True] * 10 + [False] * 10


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("c.mp4", ["-movflags", "+faststart"]),
        ("c.mkv", []),
        ("c.avi", ["-c:v", "mjpeg"]),
        ("c.gif", []),
        ("c.wmv", ["-c:v", "wmv2"]),
        ("c.wav", []),
        ("c.aiff", []),
    ],
)
def test_a_file_that_breaks_off_is_named(name, how, tmp_path):
    sound = name.endswith((".wav", ".aiff"))
    source = "sine=d=2" if sound else "testsrc=s=64x48:r=10:d=4"
    path = make(tmp_path / name, "-f", "lavfi", "-i", source, *([] if sound else ["-g", 5]), *how)
    assert not probe_media(path).warnings
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert "media.cut_off" in [code for code, _, _ in probe_media(path).warnings]


# --- sizes and fields


def test_a_clip_that_turns_part_way_keeps_its_shapes(tmp_path):
    found = compiled_case("turned")
    warned = [p for p in found.problems if p.code == "media.sizes"]
    assert len(warned) == 1 and "320x180, 180x320" in warned[0].message
    _, frames = rendered_case("turned", tmp_path, to_the_end=True)
    widths = []
    for frame in (frames[0], frames[-1]):
        ball = (frame[..., 0] > 180) & (frame[..., 2] < 110)
        rows, columns = np.flatnonzero(ball.any(axis=1)), np.flatnonzero(ball.any(axis=0))
        assert len(rows) == pytest.approx(len(columns), rel=0.06)
        blue = (frame[..., 2] > 150) & (frame[..., 0] < 100)
        widths.append(int(blue.any(axis=0).sum()))
    assert widths[1] < 0.5 * widths[0]


def test_frames_of_another_shape_leave_the_ground_free(tmp_path):
    for name, size in (("a", "64x48"), ("b", "48x64")):
        make(
            tmp_path / f"{name}.ts",
            "-f",
            "lavfi",
            "-i",
            f"color=red:s={size}:r=10:d=0.5",
            "-c:v",
            "libx264",
        )
    path = tmp_path / "j.ts"
    path.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames = list(ClipFrames(path, (64, 48), 10, 0, 10, ground="#0000FF"))
    assert near(planes_to_rgb(frames[0])[24, 2], (255, 0, 0), 20)
    later = planes_to_rgb(frames[8])
    assert near(later[24, 32], (255, 0, 0), 20) and near(later[24, 3], (0, 0, 255), 20)
    red = later[..., 0] > 128
    assert red.any(axis=1).sum() == 48 and red.any(axis=0).sum() == pytest.approx(36, abs=2)
    *_, alpha = list(ClipFrames(path, (64, 48), 10, 8, 1, transparent=True))[0]
    assert alpha[24, 32] == 255 and alpha[24, 3] == 0


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("i.mp4", ["-c:v", "libx264", "-flags", "+ilme+ildct", "-qp", 8]),
        ("i.mpg", ["-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-q:v", 2]),
    ],
)
def test_interlaced_clips_show_no_combs(name, codec, tmp_path):
    moving = (
        "color=black:s=64x48:r=50:d=1[a];color=white:s=8x48:r=50:d=1[w];"
        "[a][w]overlay='t*100':0,interlace=lowpass=0"
    )
    path = make(tmp_path / name, "-filter_complex", moving, *codec)
    info = probe_media(path)
    assert info.interlaced and info.frame_rate == 25
    frames = [y.astype(int) for y, _, _ in ClipFrames(path, None, 25, 0, 14)]
    assert all((frame[20] > 150).any() for frame in frames)
    # Neighbouring lines differ only where one field is ahead of the other.
    assert max(np.abs(np.diff(frame[8:40], axis=0)).mean() for frame in frames) < 0.8
    bars = [float(np.average(np.arange(64), weights=np.clip(f[20] - 30, 0, 255))) for f in frames]
    assert (np.diff(bars[1:]) > 3).all(), bars  # in order, none twice
