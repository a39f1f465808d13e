"""Link encoded parts and a sound track to one MP4. Packets are copied and nothing is decoded."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container

from pytoon_pipeline.errors import LinkError
from pytoon_pipeline.media.clip_file import open_clip, shorten_reason, tick_of
from pytoon_pipeline.media.mp4_boxes import edit_lists, is_faststart
from pytoon_pipeline.media.unreadable import UnreadableMediaError

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
