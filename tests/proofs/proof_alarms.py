"""How often a sound brief is withheld, and how often a spoiled video is not.

    python tests/proofs/proof_alarms.py           # writes docs/alarms.md
    python -m pytest -o python_files='proof_*.py' tests/proofs/proof_alarms.py -s

Briefs are made of the demo, of pictures, clips and sounds that are drawn here, and of the folders
in PYTOON_PROOF_MEDIA (separated as in PATH): what they hold of pictures, clips and sounds, and
whole briefs. All of them pass through every stage at 270x480, over all presets and two brands.
Spoiled videos are those of `tests/spoils.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import yaml
from PIL import Image, ImageDraw
from spoils import SPOILS, compile_small, make_good, write_voice

from pytoon_pipeline.errors import BriefError, PytoonError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.loudness import RATE
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.results import judge_video
from pytoon_pipeline.stages.segments import render_segments
from pytoon_pipeline.stages.services import Services, open_services

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "alarms.md"
PRESETS = [
    ("hero", "bold"),
    ("hero", "daylight"),
    ("hero", "editorial"),
    ("overlay", "shelf"),
    ("overlay", "spotlight"),
    ("overlay", "studio"),
    ("meme", "caption"),
    ("meme", "classic"),
    ("meme", "modern"),
]
BRANDS = ["morrow", "neutral"]
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".avif"}
CLIPS = {".mp4", ".mov", ".webm", ".gif"}
SOUNDS = {".wav", ".mp3", ".flac", ".m4a"}


# --- material


def _noise(size: tuple[int, int], seed: int, coarse: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (size[1] // coarse + 1, size[0] // coarse + 1, 3), np.uint8)
    return np.repeat(np.repeat(small, coarse, 0), coarse, 1)[: size[1], : size[0]]


def _gradient(size: tuple[int, int], first, last, across: bool = False) -> np.ndarray:
    t = np.linspace(0, 1, size[0] if across else size[1])
    t = t[None, :, None] if across else t[:, None, None]
    mixed = np.array(first) * (1 - t) + np.array(last) * t
    return np.broadcast_to(mixed, (size[1], size[0], 3)).round().astype(np.uint8)


def _page(size: tuple[int, int], ink, ground, seed: int = 1, images: bool = False) -> Image.Image:
    """A page of text, or of a program."""
    rng = np.random.default_rng(seed)
    page = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(page)
    margin, line = size[0] // 14, max(6, size[1] // 60)
    y = margin
    while y < size[1] - margin:
        x = margin
        while x < size[0] - 2 * margin:
            word = int(rng.integers(line, 6 * line))
            draw.rectangle([x, y, min(x + word, size[0] - margin), y + line // 2], fill=ink)
            x += word + line // 2
        y += line
    if images:
        draw.rectangle([margin, size[1] // 3, size[0] - margin, size[1] // 2], fill=(60, 130, 210))
    return page


def _product(size: tuple[int, int], ground, colour, share: float = 0.4) -> Image.Image:
    """A packshot: one thing in the middle of one colour."""
    image = Image.new("RGB", size, ground)
    w, h = size[0] * share, size[1] * share
    x, y = (size[0] - w) / 2, (size[1] - h) / 2
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([x, y, x + w, y + h], radius=w / 6, fill=colour)
    draw.ellipse([x + w / 4, y + h / 4, x + 3 * w / 4, y + 3 * h / 4], fill=ground)
    return image


def _cut_out(size: tuple[int, int], colour) -> Image.Image:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse(
        [size[0] // 8, size[1] // 8, size[0] * 7 // 8, size[1] * 7 // 8], fill=(*colour, 255)
    )
    return image


def draw_pictures(folder: Path) -> list[Path]:
    """Plain and busy, bright and dark, upright, wide and square."""
    tall, wide, square = (720, 1280), (1280, 720), (800, 800)
    drawn: dict[str, np.ndarray | Image.Image] = {
        "white": Image.new("RGB", tall, "white"),
        "black": Image.new("RGB", tall, "black"),
        "nearly-black": Image.new("RGB", wide, (12, 10, 14)),
        "grey": Image.new("RGB", square, (128, 128, 128)),
        "cream": Image.new("RGB", wide, (244, 236, 220)),
        "red": Image.new("RGB", square, (200, 20, 30)),
        "sky": _gradient(tall, (60, 120, 200), (230, 240, 250)),
        "dusk": _gradient(wide, (6, 6, 12), (60, 20, 40), across=True),
        "fog": _gradient(wide, (236, 236, 236), (250, 250, 250)),
        "half-black": _gradient(square, (0, 0, 0), (255, 255, 255), across=True),
        "noise": _noise(tall, 1),
        "noise-coarse": _noise(wide, 2, 16),
        "noise-soft": (_noise(square, 3) // 16 + 120).astype(np.uint8),
        "checks": np.kron(np.indices((40, 40)).sum(0)[..., None] % 2, np.ones((20, 20, 3))).astype(
            np.uint8
        )
        * 255,
        "stripes": np.broadcast_to(
            ((np.arange(1280) // 9 % 2) * 255).astype(np.uint8)[:, None, None], (1280, 720, 3)
        ),
        "columns": np.broadcast_to(
            ((np.arange(1280) // 3 % 2) * 255).astype(np.uint8)[None, :, None], (720, 1280, 3)
        ),
        "page": _page(tall, (20, 20, 20), (255, 255, 255)),
        "page-dark": _page(wide, (220, 220, 220), (18, 18, 22), 2),
        "screen": _page((1170, 2532), (40, 40, 46), (246, 246, 250), 3, images=True),
        "screen-wide": _page((1920, 1080), (30, 30, 30), (255, 255, 255), 4, images=True),
        "packshot": _product(square, (255, 255, 255), (170, 90, 60)),
        "packshot-small": _product(wide, (255, 255, 255), (40, 60, 80), 0.18),
        "packshot-white": _product(tall, (255, 255, 255), (246, 246, 246)),
        "packshot-black": _product(square, (4, 4, 4), (30, 30, 34)),
        "night": _product(wide, (3, 3, 6), (240, 200, 120), 0.12),
        "cutout": _cut_out((500, 700), (180, 70, 50)),
        "cutout-white": _cut_out((600, 600), (250, 250, 250)),
        "cutout-black": _cut_out((600, 400), (8, 8, 8)),
        "panorama": _noise((2400, 500), 5, 12),
        "tower": _noise((500, 2400), 6, 12),
    }
    paths = []
    for name, image in drawn.items():
        path = folder / f"{name}.png"
        if isinstance(image, np.ndarray):
            image = Image.fromarray(np.ascontiguousarray(image))
        image.save(path)
        paths.append(path)
    return paths


_TONE = "sine=frequency=330:sample_rate=48000:duration={d}"
_CLIPS: dict[str, tuple[str, str | None]] = {
    # name: (ffmpeg's source of the picture, of the sound)
    "test": ("testsrc2=s=360x640:r=30:d={d}", _TONE),
    "bars": ("smptehdbars=s=640x360:r=25:d={d}", _TONE),
    "mandelbrot": ("mandelbrot=s=360x640:r=24,trim=duration={d}", None),
    "life": (
        "life=s=180x320:r=10:mold=10:ratio=0.2:death_color=#202030:life_color=#80A0C0,"
        "scale=360:640:flags=neighbor,trim=duration={d}",
        None,
    ),
    "gradients": ("gradients=s=360x640:r=30:d={d}:speed=0.02", _TONE),
    "gradients-slow": ("gradients=s=640x360:r=60:d={d}:speed=0.002", None),
    "black": ("color=black:s=360x640:r=30:d={d}", _TONE),
    "white": ("color=white:s=640x360:r=30:d={d}", None),
    "fade-in": ("testsrc2=s=360x640:r=30:d={d},fade=in:st=0.8:d=0.8", _TONE),
    "fade-out": ("testsrc2=s=640x360:r=25:d={d},fade=out:st=1.5:d=0.8", _TONE),
    "fade-both": ("smptebars=s=360x640:r=30:d={d},fade=in:st=0.3:d=0.5,fade=out:st=2:d=0.5", None),
    "fade-white": ("testsrc2=s=360x640:r=30:d={d},fade=in:d=1:color=white", None),
    "black-middle": (
        "testsrc2=s=360x640:r=30:d={d},drawbox=t=fill:c=black:enable='between(t,1,1.6)'",
        _TONE,
    ),
    "stops": ("testsrc2=s=360x640:r=30:d={d},loop=loop=45:size=1:start=20", None),
    "still": ("testsrc=s=360x640:r=30:d=0.03,loop=loop=120:size=1", _TONE),
    "noise": ("color=gray:s=360x640:r=30:d={d},noise=alls=60:allf=t", None),
    "grain": ("smptebars=s=360x640:r=24:d={d},noise=alls=12:allf=t", _TONE),
    "slides": ("testsrc=s=640x360:r=1:d={d}", None),
    "slow-rate": ("testsrc2=s=360x640:r=12:d={d}", None),
    "ntsc": ("testsrc2=s=360x640:r=30000/1001:d={d}", _TONE),
    "night": ("testsrc2=s=360x640:r=30:d={d},eq=brightness=-0.35:contrast=0.2", None),
    "pattern": (
        "cellauto=s=180x320:r=15:rule=110,scale=360:640:flags=neighbor,trim=duration={d}",
        None,
    ),
    "muted": ("testsrc2=s=360x640:r=30:d={d}", "anullsrc=r=48000:cl=stereo,atrim=duration={d}"),
    "left-only": ("testsrc2=s=360x640:r=30:d={d}", _TONE + ",pan=stereo|c0=c0|c1=0*c0"),
    "upside-down-sound": ("testsrc2=s=360x640:r=30:d={d}", _TONE + ",pan=stereo|c0=c0|c1=-1*c0"),
    "surround": ("testsrc2=s=360x640:r=30:d={d}", _TONE + ",pan=5.1|c2=c0"),
}


def make_clips(folder: Path, seconds: float = 3.0) -> list[Path]:
    """ffmpeg's sources, fades, stops, noise, and screen recordings."""
    paths = []
    for name, (picture, sound) in _CLIPS.items():
        path = folder / f"{name}.mp4"
        argv = [
            ffmpeg.find_executable(),
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            picture.replace("{d}", str(seconds)),
        ]
        if sound:
            argv += ["-f", "lavfi", "-i", sound.replace("{d}", str(seconds)), "-c:a", "aac"]
        argv += [
            "-t",
            str(seconds),
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            str(path),
        ]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        paths.append(path)
    for name, ink, ground in (
        ("scroll", (30, 30, 30), "white"),
        ("scroll-dark", (210, 210, 210), (16, 16, 18)),
    ):
        page = _page((390, 2532), ink, ground, 9, images=True)
        raw = []
        for frame in range(round(seconds * 30)):
            # A person reads, scrolls on, reads.
            at = min(1, max(0, (frame - 40) / 12)) * 900
            raw.append(page.crop((0, int(at), 390, int(at) + 844)).tobytes())
        path = folder / f"{name}.mp4"
        subprocess.run(
            [
                ffmpeg.find_executable(),
                "-v",
                "error",
                "-y",
                "-f",
                "rawvideo",
                "-pix_fmt",
                "rgb24",
                "-s",
                "390x844",
                "-r",
                "30",
                "-i",
                "pipe:",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
                str(path),
            ],
            input=b"".join(raw),
            check=True,
        )
        paths.append(path)
    return paths


def _save(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return path


def _save_float(path: Path, samples: np.ndarray) -> Path:
    argv = [
        "-f",
        "f32le",
        "-ar",
        RATE,
        "-ac",
        samples.shape[1],
        "-i",
        "pipe:",
        "-c:a",
        "pcm_f32le",
        ffmpeg.to_ffmpeg_url(path),
    ]
    with ffmpeg.FfmpegPipe(argv, f"make {path.name}") as pipe:
        pipe.write(samples.astype(np.float32))
    return path


def make_voices(folder: Path) -> list[Path]:
    """One voice, with everything that recordings bring along."""
    with wave.open(str(write_voice(folder / "plain.wav"))) as file:
        mono = np.frombuffer(file.readframes(1 << 24), "<i2")[:, None] / 32768
    rng = np.random.default_rng(3)
    both = np.repeat(mono, 2, axis=1)
    t = np.arange(len(mono))[:, None] / RATE
    half = np.where(t < t[-1] / 2, 1.0, 0.0)
    turned = np.hstack([mono, np.where(t < t[-1] / 2, 1, -1) * mono])
    broken = both.astype(np.float32)
    broken[1000:1100] = np.nan
    broken[9000, 0] = np.inf
    made = {
        "offset": mono * 0.8 + 0.2,
        "offset-half": mono * 0.5 + 0.45,
        "offset-quiet": mono * 0.05 + 0.1,
        "drifts": mono * 0.6 + 0.3 * np.sin(2 * np.pi * 0.4 * t),
        "rumble": mono * 0.6 + 0.3 * np.sin(2 * np.pi * 7 * t),
        "offset-one-side": both + [[0.3, 0.0]],
        "upside-down": mono * [[1, -1]],
        "nearly-upside-down": mono * [[1, -0.8]],
        "half-upside-down": turned,
        "left": mono * [[1, 0]],
        "right": mono * [[0, 1]],
        "left-with-noise": mono * [[1, 0]] + 0.001 * rng.standard_normal(both.shape),
        "by-turns": np.hstack([mono * half, mono * (1 - half)]),
        "two-microphones": np.hstack([mono, np.roll(mono, 300, axis=0)]),
        "quiet": mono * 0.01,
        "very-quiet": mono * 0.001,
        "loud": np.clip(mono * 6, -1, 1),
        "short": mono[: round(0.3 * RATE)],
        "shorter": mono[: round(0.12 * RATE)],
        "late": np.concatenate([np.zeros((2 * RATE, 1)), mono]),
        "late-offset": np.concatenate([np.zeros((RATE, 1)), mono + 0.2]),
        "noisy": mono * 0.3 + 0.02 * rng.standard_normal(mono.shape),
        "silent": np.zeros((RATE, 1)),
        "click": np.where(t[:RATE] == t[RATE // 2], 0.9, 0.0),
        "surround": np.hstack([0 * mono, 0 * mono, mono, 0 * mono, 0 * mono, 0 * mono]),
        "recorder": np.hstack([0 * mono] * 3 + [mono] + [0 * mono] * 4),
    }
    paths = [folder / "plain.wav", *(_save(folder / f"{n}.wav", s) for n, s in made.items())]
    paths.append(_save(folder / "8khz.wav", mono[::6], 8000))
    paths.append(_save(folder / "192khz.wav", np.repeat(mono, 4, axis=0), 192_000))
    paths.append(_save_float(folder / "broken-float.wav", broken))
    paths.append(_save_float(folder / "scaled-float.wav", mono * 32767))
    return paths


def make_music(folder: Path) -> list[Path]:
    """Tracks of one's own: wide, upside down, one-sided, quiet, sparse, steady."""
    rng = np.random.default_rng(8)
    n = 4 * RATE
    t = np.arange(n)[:, None] / RATE
    chord = sum(np.sin(2 * np.pi * f * t) for f in (110, 220, 277.2, 329.6)) * 0.1
    wide = 0.1 * rng.standard_normal((n, 2))
    beats = np.exp(-((t * 2) % 1) * 25) * rng.standard_normal((n, 1)) * 0.5
    made = {
        "chord": np.repeat(chord, 2, 1),
        "wide": wide,
        "beats": np.repeat(beats, 2, 1),
        "upside-down": chord * [[1, -1]],
        "one-sided": beats * [[1, 0]],
        "wider": chord + np.hstack([beats, -beats]),
        "quiet": np.repeat(chord, 2, 1) * 0.003,
        "clicks": np.repeat(np.where(np.arange(n)[:, None] % RATE < 40, 0.9, 0.0), 2, 1),
        "partly-upside-down": chord * np.hstack([t * 0 + 1, np.where(t < 3, 1, -1)]),
        "offset": np.repeat(chord, 2, 1) * 0.5 + 0.4,
        "bass": np.repeat(np.sin(2 * np.pi * 42 * t), 2, 1) * 0.6,
    }
    return [_save(folder / f"{name}.wav", samples) for name, samples in made.items()]


@dataclass
class Material:
    pictures: list[Path]
    clips: list[Path]
    voices: list[Path]
    music: list[Path]
    briefs: list[Path] = field(default_factory=list)
    """Folders or files that hold a brief."""


def gather(folder: Path) -> Material:
    """What is drawn here, and what lies in the folders named for it."""
    for name in ("pictures", "clips", "voices", "music"):
        (folder / name).mkdir(parents=True)
    found = Material(
        draw_pictures(folder / "pictures"),
        make_clips(folder / "clips"),
        make_voices(folder / "voices"),
        make_music(folder / "music"),
    )
    for place in os.environ.get("PYTOON_PROOF_MEDIA", "").split(os.pathsep):
        if not place:
            continue
        for path in sorted(Path(place).rglob("*")):
            if path.name in ("brief.yaml", "render_spec.json"):
                found.briefs.append(path.parent)
            elif any((p / "brief.yaml").exists() for p in path.parents):
                continue
            elif path.suffix.lower() in PICTURES:
                found.pictures.append(path)
            elif path.suffix.lower() in CLIPS:
                found.clips.append(path)
            elif path.suffix.lower() in SOUNDS:
                found.voices.append(path)
    return found


# --- briefs


HOOKS = [
    "Brighter mornings",
    "Hear me",
    "New today",
    "Made by hand, one at a time",
    "Less noise",
    "Ready when you are",
    "It just fits",
]
BEATS = ["Fired twice", "Ships tomorrow", "Ten years of care", "Only 200 made"]
CTAS = ["Order yours", "See more", "Shop the pair"]
BADGES = ["30% OFF", "Now €36", "New"]


def plan_briefs(m: Material) -> Iterator[tuple[str, dict, list[Path]]]:
    """(kind, brief, files) of each."""
    turn = 0

    def brief(kind: str, files: list[Path], **more) -> tuple[str, dict, list[Path]]:
        nonlocal turn
        archetype, preset = PRESETS[turn % 9]
        data = {
            "archetype": archetype,
            "preset": preset,
            "brand": BRANDS[turn // 9 % 2],
            "hook": HOOKS[turn % len(HOOKS)],
            "media": [f.name for f in files],
            "end_card": False,
            **more,
        }
        if archetype == "meme":  # one picture, one line
            data = {k: v for k, v in data.items() if k not in ("badge", "cta", "end_card", "beats")}
        turn += 1
        return kind, {k: v for k, v in data.items() if v is not None}, files

    for picture in m.pictures:
        yield brief("a picture", [picture], duration=3)
    turn += 4  # the same under another preset
    for i, picture in enumerate(m.pictures):
        other = m.pictures[(i + 7) % len(m.pictures)]
        if i % 2 == 0:
            yield brief(
                "two pictures, a badge, an end card",
                [picture, other],
                badge=BADGES[i % 3],
                cta=CTAS[i % 3],
                end_card=None,
            )
    for clip in m.clips:
        yield brief("a clip", [clip], duration=3, music="none")
    turn += 5
    for i, clip in enumerate(m.clips):
        if i % 2:
            yield brief(
                "a clip and a picture",
                [clip, m.pictures[i % len(m.pictures)]],
                beats=[BEATS[i % 4]],
                cta=CTAS[i % 3],
            )
    calm = [p for p in m.pictures if p.stem in ("packshot", "sky", "screen", "noise-coarse")]
    for i, voice in enumerate(m.voices):
        kind, data, files = brief(
            "a voice", [calm[i % len(calm)]], duration=3, music="none" if i % 2 else None
        )
        yield kind, {**data, "voice": voice.name}, [*files, voice]
    for i, track in enumerate(m.music):
        kind, data, files = brief("music of one's own", [calm[i % len(calm)]], duration=3)
        data["music"] = {"path": track.name, "licence": "own work"}
        if i % 3 == 2:
            data["voice"] = m.voices[0].name
            files = [*files, m.voices[0]]
        yield kind, data, [*files, track]


# --- false alarms


@dataclass
class Result:
    kind: str
    name: str
    state: str
    """delivered, warned, withheld, refused, failed"""
    said: list[str] = field(default_factory=list)


def render_one(kind: str, folder: Path, services: Services) -> Result:
    """A brief through all stages; what the checks say of it."""
    name = f"{folder.parent.name}/{folder.name}" if folder.is_dir() else folder.name
    try:
        source = find_sources([folder])[0]
        spec = compile_small(folder, services)
        segments = render_segments(spec, services, source.key)
        video = assemble_video(spec, segments, services, source.key)
        verdicts = judge_video(spec, video, services, segments)[1]
    except BriefError as error:
        return Result(kind, name, "refused", [str(error)])
    except PytoonError as error:
        return Result(kind, name, "failed", [str(error)])
    bad = [v for v in verdicts if not v.passed]
    said = [f"{v.name}: {v.message}" for v in bad]
    if any(v.severity == "error" for v in bad):
        return Result(kind, name, "withheld", said)
    return Result(kind, name, "warned" if bad else "delivered", said)


def run_alarms(
    folder: Path, services: Services, say: Callable[[str], None], only: str = ""
) -> Iterator[Result]:
    """Every brief, rendered and judged."""
    material = gather(folder / "material")
    demo = folder / "demo"
    shutil.copytree(ROOT / "briefs", demo)
    whole = [("the demo", s.path) for s in find_sources([demo])]
    for given in material.briefs:
        copy = folder / "given" / given.parent.name / given.name
        shutil.copytree(given, copy)
        subprocess.run(["chmod", "-R", "u+w", str(copy)], check=True)
        whole.append(("a given brief", copy))
    for i, (kind, data, files) in enumerate(plan_briefs(material)):
        place = folder / "made" / f"{i:03d}-{files[-1].stem}"
        place.mkdir(parents=True)
        for file in files:
            shutil.copy(file, place / file.name)
        (place / "brief.yaml").write_text(
            yaml.safe_dump(data, allow_unicode=True), encoding="utf-8"
        )
        whole.append((kind, place))
    for number, (kind, place) in enumerate(whole, start=1):
        if only and only not in f"{kind} {place}":
            continue
        result = render_one(kind, place, services)
        if result.state != "delivered":
            say(
                f"{number}/{len(whole)} {result.state}: {kind}, {result.name}: "
                + "; ".join(result.said)[:400]
            )
        for part in ("segments", "windows", "drawn", "videos", "media", "measurements"):
            shutil.rmtree(Path(services.settings.home) / "store" / part, ignore_errors=True)
        yield result


# --- misses


@dataclass
class Spoiled:
    name: str
    by: list[str]
    """Checks that failed."""
    seen: list[str]
    """The same, had the packets not been compared with those that were encoded."""


def run_misses(folder: Path, services: Services, say: Callable[[str], None]) -> list[Spoiled]:
    """A good video spoiled in every way."""
    good = make_good(services, folder, "540x960")
    assert not good.failed(good.path), good.judge(good.path)
    found = []
    for name, spoil in SPOILS.items():
        path = spoil(good)
        caught = good.failed(path)
        blind = good.failed_unread(path)
        found.append(Spoiled(name, caught, blind))
        say(f"{name}: {', '.join(caught) or 'MISSED'}")
    return found


# --- the document


def write_document(results: list[Result], spoiled: list[Spoiled], seconds: float) -> None:
    lines = [
        "# False alarms and misses",
        "",
        "Written by `make proof-alarms` (`tests/proofs/proof_alarms.py`), "
        f"{time.strftime('%Y-%m-%d')}, in {seconds / 60:.0f} minutes on two cores that had other "
        "work to do as well.",
        "",
        "## Sound briefs that are withheld",
        "",
        "Briefs over all nine presets and two brands, at 270x480, through every stage. The "
        "material is drawn for the purpose (plain, busy, dark, transparent; ffmpeg's sources, "
        "fades, stops, screen recordings; voices and music with every fault of a recording), "
        "and what lay in the folders of `PYTOON_PROOF_MEDIA`.",
        "",
        "| briefs | | delivered | with a warning | withheld | refused | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    states = ("delivered", "warned", "withheld", "refused", "failed")
    for kind in dict.fromkeys(r.kind for r in results):
        count = Counter(r.state for r in results if r.kind == kind)
        numbers = " | ".join(str(count[s]) for s in states)
        lines.append(f"| {kind} | {count.total()} | {numbers} |")
    count = Counter(r.state for r in results)
    numbers = " | ".join(f"**{count[s]}**" for s in states)
    lines += [f"| all | **{count.total()}** | {numbers} |", ""]
    warned = Counter(s.partition(":")[0] for r in results if r.state == "warned" for s in r.said)
    if warned:
        lines += [
            "Warnings were given by "
            + ", ".join(f"`{name}` ({n})" for name, n in warned.most_common())
            + ".",
            "",
        ]
    for state in ("withheld", "refused", "failed"):
        some = [r for r in results if r.state == state]
        if some:
            lines += [f"What was {state}:", ""]
            lines += [f"- {r.name}: {' '.join('; '.join(r.said).split())[:300]}" for r in some] + [
                ""
            ]
    lines += [
        "## Spoiled videos that pass",
        "",
        "One good video of 8 s at 540x960 (pictures, a clip, captions, a badge, a logo, "
        "crossfades, music, a voice), spoiled in the ways of `tests/spoils.py`, each judged "
        "against the plan of the good one. The last column leaves out the comparison of packets, "
        "which finds everything that was encoded again.",
        "",
        "| what was done | caught by | from pictures and sound alone |",
        "|---|---|---|",
    ]
    for s in spoiled:
        by = ", ".join(f"`{n}`" for n in s.by) or "**missed**"
        seen = ", ".join(f"`{n}`" for n in s.seen) or "not seen"
        lines.append(f"| {s.name} | {by} | {seen} |")
    caught, seen = sum(bool(s.by) for s in spoiled), sum(bool(s.seen) for s in spoiled)
    lines += ["", f"Caught: {caught} of {len(spoiled)}; {seen} of them without the packets."]
    DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _services(folder: Path) -> Services:
    for name in list(os.environ):
        if name.startswith("PYTOON_") and name != "PYTOON_PROOF_MEDIA":
            del os.environ[name]
    os.environ["PYTOON_HOME"] = str(folder / "home")
    return open_services(load_settings())


def prove(
    folder: Path,
    say: Callable[[str], None],
    only: str = "",
    so_far: Callable[[list[Result], list[Spoiled]], None] = lambda results, spoiled: None,
) -> tuple[list[Result], list[Spoiled]]:
    """Both, the misses first; `so_far` is called now and then."""
    services = _services(folder)
    spoiled = [] if only else run_misses(folder / "spoiled", services, say)
    results = []
    for result in run_alarms(folder / "alarms", services, say, only):
        results.append(result)
        if len(results) % 10 == 0:
            so_far(results, spoiled)
    return results, spoiled


def test_nothing_sound_is_withheld_and_nothing_spoiled_passes(tmp_path: Path) -> None:
    results, spoiled = prove(tmp_path, print)
    assert len(results) >= 150 and len(spoiled) >= 20
    assert not [r for r in results if r.state in ("withheld", "failed")]
    assert not [s.name for s in spoiled if not s.by]


def main(only: str = "") -> None:
    """Prove it, and write the document, from time to time too."""
    began = time.monotonic()

    def write(results: list[Result], spoiled: list[Spoiled]) -> None:
        if not only:
            write_document(results, spoiled, time.monotonic() - began)

    with tempfile.TemporaryDirectory() as temporary:
        results, spoiled = prove(Path(temporary), lambda text: print(text, flush=True), only, write)
    write(results, spoiled)
    print(Counter(r.state for r in results))


if __name__ == "__main__":
    main(*sys.argv[1:])
