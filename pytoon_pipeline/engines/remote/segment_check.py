"""What a peer sent, held against what was asked for: it is linked into a video packet by packet,
so that a fault here would be a fault there."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pytoon_pipeline.errors import EngineFailedError, MediaError
from pytoon_pipeline.media.clip_file import open_clip, shorten_reason
from pytoon_pipeline.media.mp4_boxes import edit_lists
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.plan.segment_jobs import SegmentJob


def check_segment(path: Path, job: SegmentJob, x264: Mapping[str, Any]) -> None:
    """Decodes all of a segment file. Raises EngineFailedError for the first thing that is wrong
    with it: codec, profile and level (as `x264` has them), size, rate, colours, number of frames,
    keyframes where it will be cut, edit lists, frames that don't decode."""
    profile = str(x264.get("profile", "high")).title()
    level = round(10 * float(x264.get("level", "4.1")))
    try:
        probe_media(path)  # First in a process apart, as all that comes from elsewhere.
        fault = _find_fault(path, job, profile, level)
    except (MediaError, av.FFmpegError, ValueError) as error:
        fault = f"it does not decode: {shorten_reason(error)}"
    if fault:
        raise EngineFailedError(f"what came back is not the segment that was asked for: {fault}")


def _find_fault(path: Path, job: SegmentJob, profile: str, level: int) -> str:
    with open_clip(path) as container:
        streams = list(container.streams)
        kinds = [s.type for s in streams]
        if kinds != ["video"]:
            return f"it holds {', '.join(kinds) or 'nothing'}, not one picture track"
        stream = container.streams.video[0]
        context = stream.codec_context
        # A slice that is damaged is an error here, not something to be painted over.
        context.options = {"err_detect": "explode"}
        stream.thread_type = "AUTO"
        asked = {
            "codec": ("h264", context.name),
            "profile": (profile, context.profile),
            "size": ((job.width, job.height), (context.width, context.height)),
            "pixels": ("yuv420p", context.pix_fmt),
            "rate": (Fraction(job.rate), stream.average_rate),
            "frames": (job.count, stream.frames),
            "range": (1, context.color_range),
            "colours": (1, context.colorspace),
        }
        for what, (wanted, found) in asked.items():
            if found != wanted:
                return f"its {what}: {found}, not {wanted}"
        # The level stands in the fourth byte of the H.264 headers (ISO 14496-15).
        extradata = bytes(context.extradata or b"")
        if len(extradata) < 4 or extradata[3] != level:
            return f"its level: {extradata[3] / 10 if len(extradata) > 3 else None}"
        if edit_lists(path):
            return "it has an edit list"
        return _fault_of_frames(container, stream, job)


def _fault_of_frames(
    container: av.container.InputContainer, stream: av.VideoStream, job: SegmentJob
) -> str:
    if stream.time_base is None:
        return "its clock"
    step = 1 / (job.rate * stream.time_base)
    origin: int | None = None
    number = 0
    needed = set(job.span.keyframes)
    for frame in container.decode(stream):
        origin = frame.pts if origin is None else origin
        if frame.pts is None or origin is None or frame.pts - origin != number * step:
            return f"frame {number} is not shown when it should be"
        if (frame.width, frame.height) != (job.width, job.height):
            return f"frame {number} has another size"
        if number in needed and not frame.key_frame:
            return f"frame {number} is no keyframe, and it will be cut there"
        number += 1
        if number > job.count:
            break
    return "" if number == job.count else f"{number} frames or more decode, not {job.count}"
