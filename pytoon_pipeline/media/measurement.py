"""The measurement of a finished video, as plain numbers without judgement."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pytoon_pipeline.media.mp4_boxes import EditListEntry


@dataclass(frozen=True)
class VideoMeasurement:
    """The video track. The lists have one number per frame, of a grid of pixels (every eighth, each
    way, of 1080x1920), and are limited-range luma."""

    codec: str
    profile: str | None
    level: str | None
    """`4.1`"""
    pixel_format: str
    width: int
    height: int
    sample_aspect_ratio: str
    """`1:1`; `0:1` where the file says nothing."""
    frame_rate: str
    """`30`, or `30000/1001`"""
    constant_rate: bool
    """All frames are equally far apart."""
    frames: int
    start: float
    """Seconds at which the first frame is shown."""
    seconds: float
    bit_rate: int
    """Bits per second, mean."""
    peak_bit_rate: int
    """Bits per second in the fullest second."""
    color_range: str
    color_primaries: str
    color_transfer: str
    color_matrix: str
    turned: bool
    """The container asks players to turn, mirror or shift the picture."""
    keyframes: int
    max_gop: int
    """Frames from a keyframe to the next (or the end), at most."""
    b_frames: int
    max_b_run: int
    """B-frames in a row, at most."""
    luma: list[float]
    """Mean, 0..255."""
    dark: list[float]
    """Share of pixels with luma up to `DARK`, 0..1."""
    change: list[float]
    """Mean absolute difference to the frame before, in luma steps; 0 for the first."""
    flash: list[float]
    """Share of the frame that has just turned brighter by `FLASH_CHANGE`, less the share that has
    turned darker, -1..1: what moves past brightens here as it darkens there, what flashes does
    not."""


@dataclass(frozen=True)
class AudioMeasurement:
    """The first sound track. Loudness by ITU-R BS.1770-4 and EBU R 128, None where there is none
    (silence, or less than a block of 0.4 s)."""

    codec: str
    profile: str | None
    sample_rate: int
    channels: int
    start: float
    seconds: float
    bit_rate: int | None
    integrated_lufs: float | None
    loudness_range_lu: float | None
    true_peak_dbtp: float | None
    longest_silence: float
    """Seconds in a row below `SILENCE_DB`."""
    momentary: list[float]
    """LUFS of the last 0.4 s, every 0.1 s; -120 and below is silence."""
    mono_lu: float | None
    """Loudness of the mono sum, (left + right) / 2 on both sides, against that of stereo."""
    mono_lost_seconds: float
    """The longest in a row for which the mono sum lies 10 LU or more below stereo."""
    balance_lu: float | None
    """How much louder the left channel is than the right."""
    even: bool
    """Packets follow each other without a gap."""


@dataclass(frozen=True)
class Measurement:
    """A finished file. `as_dict` is plain JSON."""

    container: str
    size_bytes: int
    seconds: float
    """The container's own length."""
    faststart: bool
    edits: list[EditListEntry]
    audio_tracks: int
    video: VideoMeasurement | None
    audio: AudioMeasurement | None
    heads: list[str] = field(default_factory=list)
    """What the heads of an MP4 ask of players beside playing one picture and one sound as they are:
    half sentences."""

    def as_dict(self) -> dict[str, Any]:
        """Return the measurement as plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurement:
        """Return the measurement that `as_dict` wrote."""
        video, audio = data["video"], data["audio"]
        return cls(
            **{
                **data,
                "edits": [EditListEntry(**e) for e in data["edits"]],
                "video": VideoMeasurement(**video) if video else None,
                "audio": AudioMeasurement(**audio) if audio else None,
            }
        )
