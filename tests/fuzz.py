"""Broken input of every kind, made on the spot from sound files: cut off, bits flipped, pieces
doubled and swapped, sizes lied about; and briefs, tables and requests of all sorts.

Everything comes from `random.Random(seed)`, so that a number finds an input again.
"""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from hypothesis import strategies as st
from PIL import Image

from pytoon_pipeline.media import ffmpeg

PICTURES = {
    "jpg": {},
    "progressive.jpg": {"progressive": True},
    "png": {},
    "webp": {},
    "lossless.webp": {"lossless": True},
    "avif": {},
    "gif": {},
    "bmp": {},
    "tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg"},
}
_TESTSRC = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=0.6"]
_SINE = ["-f", "lavfi", "-i", "sine=frequency=440:duration=0.6"]
CLIPS = {
    "mp4": ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"],
    "faststart.mp4": [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
        "-an",
    ],
    "fragmented.mp4": [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "frag_keyframe+empty_moov",
        "-c:a",
        "aac",
    ],
    "hevc.mp4": [
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "log-level=none",
        "-an",
    ],
    "mov": ["-c:v", "mpeg4", "-c:a", "pcm_s16le"],
    "prores.mov": ["-c:v", "prores_ks", "-an"],
    "webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"],
    "vp8.webm": ["-c:v", "libvpx", "-deadline", "realtime", "-an"],
    "mkv": ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "flac"],
    "avi": ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "libmp3lame"],
    "ts": ["-c:v", "mpeg2video", "-c:a", "mp2"],
    "apng.png": ["-f", "apng", "-an"],
    "moving.gif": ["-an"],
}
SOUNDS = {
    "wav": [],
    "mp3": ["-c:a", "libmp3lame"],
    "aac": ["-c:a", "aac"],
    "m4a": ["-c:a", "aac"],
    "flac": [],
    "ogg": ["-c:a", "libvorbis"],
    "opus.ogg": ["-c:a", "libopus"],
    "w64": [],
    "aiff": [],
}


def make_sound_files(folder: Path) -> dict[str, bytes]:
    """One good file of each kind of media that Pytoon takes: name -> bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, bytes] = {}
    image = Image.radial_gradient("L").resize((48, 64))
    rgb = Image.merge("RGB", (image, image.rotate(90, expand=False), image.transpose(1)))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in PICTURES.items():
        out = io.BytesIO()
        picture = rgb.convert("RGBA") if name in ("png", "lossless.webp") else rgb
        extra = {"exif": exif} if name in ("jpg", "png", "webp") else {}
        form = {"jpg": "JPEG", "tif": "TIFF"}.get(name.split(".")[-1], name.split(".")[-1].upper())
        picture.save(out, form, **options, **extra)
        made[f"picture.{name}"] = out.getvalue()
    for name, options in {**CLIPS, **SOUNDS}.items():
        path = folder / f"made.{name}"
        sources = _SINE if name in SOUNDS else [*_TESTSRC, *([] if "-an" in options else _SINE)]
        argv = [ffmpeg.find_executable(), "-v", "error", "-y", *sources, *options, str(path)]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        made[f"{'sound' if name in SOUNDS else 'clip'}.{name}"] = path.read_bytes()
    return made


# Ways to break bytes -----------------------------------------------------------------------------


def _cut(r: random.Random, data: bytes) -> bytes:
    return data[: r.randrange(1, len(data))]


def _flip(r: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(r.choice((1, 2, 8, 40))):
        out[r.randrange(len(out))] ^= 1 << r.randrange(8)
    return bytes(out)


def _flip_head(r: random.Random, data: bytes) -> bytes:
    """Where sizes, counts and codecs stand."""
    out = bytearray(data)
    for _ in range(r.choice((1, 2, 5))):
        out[r.randrange(min(len(out), 1200))] = r.randrange(256)
    return bytes(out)


def _double(r: random.Random, data: bytes) -> bytes:
    a, b = sorted(r.randrange(len(data)) for _ in range(2))
    return data[:b] + data[a:b] * r.choice((1, 1, 5)) + data[b:]


def _swap(r: random.Random, data: bytes) -> bytes:
    a, b, c = sorted(r.randrange(len(data)) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _drop(r: random.Random, data: bytes) -> bytes:
    a, b = sorted(r.randrange(len(data)) for _ in range(2))
    return data[:a] + data[b:] or b"\0"


_LIES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 28)
_FIELDS = (
    b"tkhd",
    b"mdhd",
    b"mvhd",
    b"stts",
    b"stsz",
    b"stsc",
    b"stco",
    b"ctts",
    b"elst",
    b"avc1",
    b"hvcC",
    b"avcC",
    b"mp4a",
    b"esds",
    b"trun",
    b"tfhd",
    b"IHDR",
    b"acTL",
    b"fcTL",
    b"IDAT",
    b"eXIf",
    b"VP8X",
    b"VP8L",
    b"ANIM",
    b"fmt ",
    b"data",
    b"strh",
    b"strf",
    b"idx1",
    b"avih",
    b"ispe",
    b"iloc",
    b"av1C",
    b"\xff\xc0",
    b"\xff\xc2",
    b"\xff\xe1",
    b"\x1f\x43\xb6\x75",
    b"\x2a\xd7\xb1",
    b"\xb0",
    b"\xba",
    b"\x23\xe3\x83",
    b"vorbis",
    b"OpusHead",
)


def _lie(r: random.Random, data: bytes) -> bytes:
    """A number near a field that says how much there is of something."""
    out = bytearray(data)
    there = [f for f in _FIELDS if f in data]
    at = data.find(r.choice(there)) if there else 0
    for _ in range(r.choice((1, 1, 3))):
        spot = min(max(0, at + r.randrange(-4, 40)), len(out) - 4)
        order = r.choice((">I", "<I", ">H", "<H"))
        size = struct.calcsize(order)
        out[spot : spot + size] = struct.pack(order, r.choice(_LIES) & ((1 << 8 * size) - 1))
    return bytes(out)


def _noise(r: random.Random, data: bytes) -> bytes:
    """A good beginning, then nothing but noise."""
    keep = r.randrange(4, min(64, len(data)))
    return data[:keep] + r.randbytes(r.choice((10, 1000, 20_000)))


WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _cut,
    _flip,
    _flip,
    _flip_head,
    _flip_head,
    _double,
    _swap,
    _drop,
    _lie,
    _lie,
    _lie,
    _noise,
)


def broken(r: random.Random, data: bytes) -> bytes:
    out = r.choice(WAYS)(r, data)
    out = r.choice(WAYS)(r, out) if r.random() < 0.2 and len(out) > 70 else out
    return mended_png(out) if out.startswith(b"\x89PNG") and r.random() < 0.5 else out


def mended_png(data: bytes) -> bytes:
    """With right checksums, so that what is broken gets as far as the decoder."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
        body = data[at + 4 : at + 8 + size]
        out += struct.pack(">I", size) + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return out


# Documents ---------------------------------------------------------------------------------------

WORDS = (
    "",
    " ",
    "A line",
    "x" * 5000,
    "é" * 300,
    "夏のセール🎉",
    "مرحبا بالعالم",
    "\u202eback",
    "a\0b",
    "\ud800",
    "%{pts}",
    "'; drop",
    "a:b'c\"d\\e[f]g",
    "%d.png",
    "../../etc/passwd",
    "/etc/passwd",
    "a" + "\u0301" * 200,
    "\u200d" * 50,
    "\n\n\n",
    "\t",
    "a.png",
    "b.mp4",
    "s.wav",
    "none",
    "true",
    "C:\\a.png",
    "~/a.png",
    "file:///etc/passwd",
    "http://127.0.0.1:9/a.png",
    "concat:a.png|b.mp4",
    "subfile,,start,0,end,9,,:a.png",
    "data:image/png;base64,AAAA",
    "pipe:0",
    "-i",
    "#FFFFFF",
    "{{7*7}}",
    "<b>x</b>",
    "👨‍👩‍👧‍👦" * 30,
    "ﷺ" * 60,
    "s3://b/a.png",
    "a" * 300 + ".png",
    "\u2028",
)
NUMBERS = (0, 1, -1, 3, 0.0, -0.0, 1e-9, 1e9, 1e308, 2**31, 2**63, 10**30, 59.999, 61, True, None)
FIELDS = (
    "archetype",
    "preset",
    "brand",
    "brand_safe",
    "engine_policy",
    "duration",
    "media",
    "hook",
    "beats",
    "cta",
    "music",
    "voice",
    "generate",
    "allow_regeneration",
    "locale",
    "metadata",
    "badge",
    "logo",
    "background",
    "platform",
    "end_card",
    "watermark",
    "variants",
    "budget",
    "priority",
    "seed",
    "colour",
)
ITEM_FIELDS = (
    "path",
    "paths",
    "text",
    "duration",
    "start",
    "sound",
    "background",
    "arrange",
    "subject",
    "focus",
    "prompt",
    "from_media",
    "volume_db",
    "colors",
    "kind",
    "blur",
)
SPEC_FIELDS = (
    "version",
    "archetype",
    "segments",
    "audioTrack",
    "audio",
    "overlays",
    "captions",
    "assets",
    "resolution",
    "frame_rate",
    "constraints",
    "styles",
    "metadata",
    "brand",
)
SEGMENT_FIELDS = (
    "id",
    "type",
    "media",
    "duration",
    "text",
    "transition",
    "background",
    "motion",
    "generate",
    "audio",
    "text_style",
    "layout",
)


def value(r: random.Random, depth: int = 0) -> object:
    kind = r.random()
    if depth > 3 or kind < 0.45:
        return r.choice(WORDS)
    if kind < 0.65:
        return r.choice(NUMBERS)
    if kind < 0.82:
        return [value(r, depth + 1) for _ in range(r.choice((0, 1, 2, 5)))]
    return {r.choice(ITEM_FIELDS + FIELDS): value(r, depth + 1) for _ in range(r.choice((1, 2, 4)))}


def brief(r: random.Random) -> dict[str, object]:
    """A brief that is right, or nearly: words of all sorts first, then anything anywhere."""
    made: dict[str, object] = {
        "archetype": r.choice(("hero", "overlay", "meme")),
        "media": [{"path": r.choice(("a.png", "b.mp4")), "duration": r.choice((1, 2.5))}],
        "hook": "A line",
        "music": "none",
    }
    for name in ("hook", "cta", "badge"):
        if r.random() < 0.3:
            made[name] = r.choice(WORDS)
    if r.random() < 0.3:
        made["beats"] = [r.choice(WORDS) for _ in range(r.choice((1, 3)))]
    if r.random() < 0.3:
        made["media"] = [{"text": r.choice(WORDS)}, *made["media"]]  # type: ignore[misc]
    if r.random() < 0.3:
        made["preset"] = r.choice(("daylight", "studio", "modern"))
    if r.random() < 0.4:
        return made
    for _ in range(r.choice((0, 1, 1, 2, 4))):
        made[r.choice(FIELDS)] = value(r)
    for _ in range(r.choice((0, 1, 2))):
        item = made["media"]
        if isinstance(item, list) and item and isinstance(item[0], dict):
            item[0][r.choice(ITEM_FIELDS)] = value(r, 1)
    return made


def briefs() -> st.SearchStrategy[dict[str, object]]:
    """The same of hypothesis' making: anything in any field, and what it finds is made small."""
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
    anything = st.recursive(
        leaf | st.sampled_from(WORDS),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(ITEM_FIELDS + FIELDS) | st.text(max_size=8), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
    media = st.just([{"path": "a.png", "duration": 1}]) | anything
    others = {name: anything for name in FIELDS if name != "media"}
    return st.fixed_dictionaries({"media": media}, optional=others)


def spec(r: random.Random) -> dict[str, object]:
    segment: dict[str, object] = {"media": "a.png", "duration": r.choice((1, 0.5)), "text": "One"}
    if r.random() < 0.5:
        segment["text"] = r.choice(WORDS)
    for _ in range(r.choice((0, 1, 2))):
        segment[r.choice(SEGMENT_FIELDS)] = value(r, 1)
    made: dict[str, object] = {
        "archetype": "hero",
        "resolution": "270x480",
        "segments": [segment] * r.choice((1, 1, 3)),
    }
    for _ in range(r.choice((0, 0, 1, 2))):
        made[r.choice(SPEC_FIELDS)] = value(r)
    return made


def as_yaml(data: object) -> bytes:
    text = yaml.safe_dump(data, allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


def as_json(data: object) -> bytes:
    return json.dumps(data).encode()


def table(r: random.Random) -> tuple[str, bytes]:
    """Name and bytes of a table."""
    names = [
        r.choice((*FIELDS[:12], "name", "media_2", "metadata.x", "variants.hooks", "_own", ""))
        for _ in range(r.choice((1, 2, 4)))
    ]
    header = ["media", *names]
    rows = [
        [r.choice(WORDS) if r.random() < 0.6 else json.dumps(value(r)) for _ in header]
        for _ in range(r.choice((0, 1, 3)))
    ]
    kind = r.choice(("csv", "tsv", "xlsx"))
    if kind == "xlsx":
        return "t.xlsx", workbook([header, *rows])
    sep = "\t" if kind == "tsv" else r.choice(",;")
    lines = [sep.join(f'"{c}"' if r.random() < 0.5 else c for c in row) for row in [header, *rows]]
    return f"t.{kind}", r.choice(("\n", "\r\n", "\r")).join(lines).encode("utf-8", "replace")


def workbook(rows: list[list[str]]) -> bytes:
    import openpyxl
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    book = openpyxl.Workbook()
    for row in rows:
        plain = (ILLEGAL_CHARACTERS_RE.sub("", c)[:30_000] for c in row)
        book.active.append([c.encode("utf-8", "replace").decode() for c in plain])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def inside_out(r: random.Random, data: bytes) -> bytes:
    """A workbook with one of its inner files broken, and packed as it should be."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        victim = r.choice(old.namelist())
        for name in old.namelist():
            inner = old.read(name)
            new.writestr(name, broken(r, inner) if name == victim else inner)
    return out.getvalue()


def documents(seed: int, count: int) -> Iterator[tuple[str, str, bytes]]:
    """Kind, file name and bytes of documents, sound ones and broken ones."""
    r = random.Random(seed)
    for i in range(count):
        made = (
            ("brief", "brief.yaml", as_yaml(_encodable(brief(r)))),
            ("spec", "render_spec.json", as_json(spec(r))),
            ("table", *table(r)),
        )[i % 3]
        kind, name, data = made
        if r.random() < 0.35 and len(data) > 70:
            xlsx = name.endswith("xlsx") and r.random() < 0.7
            data = inside_out(r, data) if xlsx else broken(r, data)
        yield kind, name, data


def _encodable(data: object) -> object:
    """YAML can't be written with halves of characters in it; its escapes can."""
    return json.loads(json.dumps(data).replace("\\ud800", "?"))
