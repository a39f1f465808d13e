"""What people hand in is taken with limits, opens nothing else, and learns no secret.

Thousands of broken inputs more: `make proof` (tests/proofs/proof_fuzz.py).
"""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import fuzz
import fuzz_work
import hypothesis
import numpy as np
import pytest
from conftest import clip, picture, tone
from hypothesis import given
from memory import grown
from PIL import Image, PngImagePlugin
from shipped import plain_environment
from sqlalchemy import make_url

import pytoon_pipeline
from pytoon_pipeline.briefs.reading import read_document
from pytoon_pipeline.errors import MediaError, Problem, SettingsError, UserError
from pytoon_pipeline.media import ffmpeg, limits, sandbox, sound_decoding
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.media.mp4_boxes import edit_lists
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.tables.table import read_table

PACKAGE = Path(pytoon_pipeline.__file__).parent


def problems_of(services: Services, folder: Path, **brief: object) -> list[Problem]:
    """The errors of a brief; each says file and remedy."""
    from pytoon_pipeline.intake.folders import find_sources
    from pytoon_pipeline.stages.compile import check_source

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brief.yaml").write_text(json.dumps({"music": "none", **brief}))
    _, found = check_source(find_sources([folder])[0], services)
    errors = [p for p in found if p.severity == "error"]
    assert all(p.file and p.remedy for p in errors), errors
    return errors


# Limits -------------------------------------------------------------------------------------------


def png(width: int, height: int, rows: int | None = None, extra: bytes = b"") -> bytes:
    """A grey PNG of this size; of `rows` of it there are data."""
    lines = zlib.compress(bytes((width + 1) * (height if rows is None else rows)), 1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", lines)
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def _texts() -> bytes:
    """Sixty compressed texts of 900 kB each in a picture of a few pixels."""
    out = io.BytesIO()
    texts = PngImagePlugin.PngInfo()
    for n in range(60):
        texts.add_text(f"t{n}", "a" * 900_000, zip=True)
    Image.new("L", (8, 8)).save(out, "PNG", pnginfo=texts)
    return out.getvalue()


PICTURES = {
    "bomb.png": (lambda: png(50_000, 50_000, rows=1), "media.too_large"),
    "square.png": (lambda: png(15_000, 15_000, rows=1), "media.too_large"),
    "strip.png": (lambda: png(30_000, 2), "media.too_large"),
    "texts.png": (_texts, "media.corrupt"),
    "lying.bmp": (
        lambda: (
            b"BM"
            + struct.pack(
                "<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0
            )
        ),
        "media",
    ),
    "lying.gif": (
        lambda: b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\0\0\0\0\xff\xff\xff\xff\0\2\1\0;",
        "media",
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_that_unpack_to_too_much(services: Services, tmp_path: Path, name: str):
    make, code = PICTURES[name]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / name).write_bytes(make())
    began = time.monotonic()
    [found] = problems_of(services, tmp_path / "b", media=[name])
    assert found.code.startswith(code) and name in found.message and found.field == "media[0]"
    assert time.monotonic() - began < 10


def test_a_huge_colour_profile_is_left_out(tmp_path: Path):
    Image.new("RGB", (8, 8), (9, 99, 9)).save(
        tmp_path / "p.tif", icc_profile=b"\0" * (limits.MAX_PROFILE_BYTES + 1)
    )
    assert tuple(load_image(tmp_path / "p.tif")[0, 0]) == (9, 99, 9)


def _patched(data: bytes, box: bytes, at: int, number: int, size: str = ">I") -> bytes:
    """With another number so many bytes after the name of a box, wherever it stands."""
    out, start = bytearray(data), 0
    assert box in data
    while (start := data.find(box, start)) >= 0:
        struct.pack_into(size, out, start + len(box) + at, number)
        start += 1
    return bytes(out)


def _pcm(channels: int, rate: int) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    body = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 4000)
    return b"RIFF" + struct.pack("<I", 4 + len(body) + 4000) + b"WAVE" + body + bytes(4000)


def test_clips_that_claim_too_much(services: Services, tmp_path: Path):
    folder = tmp_path / "b"
    good = clip(folder / "good.mp4", sound=False).read_bytes()
    many = [ffmpeg.find_executable(), "-v", "error", "-i", str(folder / "good.mp4")]
    many += ["-map", "0:v"] * 40 + ["-c", "copy", str(folder / "tracks.mkv")]
    subprocess.run(many, check=True, stdin=subprocess.DEVNULL)
    # 268 million pieces of 6 bytes.
    stsz = good.find(b"stsz")
    pieces = good[: stsz + 8] + struct.pack(">II", 6, 1 << 28) + good[stsz + 16 :]
    wide = clip(folder / "wide.mp4", size=(4112, 64), sound=False).read_bytes()
    cases = {
        "wide.mp4": (wide, "media.too_large"),
        # Only the stream itself says how wide it is.
        "hidden.mp4": (_patched(wide, b"avc1", 24, 320, ">H"), "media"),
        "long.mp4": (
            clip(folder / "l.mp4", size=(64, 48), rate="1", seconds=700, sound=False).read_bytes(),
            "media.too_large",
        ),
        "pieces.mp4": (pieces, "media"),
        "channels.wav": (_pcm(65, 48_000), "media"),
        "rate.wav": (_pcm(1, 4_000_000), "media.too_large"),
    }
    for name, (data, _) in cases.items():
        (folder / name).write_bytes(data)
    cases["tracks.mkv"] = (b"", "media.too_large")

    def try_all() -> None:
        for name, (_, code) in cases.items():
            if name.endswith("wav"):
                card = [{"text": "A card"}]
                found = problems_of(services, folder, media=card, voice=name)
            else:
                found = problems_of(services, folder, media=[name])
            assert [p.code for p in found] and found[0].code.startswith(code), (name, found)
            assert name in found[0].message

    assert grown(try_all) < 1 << 30  # Other tests of this process had theirs.
    assert fuzz_work.examiner_peak() < 1024
    assert not problems_of(services, folder, media=["good.mp4"])


def test_rates_and_aspects_that_can_not_be_are_not_believed(tmp_path: Path):
    made = clip(tmp_path / "a.mp4", sound=False, rate="25")
    argv = [
        ffmpeg.find_executable(),
        "-v",
        "error",
        "-i",
        str(made),
        "-c",
        "copy",
        "-aspect",
        "30:1",
        str(tmp_path / "b.mp4"),
    ]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    info = probe_media(tmp_path / "b.mp4")
    assert (info.width, info.height) == (320, 180)  # Not 5400 wide.
    data = made.read_bytes()
    fast = data[: data.find(b"mdhd") + 16] + struct.pack(">I", 1_000_000_000)
    fast += data[len(fast) :]
    (tmp_path / "fast.mp4").write_bytes(fast)
    with pytest.raises(UnreadableMediaError, match="frames a second") as refused:
        probe_media(tmp_path / "fast.mp4")
    assert refused.value.code == "media.too_large"


def test_boxes_without_end_are_no_mp4(tmp_path: Path):
    """What other Pytoons and servers hand over is looked at box by box."""
    nested = b""
    for _ in range(3_000):
        nested = struct.pack(">I4s", len(nested) + 8, b"moov") + nested
    many = struct.pack(">I4s", 8, b"free") * 100_000
    bare = struct.pack(">I4sI4sI4sI4s", 32, b"moov", 24, b"trak", 16, b"edts", 8, b"elst")
    (tmp_path / "bare.mp4").write_bytes(bare)
    assert edit_lists(tmp_path / "bare.mp4") == []
    for data in (nested, many):
        (tmp_path / "a.mp4").write_bytes(data)
        with pytest.raises(MediaError):
            edit_lists(tmp_path / "a.mp4")


# A process apart ----------------------------------------------------------------------------------


def test_what_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "slow.png").write_bytes(png(8800, 9000))
    good = picture(tmp_path / "good.png")
    probe_media(good)
    helper = sandbox._helper
    monkeypatch.setattr(limits, "EXAMINE_SECONDS", 0.02)
    with pytest.raises(UnreadableMediaError) as refused:
        probe_media(tmp_path / "slow.png")
    assert refused.value.code == "media.slow" and refused.value.remedy
    assert helper.process.returncode is not None  # It is not left behind.
    monkeypatch.undo()
    assert probe_media(good).kind == "image"  # The next file gets another one.


def test_a_decoder_that_dies_takes_nothing_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    good = picture(tmp_path / "good.png")
    crashing = (
        "import os, sys; os.write(1, b'ready\\n'); sys.stdin.readline(); os.kill(os.getpid(), 11)"
    )
    with monkeypatch.context() as patch:
        patch.setattr(sandbox, "_helper", None)
        patch.setattr(sandbox, "_START", crashing)
        with pytest.raises(UnreadableMediaError, match="did not survive") as refused:
            probe_media(good)
        assert refused.value.code == "media.corrupt"
    assert probe_media(good).kind == "image"


def test_what_wants_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    greedy = sandbox._START.replace(
        "serve_requests()",
        "from pytoon_pipeline.media import probe; "
        f"probe._clip_info = lambda *_: bytearray({limits.EXAMINE_BYTES}); serve_requests()",
    )
    monkeypatch.setattr(sandbox, "_helper", None)
    monkeypatch.setattr(sandbox, "_START", greedy)
    with pytest.raises(UnreadableMediaError, match="more memory") as refused:
        probe_media(clip(tmp_path / "a.mp4", sound=False))
    assert refused.value.code == "media.too_large"
    sandbox._helper.end()


def test_a_clip_of_which_nothing_comes_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """At the rendering, where it is decoded further than it was examined."""
    made = clip(tmp_path / "a.mp4", sound=False)
    monkeypatch.setattr(limits, "DECODE_SECONDS", -1.0)
    with pytest.raises(UnreadableMediaError) as refused:
        list(ClipFrames(made, (64, 36), 30, count=30))
    assert refused.value.code == "media.slow" and "H.264" in refused.value.remedy


def test_decoders_get_no_secrets_and_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTOON_TOKEN", "hush-hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setattr(sandbox, "_helper", None)
    probe_media(picture(tmp_path / "a.png"))
    own = Path(f"/proc/{sandbox._helper.process.pid}")
    assert b"hush-hush" not in (own / "environ").read_bytes()
    bounds = (own / "limits").read_text()
    assert str(limits.EXAMINE_BYTES) in bounds.partition("Max address space")[2].split("\n")[0]
    shown = tmp_path / "env.sh"
    shown.write_text("#!/bin/sh\nenv\n")
    shown.chmod(0o755)
    monkeypatch.setenv("PYTOON_FFMPEG", str(shown))
    said, _ = ffmpeg.run_ffmpeg([], "show the environment")
    assert b"PATH=" in said and b"hush-hush" not in said


# Nothing else is opened ---------------------------------------------------------------------------


@contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port of this machine, and what connected to it."""
    came: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def take() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                came.append("somebody")
                connection.close()

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield server.getsockname()[1], came
        finally:
            over.set()
            thread.join(5)


def _fetchers(port: int, other: Path) -> dict[str, bytes]:
    """Files that ask whoever opens them to open something else."""
    address = f"http://127.0.0.1:{port}/a.ts"
    return {
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n".encode(),
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n".encode(),
        "local.mp4": f"#EXTM3U\n#EXTINF:9,\nfile://{other}\n#EXT-X-ENDLIST\n".encode(),
        "data.m3u8": b"#EXTM3U\n#EXTINF:9,\ndata:video/mp4;base64,AAAA\n",
        "concat.mp4": f"ffconcat version 1.0\nfile {address}\nfile {other}\n".encode(),
        "session.mp4": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n".encode(),
        "dash.mp4": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>'
        f"{address}</BaseURL><Period/></MPD>".encode(),
        "drawing.png": f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href='
        f'"{address}"/></svg>'.encode(),
        "redirect.mp4": f"[Reference]\r\nRef1={address}\r\n".encode(),
        "asx.wav": f'<asx version="3"><entry><ref href="{address}"/></entry></asx>'.encode(),
        "subtitles.mp4": b"[Script Info]\nScriptType: v4.00+\n",
    }


def test_no_file_makes_another_one_be_opened(services: Services, tmp_path: Path):
    folder, other = tmp_path / "b", clip(tmp_path / "elsewhere.mp4")
    folder.mkdir()
    with listener() as (port, came):
        for name, data in _fetchers(port, other).items():
            (folder / name).write_bytes(data)
            [found] = problems_of(services, folder, media=[name])
            assert found.code in ("media.not_media", "media.corrupt"), found
            # As if it had got past that: ffmpeg itself, and PyAV, at the rendering.
            with pytest.raises(MediaError):
                sound_decoding.decode_sound(folder / name, seconds=1)
            with pytest.raises(MediaError):
                list(ClipFrames(folder / name, (64, 64), 30, count=1))
        time.sleep(0.2)
    assert not came


ADDRESSES = (
    "http://127.0.0.1:{port}/a.png",
    "concat:a.png|a.png",
    "subfile,,start,0,end,99,,:a.png",
    "data:image/png;base64,AAAA",
    "a%d.png",
    "pipe:0",
    "file:a.png",
    "tcp://127.0.0.1:{port}",
    "-i",
    "lavfi:testsrc",
    "crypto:a.png",
    "cache:http://127.0.0.1:{port}/",
    "gopher://127.0.0.1/",
)
OUTSIDE = (
    "../secret.png",
    "/etc/hostname",
    "a/../../secret.png",
    "..\\secret.png",
    "link.png",
    "folder/secret.png",
    "~/secret.png",
    "file:///etc/hostname",
)


def test_no_name_leads_to_anything_but_a_file_of_the_folder(services: Services, tmp_path: Path):
    folder = tmp_path / "b"
    picture(folder / "a.png"), picture(folder / "a1.png"), picture(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "folder").symlink_to(tmp_path)
    with listener() as (port, came):
        for name in [n.format(port=port) for n in ADDRESSES] + list(OUTSIDE):
            for where in (
                {"media": [name]},
                {"media": ["a.png"], "logo": name},
                {"media": ["a.png"], "voice": name},
                {"media": ["a.png"], "background": {"path": name}},
            ):
                assert problems_of(services, folder, **where), (name, where)
            rows, _ = read_table(_csv(folder / "t.csv", name))
            from pytoon_pipeline.stages.compile import check_source

            assert rows and all(check_source(row, services)[0] is None for row in rows), name
    assert not came


def _csv(path: Path, name: str) -> Path:
    path.write_text(
        f'media,hook\n"[{json.dumps(name)[1:-1]}]",A line\n'.replace("[", "").replace("]", ""),
        encoding="utf-8",
    )
    return path


def test_a_brand_kit_beside_a_brief_leads_nowhere_either(services: Services, tmp_path: Path):
    folder = tmp_path / "b"
    picture(folder / "a.png"), picture(tmp_path / "secret.png")
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    for logo in ("../secret.png", str(tmp_path / "secret.png"), "torn.png"):
        kit = {"name": "own", "logo": {"on_pictures": logo}}
        (folder / "own.yaml").write_text(json.dumps(kit))
        found = problems_of(services, folder, media=["a.png"], brand="own.yaml")
        assert [p.field for p in found] == ["brand"], (logo, found)
    (folder / "own.yaml").write_text("a: &a [x]\n" + _aliases())
    found = problems_of(services, folder, media=["a.png"], brand="own.yaml")
    assert len(found) == 1 and "20,000 values" in found[0].message


def _aliases() -> str:
    lines = [
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(lines) + "\n"


def test_names_of_all_sorts_are_names_and_nothing_more(services: Services, tmp_path: Path):
    """From brief to finished file: nothing in a name is an option, a filter or for a shell."""
    from test_render import build

    folder, mark = tmp_path / "camp" / "names", tmp_path / "ran"
    odd = f"-i 'it''s' \"so\": 100%d [0:v];,null=a\n$(touch {mark.name}) `touch {mark.name}`"
    clip(folder / f"{odd}.mp4", seconds=0.5)
    picture(folder / f"-y {odd}.png")
    tone(folder / f"{odd}.wav", 1)
    spec = {
        "archetype": "hero",
        "resolution": "270x480",
        "audioTrack": f"{odd}.wav",
        "segments": [
            {"media": f"{odd}.mp4", "duration": 0.4, "audio": {"use": True}},
            {"type": "text", "duration": 2.5, "text": "it's: 100% [a];b,c='d' \\n %{pts} {x}"},
            {"media": f"-y {odd}.png", "duration": 0.4},
        ],
    }
    (folder / "render_spec.json").write_text(json.dumps(spec))
    _, metrics = build(services, folder)
    assert metrics.video.frames == 99 and not metrics.video.degraded
    assert not list(tmp_path.rglob(mark.name)) and not Path(mark.name).exists()


MAY_START_PROCESSES = {
    "media/ffmpeg.py",
    "media/sandbox.py",  # ffmpeg; the process that examines files.
    "runtime/prefork_launcher.py",
    "runtime/dev_server.py",  # Dagster's own, and what runs are forked from.
    "runtime/supervisor.py",  # Ends what `runtime/dev_server.py` starts.
    "intake/sandboxed_reader.py",  # What reads briefs for the sensor.
    "maintenance/machine.py",  # Asks the system what is running.
}
NEVER = {
    "system",
    "popen",
    "eval",
    "exec",
    "execv",
    "execve",
    "execvp",
    "spawnv",
    "mktemp",
    "extractall",
    "unsafe_load",
    "full_load",
}


def test_no_shell_no_pickles_and_few_places_that_start_processes():
    starting, faults = set(), []
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                roots = {a.name.split(".")[0] for a in node.names}
                roots |= {(node.module or "").split(".")[0]} if hasattr(node, "module") else set()
                if "subprocess" in roots:
                    starting.add(name)
                # Between the sensor and the process that it started, over a pipe of their own.
                own = {"pickle"} if name == "intake/sandboxed_reader.py" else set()
                if roots & {"pickle", "marshal", "shelve", "dill", "pty"} - own:
                    faults.append((name, node.lineno, "unpickles"))
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                owner = getattr(getattr(node.func, "value", None), "id", "")
                if called in NEVER and (owner in ("os", "", "yaml", "tempfile", "builtins")):
                    faults.append((name, node.lineno, called))
                if any(k.arg == "shell" for k in node.keywords):
                    faults.append((name, node.lineno, "shell="))
                if (owner, called) == ("yaml", "load"):
                    faults.append((name, node.lineno, "yaml.load"))
            if (
                name != "cli/doctor_media.py"
                and isinstance(node, ast.Constant)
                and node.value
                in (
                    "-vf",
                    "-af",
                    "-lavfi",
                    "-filter_complex",
                    "-filter:v",
                    "drawtext",
                    "subtitles",
                )
            ):
                faults.append((name, node.lineno, f"a filter as text: {node.value}"))
    assert not faults
    assert starting <= MAY_START_PROCESSES


# Documents and tables -----------------------------------------------------------------------------

BOMBS: dict[str, bytes] = {
    "deep.yaml": b"a: " + b"[" * 100_000 + b"]" * 100_000,
    "deep.json": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "aliases.yaml": ("a: &a [x, x, x]\n" + _aliases()).encode(),
    "merges.yaml": b"a: &a {k: 1}\n"
    + b"".join(
        b"%c: &%c {<<: [%s]}\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 106)
    ),
    "itself.yaml": b"a: &a [*a]",
    "base60.yaml": b"a: 1" + b":1" * 200_000,
    "digits.json": b'{"media": ' + b"9" * 900_000 + b"}",
    "values.yaml": b"a: [" + b"1," * 400_000 + b"1]",
    "python.yaml": b"a: !!python/object/apply:os.system [ls]",
    "set.yaml": b"metadata: !!set {x}",
    "half.json": b'{"hook": "\\ud800"}',
    "zero.json": b'{"hook": "a\\u0000b"}',
    "zero.yaml": b"hook: a\0b",
    "nan.json": b'{"duration": NaN}',
    "western.yaml": "hook: Größe".encode("cp1252"),
    "half.yaml": "hook: a".encode("utf-16")[:-1],
    "line.yaml": b"hook: " + b"x" * 2_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_documents_that_blow_up(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(BOMBS[name])
    began = time.process_time()
    data, [found] = read_document(tmp_path / name, name)
    assert data is None and found.file == name and found.message and found.remedy
    assert time.process_time() - began < 5  # The first of them took four minutes once.


def _zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), data)
    return out.getvalue()


def _entities() -> bytes:
    """A good workbook but for a text of it: entities of entities, and one that is a file."""
    made = io.BytesIO(fuzz.workbook([["media", "hook"], ["a.png", "xyz"]]))
    declared = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    declared = f'<!DOCTYPE x [<!ENTITY e0 "lol">{declared}]>'
    out = io.BytesIO()
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            if "xyz" in text:
                head = "<worksheet" if "<worksheet" in text else "<sst"
                text = text.replace(head, declared + head, 1).replace("xyz", "&e9;")
            new.writestr(name, text)
    return out.getvalue()


TABLES = {
    "nothing.xlsx": lambda: _zip(**{"xl__sharedStrings_xml": bytes(60_000_000)}),
    "members.xlsx": lambda: _zip(**{f"m{n}": b"" for n in range(2_100)}),
    "entities.xlsx": _entities,
    "columns.csv": lambda: b"media,hook" + b"," * 1_000_000 + b"\na.png,x\n",
    "wide.csv": lambda: b"media,hook\n" + b"".join(b"a" + b"," * n + b"\n" for n in range(2, 1200)),
    "quote.csv": lambda: b'media,hook\n"' + b"a\n" * 500_000,
    "noise.xlsx": lambda: b"PK\3\4" + bytes(1000),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_blow_up(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(TABLES[name]())
    began = time.process_time()
    rows, found = read_table(tmp_path / name)
    assert not rows and found and found[0].file == name and found[0].remedy, found
    assert time.process_time() - began < 8


def test_cells_that_take_for_ever():
    from pytoon_pipeline.briefs import field_names
    from pytoon_pipeline.tables import templates

    began = time.process_time()
    assert templates._first_sentence("!" * 19_000 + "a", "") == "!" * 19_000 + "a"
    assert templates._plain_text("<!--" * 5_000 + "<script>" * 2_000, "")
    assert templates._plain_text("a<!-- b --><script x>c</script >d", "") == "a d"
    assert templates._first_sentence("One. Two!? three", "") == "One."
    assert (
        field_names.target_of("_ " * 5_000) is None
        and field_names.similar_field("ab" * 50_000) is None
    )
    assert time.process_time() - began < 2


# A share of the fuzzing ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    for name, data in fuzz.make_sound_files(folder / "good").items():
        (folder / "good" / name).write_bytes(data)
    shutil.copy(folder / "good" / "picture.png", folder / "a.png")
    shutil.copy(folder / "good" / "clip.mp4", folder / "b.mp4")
    return folder


def _fresh(folder: Path) -> Path:
    place = folder / "input"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def test_sound_files_of_all_kinds_are_taken(services: Services, good: Path):
    """Else the next test proves nothing."""
    for path in sorted((good / "good").glob("*.*")):
        if path.name.startswith(("picture", "clip", "sound")):
            assert fuzz_work.medium(services, _fresh(good), path.name, path.read_bytes()) == (
                "accepted"
            ), path.name


@pytest.mark.parametrize("kind", [fuzz_work.MEDIA, fuzz_work.DOCUMENTS, fuzz_work.REQUESTS])
def test_broken_input_is_taken_or_refused_and_nothing_else(
    services: Services, good: Path, kind: str
):
    outcomes = set()
    for _, _, name, data in fuzz_work.inputs(kind, 7, 0, 60, good):
        if kind == fuzz_work.REQUESTS:
            outcomes.add(fuzz_work.request(data))
        else:
            do = fuzz_work.medium if kind == fuzz_work.MEDIA else fuzz_work.document
            outcomes.add(do(services, _fresh(good), name, data))
    assert outcomes == {"accepted", "refused"}


@given(data=fuzz.briefs())
@hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_anything_in_a_brief_is_taken_or_refused(services: Services, good: Path, data: dict):
    said = fuzz_work.document(services, _fresh(good), "brief.yaml", fuzz.as_json(data))
    assert said in ("accepted", "refused")


def test_what_fuzzing_found_stays_mended(services: Services, tmp_path: Path):
    """A start beyond any clip; words of which nothing can be seen; a clip whose sound is broken."""
    folder = tmp_path / "b"
    picture(folder / "a.png")
    made = clip(folder / "c.mp4").read_bytes()
    late = [{"path": "a.png", "start": 1e18}, {"path": "c.mp4", "start": 1e18}]
    assert [p.field for p in problems_of(services, folder, media=late)] == ["media[1].start"]
    hidden = problems_of(services, folder, media=["a.png"], badge="\u200d" * 9)
    assert [p.code for p in hidden] == ["badge.empty"]
    with av.open(str(folder / "c.mp4")) as container:
        spots = [(p.pos, p.size) for p in container.demux(audio=0) if p.size]
    for at, size in spots:
        made = made[:at] + b"\xff" * size + made[at + size :]
    (folder / "c.mp4").write_bytes(made)
    [found] = problems_of(services, folder, media=["c.mp4"])
    assert found.code == "media.corrupt" and "its sound does not decode" in found.message


# Secrets ------------------------------------------------------------------------------------------

HUSH = "hush5ecret"


def _secrets(database: str) -> dict[str, str]:
    url = make_url(database)
    return {
        "PYTOON_TOKEN": f"{HUSH}-token",
        "PYTOON_WEBHOOK_SECRET": f"{HUSH}-webhook",
        "PYTOON_COMFYUI_URL": "http://127.0.0.1:9",
        "PYTOON_COMFYUI_TOKEN": f"{HUSH}-comfy",
        "PYTOON_REMOTE_URL": "http://127.0.0.1:9",
        "PYTOON_REMOTE_TOKEN": f"{HUSH}-remote",
        "PYTOON_DATABASE": url.set(password=f"{HUSH}-database").render_as_string(
            hide_password=False
        ),
        "AWS_ACCESS_KEY_ID": f"{HUSH}-id",
        "AWS_SECRET_ACCESS_KEY": f"{HUSH}-key",
        "AWS_SESSION_TOKEN": f"{HUSH}-session",
        "PYTOON_BRIEFS_TABLE": f"postgresql://u:{HUSH}-table@127.0.0.1:9/shop#briefs",
    }


_CALLS = """
import json, os, sys
from pytoon_pipeline.cli import run_program
for log, *call in json.loads(sys.argv[1]):
    os.environ["PYTOON_LOG"], sys.argv[1:] = log, call
    try:
        run_program()
    except SystemExit as end:
        print("ended", end.code)
"""
"""Several commands in one process: most of a command's time is its imports."""


def test_no_secret_is_written_anywhere(tmp_path: Path, database: str):
    """Store, Dagster's home, event log and ledger in the database, logs, documents, doctor."""
    import psycopg2

    brief = tmp_path / "briefs" / "camp" / "one"
    picture(brief / "a.png")
    (brief / "brief.yaml").write_text("media: [{path: a.png, duration: 2}]\nmusic: none\n")
    kept = plain_environment(without=("AWS_",))
    calls = [
        ("json", "render", str(brief), "--out", str(tmp_path / "out")),
        ("plain", "report"),
        ("plain", "doctor"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", _CALLS, json.dumps(calls)],
        cwd=tmp_path,
        text=True,
        env={**kept, "PYTOON_HOME": str(tmp_path / "home"), **_secrets(database)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    assert (tmp_path / "out/camp/one/video.mp4").is_file()
    assert HUSH not in said
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(written) > 10
    assert not [p for p in written if HUSH.encode() in p.read_bytes()]
    rows = 0
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_schema in ('public', 'pytoon')"
        )
        tables = cursor.fetchall()
        assert ("pytoon", "known_briefs") in tables
        for schema, table in tables:
            cursor.execute(f'select t::text from {schema}."{table}" t')
            for (row,) in cursor:
                rows += 1
                assert HUSH not in row, table
    assert rows > 50  # The runs and their events are there.


def test_settings_keep_their_secrets(caplog: pytest.LogCaptureFixture):
    secrets = {**_secrets("postgresql://u@/x?host=/tmp"), "PYTOON_BROKER": f"redis://:{HUSH}@h/0"}
    settings = load_settings(secrets)
    assert HUSH in settings.database and HUSH in settings.broker and HUSH in settings.token
    assert HUSH not in repr(settings) and HUSH not in str(settings)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("pytoon").debug("%s %r", settings, settings)
    assert HUSH not in caplog.text
    for name in ("PYTOON_DATABASE", "PYTOON_BROKER", "PYTOON_S3_ENDPOINT"):
        with pytest.raises(SettingsError) as wrong:
            load_settings({name: f"ftp://u:{HUSH}@host"})
        assert HUSH not in str(wrong.value) and name in str(wrong.value)


def test_a_table_of_a_database_keeps_its_password(tmp_path: Path):
    from pytoon_pipeline.tables import sql_table

    user = f"postgresql://u:{HUSH}"
    for address in (
        f"{user}@127.0.0.1:9/x#t",
        f"{user}@127.0.0.1:9/x",
        f"{user}@[/x#t",
        f"nonsense://u:{HUSH}@h/x#t",
    ):
        said = ""
        try:
            _, found = sql_table.read_sql_table(address, tmp_path)
            said = " ".join(map(str, found))
        except UserError as error:
            said = f"{error} {error!r}"
        assert said and HUSH not in said


# What listens -------------------------------------------------------------------------------------


def test_servers_listen_to_this_machine_alone_unless_told(tmp_path: Path):
    import inspect

    from pytoon_pipeline.cli import dev as dev_command
    from pytoon_pipeline.cli import serve as serve_command
    from pytoon_pipeline.runtime.dev_server import run_dev_server
    from pytoon_pipeline.service.server import run_server

    for function in (dev_command, serve_command, run_dev_server, run_server):
        assert inspect.signature(function).parameters["host"].default == "127.0.0.1"
    settings = load_settings({"PYTOON_HOME": str(tmp_path)})
    with pytest.raises(UserError, match="no token is set"):
        run_server(settings, "0.0.0.0", 0)
    assert np.isfinite(limits.EXAMINE_SECONDS)


# The page of promises -----------------------------------------------------------------------------


def test_every_promise_has_the_test_that_it_names():
    """The table of docs/security.md."""
    root = Path(__file__).parents[1]
    text = (root / "docs/security.md").read_text(encoding="utf-8")
    table = text.partition("## What we guarantee")[2].partition("## What is not defended")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    promised = [line for line in rows if not line.startswith(("| promise", "|---"))]
    assert len(promised) > 60
    for line in promised:
        [named] = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", line)
        assert f"\ndef {named[1]}(" in (root / named[0]).read_text(encoding="utf-8"), line
