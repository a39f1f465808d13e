"""Probing, pictures, planes, clips and encoding, on media made on the spot."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from memory import grown
from PIL import Image, ImageCms

from pytoon_pipeline.errors import FfmpegError, MediaError, RenderError
from pytoon_pipeline.media import ffmpeg, limits, sandbox
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.encode import VideoSettings, encode_graph, encode_video
from pytoon_pipeline.media.images import load_image, save_jpeg
from pytoon_pipeline.media.probe import hash_file, probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.picture.yuv import planes_to_rgb, rgb_to_planes

W, H = 270, 480


def picture(width: int = 60, height: int = 40) -> np.ndarray:
    """Grey-green, with a red block in the upper left corner."""
    rgb = np.full((height, width, 3), (40, 90, 60), np.uint8)
    rgb[: height // 4, : width // 4] = (250, 10, 10)
    return rgb


def numbered(n: int, width: int = W, height: int = H) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A frame that carries its number as ten bright or dark blocks, and a coloured gradient."""
    y = np.full((height, width), 60, np.uint8)
    block = width // 10
    for bit in range(10):
        if n >> bit & 1:
            y[height // 4 : height // 2, bit * block : (bit + 1) * block] = 200
    u = np.linspace(90, 160, width // 2).astype(np.uint8)[None].repeat(height // 2, 0)
    return y, u, np.full_like(u, 110)


def number(y: np.ndarray) -> int:
    height, width = y.shape
    row, block = y[height * 3 // 8], width // 10
    return sum(1 << bit for bit in range(10) if row[bit * block + block // 2] > 130)


def make_clip(path: Path, count: int, rate: int = 30, *extra: object, vf: str = "null") -> Path:
    """A clip of numbered frames: arguments after `rate` are ffmpeg's, before the output."""
    raw = b"".join(b"".join(p.tobytes() for p in numbered(n)) for n in range(count))
    ffmpeg.run_ffmpeg(
        [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            f"{W}x{H}",
            "-r",
            rate,
            "-i",
            "pipe:0",
            "-vf",
            vf,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            12,
            "-g",
            12,
            *extra,
            path,
        ],
        "make a clip",
        input=raw,
    )
    return path


# ------------------------------------------------------------------------------------------ ffmpeg


def test_command_is_a_list_with_local_inputs_only():
    argv = ffmpeg.build_command(["-i", "a.mp4", "-f", "wav", "-i", "b.wav", "out.mp4"])
    assert argv[0] == ffmpeg.find_executable() and argv[1:5] == [
        "-nostdin",
        "-hide_banner",
        "-nostats",
        "-y",
    ]
    for i in [i for i, a in enumerate(argv) if a == "-i"]:
        assert argv[i - 2 : i] == ["-protocol_whitelist", "file,pipe,fd"]


def test_failure_carries_the_last_lines(tmp_path):
    with pytest.raises(FfmpegError, match="No such file") as failed:
        ffmpeg.run_ffmpeg(["-i", tmp_path / "нет.mp4", "-f", "null", "-"], "read a clip")
    assert str(failed.value).startswith("read a clip") and "нет.mp4" in failed.value.log_tail


def test_network_addresses_are_refused():
    with pytest.raises(FfmpegError, match="not on whitelist"):
        ffmpeg.run_ffmpeg(["-i", "http://127.0.0.1:9/a.mp4", "-f", "null", "-"], "read a clip")


def test_timeout_stops_ffmpeg():
    with pytest.raises(FfmpegError, match="longer than"):
        ffmpeg.run_ffmpeg(
            ["-re", "-f", "lavfi", "-i", "anullsrc", "-f", "null", "-"], "wait", timeout=0.5
        )


def test_pipe_reports_what_ffmpeg_said():
    broken = [
        "-f",
        "rawvideo",
        "-s",
        "64x64",
        "-pix_fmt",
        "gray",
        "-i",
        "pipe:0",
        "-c:v",
        "libx264",
        "-preset",
        "nonsense",
        "-f",
        "null",
        "-",
    ]
    with pytest.raises(FfmpegError, match="nonsense"), ffmpeg.FfmpegPipe(broken, "encode") as pipe:
        for _ in range(1000):
            pipe.write(np.zeros((64, 64), np.uint8))


def test_pipe_ends_its_process_on_our_own_error():
    endless = [
        "-f",
        "rawvideo",
        "-s",
        "64x64",
        "-pix_fmt",
        "gray",
        "-i",
        "pipe:0",
        "-f",
        "null",
        "-",
    ]
    with pytest.raises(ZeroDivisionError), ffmpeg.FfmpegPipe(endless, "encode") as pipe:
        process = pipe._process
        raise ZeroDivisionError
    assert process is not None and process.returncode not in (None, 0)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a shell script the ffmpeg of this process."""

    def make(script: str) -> None:
        path = tmp_path / "ffmpeg.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PYTOON_FFMPEG", str(path))

    return make


def _state(pid: int) -> str:
    """`S`, `R`, `Z` for one that has ended and was not waited for; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


def _gone(pid: int) -> bool:
    end = time.monotonic() + 10
    while _state(pid) not in ("", "Z") and time.monotonic() < end:
        time.sleep(0.02)
    return _state(pid) in ("", "Z")


def _children() -> list[str]:
    found = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [child for child in found if _state(int(child)) == "Z"]


def test_a_program_that_does_not_end_is_killed_with_what_it_started(program, monkeypatch):
    program("sleep 300 & echo $! $$ >&2; sleep 300")
    with pytest.raises(FfmpegError, match="longer than") as failed:
        ffmpeg.run_ffmpeg(["-i", "x"], "wait", timeout=0.5)
    pids = [int(pid) for pid in failed.value.log_tail.splitlines()[0].split()]
    assert len(pids) == 2 and all(map(_gone, pids))
    # Its pipes are held open by another when it has ended: nobody waits for that one for ever.
    program("sleep 300 & echo $! >&2")
    with pytest.raises(FfmpegError, match="longer than") as failed:
        ffmpeg.run_ffmpeg(["-i", "x"], "wait", timeout=0.5)
    assert _gone(int(failed.value.log_tail.splitlines()[0]))

    monkeypatch.setattr(limits, "ENCODE_SECONDS", 0.5)
    for script in ("sleep 300 & echo $! $$ >&2; sleep 300", "echo 1 $$ >&2; cat >&-; sleep 300"):
        program(script)  # One takes no input, one does not end after it.
        with (
            pytest.raises(FfmpegError, match="stopped") as failed,
            ffmpeg.FfmpegPipe([], "e") as pipe,
        ):
            pipe.write(bytes(8 << 20 if "cat" not in script else 10))
        pids = [int(pid) for pid in failed.value.log_tail.splitlines()[0].split()]
        assert all(_gone(pid) for pid in pids if pid > 1)
    assert _children() == []


def test_what_a_program_says_is_bounded(program, monkeypatch):
    monkeypatch.setattr(ffmpeg, "MAX_SAID", 1 << 20)
    program("yes 'a warning' | head -c 200000000 >&2; echo the end >&2")
    said = ""

    def read() -> None:
        nonlocal said
        _, said = ffmpeg.run_ffmpeg([], "read")

    assert grown(read) < 60e6
    assert len(said) <= 1 << 20 and said.endswith("the end\n")
    program("head -c 30000000 /dev/zero | tr '\\0' x >&2; exit 3")
    with pytest.raises(FfmpegError) as failed:
        ffmpeg.run_ffmpeg([], "read")
    assert failed.value.returncode == 3 and len(str(failed.value)) < 2000
    with pytest.raises(FfmpegError) as failed, ffmpeg.FfmpegPipe([], "encode"):
        pass
    assert failed.value.returncode == 3 and len(str(failed.value)) < 2000
    monkeypatch.setattr(ffmpeg, "MAX_OUTPUT", 1 << 20)
    program("yes")
    with pytest.raises(FfmpegError, match="more than 1,048,576 bytes"):
        ffmpeg.run_ffmpeg([], "read")


def test_what_a_program_may_have_of_the_machine_is_bounded(program):
    # The limits are set just after it has begun.
    program("sleep 0.2; ulimit -v; ulimit -t; ulimit -c")
    said = ffmpeg.run_ffmpeg([], "look", timeout=7)[0].decode().split()
    assert said == [str(limits.FFMPEG_BYTES // 1024), str(7 * (os.cpu_count() or 1) + 1), "0"]


def test_an_input_comes_out_whole(program):
    program("cat")
    data = np.random.default_rng(1).bytes(9 << 20)
    assert ffmpeg.run_ffmpeg([], "copy", input=data)[0] == data


@pytest.mark.parametrize(
    "last", ["os.write(1, b'x' * (3 << 20)); time.sleep(300)", "os.close(1); time.sleep(300)"]
)
def test_an_examining_process_that_goes_wrong_is_not_waited_for(monkeypatch, tmp_path, last):
    Image.fromarray(picture()).save(tmp_path / "p.png")
    monkeypatch.setattr(
        sandbox, "_START", (f"import os, time\nos.write(1, b'ready\\n')\nos.read(0, 999)\n{last}")
    )
    monkeypatch.setattr(sandbox, "_helper", None)
    monkeypatch.setattr(sandbox, "_END_SECONDS", 0.2)
    with pytest.raises(UnreadableMediaError, match="did not survive"):
        sandbox.examine_in_sandbox(tmp_path / "p.png")
    assert sandbox._helper is None and _children() == []


# ------------------------------------------------------------------------------------------- probe


@pytest.mark.parametrize(
    "name", ["p.jpg", "p.png", "p.webp", "p.avif", "p.tif", "p.bmp", "p.gif", "-имя: 写真.png"]
)
def test_probe_pictures(tmp_path, name):
    Image.fromarray(picture()).save(tmp_path / name)
    info = probe_media(tmp_path / name)
    assert (info.kind, info.width, info.height, info.has_alpha) == ("image", 60, 40, False)
    assert info.size_bytes == (tmp_path / name).stat().st_size


@pytest.mark.parametrize("kind", ["jpg", "tif", "png"])
@pytest.mark.parametrize(("orientation", "corner"), [(3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_orientation_is_applied(tmp_path, kind, orientation, corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"p.{kind}"
    Image.fromarray(picture()).save(path, exif=exif)
    info, rgb = probe_media(path), load_image(path)
    assert rgb.shape == (info.height, info.width, 3)
    assert (info.width, info.height) == ((60, 40) if orientation == 3 else (40, 60))
    assert rgb[corner][0] > 180 and rgb[0, 0, 0] < 100


def _jpeg(**options: object) -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", **options)
    return out.getvalue()


def _huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("code", "data", "says"),
    [
        ("media.empty", b"", "empty"),
        ("media.not_media", b"%PDF-1.7\n%\xe2\xe3\n", "a PDF"),
        ("media.not_media", b"PK\x03\x04" + bytes(60), "zip"),
        ("media.not_media", b"<!DOCTYPE html><html></html>", "web page"),
        ("media.not_media", b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", "text file"),
        ("media.not_media", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "is damaged"),
        ("media.not_media", bytes(range(256)) * 20, "no picture"),
        ("media.corrupt", _jpeg()[:-200], "breaks off"),
        ("media.corrupt", _jpeg(progressive=True)[:20000], "breaks off"),
        ("media.corrupt", b"\0\0\0\x18ftypisom\0\0\2\0isomavc1" + bytes(99), "breaks off"),
        ("media.too_large", _huge_png(), "400 megapixels"),
    ],
)
def test_probe_says_what_is_wrong(tmp_path, code, data, says):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableMediaError, match=says) as wrong:
        probe_media(path)
    assert wrong.value.code == code and wrong.value.remedy and "photo.jpg" in wrong.value.message
    assert isinstance(wrong.value, MediaError)


def test_probe_missing(tmp_path):
    for path in (tmp_path / "no.jpg", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(UnreadableMediaError) as wrong:
            probe_media(path)
        assert wrong.value.code == "media.missing"


def test_probe_animations_are_clips(tmp_path):
    stills = [Image.fromarray(np.full((40, 60, 3), 25 * n, np.uint8)) for n in range(8)]
    for kind in ("gif", "png"):
        path = tmp_path / f"moving.{kind}"
        stills[0].save(path, save_all=True, append_images=stills[1:], duration=100)
        info = probe_media(path)
        assert (info.kind, info.width, info.height) == ("video", 60, 40)
        assert info.seconds == pytest.approx(0.8, abs=0.11)
    stills[0].save(tmp_path / "m.webp", save_all=True, append_images=stills[1:], duration=100)
    info = probe_media(tmp_path / "m.webp")
    assert (info.kind, info.format, info.seconds, info.frames) == ("video", "webp", 0.8, 8)


def test_probe_clip_turned_with_sound(tmp_path):
    plain = make_clip(tmp_path / "plain.mp4", 20, 25)
    turned = tmp_path / "turned.mp4"
    silence = ["-f", "lavfi", "-i", "anullsrc=r=22050:cl=mono"]
    ffmpeg.run_ffmpeg(
        [
            "-display_rotation",
            90,
            "-i",
            plain,
            *silence,
            "-t",
            0.8,
            "-c:v",
            "copy",
            "-c:a",
            "aac",
            turned,
        ],
        "turn",
    )
    info = probe_media(turned)
    assert (info.kind, info.format, info.width, info.height) == ("video", "mp4", H, W)
    assert (info.rotation, info.frame_rate, info.frames) == (270, Fraction(25), 20)
    assert (info.has_audio, info.sample_rate, info.channels) == (True, 22050, 1)
    assert info.seconds == pytest.approx(0.8, abs=0.01)
    shown = next(iter(ClipFrames(turned, None, 25, 0, 1)))
    original = next(iter(ClipFrames(plain, None, 25, 0, 1)))
    assert shown[0].shape == (W, H)
    for a, b in zip(shown, original, strict=True):
        assert np.abs(np.rot90(b).astype(int) - a).mean() < 1.5


def test_probe_sound_with_cover_is_sound(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "cover.png")
    sine = ["-f", "lavfi", "-i", "sine=d=1"]
    ffmpeg.run_ffmpeg(
        [
            *sine,
            "-i",
            tmp_path / "cover.png",
            "-map",
            0,
            "-map",
            1,
            "-c:v",
            "png",
            "-disposition:v",
            "attached_pic",
            tmp_path / "s.mp3",
        ],
        "cover",
    )
    info = probe_media(tmp_path / "s.mp3")
    assert (info.kind, info.width, info.has_audio) == ("audio", None, True)
    assert info.seconds == pytest.approx(1, abs=0.06)


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


# ---------------------------------------------------------------------------------------- pictures


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    grey = np.linspace(0, 65535, 300).astype(np.uint16)[None].repeat(40, 0)
    for kind in ("png", "tif"):
        Image.fromarray(grey).save(tmp_path / f"g.{kind}")
        rgb = load_image(tmp_path / f"g.{kind}")
        assert np.abs(rgb[0, :, 1] - grey[0] / 257).max() <= 0.51


def test_odd_modes(tmp_path):
    source = Image.fromarray(picture())
    source.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    source.convert("L").save(tmp_path / "grey.jpg", quality=95)
    source.quantize(8).save(tmp_path / "palette.png")
    source.quantize(8).save(tmp_path / "hole.png", transparency=source.quantize(8).getpixel((0, 0)))
    source.convert("RGBA").save(tmp_path / "opaque.png")
    for name in ("cmyk.jpg", "palette.png", "opaque.png"):
        rgb = load_image(tmp_path / name)
        assert rgb.shape == (40, 60, 3)
        assert np.abs(rgb.astype(int) - picture()).mean() < 4, name
    grey = load_image(tmp_path / "grey.jpg")
    assert grey.shape == (40, 60, 3) and np.ptp(grey[30, 30]) == 0
    hole = load_image(tmp_path / "hole.png")
    assert hole.shape == (40, 60, 4) and hole[0, 0, 3] == 0 and hole[-1, -1, 3] == 255
    assert (
        probe_media(tmp_path / "hole.png").has_alpha
        and not probe_media(tmp_path / "opaque.png").has_alpha
    )


def test_colour_profile_is_converted_and_a_wrong_one_is_left_out(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    # A profile whose first primary is sRGB's green and whose second is its red.
    swapped = srgb.replace(b"rXYZ", b"tmp!", 1).replace(b"gXYZ", b"rXYZ", 1)
    swapped = swapped.replace(b"tmp!", b"gXYZ", 1)
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "TEST".encode("utf-16-be"))
    loaded = {}
    for name, icc in {"none": None, "swap": swapped, "lab": lab, "bad": b"x" * 200}.items():
        Image.fromarray(picture()).save(tmp_path / f"{name}.png", icc_profile=icc)
        loaded[name] = load_image(tmp_path / f"{name}.png")
    assert np.array_equal(loaded["none"], loaded["lab"])
    assert np.array_equal(loaded["none"], loaded["bad"])
    assert np.abs(loaded["swap"][..., [1, 0, 2]].astype(int) - loaded["none"]).max() <= 2


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_min_side_saves_pixels_but_never_too_many(tmp_path, kind):
    Image.fromarray(picture(1600, 1200)).save(tmp_path / f"p.{kind}")
    assert load_image(tmp_path / f"p.{kind}").shape == (1200, 1600, 3)
    assert load_image(tmp_path / f"p.{kind}", min_side=300).shape == (300, 400, 3)
    assert load_image(tmp_path / f"p.{kind}", min_side=700).shape == (1200, 1600, 3)
    assert load_image(tmp_path / f"p.{kind}", min_side=5000).shape == (1200, 1600, 3)


def test_save_jpeg_is_the_same_every_time(tmp_path):
    save_jpeg(picture(), tmp_path / "a.jpg")
    save_jpeg(picture(), tmp_path / "b.jpg")
    assert hash_file(tmp_path / "a.jpg") == hash_file(tmp_path / "b.jpg")
    assert np.abs(load_image(tmp_path / "a.jpg").astype(int) - picture()).mean() < 4
    assert sorted(os.listdir(tmp_path)) == ["a.jpg", "b.jpg"]


# ------------------------------------------------------------------------------------------ planes


@given(
    npst.arrays(
        np.uint8,
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)).map(
            lambda s: (2 * s[0], 2 * s[1], 3)
        ),
    )
)
def test_planes_are_rounded_once(rgb):
    """Against the formulas of BT.709, items 3.2 to 3.5, in doubles."""
    r, g, b = (rgb[..., i].astype(float) / 255 for i in range(3))
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    wanted = [16 + 219 * luma]
    for difference in ((b - luma) / 1.8556, (r - luma) / 1.5748):
        rows = (difference[0::2] + difference[1::2]) / 2
        padded = np.pad(rows, ((0, 0), (1, 1)), mode="edge")
        left, here, right = padded[:, 0:-2], padded[:, 1:-1], padded[:, 2:]
        wanted.append(128 + 224 * ((left + 2 * here + right) / 4)[:, 0::2])
    for plane, exact in zip(rgb_to_planes(rgb), wanted, strict=True):
        assert plane.shape == exact.shape and plane.dtype == np.uint8 and plane.flags.c_contiguous
        assert np.abs(plane - exact).max() <= 0.5 + 1e-3


def test_greys_stay_grey_and_colours_come_back():
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    y, u, v = rgb_to_planes(greys)
    assert (y.min(), y.max()) == (16, 235) and set(np.unique([u, v])) == {128}
    across = np.linspace(30, 220, 64).astype(np.uint8)
    smooth = np.stack(
        [
            np.tile(across, (64, 1)),
            np.tile(across[:, None], (1, 64)),
            np.tile(across[::-1], (64, 1)),
        ],
        2,
    )
    back = planes_to_rgb(rgb_to_planes(smooth)).astype(int)
    assert np.abs(back - smooth)[1:-1, 2:-2].max() <= 4  # 8 bits of Y, U and V; the rim is flat
    assert np.abs(back - smooth).mean() < 1.2


def test_colours_that_rgb_lacks_are_cut_off():
    planes = tuple(
        np.full(shape, value, np.uint8)
        for shape, value in (((4, 4), 40), ((2, 2), 240), ((2, 2), 16))
    )
    assert planes_to_rgb(planes)[1, 1].tolist() == [0, 64, 255]


def test_planes_want_even_sizes():
    with pytest.raises(ValueError, match="even"):
        rgb_to_planes(np.zeros((4, 5, 3), np.uint8))


# ------------------------------------------------------------------------------------------- clips


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """60 numbered frames at 25 fps."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 60, 25, "-bf", 2)


def shown(frames: ClipFrames) -> list[int]:
    return [number(y) for y, _, _ in frames]


@pytest.mark.parametrize("rate", [30, 25, 12, 50, Fraction(30000, 1001)])
@pytest.mark.parametrize("start", [-7, 0, 3, 55])
def test_clip_shows_the_last_frame_that_has_begun(clip, rate, start):
    frames = ClipFrames(clip, (W, H), rate, start, 40)
    assert len(frames) == 40
    wanted = [max(0, int(Fraction(start + n) / rate * 25)) % 60 for n in range(40)]
    assert shown(frames) == wanted


def test_clip_holds_its_last_frame_without_loop(clip):
    assert shown(ClipFrames(clip, (W, H), 25, 50, 20, loop=False)) == [*range(50, 60)] + [59] * 10


def test_clip_of_uneven_frames(tmp_path):
    uneven = "setpts=if(lt(N\\,10)\\,N\\,10+(N-10)*3)/30/TB"
    path = make_clip(tmp_path / "v.mkv", 20, 30, "-fps_mode", "vfr", vf=uneven)
    wanted = [*range(10)] + [10 + n // 3 for n in range(20)]
    assert shown(ClipFrames(path, (W, H), 30, 0, 30)) == wanted


def test_clip_that_breaks_off_ends_there(tmp_path):
    whole = make_clip(tmp_path / "w.mp4", 60, 30, "-movflags", "faststart").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    assert probe_media(tmp_path / "cut.mp4").kind == "video"
    seen = shown(ClipFrames(tmp_path / "cut.mp4", (W, H), 30, 0, 90, loop=False))
    assert len(seen) == 90 and seen[:25] == [*range(25)] and seen[-1] < 45


@pytest.mark.parametrize(
    ("pixels", "tags", "options"),
    [
        ("yuv420p", "out_color_matrix=smpte170m:out_range=tv", []),  # SD, says nothing
        ("yuv420p", "out_color_matrix=bt709:out_range=tv", ["-colorspace", "bt709"]),
        (
            "yuvj420p",
            "out_color_matrix=smpte170m:out_range=pc",
            ["-colorspace", "smpte170m", "-color_range", "pc"],
        ),
        ("yuv444p10le", "out_color_matrix=bt709:out_range=tv", ["-colorspace", "bt709"]),
    ],
)
def test_clip_colours(tmp_path, pixels, tags, options):
    if not options:  # take away the matrix that ffmpeg writes by itself
        options = ["-bsf:v", "h264_metadata=matrix_coefficients=2"]
    ffmpeg.run_ffmpeg(
        [
            "-f",
            "lavfi",
            "-i",
            "color=c=0xC83C28:s=270x480:r=5:d=1,format=gbrp",
            "-vf",
            f"scale={tags},format={pixels}",
            "-c:v",
            "libx264",
            "-qp",
            4,
            *options,
            tmp_path / "c.mp4",
        ],
        "colour",
    )
    planes = next(iter(ClipFrames(tmp_path / "c.mp4", None, 5, 0, 1)))
    assert np.abs(planes_to_rgb(planes)[100, 100].astype(int) - (200, 60, 40)).max() <= 3


def test_hdr_white_is_white(tmp_path):
    """Diffuse white of a PQ clip, 203 cd/m2, is 58 percent of the signal (BT.2408, table 1)."""
    level = round(64 + 876 * 0.58)
    raw = np.concatenate([np.full(W * H, level), np.full(W * H // 2, 512)]).astype("<u2").tobytes()
    ffmpeg.run_ffmpeg(
        [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p10le",
            "-s",
            f"{W}x{H}",
            "-r",
            5,
            "-i",
            "pipe:0",
            "-vf",
            "setparams=range=tv:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
            "-c:v",
            "libx264",
            "-qp",
            4,
            tmp_path / "pq.mp4",
        ],
        "make a PQ clip",
        input=raw,
    )
    y, u, v = next(iter(ClipFrames(tmp_path / "pq.mp4", None, 5, 0, 1)))
    assert abs(int(y[100, 100]) - 235) <= 4
    assert max(abs(int(u[50, 50]) - 128), abs(int(v[50, 50]) - 128)) <= 2


def test_clip_scaled_and_sound_refused(clip, tmp_path):
    planes = next(iter(ClipFrames(clip, (64, 64), 30, 0, 1)))
    assert [p.shape for p in planes] == [(64, 64), (32, 32), (32, 32)]
    assert all(p.flags.c_contiguous for p in planes)
    ffmpeg.run_ffmpeg(["-f", "lavfi", "-i", "sine=d=0.2", tmp_path / "s.wav"], "sound")
    with pytest.raises(UnreadableMediaError, match="no picture"):
        list(ClipFrames(tmp_path / "s.wav", None, 30, 0, 1))


# ------------------------------------------------------------------------------------------ encode


def _encode(path: Path, count: int, keyframes: tuple[int, ...] = (), **settings: object) -> Path:
    encode_video(
        (numbered(n) for n in range(count)),
        path,
        size=(W, H),
        rate=30,
        count=count,
        keyframes=keyframes,
        settings=VideoSettings(**settings),
    )
    return path


def test_encode_command():
    settings = VideoSettings()
    graph = encode_graph("a.mp4", size=(1080, 1920), rate=30, keyframes=[0, 8], settings=settings)
    argv = ffmpeg.build_command(graph)
    for flag, value in (
        ("-video_size", "1080x1920"),
        ("-bf", "2"),
        ("-g", "30"),
        ("-threads", "2"),
        ("-crf", "18.0"),
        ("-maxrate", "16000k"),
        ("-level:v", "4.1"),
        ("-force_key_frames", "0.250000"),
        ("-fflags", "+bitexact"),
    ):
        assert argv[argv.index(flag) + 1] == value
    assert argv[-1] == "file:a.mp4"
    # Equal bytes every time need it at full size; at the size of these tests none can fail.
    assert "sync-lookahead=0" in argv[argv.index("-x264-params") + 1]


def test_encoded_frames_are_the_frames(tmp_path):
    path = _encode(tmp_path / "a.mp4", 40, (8, 33))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = [f.to_ndarray() for f in container.decode(stream)]
        context = stream.codec_context
        assert (context.profile, context.pix_fmt) == ("High", "yuv420p")
        tags = (context.color_range, context.color_primaries, context.color_trc, context.colorspace)
        assert tags == (1, 1, 1, 1) and stream.sample_aspect_ratio == 1
    assert [number(f[:H]) for f in decoded] == [*range(40)]
    for n, frame in enumerate(decoded):
        error = np.concatenate([p.ravel() for p in numbered(n)]).astype(float) - frame.ravel()
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 40
    with av.open(str(path)) as container:
        keys = [p.pts * p.time_base * 30 for p in container.demux(video=0) if p.is_keyframe]
        assert {0, 8, 33} <= set(keys)
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_encoding_is_the_same_every_time_and_stitchable(tmp_path):
    a, b = _encode(tmp_path / "a.mp4", 20), _encode(tmp_path / "b.mp4", 20)
    assert a.read_bytes() == b.read_bytes()
    headers = set()
    for path in (a, _encode(tmp_path / "c.mp4", 47, (8, 39))):
        with av.open(str(path)) as container:
            headers.add(bytes(container.streams.video[0].codec_context.extradata))
    assert len(headers) == 1


@pytest.mark.parametrize(("came", "says"), [(9, "9 frames came"), (11, "more than the 10")])
def test_encode_counts_its_frames(tmp_path, came, says):
    with pytest.raises(RenderError, match=says):
        encode_video(
            (numbered(n) for n in range(came)), tmp_path / "a.mp4", size=(W, H), rate=30, count=10
        )
    assert os.listdir(tmp_path) == []


def test_encode_refuses_other_sizes_and_bad_settings(tmp_path):
    with pytest.raises(RenderError, match="planes"):
        encode_video([numbered(0, 100, 100)], tmp_path / "a.mp4", size=(W, H), rate=30, count=1)
    with pytest.raises(FfmpegError, match="nonsense"):
        _encode(tmp_path / "a.mp4", 30, preset="nonsense")
    assert os.listdir(tmp_path) == []
