"""Decode the frames of a stream from its packets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import overload

import av
import av.container
import av.stream

from pytoon_pipeline.media import limits
from pytoon_pipeline.media.limits import MAX_BROKEN_START, MAX_VIDEO_PIXELS
from pytoon_pipeline.media.unreadable import UnreadableMediaError


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
    """Yield the frames of a stream, like `container.decode`, but give up on packets that produce
    none. Broken packets before the first frame, as where a broadcast was cut, are skipped. The end
    times, in ticks, of packets that only repeat the frame before (`is_repeat`) are added to
    `repeats`.

    Raises UnreadableMediaError where no frame comes for `limits.DECODE_SECONDS`, and
    av.FFmpegError.
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
    """Return whether a packet of no bytes says that the frame before it stays, rather than that the
    file ends."""
    return not packet.size and (packet.pts is not None or packet.dts is not None)


_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def says_alpha(stream: av.stream.Stream) -> bool:
    """Return whether a WebM or Matroska track says that its transparency is stored beside its
    picture."""
    return stream.type == "video" and stream.metadata.get("alpha_mode") == "1"


@overload
def decoder_of(stream: av.VideoStream) -> Callable[[av.Packet], list[av.VideoFrame]]: ...


@overload
def decoder_of(stream: av.AudioStream) -> Callable[[av.Packet], list[av.AudioFrame]]: ...


def decoder_of(
    stream: av.VideoStream | av.AudioStream,
) -> Callable[[av.Packet], list[av.VideoFrame]] | Callable[[av.Packet], list[av.AudioFrame]]:
    """Return the function that decodes a stream's packets to frames: the stream's own decoder, or
    for VP8 and VP9 with transparency one that keeps it."""
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
