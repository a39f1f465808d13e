"""Takes: the clips that models made, each kept in the store under the hash of all that decided it.
A changed caption or crop finds its take there and costs no GPU."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from pytoon_pipeline.engines.comfyui.sizes import ClipShape
from pytoon_pipeline.errors import EngineFailedError, FfmpegError, StoreError
from pytoon_pipeline.store import Store
from pytoon_pipeline.store.reuse import touch_if_present

_SECONDS = 120
"""For ffmpeg to copy a take."""


@dataclass(frozen=True)
class GeneratedClip:
    path: Path
    shape: ClipShape
    """As it came out: smaller than asked for where the GPU's memory did not suffice."""
    notes: tuple[str, ...]


def find_kept_clip(store: Store, key: str) -> GeneratedClip | None:
    """The take of this name, if there is one."""
    clip, card = f"takes/{key}.mp4", f"takes/{key}.json"
    if not (touch_if_present(store, clip) and touch_if_present(store, card)):
        return None
    try:
        said = json.loads(store.read_bytes(card))
        return GeneratedClip(store.local(clip), ClipShape(**said["shape"]), tuple(said["notes"]))
    except (StoreError, ValueError, KeyError, TypeError):
        return None  # damaged, or gone in between: it is made again


def keep_clip(store: Store, key: str, take: GeneratedClip, about: dict[str, Any]) -> GeneratedClip:
    """Put a take into the store; from there that of whoever put one first, which may be another
    machine's."""
    clip = f"takes/{key}.mp4"
    if not store.put(clip, take.path, once=True):
        first = find_kept_clip(store, key)
        if first is not None:
            return first
        # Its card is not there: not yet, damaged, or whoever put the clip was killed. What counts
        # is the clip, so the card says what that one is.
        try:
            width, height, frames, rate = _measure_clip(store.local(clip), "the store")
        except (EngineFailedError, StoreError):
            store.put(clip, take.path)  # Nobody can use that one.
        else:
            shape = ClipShape(width, height, frames, round(rate))
            take = take if shape == take.shape else replace(take, shape=shape, notes=())
    card = {"shape": asdict(take.shape), "notes": list(take.notes), **about}
    store.put_bytes(f"takes/{key}.json", json.dumps(card, sort_keys=True, indent=1).encode())
    return GeneratedClip(store.local(clip), take.shape, take.notes)


def clean_clip(path: Path, target: Path, server: str) -> Path:
    """A copy without metadata (the servers write the whole graph into it, prompt and all) and
    without sound; the picture untouched. Raises EngineFailedError where it is no video.

    Servers write BT.601, limited range, at every size, and don't say so in the file. The copy says
    it: whoever reads HD that says nothing takes it for BT.709, and reds turn orange.
    """
    from pytoon_pipeline.media import ffmpeg

    _examine_clip(path, server)
    say = _COLOURS.get(_untagged_codec(path) or "")
    argv = [
        "-i",
        ffmpeg.to_ffmpeg_url(path),
        "-map",
        "0:v:0",
        "-c",
        "copy",
        "-map_metadata",
        "-1",
        "-map_chapters",
        "-1",
        *(("-bsf:v", say) if say else ()),
        "-fflags",
        "+bitexact",
        "-movflags",
        "+faststart",
        "-f",
        "mp4",
        ffmpeg.to_ffmpeg_url(target),
    ]
    try:
        ffmpeg.run_ffmpeg(argv, f"copy the take {path.name}", timeout=_SECONDS)
    except FfmpegError as error:
        raise EngineFailedError(
            f"{server} sent a file that is no video.", error.log_tail, transient=True
        ) from error
    return target


def _examine_clip(path: Path, server: str) -> None:
    """Opens it for the first time as media of briefs are: in a process apart, within limits."""
    from pytoon_pipeline.media.probe import probe_media
    from pytoon_pipeline.media.unreadable import UnreadableMediaError

    try:
        kind = probe_media(path).kind
    except UnreadableMediaError as error:
        raise EngineFailedError(
            f"{server} sent a file that is no video.", error.message, transient=True
        ) from error
    if kind != "video":
        raise EngineFailedError(f"{server} sent a file that is no video.", transient=True)


_TAGS = (
    "matrix_coefficients=6:colour_primaries=1:transfer_characteristics=1:video_full_range_flag=0"
)
_COLOURS = {"h264": f"h264_metadata={_TAGS}", "hevc": f"hevc_metadata={_TAGS}"}
_UNSPECIFIED = (0, 2)
"""Numbers of ITU-T H.273 that say nothing of a matrix of YUV."""


def _untagged_codec(path: Path) -> str | None:
    """The codec of a video that does not say its colours; None for one that does, or is none."""
    import av

    from pytoon_pipeline.errors import MediaError
    from pytoon_pipeline.media.clip_file import open_clip, video_stream

    try:
        with open_clip(path) as clip:
            stream = video_stream(clip)
            frame = next(clip.decode(stream), None) if stream else None
            if stream is None or frame is None or frame.colorspace not in _UNSPECIFIED:
                return None
            return stream.codec_context.name
    except (MediaError, av.FFmpegError, OSError, ValueError):
        return None  # `check_clip` says what is wrong with it


def check_clip(path: Path, shape: ClipShape, server: str) -> None:
    """Is it what was asked for? Decodes the whole of it. Raises EngineFailedError."""
    width, height, frames, rate = _measure_clip(path, server, shape)
    # An average over few frames is a little off in some containers.
    if (width, height, frames) != (shape.width, shape.height, shape.frames) or (
        abs(rate - shape.fps) > Fraction(shape.fps, 50)
    ):
        more = "or more " if frames == shape.frames + 1 else ""  # Nobody counted further.
        raise EngineFailedError(
            f"{server} sent {width}x{height}, {frames} {more}frames of {float(rate):g} a second in "
            f"place of {shape}. Check the sizes, frames and fps of the workflow's binding."
        )


def _measure_clip(
    path: Path, server: str, wanted: ClipShape | None = None
) -> tuple[int, int, int, Fraction]:
    """Width, height, frames and frames per second of a clip. Decodes the whole of it, but nothing
    of what has another size than is `wanted`, and no more than one frame too many. Raises
    EngineFailedError where it does not decode."""
    import av

    from pytoon_pipeline.errors import MediaError
    from pytoon_pipeline.media.clip_file import open_clip, shorten_reason, video_stream

    try:
        with open_clip(path) as clip:
            stream = video_stream(clip)
            if stream is None:
                raise EngineFailedError(f"{server} sent a file without a picture.", transient=True)
            width, height = stream.width, stream.height
            rate = Fraction(stream.average_rate or 0)
            if wanted is not None and (width, height) != (wanted.width, wanted.height):
                return width, height, stream.frames, rate
            most = None if wanted is None else wanted.frames + 1
            return width, height, sum(1 for _ in islice(clip.decode(stream), most)), rate
    except (MediaError, av.FFmpegError, OSError, ValueError) as error:
        raise EngineFailedError(
            f"{server} sent a video that does not decode: {shorten_reason(error)}.", transient=True
        ) from error
