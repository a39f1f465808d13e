"""Mix the sounds of a plan: load them, bring them to one loudness, duck them under the voice and
add them up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media.loudness import RATE, SILENCE_LUFS, measure_lufs, to_db, to_gain
from pytoon_pipeline.media.sound_decoding import decode_unrepaired
from pytoon_pipeline.media.sound_plan import (
    REFERENCE_LUFS,
    MixClipSound,
    MixDucking,
    MixMusic,
    MixVoice,
    SoundPlan,
    SoundRepairNote,
)
from pytoon_pipeline.media.sound_repair import narrow_sides, repair_sound

_QUIETEST_LUFS = -85.0  # what is quieter is the noise of 16 bits
_MUCH_DB = 30.0  # a recording raised by more brings its noise with it


class SoundSources:
    """The sounds of a plan as they are loaded, and what was found out about them."""

    def __init__(self) -> None:
        self.repairs: list[SoundRepairNote] = []
        self.silent: list[str] = []

    def load(
        self, part: str, path: Path, *, seconds: float, start: float = 0.0, voice: bool = False
    ) -> np.ndarray:
        """Return a sound of the plan, float32 (n, 2), with its faults repaired. It may be shorter
        than `seconds`."""
        mended = repair_sound(
            decode_unrepaired(Path(path), seconds=seconds, start=start), voice=voice
        )
        self.repairs += [SoundRepairNote(part, what) for what in mended.said]
        if len(mended.samples) and _loudness_of_quiet(mended.samples) <= _QUIETEST_LUFS:
            self.silent.append(part)
        return mended.samples

    def level(self, part: str, sound: np.ndarray, gain_db: float) -> np.ndarray:
        """Return `sound` at `REFERENCE_LUFS` plus `gain_db`; silence is returned unchanged."""
        lufs = _loudness_of_quiet(sound)
        if lufs <= _QUIETEST_LUFS:
            return sound
        if REFERENCE_LUFS - lufs > _MUCH_DB:
            self.repairs.append(
                SoundRepairNote(
                    part,
                    f"it is very quiet; it is raised by {REFERENCE_LUFS - lufs:.0f} dB, "
                    "and its noise with it",
                )
            )
        return sound * to_gain(REFERENCE_LUFS - lufs + gain_db)


def _loudness_of_quiet(sound: np.ndarray) -> float:
    """Gated loudness, with a gate that lies 40 LU lower where nothing passes the usual one."""
    lufs = measure_lufs(sound)
    return lufs if lufs > SILENCE_LUFS else measure_lufs(sound * np.float32(100)) - 40


_SEAM = RATE  # the longest crossfade of a music loop
_SEAM_FLOOR = 1e-3  # -60 dB below the track's peak: the silence trimmed off the ends of a loop
_EDGE = RATE // 100  # fade of what is cut


def _raised_cosine(n: int) -> np.ndarray:
    """Raised cosine from near 0 to near 1 in `n` samples, (n, 1). Its root is the equal-power
    rise; its mirror image is 1 minus it."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(n, dtype=np.float32) + 0.5) / max(n, 1)))[:, None]


def fade_ends(sound: np.ndarray, fade_in: int, fade_out: int, *, equal_power: bool = False) -> None:
    """Fade both ends of a sound in place, over so many samples. A fade longer than the sound is
    shortened to it."""
    rise = _raised_cosine(min(fade_in, len(sound)))
    fall = _raised_cosine(min(fade_out, len(sound)))[::-1]
    if equal_power:
        rise, fall = np.sqrt(rise), np.sqrt(fall)
    sound[: len(rise)] *= rise
    sound[len(sound) - len(fall) :] *= fall


def _add_to_bus(bus: np.ndarray, sound: np.ndarray, at: int) -> None:
    """Add `sound` at sample `at`; what lies outside the bus is dropped."""
    begin, end = max(at, 0), min(at + len(sound), len(bus))
    if begin < end:
        bus[begin:end] += sound[begin - at : end - at]


def _loop_track(track: np.ndarray, n: int) -> np.ndarray:
    """`track` repeated to `n` samples, its end crossfaded with its beginning at equal power.

    Silence at either end (encoders pad, fades leave tails) is dropped first: it would be heard as
    a hole.
    """
    peaks = np.abs(track).max(1)
    loud = np.flatnonzero(peaks > peaks.max(initial=0.0) * _SEAM_FLOOR)
    if not len(loud):
        return np.zeros((n, 2), np.float32)
    track = track[loud[0] : loud[-1] + 1]
    seam = min(_SEAM, len(track) // 3)
    rise = np.sqrt(_raised_cosine(seam))
    joined = track[len(track) - seam :] * rise[::-1] + track[:seam] * rise
    body = np.concatenate([track[seam : len(track) - seam], joined])
    times = -(-max(n - seam, 0) // len(body))
    return np.concatenate([track[:seam], *[body] * times])[:n]


def _lay_music(music: MixMusic, n: int, heard: SoundSources) -> np.ndarray:
    track = heard.load("music", music.path, start=music.start, seconds=n / RATE)[:n]
    if not len(track):
        raise MediaError(f"{Path(music.path).name}: the music ends before second {music.start:g}.")
    if music.loop and len(track) < n:
        track = _loop_track(track, n)
    track = heard.level("music", track, music.gain_db)
    # A track taken up or cut off in its midst would click.
    fade_in = max(round(music.fade_in_s * RATE), _EDGE if music.start else 0)
    fade_ends(track, fade_in, max(round(music.fade_out_s * RATE), _EDGE))
    return track


def _lay_clip(clip: MixClipSound, part: str, heard: SoundSources) -> np.ndarray:
    seconds = clip.n_samples / RATE
    sound = heard.load(part, clip.path, start=clip.clip_start_s, seconds=seconds)
    sound = sound * to_gain(clip.gain_db)
    fade_ends(sound, clip.fade_samples, clip.fade_samples, equal_power=True)
    return sound


def _lay_voice(voice: MixVoice, n: int, heard: SoundSources) -> np.ndarray:
    """The voice on a track of its own, (n, 2), at `REFERENCE_LUFS`, without its own gain."""
    at = round(voice.start * RATE)
    sound = heard.load("voice", voice.path, seconds=(n - at) / RATE, voice=True)
    if not len(sound):
        heard.silent.append("voice")
    sound = heard.level("voice", sound, 0.0)
    fade_ends(sound, _EDGE, _EDGE)
    track = np.zeros((n, 2), np.float32)
    _add_to_bus(track, sound, at)
    return track


_DUCK_HOP = RATE // 100  # the voice is judged every 10 ms, over 20 ms


def _detect_speech(voice: np.ndarray, threshold_db: float) -> np.ndarray:
    """Whether the voice speaks around each multiple of 10 ms: bool (hops + 1,).

    The threshold lies as far from the voice's loudness as `threshold_db` lies from
    `REFERENCE_LUFS`. A noisy recording raises it to 6 dB above its quiet parts (the lowest tenth),
    though never so far (12 dB below the loudness) that words would fall under it.
    """
    hops = -(-len(voice) // _DUCK_HOP)
    lufs = measure_lufs(voice)
    if lufs <= SILENCE_LUFS:
        return np.zeros(hops + 1, bool)
    squares = np.zeros(hops * _DUCK_HOP, np.float32)
    squares[: len(voice)] = np.square(voice).mean(1)
    power = squares.reshape(-1, _DUCK_HOP).mean(1)
    power = (power + np.append(power[1:], 0)) / 2  # hop i and the next: 20 ms
    level = 10 * np.log10(power + 1e-12)
    threshold = lufs + threshold_db - REFERENCE_LUFS
    heard = level[level > lufs - 60]  # the silence around a placed voice is no recording
    if len(heard):
        threshold = max(threshold, min(np.percentile(heard, 10) + 6, lufs - 12))
    loud = level > threshold
    # A loud 20 ms touches three points of the grid: its begin, middle and end.
    at = np.zeros(hops + 3, bool)
    for shift in range(3):
        at[shift : shift + hops] |= loud
    return at[: hops + 1]


def duck_curve(voice: np.ndarray, ducking: MixDucking) -> np.ndarray:
    """Return the gain, float32 (n,), of all that lies under `voice` (n, 2).

    Linear in dB on either side: down within `attack_s` before a word, at `depth_db` from its first
    sample until `hold_s` after its last, then up within `release_s`. Where a word comes before the
    release is over, the deeper of the two ramps holds.
    """
    speaking = _detect_speech(voice, ducking.threshold_db)
    if not speaking.any():
        return np.ones(len(voice), np.float32)
    step = _DUCK_HOP / RATE
    i = np.arange(len(speaking), dtype=np.float64)
    last = np.maximum.accumulate(np.where(speaking, i, -np.inf))
    following = np.minimum.accumulate(np.where(speaking, i, np.inf)[::-1])[::-1]
    since = np.maximum((i - last) * step - ducking.hold_s, 0)
    until = (following - i) * step
    down = np.maximum(1 - until / max(ducking.attack_s, step), 0)
    up = np.maximum(1 - since / max(ducking.release_s, step), 0)
    depth = ducking.depth_db * np.maximum(down, up)
    curve = np.interp(np.arange(len(voice)) / _DUCK_HOP, i, depth)
    return (10 ** (curve / 20)).astype(np.float32)


def mix_plan(plan: SoundPlan, heard: SoundSources) -> tuple[np.ndarray, float]:
    """Return the mix of a plan, float32 (n_samples, 2), and the deepest ducking in dB."""
    n = plan.n_samples
    under = np.zeros((n, 2), np.float32)
    if plan.music:
        _add_to_bus(under, _lay_music(plan.music, n, heard), 0)
    for i, clip in enumerate(plan.clips):
        _add_to_bus(under, _lay_clip(clip, f"clip {i}", heard), clip.at_sample)
    ducked_db = 0.0
    if plan.voice:
        voice = _lay_voice(plan.voice, n, heard)
        if plan.music or plan.clips:
            curve = duck_curve(voice, plan.ducking)
            under *= curve[:, None]
            ducked_db = to_db(float(curve.min(initial=1.0)))
        under += voice * to_gain(plan.voice.gain_db)
    # Sounds that are each sound by themselves may still be played against each other.
    said: list[str] = []
    mixed = narrow_sides(under, said)
    heard.repairs += [SoundRepairNote("mix", what) for what in said]
    return mixed, ducked_db


def mix_sound(plan: SoundPlan) -> np.ndarray:
    """Return all sounds of the plan together, float32 (plan.n_samples, 2), not mastered: it may
    exceed 1.

    Raises MediaError when a file of the plan holds no sound.
    """
    return mix_plan(plan, SoundSources())[0]
