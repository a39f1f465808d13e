"""Survey a clip beyond its first frame: its length, jumps of its clock, changes of its size, fields
and transparency."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pytoon_pipeline.media.clip_file import (
    clip_orientation,
    display_size,
    frame_has_alpha,
    open_clip,
    tick_of,
)
from pytoon_pipeline.media.decoding import decode_frames, decoder_of, is_repeat, says_alpha
from pytoon_pipeline.media.limits import MAX_ALPHA_PIXELS, MAX_PACKETS, SURVEYED_KEYFRAMES
from pytoon_pipeline.media.playback import (
    LEAP,
    STARTS_AGAIN,
    clock_may_leap,
    picture_stream,
)
from pytoon_pipeline.media.unreadable import UnreadableMediaError

_FIRST_FRAMES = 8
"""Looked at for fields and sizes."""
_REORDERED = 1
"""Seconds by which times go back within a clip whose pictures are stored in another order than they
are shown in, where the file does not say when each is decoded."""
_LONG_GAP = 10
"""Seconds without a picture that are worth a word; less is usual where a screen was recorded."""
_SAME_LENGTH = Fraction(1, 8)
"""Seconds by which a container's own word of the length may differ from what its packets show."""


@dataclass
class ClipSurvey:
    """What a survey of a clip found."""

    seconds: Fraction = Fraction(0)
    """From the first picture to the end of the last one, as they are played."""
    starts: list[tuple[Fraction, Fraction, Fraction]] = field(default_factory=list)
    """Where the clock starts again or leaps: second of the clip, and both times of the clock."""
    gaps: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    """Where no picture comes for long: from and to, in seconds of the clip."""
    sizes: tuple[tuple[int, int], ...] = ()
    broken_from: Fraction | None = None
    """Second of the clip from which on its pictures don't decode."""
    tracks: int = 1
    """Pictures that are shown at once, or one after another, in a container that is joined."""
    interlaced: bool = False
    transparent: bool = False

    def settle_length(self, said: float | None) -> float | None:
        """Return the clip's length in seconds: what its header says (`said`), unless its packets
        show another length."""
        if not self.seconds:
            return said
        if (
            said is not None
            and not self.starts
            and abs(self.seconds - Fraction(said)) <= (_SAME_LENGTH)
        ):
            return said
        return float(self.seconds)

    def notes(self) -> tuple[str, ...]:
        """Return what was decided about the clip, in sentences that continue after its name."""
        return tuple(
            f"its clock jumps from {float(before):.1f} s to {float(after):.1f} s at "
            f"{float(at):.1f} s of the clip, as "
            "where recordings are joined end to end; what follows is shown right after."
            for at, before, after in self.starts[:3]
        )

    def warnings(self) -> tuple[tuple[str, str, str], ...]:
        """Return what may not be wanted of the clip: for each a stable code, a sentence that
        continues after the file's name, and a remedy."""
        found = [
            (
                "media.gap",
                f"has no picture between {float(start):.1f} s and {float(end):.1f} s; the one "
                "before it stays.",
                "Cut that part out, or begin later.",
            )
            for start, end in self.gaps[:1]
        ]
        if self.broken_from is not None:
            found.append(
                (
                    "media.broken",
                    f"does not decode from {float(self.broken_from):.1f} s on; what comes before "
                    "that is shown.",
                    "Export it again, or cut out the part that is wanted.",
                )
            )
        if self.tracks > 1:
            found.append(
                (
                    "media.tracks",
                    f"has {self.tracks} tracks of pictures; the first one alone is shown.",
                    "Export it again with the one that is wanted, or join its parts again.",
                )
            )
        if len(self.sizes) > 1:
            named = ", ".join(f"{w}x{h}" for w, h in self.sizes[:4])
            found.append(
                (
                    "media.sizes",
                    f"changes its size part way ({named}); later frames keep their shape inside "
                    "the place of the first.",
                    "Export it again in one size, or cut out the part that is wanted.",
                )
            )
        return tuple(found)


def survey_clip(path: Path) -> ClipSurvey:
    """Read a clip through and return what was found. Only some of its pictures are decoded.

    Raises UnreadableMediaError where it can't be used, and av.FFmpegError where it can't be read at
    all.
    """
    found = ClipSurvey()
    keys = _read_packets(path, found)
    _look_at_keyframes(path, found, keys)
    if found.starts and (found.broken_from is not None or not _share_one_head(path, found)):
        begins = found.broken_from or found.starts[0][0]
        raise UnreadableMediaError(
            "media.corrupt",
            f"{path.name} is of recordings joined end to end, and what follows from "
            f"{float(begins):.1f} s on can't be decoded as the first one is.",
            "Join them with a program for films, or give them as several clips.",
        )
    _look_at_frames(path, found)
    return found


def _read_packets(path: Path, found: ClipSurvey) -> dict[int, Fraction]:
    """The length and the clock, from packets; the numbers of those that begin again (keyframes),
    with the second of the clip that had been reached there."""
    keys: dict[int, Fraction] = {}
    with open_clip(path) as container:
        stream = picture_stream(container, path)
        if clock_may_leap(container):
            found.tracks = len(container.streams.video)
        leaps, tick = clock_may_leap(container), tick_of(stream)
        rate = stream.average_rate or stream.guessed_rate
        usual = 1 / Fraction(rate) if rate else Fraction(0)
        shift: Fraction | None = None  # from the file's clock to seconds of the clip
        last: Fraction | None = None
        # Matroska has no times of decoding; ffmpeg's guesses go astray where parts are joined.
        guessed = container.format.name.startswith("matroska")
        number, timeless, was_ordered = 0, Fraction(0), False
        for packet in _iterate_packets(container, stream):
            if number >= MAX_PACKETS:
                break
            if packet.is_keyframe:
                keys[number] = found.seconds
            number += 1
            if getattr(packet, "is_discard", False):
                continue
            if packet.pts is None:
                timeless += packet.duration * tick if packet.duration else usual
                continue
            begins = packet.pts * tick
            decoded_at = None if guessed else packet.dts
            ordered = decoded_at is not None
            now = begins if decoded_at is None else decoded_at * tick
            lasts = packet.duration * tick if packet.duration else usual
            if shift is None:
                shift = -begins
            elif last is not None:
                ahead = now - last
                # What can be decoded by itself is shown after all that was stored before it.
                sure = ordered and was_ordered or packet.is_keyframe
                back = STARTS_AGAIN if sure else _REORDERED
                if ahead < -back or (leaps and ahead > LEAP):
                    found.starts.append((found.seconds, last, now))
                    shift = found.seconds - begins
                elif ahead > _LONG_GAP or (leaps and ahead > 1):
                    found.gaps.append((found.seconds, begins + shift))
            last, was_ordered = now, ordered
            found.seconds = max(found.seconds, begins + shift + lasts)
        if not found.seconds and timeless:
            found.seconds = timeless  # A bare stream: its pictures follow one another.
    return keys


def _share_one_head(path: Path, found: ClipSurvey) -> bool:
    """Is every recording of a joined Matroska file encoded as the first one says? Of the heads of
    the others nothing is read, and their pictures would come out as garbage."""
    with open_clip(path) as container:
        head = picture_stream(container, path).codec_context.extradata
        if not head or not container.format.name.startswith("matroska"):
            return True
    seen, at = 0, 0
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while (at := data.find(head, at)) >= 0:
            seen, at = seen + 1, at + 1
    return seen > len(found.starts)


def _iterate_packets(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.Packet]:
    try:
        for packet in container.demux(stream):
            if packet.size or is_repeat(packet):
                yield packet
    except av.FFmpegError:
        return  # What came before the fault counts.


def _look_at_keyframes(path: Path, found: ClipSurvey, keys: dict[int, Fraction]) -> None:
    """The sizes of frames that can be decoded by themselves, spread over the clip, and from when on
    they can't be."""
    numbers = list(keys)
    step = max(1.0, len(numbers) / SURVEYED_KEYFRAMES)
    wanted = {numbers[int(n * step)] for n in range(min(len(numbers), SURVEYED_KEYFRAMES))}
    second = Fraction(0)
    sizes: dict[tuple[int, int], None] = {}
    with open_clip(path) as container:
        stream = picture_stream(container, path)
        decode = decoder_of(stream)
        try:
            for number, packet in enumerate(container.demux(stream)):
                if packet.size and number not in wanted:
                    continue
                second = keys.get(number, second)
                for frame in decode(packet):
                    sizes.setdefault(display_size(stream, frame, clip_orientation(frame)))
        except (av.FFmpegError, OSError):
            # Where nothing at all decodes is found by whoever looks at the first frame.
            found.broken_from = second if second else None
    found.sizes = tuple(sizes)


def _look_at_frames(path: Path, found: ClipSurvey) -> None:
    """The first frames: their fields, and whether something of them is transparent."""
    with open_clip(path) as container:
        stream = picture_stream(container, path)
        said, codec = says_alpha(stream), stream.codec_context
        layered = codec.name == "hevc" and _has_second_layer(codec.extradata or b"")
        pixels, fully = 0, True
        try:
            for n, frame in enumerate(decode_frames(container, stream)):
                alpha = frame_has_alpha(frame)
                if n < _FIRST_FRAMES:
                    found.interlaced |= bool(frame.interlaced_frame)
                if (said or layered) and not alpha:
                    raise UnreadableMediaError(
                        "media.not_media",
                        f"{path.name} has transparency of a kind that can't be read here "
                        f"({'HEVC' if layered else codec.name.upper()} with alpha).",
                        "Export it as WebM (VP9 with alpha), ProRes 4444 or animated WebP.",
                    )
                if not alpha and n >= _FIRST_FRAMES:
                    return
                if not alpha:
                    fully = False
                    continue
                pixels += frame.width * frame.height
                least, most = _alpha_extremes(frame)
                found.transparent |= least < 255
                fully = fully and most == 0
                if found.transparent and not fully and n >= _FIRST_FRAMES:
                    return
                if pixels > MAX_ALPHA_PIXELS:
                    found.transparent = True
                    return
        except (av.FFmpegError, OSError):
            return  # A broken tail.
    if fully and pixels:
        raise UnreadableMediaError(
            "media.not_media",
            f"{path.name} is wholly transparent: there is nothing to see in it.",
            "Export it again.",
        )


def _alpha_extremes(frame: av.VideoFrame) -> tuple[int, int]:
    """The least and the most coverage in a frame, 0 to 255."""
    shown = frame.reformat(format="rgba").planes[0]
    pixels = np.frombuffer(memoryview(shown), np.uint8).reshape(-1, shown.line_size)
    alpha = pixels[: shown.height, 3 : shown.width * 4 : 4]
    return int(alpha.min()), int(alpha.max())


def _has_second_layer(record: bytes) -> bool:
    """Do the parameter sets of HEVC (hvcC, ISO 14496-15, 8.3.3) belong to more than one layer? The
    second one is then transparency."""
    if len(record) < 23 or record[0] != 1:
        return False
    at = 23
    for _ in range(record[22]):
        count, at = int.from_bytes(record[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2], "big")
            unit = record[at + 2 : at + 4]
            if len(unit) < 2:
                return False
            if (unit[0] & 1) << 5 | unit[1] >> 3:
                return True
            at += 2 + size
    return False
