"""The linker: encoded parts and a sound track to one MP4, packet for packet, nothing decoded."""

from __future__ import annotations

import heapq
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import av.container

from pytoon_pipeline.errors import LinkError, MediaError
from pytoon_pipeline.media.probe import UnreadableMediaError, open_clip, shorten_reason, tick_of

AAC_PRIMING = 1024
"""Samples that ffmpeg's AAC encoder puts before the sound: the first packet of its output."""
AAC_FRAME = 1024
"""Samples per AAC-LC packet."""

_TICKS = 512  # of the video track's clock, per frame


@dataclass(frozen=True)
class LinkPart:
    """Frames [first, first + count) of an encoded file. Both ends lie on a keyframe, or the end."""

    path: Path
    first: int
    count: int


def link_video(
    parts: Sequence[LinkPart],
    audio: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    *,
    rate: Fraction | int,
) -> None:
    """Join `parts` to one MP4 at a constant `rate`, with the AAC-LC file `audio` beside it.

    The packets of the parts are copied as they are; the result has the parts' frames in order,
    `moov` first, no edit list, no dates, and equal bytes for equal input.

    Sound without an edit list: an AAC encoder hands out its first `AAC_PRIMING` samples, one
    packet, before the sound itself, and usually an edit list tells the player to skip them. Here
    that packet is left out instead, so that sample n of what was encoded is heard n / sample rate
    seconds after the first frame in every player, whether it heeds edit lists or not. So `audio`
    is to be a plain .m4a as ffmpeg's native encoder writes it, its content beginning where the
    video begins. The price: the decoder overlaps the first packet with silence instead of the
    priming, which fades in the first 21 ms. Packets past the end of the video are left out, and
    the last one is declared as long as is needed to end with the video.

    Raises LinkError, naming the part, when a part lacks the frames or keyframes it promises, was
    encoded with other settings than the first one, or when the sound ends more than a frame and an
    AAC packet before the video. `out` appears whole or not at all.
    """
    out = Path(out)
    if not parts:
        raise LinkError(f"{out.name}: there is nothing to link.")
    rate = Fraction(rate)
    temporary = out.with_name(f".{out.name}.part")
    try:
        _write_parts(parts, audio, temporary, rate)
        if not is_faststart(temporary) or edit_lists(temporary):
            raise LinkError(f"{out.name}: the muxer wrote an edit list or put the index last.")
        os.replace(temporary, out)
    except (av.FFmpegError, UnreadableMediaError) as e:
        raise LinkError(f"{out.name} can't be linked: {shorten_reason(e)}") from e
    finally:
        temporary.unlink(missing_ok=True)


def _write_parts(
    parts: Sequence[LinkPart], audio: str | os.PathLike[str] | None, path: Path, rate: Fraction
) -> None:
    plans = [_plan_packets(part, rate) for part in parts]
    for part, plan in zip(parts, plans, strict=True):
        if plan.extradata != plans[0].extradata:
            raise LinkError(
                f"{Path(part.path).name} was encoded with other settings than "
                f"{Path(parts[0].path).name}: their H.264 headers differ."
            )
    total = sum(part.count for part in parts)
    delay = max(plan.delay for plan in plans)
    options = {
        # Without an edit list, reordered frames must have their composition offsets below 0 for
        # the first frame to be shown at 0.
        "movflags": "+faststart+negative_cts_offsets",
        "use_editlist": "0",
        "brand": "mp42",
        "fflags": "+bitexact",
        "video_track_timescale": str(rate.numerator * _TICKS),
    }
    with av.open(f"file:{path}", "w", format="mp4", container_options=options) as target:
        with open_clip(parts[0].path) as first:
            video = target.add_stream_from_template(first.streams.video[0])
        tick = video.time_base = 1 / (rate * _TICKS)
        video.metadata.clear()
        tracks = [_video_packets(parts, plans, video, tick, delay)]
        if audio is None:
            _mux_tracks(target, tracks)
            return
        with open_clip(audio) as source:
            stream = next(iter(source.streams.audio), None)
            if stream is None or stream.codec_context.name != "aac":
                raise LinkError(f"{Path(audio).name} has no AAC sound.")
            track = target.add_stream_from_template(stream)
            track.metadata.clear()
            samples = int(Fraction(total * stream.rate) / rate)
            tracks.append(_audio_packets(Path(audio), source, stream, track, samples, rate))
            _mux_tracks(target, tracks)


def _mux_tracks(target: av.container.OutputContainer, tracks: list[Iterator[av.Packet]]) -> None:
    # Every packet of the tracks has its time: `_video_packets` and `_audio_packets` set it.
    for packet in heapq.merge(*tracks, key=lambda p: (p.dts or 0) * p.time_base):
        target.mux_one(packet)


@dataclass(frozen=True)
class _PacketPlan:
    """Of one part: which packets of its file to take, in decoding order."""

    start: int
    """Number of the first packet."""
    frames: tuple[int, ...]
    """Per packet from there on, its frame's place within the part, in order of display."""
    delay: int
    """Frames by which decoding must run ahead of display."""
    extradata: bytes


def _plan_packets(part: LinkPart, rate: Fraction) -> _PacketPlan:
    """Find the part's packets, and prove that they are the part and nothing else."""
    name = Path(part.path).name
    with open_clip(part.path) as source:
        stream = next(iter(source.streams.video), None)
        if stream is None or stream.codec_context.name != "h264":
            raise LinkError(f"{name} has no H.264 video.")
        packets = [(p.pts, p.is_keyframe) for p in source.demux(stream) if p.size]
        step = 1 / (rate * tick_of(stream))
        extradata = bytes(stream.codec_context.extradata or b"")
    times = [pts for pts, _ in packets if pts is not None]
    if len(times) != len(packets):
        raise LinkError(f"{name} has frames without a time.")
    origin = min(times, default=0)
    frames = [(pts - origin) / step for pts in times]
    if sorted(frames) != list(range(len(frames))):
        raise LinkError(f"{name} does not have {rate} frames a second, all of them.")
    keys = {
        int(frame): i
        for i, (frame, (_, key)) in enumerate(zip(frames, packets, strict=True))
        if key
    }
    end = part.first + part.count
    if part.count < 1 or part.first < 0 or end > len(frames):
        raise LinkError(f"{name} has {len(frames)} frames, not {part.first} to {end - 1}.")
    if part.first not in keys or (end != len(frames) and end not in keys):
        raise LinkError(f"{name} can't be cut at frames {part.first} and {end}: no keyframe.")
    start = keys[part.first]
    stop = keys.get(end, len(frames))
    taken = tuple(int(frame) - part.first for frame in frames[start:stop])
    if sorted(taken) != list(range(part.count)):
        raise LinkError(f"{name}: its groups of pictures are not closed at frame {part.first}.")
    delay = max(i - frame for i, frame in enumerate(taken))
    return _PacketPlan(start, taken, delay, extradata)


def _video_packets(
    parts: Sequence[LinkPart],
    plans: list[_PacketPlan],
    stream: av.VideoStream,
    tick: Fraction,
    delay: int,
) -> Iterator[av.Packet]:
    # `tick` is what these times count in; the muxer sets the stream's own clock as it likes.
    base = 0
    for part, plan in zip(parts, plans, strict=True):
        with open_clip(part.path) as source:
            packets = (p for p in source.demux(source.streams.video[0]) if p.size)
            taken = 0
            for i, packet in enumerate(packets):
                if not plan.start <= i < plan.start + part.count:
                    continue
                # In decoding order of the whole video: constant steps, `delay` frames early.
                packet.dts = (base + taken - delay) * _TICKS
                packet.pts = (base + plan.frames[taken]) * _TICKS
                packet.duration = _TICKS
                packet.time_base = tick
                packet.stream = stream
                taken += 1
                yield packet
        if taken != part.count:
            raise LinkError(f"{Path(part.path).name}: {taken} packets came, not {part.count}.")
        base += part.count


def _audio_packets(
    path: Path,
    source: av.container.InputContainer,
    stream: av.AudioStream,
    track: av.AudioStream,
    samples: int,
    rate: Fraction,
) -> Iterator[av.Packet]:
    at = -AAC_PRIMING
    for packet in source.demux(stream):
        if not packet.size or at >= samples:
            continue
        if at >= 0:
            packet.pts = packet.dts = at
            packet.duration = min(AAC_FRAME, samples - at)
            packet.time_base = Fraction(1, stream.rate)
            packet.stream = track
            yield packet
        at += AAC_FRAME
    if samples - at > AAC_FRAME + stream.rate / rate:
        raise LinkError(
            f"{path.name} is {at / stream.rate:.3f} s long, the video {samples / stream.rate:.3f}."
        )


# ------------------------------------------------------------------------------------- MP4 boxes


@dataclass(frozen=True)
class Mp4Box:
    """A box of an MP4 (ISO 14496-12), its place in the file and in the tree."""

    path: str
    """From the top: `moov/trak/edts/elst`."""
    start: int
    """Byte at which its header begins."""
    size: int
    """Bytes, header included."""
    header: int
    """Bytes of the header."""
    track: int | None
    """Number of the `trak` it is in, from 0."""


@dataclass(frozen=True)
class EditListEntry:
    """One entry of an edit list."""

    track: int
    duration: int
    """In ticks of the movie's clock."""
    media_time: int
    """In ticks of the track's clock; -1: nothing is shown for `duration`."""
    rate: float


_MAX_BOXES = 20_000
_DEEPEST = 12
"""Boxes inside each other; the standard's own go down to seven."""
_PARENTS = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"}


def read_boxes(path: str | os.PathLike[str]) -> list[Mp4Box]:
    """The boxes of an MP4 in file order, those inside `moov` included.

    Raises MediaError when the file is no chain of boxes.
    """
    found: list[Mp4Box] = []
    tracks = iter(range(1 << 16))

    def walk_boxes(f: BinaryIO, start: int, end: int, parent: str, track: int | None) -> None:
        while start < end:
            f.seek(start)
            head = f.read(16)
            size, header = int.from_bytes(head[:4], "big"), 8
            if size == 1:
                size, header = int.from_bytes(head[8:16], "big"), 16
            elif size == 0:
                size = end - start
            if len(found) == _MAX_BOXES or parent.count("/") > _DEEPEST:
                raise MediaError(f"{Path(path).name} has more boxes than any MP4 needs.")
            if len(head) < 8 or size < header or start + size > end:
                raise MediaError(f"{Path(path).name} is no whole MP4: a box breaks at {start}.")
            kind = head[4:8]
            inside = next(tracks) if kind == b"trak" else track
            name = parent + kind.decode("latin-1")
            found.append(Mp4Box(name, start, size, header, inside))
            if kind in _PARENTS:
                walk_boxes(f, start + header, start + size, f"{name}/", inside)
            start += size

    with open(path, "rb") as f:
        walk_boxes(f, 0, os.fstat(f.fileno()).st_size, "", None)
    return found


def is_faststart(path: str | os.PathLike[str]) -> bool:
    """The index (`moov`) comes before the media data: playing can begin while the file loads."""
    order = [box.path for box in read_boxes(path) if box.path in ("moov", "mdat")]
    return order[:1] == ["moov"] and "mdat" in order


def edit_lists(path: str | os.PathLike[str]) -> list[EditListEntry]:
    """All entries of all edit lists of an MP4. A player may or may not obey them."""
    edits = []
    with open(path, "rb") as f:
        for box in read_boxes(path):
            if not box.path.endswith("/elst"):
                continue
            f.seek(box.start + box.header)
            body = f.read(min(box.size - box.header, 1 << 20))
            layout = ">Qqhh" if body[:1] == b"\1" else ">Iihh"
            count = int.from_bytes(body[4:8], "big")
            try:
                for i in range(count):
                    at = 8 + i * struct.calcsize(layout)
                    duration, time, whole, part = struct.unpack_from(layout, body, at)
                    edits.append(
                        EditListEntry(box.track or 0, duration, time, whole + part / 65536)
                    )
            except struct.error as e:
                raise MediaError(f"{Path(path).name}: its edit list breaks off.") from e
    return edits
