"""What a media file is, found out from its content (never from its name), and whether it decodes.

`probe_media` is how a file is opened for the first time, in a process of its own
(`media.sandbox`). Everything that opens a user's file afterwards goes through `open_image`
(`media.image_file`) and `open_clip` (`media.clip_file`), so that the limits, the list of formats
and the wording of what is wrong are in one place.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.stream
from PIL import Image

from pytoon_pipeline.media.clip_file import (
    clip_orientation,
    display_size,
    open_clip,
    shorten_reason,
    tick_of,
    video_stream,
)
from pytoon_pipeline.media.clip_survey import survey_clip
from pytoon_pipeline.media.completeness import says_more_bytes
from pytoon_pipeline.media.decoding import decode_frames
from pytoon_pipeline.media.image_file import IMAGE_FORMATS, image_orientation, open_image
from pytoon_pipeline.media.kinds import HEAD_BYTES
from pytoon_pipeline.media.limits import (
    MAX_ALPHA_PIXELS,
    MAX_CHANNELS,
    MAX_FRAME_RATE,
    MAX_PACKETS,
    MAX_SAMPLE_RATE,
    MAX_SOUND_SECONDS,
    MAX_STREAMS,
    MAX_VIDEO_SECONDS,
    MAX_VIDEO_SIDE,
)
from pytoon_pipeline.media.sniff import NOT_MEDIA, USUAL_REMEDY, sniff_kind
from pytoon_pipeline.media.unreadable import (
    UnreadableMediaError,
    corrupt_media_error,
    is_defect,
    media_too_large_error,
    out_of_memory_error,
)
from pytoon_pipeline.media.webp import read_animation

# Of the picture formats that can move, those that PyAV decodes.
ANIMATED_FORMATS = ("GIF", "PNG")
# Of several pictures in a file of these, the first or the primary one is taken: MPO is what many
# phones write, a JPEG with a second picture behind it, and HEIC may hold a series; the pages of a
# TIFF are no animation either.
_SERIES_FORMATS = ("MPO", "TIFF", "HEIF")

_MOVIE_FORMATS = {"mov": "mp4", "matroska": "matroska", "asf": "wmv"}


@dataclass(frozen=True)
class MediaInfo:
    """What is known of a media file that can be read."""

    kind: str
    """`image`, `video` or `audio`."""
    format: str
    """`jpeg`, `png`, `mp4`, `wav`, ..."""
    width: int | None = None
    """Pixels as displayed: rotated, and with square pixels. None for sound."""
    height: int | None = None
    rotation: int = 0
    """Degrees clockwise, 0, 90, 180 or 270, by which the stored picture is turned for display."""
    mirrored: bool = False
    """The stored picture is mirrored left to right for display, before it is turned."""
    has_alpha: bool = False
    """Some pixel is not opaque; of a long clip, whose format has transparency, it is enough that
    none of its first frames shows otherwise."""
    interlaced: bool = False
    """The first frames of a clip are made of two fields."""
    sizes: tuple[tuple[int, int], ...] = ()
    """Widths and heights, as displayed, that a clip has part way, where these are several."""
    seconds: float | None = None
    frame_rate: Fraction | None = None
    """Average frames per second of a clip."""
    frames: int | None = None
    """Number of frames, where the file says it."""
    has_audio: bool = False
    sample_rate: int | None = None
    channels: int | None = None
    size_bytes: int = 0
    notes: tuple[str, ...] = ()
    """What was decided about the file, in sentences that go on after its name."""
    warnings: tuple[tuple[str, str, str], ...] = ()
    """What may not be wanted of it: a stable code, a sentence that goes on after its name, and a
    remedy."""


def probe_media(path: str | os.PathLike[str]) -> MediaInfo:
    """Return what a media file is. Pictures are decoded whole, clips and sounds up to their first
    frame, in a process of its own whose time and memory are bounded and whose crash does no harm.

    Raises UnreadableMediaError (a MediaError with `code`, `message` and `remedy`).
    """
    from pytoon_pipeline.media import sandbox  # It needs what is in here.

    path = Path(path)
    _file_size(path)
    return sandbox.examine_in_sandbox(path)


def examine_media(path: Path) -> MediaInfo:
    """Return what a media file is, like `probe_media`, but examined in this process."""
    size = _file_size(path)
    with open(path, "rb") as f:
        head = f.read(HEAD_BYTES)
    said = sniff_kind(head)
    if said in NOT_MEDIA:
        name, remedy = NOT_MEDIA[said]
        raise UnreadableMediaError("media.not_media", f"{path.name} is {name}.", remedy)
    if said in IMAGE_FORMATS:
        info = _probe_image(path, size)
        if info is not None:
            return info
    return _probe_clip(path, size, known=said is not None)


def hash_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _file_size(path: Path) -> int:
    try:
        status = path.stat()
    except (OSError, ValueError) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise UnreadableMediaError(
            "media.missing", f"{path.name} can't be opened: {reason}.", "Check the file's name."
        ) from e
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableMediaError("media.missing", f"{path.name} is not a file.", "Name a file.")
    if not os.access(path, os.R_OK):
        raise UnreadableMediaError(
            "media.missing", f"{path.name} may not be read.", "Change the file's permissions."
        )
    if status.st_size == 0:
        raise UnreadableMediaError(
            "media.empty", f"{path.name} is empty (0 bytes).", "Copy or export it again."
        )
    return status.st_size


def _probe_image(path: Path, size: int) -> MediaInfo | None:
    """None for an animation that PyAV can take."""
    with open_image(path) as image:
        format_ = image.format or ""
        if format_ not in _SERIES_FORMATS and getattr(image, "is_animated", False):
            if format_ in ANIMATED_FORMATS:
                return None
            if format_ == "WEBP":
                return _probe_webp(path, size, image)
            raise UnreadableMediaError(
                "media.not_media",
                f"{path.name} is an animated {format_}, which can't be read as a clip.",
                "Convert it to MP4 or GIF.",
            )
        turn = image_orientation(image)
        width, height = image.size
        if format_ != "TIFF":  # Pillow turns a TIFF by itself
            width, height = turn.shown_size(width, height)
        # Reads every byte of a JPEG but keeps only an eighth of it: quick, and a break is found.
        image.draft(image.mode, (image.width // 8, image.height // 8))
        image.load()
        return MediaInfo(
            kind="image",
            format={"MPO": "jpeg", "HEIF": "heic"}.get(format_, format_.lower()),
            width=width,
            height=height,
            rotation=turn.degrees,
            mirrored=turn.mirrored,
            has_alpha=_see_through(image),
            size_bytes=size,
        )


def _probe_webp(path: Path, size: int, image: Image.Image) -> MediaInfo:
    """An animated WebP, as a clip."""
    width, height = image.size
    _check_side(path, width, height)
    animation = read_animation(path)
    count, seconds = len(animation.durations), float(animation.seconds)
    if not count or seconds > MAX_VIDEO_SECONDS:
        raise media_too_large_error(
            f"{path.name} lasts {seconds:.0f} s; {MAX_VIDEO_SECONDS} s are the most.",
            "Cut out the part that is wanted.",
        )
    transparent = False
    for n in range(min(count, max(1, MAX_ALPHA_PIXELS // (width * height)))):
        image.seek(n)
        if image.mode == "RGBA" and _lowest_alpha(image) < 255:
            transparent = True
            break
    return MediaInfo(
        "video",
        "webp",
        width=width,
        height=height,
        has_alpha=transparent,
        seconds=seconds,
        frame_rate=min(Fraction(MAX_FRAME_RATE), count / animation.seconds),
        frames=count,
        size_bytes=size,
    )


def _see_through(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    alpha = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    return _lowest_alpha(alpha) < 255


def _lowest_alpha(image: Image.Image) -> float:
    """The least of a picture's alpha, 0 to 255."""
    low, _ = image.getchannel("A").getextrema()
    # Pillow gives two numbers for one channel, and a pair for each of several.
    return low[0] if isinstance(low, tuple) else low


def _probe_clip(path: Path, size: int, *, known: bool) -> MediaInfo:
    try:
        with open_clip(path) as container:
            return _clip_info(path, size, container)
    except UnreadableMediaError as e:
        if e.code == "media.corrupt" and not known:
            raise UnreadableMediaError(
                "media.not_media",
                f"{path.name} is no picture, clip or sound known here.",
                USUAL_REMEDY,
            ) from e
        raise
    except MemoryError as e:
        raise out_of_memory_error(path) from e
    except (av.FFmpegError, OSError, ValueError, ArithmeticError, AttributeError) as e:
        # The last two: a track without a decoder, a clock of no ticks.
        if is_defect(e):
            raise
        raise corrupt_media_error(path, shorten_reason(e)) from e


_CUT = (
    "media.cut_off",
    "breaks off: its own head says that it is longer. What there is of it is used.",
    "Copy or download it again.",
)


def _clip_info(path: Path, size: int, container: av.container.InputContainer) -> MediaInfo:
    video = video_stream(container)
    audio = next((s for s in container.streams.audio if s.codec_context is not None), None)
    if video is not None:
        return _video_info(path, size, container, video, audio)
    if audio is not None:
        return _audio_info(path, size, container, audio)
    raise corrupt_media_error(path, "it has neither picture nor sound")


def _video_info(
    path: Path,
    size: int,
    container: av.container.InputContainer,
    video: av.VideoStream,
    audio: av.AudioStream | None,
) -> MediaInfo:
    _check_tracks(path, container)
    if video.codec_context is None:
        raise corrupt_media_error(path, "nothing here decodes its picture")
    _check_side(path, video.width, video.height)
    if audio is not None:
        _check_sound(path, audio)
    seen = survey_clip(path)
    seconds = seen.settle_length(_read_stream_length(video))
    _check_length(path, seconds, MAX_VIDEO_SECONDS)
    first = next(decode_frames(container, video), None)
    if first is None:
        raise corrupt_media_error(path, "no frame of it decodes")
    if audio is not None and not _has_sound(path):
        audio = None
    _check_side(path, first.width, first.height)
    turn = clip_orientation(first)
    width, height = display_size(video, first, turn)
    name = container.format.name.split(",")[0]
    return MediaInfo(
        "video",
        _MOVIE_FORMATS.get(name, name),
        width=width,
        height=height,
        rotation=turn.degrees,
        mirrored=turn.mirrored,
        has_alpha=seen.transparent,
        interlaced=seen.interlaced,
        sizes=seen.sizes if len(seen.sizes) > 1 else (),
        seconds=seconds,
        frame_rate=_read_frame_rate(path, video, seconds),
        frames=video.frames or None,
        has_audio=audio is not None,
        sample_rate=audio.rate if audio else None,
        channels=audio.channels if audio else None,
        size_bytes=size,
        notes=seen.notes(),
        warnings=(*_cut_off_warnings(path), *seen.warnings()),
    )


def _audio_info(
    path: Path, size: int, container: av.container.InputContainer, audio: av.AudioStream
) -> MediaInfo:
    _check_tracks(path, container)
    _check_sound(path, audio)
    seconds = _measure_seconds(container, audio)
    _check_length(path, seconds, MAX_SOUND_SECONDS)
    if next(decode_frames(container, audio), None) is None:
        raise corrupt_media_error(path, "no frame of it decodes")
    name = container.format.name.split(",")[0]
    return MediaInfo(
        "audio",
        "m4a" if name == "mov" else name,
        seconds=seconds,
        has_audio=True,
        sample_rate=audio.rate,
        channels=audio.channels,
        size_bytes=size,
        warnings=_cut_off_warnings(path),
    )


def _cut_off_warnings(path: Path) -> tuple[tuple[str, str, str], ...]:
    return (_CUT,) if says_more_bytes(path) else ()


_TRIED = 100
"""Packets of a sound of which one must decode."""


def _has_sound(path: Path) -> bool:
    """Does a clip's track of sound hold any? Raises UnreadableMediaError where it is broken."""
    fault: Exception | None = None
    with open_clip(path) as container:
        stream = next(s for s in container.streams.audio if s.codec_context is not None)
        packets = container.demux(stream)
        for _ in range(_TRIED):
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                if packet.decode():
                    return True
            except av.FFmpegError as error:  # The rest of a sound is heard all the same.
                fault = error
    if fault is not None:
        raise corrupt_media_error(
            path, f"its sound does not decode ({shorten_reason(fault)})"
        ) from fault
    return False


def _check_tracks(path: Path, container: av.container.InputContainer) -> None:
    if len(container.streams) > MAX_STREAMS:
        raise media_too_large_error(
            f"{path.name} has {len(container.streams)} tracks; {MAX_STREAMS} are the most.",
            "Export it with the one picture and the one sound that are wanted.",
        )
    pieces = max(stream.frames for stream in container.streams)
    if pieces > MAX_PACKETS:
        raise media_too_large_error(
            f"{path.name} has a track of {pieces:,} pieces; {MAX_PACKETS:,} are the most.",
            "Export it again, as MP4 with H.264 and AAC.",
        )


def _check_length(path: Path, seconds: float | None, most: int) -> None:
    if seconds is not None and seconds > most:
        raise media_too_large_error(
            f"{path.name} lasts {seconds:.0f} s; {most} s are the most.",
            "Cut out the part that is wanted.",
        )


def _check_side(path: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_VIDEO_SIDE:
        raise media_too_large_error(
            f"{path.name} is {width}x{height} pixels; {MAX_VIDEO_SIDE} a side are the most.",
            "Scale it down; a frame has 1080x1920 pixels.",
        )


def _check_sound(path: Path, audio: av.AudioStream) -> None:
    if audio.channels > MAX_CHANNELS or audio.rate > MAX_SAMPLE_RATE:
        raise media_too_large_error(
            f"{path.name} has sound of {audio.channels} channels and {audio.rate:,} samples a "
            f"second; {MAX_CHANNELS} and {MAX_SAMPLE_RATE:,} are the most.",
            "Export it again, as stereo at 48 kHz.",
        )


def _read_frame_rate(path: Path, video: av.VideoStream, seconds: float | None) -> Fraction | None:
    """Frames a second, as far as the file says something that can be."""
    if seconds and video.frames / seconds > MAX_FRAME_RATE:
        raise media_too_large_error(
            f"{path.name} has {video.frames / seconds:,.0f} frames a second; "
            f"{MAX_FRAME_RATE} are the most.",
            "Export it again, with 60 at most.",
        )
    said = (video.average_rate, video.guessed_rate, video.base_rate)
    return next((Fraction(r) for r in said if r and 0 < r <= MAX_FRAME_RATE), None)


def _read_stream_length(stream: av.stream.Stream) -> float | None:
    """Length of the stream, where its header has it."""
    if stream.duration and stream.duration > 0 and stream.time_base:
        return float(stream.duration * stream.time_base)
    return None


def _measure_seconds(
    container: av.container.InputContainer, stream: av.stream.Stream
) -> float | None:
    """Length of a sound. Files written live don't say theirs: the packets are then read through,
    which decodes nothing, and the file is wound back."""
    said = _read_stream_length(stream)
    if said is not None:
        return said
    if container.duration and container.duration > 0:
        return container.duration / av.time_base
    first, end = None, None
    try:
        packets = itertools.takewhile(lambda p: p.size, container.demux(stream))
        for packet in itertools.islice(packets, MAX_PACKETS):
            if packet.pts is not None:
                first = packet.pts if first is None else min(first, packet.pts)
                end = max(end or packet.pts, packet.pts + (packet.duration or 0))
    except av.FFmpegError:
        pass  # what came before the fault counts
    container.seek(0)
    if first is None or end is None or end <= first:
        return None
    return float((end - first) * tick_of(stream))
