"""Encode frames to H.264 with one x264 process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg as ffmpeg_python
import numpy as np

from pytoon_pipeline.errors import RenderError
from pytoon_pipeline.media import ffmpeg

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


# stitchable: headers that don't depend on the content, so that segments can be joined.
# sync-lookahead=0: no lookahead in a thread of its own. With one, runs over equal frames differed
# in some bytes on a busy machine (x264 core 165, 1080x1920, two threads, with and without a cap).
# cpu-independent: the same on every machine, so that any of them can make a segment.
_X264 = "stitchable=1:open-gop=0:force-cfr=1:sync-lookahead=0:cpu-independent=1"


@dataclass(frozen=True)
class VideoSettings:
    """How x264 encodes. All of them decide the bytes, so all belong in a segment's fingerprint,
    and segments with different settings can't be linked."""

    preset: str = "veryfast"
    crf: float = 18.0
    maxrate_kbps: int = 16000
    """Peak bit rate; platforms take no more than 20 Mbps."""
    bufsize_kbps: int = 24000
    profile: str = "high"
    level: str = "4.1"
    gop: int = 30
    """Frames between keyframes, at most."""
    bframes: int = 2
    lookahead: int = 15
    """Frames x264 looks ahead for its rate control; each costs some 5 MB at 1080x1920."""
    threads: int = 2
    """Fixed, never automatic: x264's output depends on it."""


def encode_video(
    frames: Iterable[Planes],
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int],
    rate: Fraction | int,
    count: int,
    keyframes: Sequence[int] = (),
    settings: VideoSettings | None = None,
) -> None:
    """Encode exactly `count` frames of `size` (width, height) at `rate` frames per second to an
    MP4 without sound, with an IDR frame at each index in `keyframes` (and at 0).

    Raises RenderError when `frames` yields fewer or more, or frames of another size; FfmpegError
    when x264 fails. `path` appears whole or not at all.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    stream = encode_graph(
        temporary, size=size, rate=rate, keyframes=keyframes, settings=settings or VideoSettings()
    )
    width, height = size
    shapes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    try:
        done = 0
        with ffmpeg.FfmpegPipe(stream, f"encode {path.name}") as pipe:
            for planes in frames:
                if done == count:
                    raise RenderError(f"{path.name}: more than the {count} frames it should have.")
                if tuple(p.shape for p in planes) != shapes:
                    got = ", ".join(str(p.shape) for p in planes)
                    raise RenderError(f"{path.name}: frame {done} has planes {got}, not {shapes}.")
                for plane in planes:
                    pipe.write(np.ascontiguousarray(plane, dtype=np.uint8))
                done += 1
            if done != count:
                raise RenderError(f"{path.name}: {done} frames came, {count} were to come.")
        with av.open(f"file:{temporary}") as check:
            if check.streams.video[0].frames != count:
                kept = check.streams.video[0].frames
                raise RenderError(f"{path.name}: x264 kept {kept} frames of {count}.")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def encode_graph(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int],
    rate: Fraction | int,
    keyframes: Sequence[int] = (),
    settings: VideoSettings,
) -> Any:
    """Return the ffmpeg-python stream of `encode_video`. Pure."""
    rate = Fraction(rate)
    source = ffmpeg_python.input(
        "pipe:0",
        format="rawvideo",
        pix_fmt="yuv420p",
        video_size=size,
        framerate=str(rate),
    )
    # Only names what the frames are. Without it ffmpeg takes the range as unknown, tags nothing,
    # and players guess.
    tagged = source.filter(
        "setparams", range="tv", color_primaries="bt709", color_trc="bt709", colorspace="bt709"
    ).filter("setsar", 1)
    # Half a frame early, so that no rounding of the clock can move one to the next frame.
    forced = [f"{float(Fraction(2 * k - 1, 2) / rate):.6f}" for k in sorted(set(keyframes)) if k]
    options = {
        "c:v": "libx264",
        "preset": settings.preset,
        "crf": settings.crf,
        "maxrate": f"{settings.maxrate_kbps}k",
        "bufsize": f"{settings.bufsize_kbps}k",
        "profile:v": settings.profile,
        "level:v": settings.level,
        "pix_fmt": "yuv420p",
        "g": settings.gop,
        "bf": settings.bframes,
        "forced-idr": 1,
        "x264-params": f"{_X264}:rc-lookahead={settings.lookahead}",
        "threads": settings.threads,
        "r": str(rate),
        "fps_mode": "cfr",
        "video_track_timescale": rate.numerator * 512,
        "movflags": "+negative_cts_offsets",
        "use_editlist": 0,
        "map_metadata": -1,
        "fflags": "+bitexact",
        "flags:v": "+bitexact",
    }
    if forced:
        options["force_key_frames"] = ",".join(forced)
    return ffmpeg_python.output(tagged, ffmpeg.to_ffmpeg_url(path), format="mp4", **options)
