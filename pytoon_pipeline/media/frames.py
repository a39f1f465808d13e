"""Read exact frames of files that Pytoon encoded: constant rate, short groups of pictures, planes
as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media.clip_file import open_clip, video_stream
from pytoon_pipeline.media.planes import view_plane

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_frames(path: str | os.PathLike[str], first: int, count: int) -> Iterator[Planes]:
    """Yield `count` frames of a file from number `first` on, decoded from the keyframe before them,
    each as three uint8 planes (copies).

    Raises MediaError when the file is not 8-bit 4:2:0 or ends too early.
    """
    name = os.path.basename(path)
    with open_clip(path) as container:
        stream = video_stream(container)
        if stream is None or not stream.average_rate or not stream.time_base:
            raise MediaError(f"{name} has no picture.")
        stream.thread_type = "AUTO"
        ticks = 1 / (Fraction(stream.average_rate) * stream.time_base)
        origin = stream.start_time or 0
        # Half a frame late, so that rounding in the file never lands a keyframe too early or late.
        container.seek(int(origin + (first + Fraction(1, 2)) * ticks), stream=stream, backward=True)
        wanted = first
        try:
            for frame in container.decode(stream):
                if frame.pts is None:
                    break
                index = round((frame.pts - origin) / ticks)
                if index < wanted:
                    continue
                if index > wanted or frame.format.name != "yuv420p":
                    break
                luma, u, v = frame.planes
                yield _copy_plane(luma), _copy_plane(u), _copy_plane(v)
                wanted += 1
                if wanted == first + count:
                    return
        except av.FFmpegError as error:
            raise MediaError(f"{name}: frame {wanted} does not decode: {error}") from error
    raise MediaError(f"{name}: frame {wanted} is not there, or not 8-bit 4:2:0.")


def _copy_plane(plane: av.video.plane.VideoPlane) -> np.ndarray:
    # The decoder takes its buffer back: what is handed out is a copy.
    return np.array(view_plane(plane), order="C")
