"""Open clips and sounds with PyAV, and read what their streams and frames say of themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TypedDict

import av
import av.container
import av.stream
from av.buffer import Buffer

from pytoon_pipeline.media.kinds import HEAD_BYTES, demuxers_of
from pytoon_pipeline.media.limits import MAX_ASPECT, MAX_VIDEO_PIXELS, READ_SECONDS
from pytoon_pipeline.media.orientation import UPRIGHT, Orientation, matrix_orientation
from pytoon_pipeline.media.unreadable import corrupt_media_error, out_of_memory_error

# Containers that are opened at all. Playlists and scripts (hls, dash, concat) open other files and
# addresses, so they are not among them.
CLIP_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mxf,ivf,h264,hevc,"
    "mpegvideo,dv,obu,"
    "wav,w64,aiff,caf,mp3,aac,flac,ac3,eac3,amr"
)


# Metadata in another encoding than UTF-8 is no fault. PyAV 19 replaces what it can't read by itself
# and no longer takes the argument.
class _OpenOptions(TypedDict, total=False):
    metadata_errors: str


_LENIENT: _OpenOptions = (
    {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
)
MAY_BE_JOINED = 0x0200
"""Of a container's flags: recordings are joined in it end to end (AVFMT_TS_DISCONT)."""


@contextmanager
def open_clip(path: str | os.PathLike[str]) -> Iterator[av.container.InputContainer]:
    """Open a clip or sound with PyAV and yield its container. Only local files are read, and only
    as the kind that the first bytes name, or as one of `CLIP_FORMATS` where they name none.

    A failure to open raises UnreadableMediaError; failures inside the block pass through unchanged.
    """
    path = Path(path)
    try:
        with open(path, "rb") as f:
            formats = demuxers_of(f.read(HEAD_BYTES)) or CLIP_FORMATS
        options = {
            "protocol_whitelist": "file",
            "format_whitelist": formats,
            # Of the decoders that are asked while the file is being opened.
            "max_pixels": str(MAX_VIDEO_PIXELS),
        }
        container = av.open(f"file:{path}", options=options, timeout=READ_SECONDS, **_LENIENT)
    except MemoryError as e:  # PyAV's own is one, too.
        raise out_of_memory_error(path) from e
    except (av.FFmpegError, OSError, ValueError) as e:
        raise corrupt_media_error(path, shorten_reason(e)) from e
    with container:
        for stream in container.streams:
            if stream.codec_context is not None:
                stream.codec_context.options = {"max_pixels": str(MAX_VIDEO_PIXELS)}
        yield container


def shorten_reason(error: Exception) -> str:
    """Return the words of a PyAV error, without its number and the name of the function that
    failed."""
    return getattr(error, "strerror", None) or str(error)


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """Return the stream that moves, or None. A cover picture of a sound file does not count."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    default = [s for s in streams if s.disposition & av.stream.Disposition.default]
    return next(iter(default or streams), None)


def clip_orientation(frame: av.VideoFrame, before: Orientation = UPRIGHT) -> Orientation:
    """Return how a decoded frame is turned and mirrored for display. What a stream itself says
    (H.264, HEVC) is said once and holds for the frames that follow, until the next keyframe:
    `before` is the orientation of the previous frame."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, Buffer):
        return UPRIGHT if frame.key_frame else before
    return matrix_orientation(bytes(matrix))


def frame_has_alpha(frame: av.VideoFrame) -> bool:
    """Return whether a pixel of this frame can be transparent."""
    return frame.format.name == "pal8" or any(c.is_alpha for c in frame.format.components)


def display_size(
    stream: av.VideoStream, frame: av.VideoFrame, orientation: Orientation
) -> tuple[int, int]:
    """Return the width and height of a frame as displayed: turned, and with square pixels."""
    width, height = frame.width, frame.height
    aspect = stream.sample_aspect_ratio
    if stream.container.format.flags & MAY_BE_JOINED:
        # It may change part way, which only the decoder knows.
        aspect = stream.codec_context.sample_aspect_ratio or aspect
    if aspect and 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
        width = max(1, round(width * aspect))
    return orientation.shown_size(width, height)


def tick_of(stream: av.stream.Stream) -> Fraction:
    """Return the seconds that one tick of a stream's clock takes.

    Raises UnreadableMediaError where the file gives the clock no ticks.
    """
    if stream.time_base is None:
        path = Path(stream.container.name.removeprefix("file:"))
        raise corrupt_media_error(path, "its clock has no ticks")
    return stream.time_base
