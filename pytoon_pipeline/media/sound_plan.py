"""The plan of a sound track, and the report of what was made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

REFERENCE_LUFS = -16.0
"""Voice and music are brought to this loudness before their own `gain_db`: a quiet recording is
heard, and one gain of a preset means the same for every track."""


@dataclass(frozen=True)
class MixMusic:
    """A track under the whole video."""

    path: Path
    gain_db: float = 0.0
    """Against `REFERENCE_LUFS`."""
    start: float = 0.0
    """Seconds into the track at which it is taken up; a loop comes back to here."""
    fade_in_s: float = 0.0
    fade_out_s: float = 1.5
    """Before the end of the video, or of the track where it ends first and does not loop."""
    loop: bool = True
    """Repeat a track that is shorter than the video; else it is followed by silence."""


@dataclass(frozen=True)
class MixVoice:
    """A spoken recording. What runs past the end of the video is cut."""

    path: Path
    start: float = 0.0
    """Seconds of the video at which the recording begins."""
    gain_db: float = 0.0
    """Against `REFERENCE_LUFS`."""


@dataclass(frozen=True)
class MixClipSound:
    """The own sound of a clip, at its own level, for as long as the clip is seen."""

    path: Path
    clip_start_s: float
    """Seconds into the clip."""
    at_sample: int
    """Sample of the video at which it begins."""
    n_samples: int
    gain_db: float = 0.0
    fade_samples: int = 480
    """Of the equal-power fade at either end: two neighbours that overlap by this many samples
    keep their level through the join."""


@dataclass(frozen=True)
class MixDucking:
    """How music and clip sound step back under the voice."""

    depth_db: float = -12.0
    attack_s: float = 0.15
    """The step down takes this long and is complete when the word begins."""
    release_s: float = 0.5
    hold_s: float = 0.3
    """Stay down this long after a word, so that gaps between words are bridged."""
    threshold_db: float = -40.0
    """Level (RMS of 20 ms, dBFS) above which the voice counts as speaking, for a voice at
    `REFERENCE_LUFS`; it moves with the loudness of the voice."""


@dataclass(frozen=True)
class MixLoudness:
    """What the finished sound must measure."""

    target_lufs: float = -14.0
    true_peak_db: float = -1.0
    tolerance: float = 1.0
    """LU either side of the target. What leaves the codec is accepted within half of it."""


@dataclass(frozen=True)
class SoundPlan:
    """All that is heard in a video. With nothing in it, the sound is a silent track."""

    n_samples: int
    music: MixMusic | None = None
    voice: MixVoice | None = None
    clips: tuple[MixClipSound, ...] = ()
    ducking: MixDucking = field(default_factory=MixDucking)
    loudness: MixLoudness = field(default_factory=MixLoudness)


@dataclass(frozen=True)
class SoundRepairNote:
    """What was put right in one of the sounds of a plan."""

    part: str
    """`voice`, `music`, `clip 0` (by its place in the plan), or `mix_sound`."""
    what: str
    """Half a sentence, "its channels cancel ..." or the like."""


@dataclass(frozen=True)
class SoundReport:
    """What was laid, measured on the encoded file."""

    lufs: float
    """Integrated loudness; `SILENCE_LUFS` for a silent track."""
    true_peak_db: float
    gain_db: float
    """The one static gain between mix and limiter."""
    ducked_db: float
    """The deepest that music and clip sound were ducked; 0 without a voice over them."""
    seconds: float
    short_lu: float = 0.0
    """LU by which mastering stayed below the target, since only heavy limiting would reach it."""
    repairs: tuple[SoundRepairNote, ...] = ()
    silent: tuple[str, ...] = ()
    """Parts of the plan in which nothing is to be heard; named as in `SoundRepairNote`."""
    mastered: np.ndarray | None = field(default=None, repr=False, compare=False)
    """What was encoded, float32 (samples, 2)."""
