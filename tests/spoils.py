"""Ways to spoil a good video, each as something that could happen to a file on its way.

All of them work on the finished file or on its plan, and leave a file that plays. What they are
held against is the plan of the good one.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from conftest import clip, picture

from pytoon_pipeline.compiler import compile as compiling
from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.encode import VideoSettings, encode_video
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.media.link import LinkPart, link_video
from pytoon_pipeline.media.loudness import RATE
from pytoon_pipeline.media.mp4_boxes import read_boxes
from pytoon_pipeline.media.probe import hash_file
from pytoon_pipeline.media.sound import encode_aac
from pytoon_pipeline.media.sound_decoding import decode_sound
from pytoon_pipeline.picture.yuv import Planes, planes_to_rgb, rgb_to_planes
from pytoon_pipeline.plan.model import RenderSpec, Resolution
from pytoon_pipeline.plan.timeline import build_timeline, frames_of
from pytoon_pipeline.quality.verdicts import CheckVerdict
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.documents import SegmentsDocument, VideoDocument
from pytoon_pipeline.stages.results import judge_video
from pytoon_pipeline.stages.segments import render_segments
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.stages.traces import keep_trace, load_trace

SIZE = "270x480"


def compile_small(folder: Path, services: Services, size: str = SIZE) -> RenderSpec:
    """The plan of a brief, at another resolution than the usual one."""
    usual = compiling._from_brief

    def small(*arguments):
        draft = usual(*arguments)
        draft.spec.resolution = Resolution.model_validate(size)
        return draft

    compiling._from_brief = small
    try:
        return compile_source(find_sources([folder])[0], services)
    finally:
        compiling._from_brief = usual


def write_voice(path: Path, seconds: float = 3.2) -> Path:
    """Words of a sort: bursts of a few tones, each another way, 16-bit."""
    t = np.arange(round(seconds * RATE)) / RATE
    envelope = np.clip(np.sin(2 * np.pi * 2.3 * t + 0.4 * np.sin(5 * t)), 0, 1) ** 0.7
    pitch = 2 * np.pi * np.cumsum(160 + 40 * np.sin(3.1 * t)) / RATE
    tones = np.sin(pitch) + 0.6 * np.sin(3 * pitch) + 0.3 * np.sin(11 * pitch)
    samples = (0.25 * envelope * tones * 32767).astype("<i2")
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


@dataclass
class Good:
    """A finished video that nothing is wrong with, and all that belongs to it."""

    services: Services
    folder: Path
    spec: RenderSpec
    segments: SegmentsDocument
    video: VideoDocument
    made: int = field(default=0)

    @property
    def path(self) -> Path:
        return self.services.store.local(self.video.key)

    @cached_property
    def frames(self) -> list[Planes]:
        return list(read_frames(self.path, 0, self.video.frames))

    @cached_property
    def samples(self) -> np.ndarray:
        return decode_sound(self.path, seconds=60)

    @cached_property
    def track(self) -> Path:
        """Its sound as it was laid, before it was linked."""
        names = self.services.store.keys("sound")
        return self.services.store.local(next(n for n in names if n.endswith(".m4a")))

    def new(self) -> Path:
        self.made += 1
        return self.folder / f"spoiled-{self.made:02d}.mp4"

    def encode(self, frames: list[Planes], rate: int = 30, **settings) -> Path:
        """Other pictures with its sound, in the same settings."""
        part, out = self.folder / "part.mp4", self.new()
        h, w = frames[0][0].shape
        encode_video(
            frames,
            part,
            size=(w, h),
            rate=rate,
            count=len(frames),
            settings=VideoSettings(**settings),
        )
        link_video([LinkPart(part, 0, len(frames))], self.track, out, rate=rate)
        return out

    def sound(self, samples: np.ndarray) -> Path:
        """Its pictures, packet for packet, with other sound."""
        track, out = self.folder / "track.m4a", self.new()
        encode_aac(samples.astype(np.float32), track)
        link_video([LinkPart(self.path, 0, self.video.frames)], track, out, rate=self.video.rate)
        return out

    def by_ffmpeg(self, *options: str) -> Path:
        out = self.new()
        argv = [
            ffmpeg.find_executable(),
            "-v",
            "error",
            "-y",
            "-i",
            str(self.path),
            *options,
            "-fflags",
            "+bitexact",
            "-movflags",
            "+faststart+negative_cts_offsets",
            str(out),
        ]
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
        return out

    def another(self, change: Callable[[RenderSpec], None]) -> Path:
        """The video of a plan that was changed."""
        spec = self.spec.model_copy(deep=True)
        change(spec)
        segments = render_segments(spec, self.services, "other/other")
        video = assemble_video(spec, segments, self.services, "other/other", fresh=False)
        out = self.new()
        shutil.copy(self.services.store.local(video.key), out)
        return out

    def judge(self, path: Path) -> list[CheckVerdict]:
        """The verdicts on a file in place of the good one."""
        key = f"videos/spoiled/{path.stem}/video.mp4"
        self.services.store.put(key, path)
        digest = hash_file(path)
        there = {"key": key, "sha256": digest, "bytes": path.stat().st_size}
        video = self.video.model_copy(update=there)
        return judge_video(self.spec, video, self.services, self.segments)[1]

    def failed(self, path: Path) -> list[str]:
        """Names of the checks that a file in its place fails."""
        try:
            verdicts = self.judge(path)
        except MediaError:
            return ["does not decode"]
        return [v.name for v in verdicts if not v.passed and v.severity == "error"]

    def failed_unread(self, path: Path) -> list[str]:
        """The same, without the comparison of packets with those that were encoded."""
        planned = load_trace(self.services.store, self.video.fingerprint)
        assert planned is not None
        packets, sound_packets = planned.packets, planned.sound_packets
        planned.packets, planned.sound_packets = packets[:0], sound_packets[:0]
        keep_trace(self.services.store, self.video.fingerprint, planned)
        try:
            return self.failed(path)
        finally:
            planned.packets, planned.sound_packets = packets, sound_packets
            keep_trace(self.services.store, self.video.fingerprint, planned)


def make_good(services: Services, folder: Path, size: str = SIZE) -> Good:
    """A brief with pictures, a clip, captions, a badge, a logo, crossfades, music and a voice."""
    brief = folder / "camp" / "good"
    picture(brief / "a.jpg", (720, 1280), hue=(190, 90, 60))
    picture(brief / "b.jpg", (1280, 900), hue=(60, 120, 190))
    clip(brief / "c.mp4", size=(360, 640), rate="30", seconds=2.5)
    write_voice(brief / "voice.wav")
    (brief / "brief.yaml").write_text(
        "preset: editorial\nbrand: morrow\nmedia: [a.jpg, c.mp4, b.jpg]\n"
        "hook: Brighter mornings\nbeats: [Made by hand]\ncta: Order yours\n"
        "badge: Now €36\nvoice: voice.wav\nduration: 8\nend_card: false\n",
        encoding="utf-8",
    )
    spec = compile_small(brief, services, size)
    segments = render_segments(spec, services, "camp/good")
    video = assemble_video(spec, segments, services, "camp/good")
    return Good(services, folder, spec, segments, video)


# --- pictures


def _black_frames(count: int) -> Callable[[Good], Path]:
    def spoil(good: Good) -> Path:
        frames = list(good.frames)
        black = tuple(np.full_like(p, 128 if n else 16) for n, p in enumerate(frames[0]))
        middle = len(frames) // 2
        frames[middle : middle + count] = [black] * count
        return good.encode(frames)

    return spoil


def _each(change: Callable[[Planes], Planes], **settings) -> Callable[[Good], Path]:
    return lambda good: good.encode([change(f) for f in good.frames], **settings)


def _spans(good: Good) -> list[tuple[int, int]]:
    return [(s.start, s.start + s.body) for s in build_timeline(good.spec).spans]


def _doubled(good: Good) -> Path:
    frames, ((a, b), (c, d), *_) = list(good.frames), _spans(good)
    length = min(b - a, d - c)
    frames[c : c + length] = frames[a : a + length]
    return good.encode(frames)


def _missing_segment(good: Good) -> Path:
    a, b = _spans(good)[1]
    return good.encode(good.frames[:a] + good.frames[b:])


def _swapped(good: Good) -> Path:
    spans = _spans(good)
    order = [spans[1], spans[0], *spans[2:]]
    return good.encode([f for a, b in order for f in good.frames[a:b]])


def _frozen(good: Good) -> Path:
    frames = list(good.frames)
    frames[10:46] = [frames[10]] * 36
    return good.encode(frames)


def _stutter(good: Good) -> Path:
    """One frame left out, and a later one shown twice."""
    f, (a, b) = good.frames, _spans(good)[1]
    return good.encode([*f[: a + 20], *f[a + 21 : b - 20], f[b - 21], *f[b - 20 :]])


def _cut_for_crossfade(good: Good) -> Path:
    frames = list(good.frames)
    w = build_timeline(good.spec).windows[0]
    half = w.first + w.count // 2
    frames[w.first : half] = [frames[w.first - 1]] * (half - w.first)
    frames[half : w.first + w.count] = [frames[w.first + w.count]] * (w.first + w.count - half)
    return good.encode(frames)


def _bt601(planes: Planes) -> Planes:
    """Drawn with the coefficients of BT.601, and tagged BT.709."""
    rgb = planes_to_rgb(planes)
    h, w = planes[0].shape
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    y, uv = yuv[:h], yuv[h:].reshape(2, h // 2, w // 2)
    # OpenCV's I420 is BT.601 limited range.
    return np.ascontiguousarray(y), uv[0].copy(), uv[1].copy()


def _full_range(planes: Planes) -> Planes:
    y, u, v = (p.astype(np.float32) for p in planes)
    parts = ((y - 16) * 255 / 219, (u - 128) * 255 / 224 + 128, (v - 128) * 255 / 224 + 128)
    return tuple(np.clip(np.rint(p), 0, 255).astype(np.uint8) for p in parts)


def _squeezed(planes: Planes) -> Planes:
    """Pulled wide: the middle three quarters fill the frame."""
    out = []
    for p in planes:
        h, w = p.shape
        part = np.ascontiguousarray(p[:, w // 8 : w - w // 8])
        out.append(cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR))
    return tuple(out)


def _blurred(planes: Planes) -> Planes:
    return tuple(cv2.GaussianBlur(p, (0, 0), 1.5) for p in planes)


def _grey(planes: Planes) -> Planes:
    return planes[0], np.full_like(planes[1], 128), np.full_like(planes[2], 128)


def _brighter(planes: Planes) -> Planes:
    return np.minimum(planes[0], 249) + np.uint8(6), planes[1], planes[2]


def _red_for_blue(planes: Planes) -> Planes:
    return rgb_to_planes(np.ascontiguousarray(planes_to_rgb(planes)[..., ::-1]))


# --- the plan


def _word_off(spec: RenderSpec) -> None:
    cue = next(c for c in spec.captions if "hand" in c.text.lower())
    cue.text = re.sub("(?i)hand", "land", cue.text)


def _caption_gone(spec: RenderSpec) -> None:
    spec.captions = [c for c in spec.captions if "hand" not in c.text.lower()]


def _caption_low(spec: RenderSpec) -> None:
    for cue in spec.captions:
        x0, y0, x1, y1 = cue.box
        down = spec.resolution.height - y1 - 2
        cue.box = (x0, y0 + down, x1, y1 + down)


def _caption_late(spec: RenderSpec) -> None:
    cue = spec.captions[1]
    late = frames_of(0.5, spec.frame_rate) / spec.frame_rate
    cue.start = round(cue.start + late, 6)


def _price_off(spec: RenderSpec) -> None:
    for overlay in spec.overlays:
        if overlay.text:
            overlay.text = overlay.text.replace("36", "38")


def _badge_gone(spec: RenderSpec) -> None:
    spec.overlays = [o for o in spec.overlays if not o.text]


def _logo_gone(spec: RenderSpec) -> None:
    spec.overlays = [o for o in spec.overlays if o.text]


def _voice_gone(spec: RenderSpec) -> None:
    spec.audio.voice = None


def _music_gone(spec: RenderSpec) -> None:
    spec.audio.music = None


def _plan(change: Callable[[RenderSpec], None]) -> Callable[[Good], Path]:
    return lambda good: good.another(change)


# --- sound


def _sound(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Good], Path]:
    return lambda good: good.sound(change(good.samples))


def _late(samples: np.ndarray, seconds: float = 0.08) -> np.ndarray:
    shift = round(seconds * RATE)
    return np.concatenate([np.zeros((shift, 2), np.float32), samples])[: len(samples)]


def _hole(samples: np.ndarray) -> np.ndarray:
    out = samples.copy()
    out[RATE : RATE + RATE // 3] = 0
    return out


def _clipped(samples: np.ndarray) -> np.ndarray:
    level = float(np.percentile(np.abs(samples), 80))
    return np.clip(samples, -level, level) * (np.sqrt((samples**2).mean()) / level * 1.2)


# --- the container


def _edit_list(good: Good) -> Path:
    return good.by_ffmpeg("-c", "copy", "-movflags", "+faststart")


def _turned(good: Good) -> Path:
    """The track's matrix turns the picture upside down."""
    out = good.new()
    shutil.copy(good.path, out)
    box = next(b for b in read_boxes(out) if b.path == "moov/trak/tkhd" and b.track == 0)
    with open(out, "r+b") as file:
        file.seek(box.start + box.header + 40)
        file.write(
            struct.pack(">9i", -(1 << 16), 0, 0, 0, -(1 << 16), 0, 270 << 16, 480 << 16, 1 << 30)
        )
    return out


def _head(path: str, track: int | None, offset: int, value: bytes) -> Callable[[Good], Path]:
    """Other bytes in a head of the movie or a track, which players heed and decoders don't."""

    def write(good: Good) -> Path:
        out = good.new()
        shutil.copy(good.path, out)
        box = next(b for b in read_boxes(out) if b.path == path and track in (None, b.track))
        with open(out, "r+b") as file:
            file.seek(box.start + box.header + offset)
            file.write(value)
        return out

    return write


def _two_pictures(good: Good) -> Path:
    return good.by_ffmpeg("-map", "0", "-map", "0:v", "-c", "copy", "-use_editlist", "0")


def _other_rate(good: Good) -> Path:
    return good.encode([f for i, f in enumerate(good.frames) if i % 6], rate=25)


def _wrong_tags(good: Good) -> Path:
    return good.by_ffmpeg(
        "-c",
        "copy",
        "-use_editlist",
        "0",
        "-bsf:v",
        "h264_metadata=matrix_coefficients=6:colour_primaries=6:transfer_characteristics=6",
    )


SPOILS: dict[str, Callable[[Good], Path]] = {
    "one frame black": _black_frames(1),
    "three frames black": _black_frames(3),
    "a segment doubled in place of the next": _doubled,
    "a segment missing": _missing_segment,
    "two segments swapped": _swapped,
    "a caption with another word": _plan(_word_off),
    "a caption missing": _plan(_caption_gone),
    "captions outside the zone": _plan(_caption_low),
    "a caption half a second late": _plan(_caption_late),
    "a price with another digit": _plan(_price_off),
    "the badge missing": _plan(_badge_gone),
    "the logo missing": _plan(_logo_gone),
    "a crossfade replaced by a cut": _cut_for_crossfade,
    "frozen for 1.2 s": _frozen,
    "a frame dropped": lambda good: good.encode(good.frames[:70] + good.frames[71:]),
    "a frame dropped and another doubled": _stutter,
    "colours by the matrix of BT.601": _each(_bt601),
    "red and blue swapped": _each(_red_for_blue),
    "full range in place of limited": _each(_full_range),
    "without colour": _each(_grey),
    "brighter by 6 steps": _each(_brighter),
    "turned upside down": _each(lambda f: tuple(np.ascontiguousarray(p[::-1, ::-1]) for p in f)),
    "mirrored": _each(lambda f: tuple(np.ascontiguousarray(p[:, ::-1]) for p in f)),
    "stretched": _each(_squeezed),
    "blurred": _each(_blurred),
    "encoded at a low bit rate": _each(lambda f: f, crf=38.0),
    "another frame rate": _other_rate,
    "another size": _each(
        lambda f: tuple(cv2.resize(p, (p.shape[1] * 2, p.shape[0] * 2)) for p in f)
    ),
    "channels that cancel": _sound(lambda s: s.mean(axis=1, keepdims=True) * [[1, -1]]),
    "one channel silent": _sound(lambda s: s * [[1, 0]]),
    "sound 80 ms late": _sound(_late),
    "sound 25 ms early": _sound(lambda s: np.roll(s, -RATE // 40, axis=0)),
    "sound of another place": _sound(lambda s: np.roll(s, 2 * RATE, axis=0)),
    "6 dB quieter": _sound(lambda s: s * 0.5),
    "clipped": _sound(_clipped),
    "a hole of a third of a second in the sound": _sound(_hole),
    "no sound": _sound(np.zeros_like),
    "without the voice": _plan(_voice_gone),
    "without the music": _plan(_music_gone),
    "an edit list": _edit_list,
    "a matrix that turns the picture": _turned,
    "a sound that is switched off": _head("moov/trak/tkhd", 1, 0, bytes(4)),
    "a sound of no volume": _head("moov/trak/tkhd", 1, 36, bytes(2)),
    "a head that pulls the picture wide": _head(
        "moov/trak/tkhd", 0, 76, struct.pack(">2I", 960 << 16, 540 << 16)
    ),
    "a head that asks for twice the speed": _head("moov/mvhd", None, 20, b"\0\2\0\0"),
    "a second picture": _two_pictures,
    "tagged BT.601": _wrong_tags,
}
"""What is done -> how. Each gives the file that came of it."""
