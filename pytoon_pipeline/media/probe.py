"""What a media file is, found out from its content (never from its name), and whether it decodes.

Everything that opens a user's file with Pillow or PyAV goes through `open_image` and `open_clip`,
so that the limits, the list of formats and the wording of what is wrong are in one place.
`probe_media` is how a file is opened for the first time, in a process apart (`media.apart`)."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypedDict, overload

import av
import av.container
import av.stream
import pillow_heif
from av.buffer import Buffer
from PIL import AvifImagePlugin, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media import limits
from pytoon_pipeline.media.completeness import says_more_bytes
from pytoon_pipeline.media.kinds import HEAD_BYTES, demuxers_of
from pytoon_pipeline.media.limits import (
    MAX_ALPHA_PIXELS,
    MAX_ASPECT,
    MAX_BROKEN_START,
    MAX_CHANNELS,
    MAX_FRAME_RATE,
    MAX_IMAGE_PIXELS,
    MAX_IMAGE_SIDE,
    MAX_PACKETS,
    MAX_SAMPLE_RATE,
    MAX_SOUND_SECONDS,
    MAX_STREAMS,
    MAX_TEXT_BYTES,
    MAX_VIDEO_PIXELS,
    MAX_VIDEO_SECONDS,
    MAX_VIDEO_SIDE,
    READ_SECONDS,
)
from pytoon_pipeline.media.orientation import (
    ORIENTATION_TAG,
    UPRIGHT,
    Orientation,
    exif_orientation,
    matrix_orientation,
)

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF", "JPEG2000")
# Of the picture formats that can move, those that PyAV decodes.
ANIMATED_FORMATS = ("GIF", "PNG")
# Of several pictures in a file of these, the first or the primary one is taken: MPO is what many
# phones write, a JPEG with a second picture behind it, and HEIC may hold a series; the pages of a
# TIFF are no animation either.
_SERIES_FORMATS = ("MPO", "TIFF", "HEIF")
# Containers that are opened at all. Playlists and scripts (hls, dash, concat) open other files and
# addresses, so they are not among them.
CLIP_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mxf,ivf,h264,hevc,"
    "mpegvideo,dv,obu,"
    "wav,w64,aiff,caf,mp3,aac,flac,ac3,eac3,amr"
)

# Our own limit holds before a pixel is decoded; Pillow's is a warning, which nobody would read and
# which can't be silenced per thread.
Image.MAX_IMAGE_PIXELS = None
# A picture that breaks off is an error, whatever another library set.
ImageFile.LOAD_TRUNCATED_IMAGES = False
PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_BYTES
# One for each core otherwise, and each has memory of its own.
AvifImagePlugin.DEFAULT_MAX_THREADS = 2
# HEIC, what phones write. Of its parts only the picture is wanted.
pillow_heif.register_heif_opener(
    decode_threads=2, thumbnails=False, depth_images=False, aux_images=False
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
_MOVIE_FORMATS = {"mov": "mp4", "matroska": "matroska", "asf": "wmv"}
_USUAL = "Give a JPEG, PNG or WebP picture, an MP4 clip, or a WAV, MP3 or M4A sound."


class UnreadableMediaError(MediaError):
    """A media file that can't be used, with a stable code, a sentence and a remedy.

    Codes: `media.missing`, `media.empty`, `media.not_media`, `media.corrupt`, `media.too_large`,
    `media.slow`.
    """

    def __init__(self, code: str, message: str, remedy: str):
        self.code, self.message, self.remedy = code, message, remedy
        super().__init__(f"{message} {remedy}".rstrip())


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
    """What `path` is. Pictures are decoded whole, of clips and sounds the first frame; in a process
    of its own, whose time and memory are bounded and whose end does no harm.

    Raises UnreadableMediaError (a MediaError with `code`, `message`, `remedy`).
    """
    from pytoon_pipeline.media import sandbox  # It needs what is in here.

    path = Path(path)
    _file_size(path)
    return sandbox.examine_in_sandbox(path)


def examine_media(path: Path) -> MediaInfo:
    """`probe_media`, in this process."""
    size = _file_size(path)
    with open(path, "rb") as f:
        head = f.read(HEAD_BYTES)
    said = sniff_kind(head)
    if said in _NOT_MEDIA:
        name, remedy = _NOT_MEDIA[said]
        raise UnreadableMediaError("media.not_media", f"{path.name} is {name}.", remedy)
    if said in IMAGE_FORMATS:
        info = _probe_image(path, size)
        if info is not None:
            return info
    return _probe_clip(path, size, known=said is not None)


def hash_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sniff_kind(head: bytes) -> str | None:
    """What the first bytes of a file say it is: a Pillow format, `movie`, `audio`, a name of
    something that is no media (`pdf`, `zip`, `html`, `text`, ...), or None."""
    for what, magics in _MAGIC:
        if head.startswith(magics):
            return what
    if head[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "movie", b"WAVE": "audio"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        brands = _read_brands(head)
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if b"crx " in brands:
            return "raw"
        return "HEIF" if brands & _HEIC_BRANDS else "movie"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "movie"  # QuickTime files of old begin without ftyp
    if head[:1] == b"\x47" and head[188:189] == b"\x47":
        return "movie"  # MPEG transport stream
    return _sniff_text(head)


def _read_brands(head: bytes) -> set[bytes]:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12]} | {head[i : i + 4] for i in range(16, size - 3, 4)}


def _sniff_text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        # The 4096th byte may lie inside a character.
        if e.start < len(head) - 4:
            return None
        text = head[: e.start].decode("utf-8-sig")
    if any(ord(c) < 32 and c not in "\t\n\r\f\x1b" for c in text):
        return None
    start = text.lstrip()[:256].lower()
    if "<svg" in text[:4096].lower() and start.startswith("<"):
        return "svg"
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script")):
        return "html"
    return "text"


_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_MAGIC: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("raw", (b"II*\0\x10\0\0\0CR",)),
    ("JPEG", (b"\xff\xd8\xff",)),
    ("PNG", (b"\x89PNG\r\n\x1a\n",)),
    ("GIF", (b"GIF87a", b"GIF89a")),
    ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("BMP", (b"BM",)),
    (
        "movie",
        (
            b"\x1a\x45\xdf\xa3",
            b"FLV\x01",
            b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
            b"\x00\x00\x01\xba",
            b"\x00\x00\x01\xb3",
            b"DKIF",
        ),
    ),
    (
        "audio",
        (
            b"ID3",
            b"fLaC",
            b"OggS",
            b"FORM",
            b"caff",
            b"riff",
            b"#!AMR",
            b"\x0b\x77",
            b"\xff\xfb",
            b"\xff\xfa",
            b"\xff\xf3",
            b"\xff\xf2",
            b"\xff\xf1",
            b"\xff\xf9",
        ),
    ),
    ("pdf", (b"%PDF",)),
    ("postscript", (b"%!PS", b"\xc5\xd0\xd3\xc6")),
    ("zip", (b"PK\x03\x04", b"PK\x05\x06")),
    (
        "archive",
        (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd"),
    ),
    ("psd", (b"8BPS",)),
    ("JPEG2000", (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("jxl", (b"\x00\x00\x00\x0cJXL ", b"\xff\x0a")),
    ("ico", (b"\x00\x00\x01\x00",)),
    ("raw", (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW")),
    ("office", (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)),
    ("program", (b"\x7fELF", b"MZ")),
    ("lfs", (b"version https://git-lfs",)),
)
_EXPORT = "Export it as JPEG or PNG."
_NOT_MEDIA = {
    "pdf": ("a PDF", "Export its page as PNG or JPEG."),
    "postscript": ("a PostScript file", _EXPORT),
    "zip": ("a zip archive (or an office document)", "Unpack it and give the picture itself."),
    "archive": ("a packed archive", "Unpack it and give the picture itself."),
    "psd": ("a Photoshop document", _EXPORT),
    "jxl": ("a JPEG XL picture, which can't be read here", _EXPORT),
    "svg": ("an SVG drawing, which can't be read here", "Export it as PNG."),
    "raw": ("a camera's raw file, which can't be read here", _EXPORT),
    "ico": ("an icon file", "Export it as PNG."),
    "office": ("an office document", "Export the picture as JPEG or PNG."),
    "program": ("a program", _USUAL),
    "html": ("a web page", "Download the picture or clip itself, not the page that shows it."),
    "lfs": ("a Git LFS pointer, not the file itself", "Run `git lfs pull`."),
    "text": ("a text file", _USUAL),
}


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


def too_large(message: str, remedy: str) -> UnreadableMediaError:
    return UnreadableMediaError("media.too_large", message, remedy)


_OURS = str(Path(__file__).resolve().parents[1])
_CALLED_WRONG = re.compile(r"\(\) (got an unexpected|got multiple|takes|missing) ")


def is_defect(error: BaseException) -> bool:
    """Whether an exception tells of a fault in this program, or of a library that is not as it was,
    rather than of a broken file: a name that is not there, a function that is called wrong. What
    libraries raise in their own lines on broken data is none."""
    if isinstance(error, TypeError) and _CALLED_WRONG.search(str(error)):
        return True
    if not isinstance(error, (TypeError, AttributeError, NameError, ImportError, AssertionError)):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS)


def _greedy_media_error(path: Path) -> UnreadableMediaError:
    return too_large(f"{path.name} needs more memory than a file may.", "Export it again, smaller.")


def _corrupt_media_error(path: Path, reason: object) -> UnreadableMediaError:
    return UnreadableMediaError(
        "media.corrupt",
        f"{path.name} is damaged or breaks off: {str(reason).strip() or 'it does not decode'}.",
        "Copy or export it again.",
    )


# ---------------------------------------------------------------------------------------- pictures


@contextmanager
def open_image(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """A picture opened lazily by Pillow, its size checked against `MAX_IMAGE_PIXELS`.

    Any failure inside the block comes out as UnreadableMediaError, but for defects (`is_defect`).
    """
    path = Path(path)
    try:
        with open(path, "rb") as f, Image.open(f, formats=IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_IMAGE_PIXELS:
                raise too_large(
                    f"{path.name} has {width}x{height} pixels ({width * height / 1e6:.0f} "
                    f"megapixels); {MAX_IMAGE_PIXELS / 1e6:.0f} megapixels are the most.",
                    "Scale it down; a frame has 2 megapixels.",
                )
            if image.format == "TIFF" and _holds_preview(image):
                raise UnreadableMediaError(
                    "media.not_media",
                    f"{path.name} is a camera's raw file (DNG, NEF, ARW, ...), of which only a "
                    "small preview could be shown.",
                    _EXPORT,
                )
            if max(width, height) > MAX_IMAGE_SIDE:
                raise too_large(
                    f"{path.name} is {width}x{height} pixels; {MAX_IMAGE_SIDE:,} a side are the "
                    "most.",
                    "Cut out the part that is wanted.",
                )
            yield image
    except UnreadableMediaError:
        raise
    except MemoryError as e:
        raise _greedy_media_error(path) from e
    except FileNotFoundError as e:
        raise UnreadableMediaError(
            "media.missing", f"{path.name} is not there.", "Check the file's name."
        ) from e
    except UnidentifiedImageError as e:
        if (found := _known_kind(path)) is not None:
            raise UnreadableMediaError(
                "media.not_media",
                f"{path.name} is damaged, or a {found} of a kind that can't be read here.",
                _EXPORT,
            ) from e
        raise _corrupt_media_error(path, "it is not a picture that can be read") from e
    except Exception as e:
        # Pillow's plugins raise nearly anything on broken data: OSError, SyntaxError, ValueError,
        # EOFError, IndexError, struct.error, zlib.error.
        if is_defect(e):
            raise
        raise _corrupt_media_error(path, e) from e


def _holds_preview(image: Image.Image) -> bool:
    """Is the first picture of a TIFF a reduced one of what lies behind it (TIFF 6.0, tag 254), as
    in the raw files of cameras? DNG has a tag of its own (50706)."""
    tags = getattr(image, "tag_v2", {})
    behind = 330 in tags or getattr(image, "n_frames", 1) > 1
    return 50706 in tags or bool(int(tags.get(254) or 0) & 1 and behind)


def _known_kind(path: Path) -> str | None:
    """The picture format that a file's first bytes name."""
    try:
        with open(path, "rb") as file:
            found = sniff_kind(file.read(HEAD_BYTES))
    except OSError:
        return None
    return found if found in IMAGE_FORMATS else None


def image_orientation(image: Image.Image) -> Orientation:
    """How an opened picture is turned for display. What boxes of a HEIC say (`irot`, `imir`) has
    been done by its decoder; those of an AVIF come as EXIF data."""
    return exif_orientation(image.getexif().get(ORIENTATION_TAG, 1))


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
    from pytoon_pipeline.media.webp import read_animation

    width, height = image.size
    _check_side(path, width, height)
    animation = read_animation(path)
    count, seconds = len(animation.durations), float(animation.seconds)
    if not count or seconds > MAX_VIDEO_SECONDS:
        raise too_large(
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


# ------------------------------------------------------------------------------------------- clips


@contextmanager
def open_clip(path: str | os.PathLike[str]) -> Iterator[av.container.InputContainer]:
    """A clip or sound opened by PyAV: local files only, and only as what its first bytes say it is,
    or one of `CLIP_FORMATS` where they say nothing.

    A failure to open comes out as UnreadableMediaError; failures inside the block pass as they are.
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
        raise _greedy_media_error(path) from e
    except (av.FFmpegError, OSError, ValueError) as e:
        raise _corrupt_media_error(path, shorten_reason(e)) from e
    with container:
        for stream in container.streams:
            if stream.codec_context is not None:
                stream.codec_context.options = {"max_pixels": str(MAX_VIDEO_PIXELS)}
        yield container


def shorten_reason(error: Exception) -> str:
    """A PyAV error in a few words, without its number and the function it came from."""
    return getattr(error, "strerror", None) or str(error)


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream that moves, or None: a cover picture of a sound file does not count."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    default = [s for s in streams if s.disposition & av.stream.Disposition.default]
    return next(iter(default or streams), None)


def clip_orientation(frame: av.VideoFrame, before: Orientation = UPRIGHT) -> Orientation:
    """How a decoded frame is turned and mirrored for display. What a stream itself says (H.264,
    HEVC) is said once and holds for the frames that follow, to the next keyframe."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, Buffer):
        return UPRIGHT if frame.key_frame else before
    return matrix_orientation(bytes(matrix))


def frame_has_alpha(frame: av.VideoFrame) -> bool:
    """Can a pixel of this frame be transparent?"""
    return frame.format.name == "pal8" or any(c.is_alpha for c in frame.format.components)


def display_size(
    stream: av.VideoStream, frame: av.VideoFrame, orientation: Orientation
) -> tuple[int, int]:
    """Width and height of a frame as displayed: turned, and with square pixels."""
    width, height = frame.width, frame.height
    aspect = stream.sample_aspect_ratio
    if stream.container.format.flags & MAY_BE_JOINED:
        # It may change part way, which only the decoder knows.
        aspect = stream.codec_context.sample_aspect_ratio or aspect
    if aspect and 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
        width = max(1, round(width * aspect))
    return orientation.shown_size(width, height)


def _probe_clip(path: Path, size: int, *, known: bool) -> MediaInfo:
    try:
        with open_clip(path) as container:
            return _clip_info(path, size, container)
    except UnreadableMediaError as e:
        if e.code == "media.corrupt" and not known:
            raise UnreadableMediaError(
                "media.not_media", f"{path.name} is no picture, clip or sound known here.", _USUAL
            ) from e
        raise
    except MemoryError as e:
        raise _greedy_media_error(path) from e
    except (av.FFmpegError, OSError, ValueError, ArithmeticError, AttributeError) as e:
        # The last two: a track without a decoder, a clock of no ticks.
        if is_defect(e):
            raise
        raise _corrupt_media_error(path, shorten_reason(e)) from e


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
    raise _corrupt_media_error(path, "it has neither picture nor sound")


def _video_info(
    path: Path,
    size: int,
    container: av.container.InputContainer,
    video: av.VideoStream,
    audio: av.AudioStream | None,
) -> MediaInfo:
    from pytoon_pipeline.media.clip_survey import survey_clip  # It needs what is in here.

    _check_tracks(path, container)
    if video.codec_context is None:
        raise _corrupt_media_error(path, "nothing here decodes its picture")
    _check_side(path, video.width, video.height)
    if audio is not None:
        _check_sound(path, audio)
    seen = survey_clip(path)
    seconds = seen.settle_length(_read_stream_length(video))
    _check_length(path, seconds, MAX_VIDEO_SECONDS)
    first = next(decode_frames(container, video), None)
    if first is None:
        raise _corrupt_media_error(path, "no frame of it decodes")
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
        raise _corrupt_media_error(path, "no frame of it decodes")
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
        raise _corrupt_media_error(
            path, f"its sound does not decode ({shorten_reason(fault)})"
        ) from fault
    return False


@overload
def decode_frames(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    repeats: list[int] | None = None,
) -> Iterator[av.VideoFrame]: ...


@overload
def decode_frames(
    container: av.container.InputContainer,
    stream: av.AudioStream,
    repeats: list[int] | None = None,
) -> Iterator[av.AudioFrame]: ...


def decode_frames(
    container: av.container.InputContainer,
    stream: av.VideoStream | av.AudioStream,
    repeats: list[int] | None = None,
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """The frames of a stream, like `container.decode`, but with an end to packets that give none.
    What comes before the first frame that decodes, as where a broadcast was cut into, is passed
    over. Into `repeats` go the times, in ticks, at which those end that only say that the frame
    before stays (`is_repeat`).

    Raises UnreadableMediaError where none comes for `limits.DECODE_SECONDS`; av.FFmpegError.
    """
    since, begun, failed = time.monotonic(), False, 0
    decode = decoder_of(stream)
    for packet in container.demux(stream):
        if repeats is not None and packet.pts is not None and is_repeat(packet):
            repeats.append(packet.pts + (packet.duration or 0))
        try:
            frames = decode(packet)
        except av.InvalidDataError:
            failed += 1
            if begun or failed > MAX_BROKEN_START or not packet.size:
                raise
            continue
        for frame in frames:
            begun = True
            yield frame
            since = time.monotonic()
        if time.monotonic() - since > limits.DECODE_SECONDS:
            raise UnreadableMediaError(
                "media.slow",
                f"{Path(container.name).name}: no picture comes for {limits.DECODE_SECONDS:.0f} s.",
                "Export it again, as MP4 with H.264.",
            )


def is_repeat(packet: av.Packet) -> bool:
    """Does a packet of no bytes say that the frame before it stays, and not that the file ends?"""
    return not packet.size and (packet.pts is not None or packet.dts is not None)


_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def says_alpha(stream: av.stream.Stream) -> bool:
    """Does a WebM or Matroska track say that its transparency comes beside its picture?"""
    return stream.type == "video" and stream.metadata.get("alpha_mode") == "1"


@overload
def decoder_of(stream: av.VideoStream) -> Callable[[av.Packet], list[av.VideoFrame]]: ...


@overload
def decoder_of(stream: av.AudioStream) -> Callable[[av.Packet], list[av.AudioFrame]]: ...


def decoder_of(
    stream: av.VideoStream | av.AudioStream,
) -> Callable[[av.Packet], list[av.VideoFrame]] | Callable[[av.Packet], list[av.AudioFrame]]:
    """Return what makes frames of a stream's packets: its own decoder, unless that one would drop
    the transparency of VP8 and VP9."""
    if isinstance(stream, av.AudioStream):
        sound = stream
        return lambda packet: [] if is_repeat(packet) else sound.decode(packet)
    pictures = stream
    own = stream.codec_context
    name = _ALPHA_DECODERS.get(own.name) if own is not None and says_alpha(stream) else None
    if name is None:
        # Theora and AVI write a frame that is as the one before it as a packet of no bytes, which
        # ffmpeg's decoders refuse.
        return lambda packet: [] if is_repeat(packet) else pictures.decode(packet)
    try:
        context = av.CodecContext.create(name, "r")
    except (av.FFmpegError, ValueError):
        context = None
    if not isinstance(context, av.VideoCodecContext):
        return pictures.decode  # The loss is found when the file is examined.
    context.extradata = own.extradata
    context.thread_count = own.thread_count
    context.options = {"max_pixels": str(MAX_VIDEO_PIXELS)}
    decode = context.decode
    return lambda packet: decode(packet if packet.size else None)


def _check_tracks(path: Path, container: av.container.InputContainer) -> None:
    if len(container.streams) > MAX_STREAMS:
        raise too_large(
            f"{path.name} has {len(container.streams)} tracks; {MAX_STREAMS} are the most.",
            "Export it with the one picture and the one sound that are wanted.",
        )
    pieces = max(stream.frames for stream in container.streams)
    if pieces > MAX_PACKETS:
        raise too_large(
            f"{path.name} has a track of {pieces:,} pieces; {MAX_PACKETS:,} are the most.",
            "Export it again, as MP4 with H.264 and AAC.",
        )


def _check_length(path: Path, seconds: float | None, most: int) -> None:
    if seconds is not None and seconds > most:
        raise too_large(
            f"{path.name} lasts {seconds:.0f} s; {most} s are the most.",
            "Cut out the part that is wanted.",
        )


def _check_side(path: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_VIDEO_SIDE:
        raise too_large(
            f"{path.name} is {width}x{height} pixels; {MAX_VIDEO_SIDE} a side are the most.",
            "Scale it down; a frame has 1080x1920 pixels.",
        )


def _check_sound(path: Path, audio: av.AudioStream) -> None:
    if audio.channels > MAX_CHANNELS or audio.rate > MAX_SAMPLE_RATE:
        raise too_large(
            f"{path.name} has sound of {audio.channels} channels and {audio.rate:,} samples a "
            f"second; {MAX_CHANNELS} and {MAX_SAMPLE_RATE:,} are the most.",
            "Export it again, as stereo at 48 kHz.",
        )


def _read_frame_rate(path: Path, video: av.VideoStream, seconds: float | None) -> Fraction | None:
    """Frames a second, as far as the file says something that can be."""
    if seconds and video.frames / seconds > MAX_FRAME_RATE:
        raise too_large(
            f"{path.name} has {video.frames / seconds:,.0f} frames a second; "
            f"{MAX_FRAME_RATE} are the most.",
            "Export it again, with 60 at most.",
        )
    said = (video.average_rate, video.guessed_rate, video.base_rate)
    return next((Fraction(r) for r in said if r and 0 < r <= MAX_FRAME_RATE), None)


def tick_of(stream: av.stream.Stream) -> Fraction:
    """Return the seconds that one tick of a stream's clock takes.

    Raises UnreadableMediaError where the file gives the clock no ticks.
    """
    if stream.time_base is None:
        path = Path(stream.container.name.removeprefix("file:"))
        raise _corrupt_media_error(path, "its clock has no ticks")
    return stream.time_base


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
