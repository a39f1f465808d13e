"""Faults of recordings that spoil measuring or that only some devices play, put right.

Each is found on the decoded samples, float32 (samples, 2) at 48 kHz, before any level is measured,
and put right only where it is found: sound without a fault is returned as it came, sample for
sample. What was done is told in words, for a note that names the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytoon_pipeline.media.loudness import RATE, weigh_energy

MAX_MONO_LOSS_LU = 2.5
"""The mono sum of what is mixed lies at most this far below its stereo loudness. Channels that have
nothing in common lose 3 LU; the finished file is held to that."""

_WILD = np.float32(4.0)  # +12 dBFS, more than any sound means
_MAX_WILD = 1e-3  # share of such samples up to which they are damage, not the scale of the file
_HOP = RATE // 10  # of energies
_SILENT_ENERGY = 10 ** (-90 / 10) * _HOP  # a hop below is silent
_ACTIVE_DB = -20.0  # hops that lie no further below the mean are judged

# Sub-audible: what a Hann window of 120 ms keeps. It is down 3 dB at 6 Hz and has its first zero at
# 17 Hz, so what is subtracted takes less than 0.3 dB from anything at 20 Hz and above.
_SLOW_WINDOW = RATE * 12 // 100
_SLOW_HOP = RATE // 500
_SLOW_SHARE = 0.1  # of the level of the rest (-20 dB), from which it is removed
_SLOW_MIN = 1e-4  # of full scale
_MIN_RUN = RATE // 20
_QUIET_RUN = RATE // 10  # exact zeros that long are no part of a recording

_ONE_SIDED_DB = {True: 15.0, False: 20.0}  # of a voice, and of other sound
_CANCELS_DB = -6.0  # of the mono sum against stereo, from which a moment counts as cancelled
_FLIPPED_SHARE = 0.9  # of the energy that is cancelled, from which a channel is turned over
_CANCELLED_HOPS = 3  # in a row that are put right where the rest is sound
_JOIN = RATE // 20  # crossfade of such a stretch


@dataclass(frozen=True)
class RepairedSound:
    """Samples, and what was put right in them."""

    samples: np.ndarray
    said: tuple[str, ...] = ()


def repair_sound(samples: np.ndarray, *, voice: bool = False) -> RepairedSound:
    """Remove what can't be heard but spoils levels, and repair what only some devices play.

    `samples` may hold values that are not finite. A voice is centred where it lies on one side or
    its channels cancel; other sound keeps its stereo picture where that is sound.
    """
    said: list[str] = []
    samples = replace_damaged(samples, said)
    samples = remove_offset(samples, said)
    samples = repair_channels(samples, said, voice=voice)
    return RepairedSound(samples, tuple(said))


def replace_damaged(samples: np.ndarray, said: list[str]) -> np.ndarray:
    """Replace values that are not finite, or far beyond full scale, by what their neighbours give.

    A file that is beyond full scale throughout (floats in the scale of integers) is scaled down.
    """
    damaged = ~np.isfinite(samples)
    some = bool(damaged.any())
    peaks = np.abs(np.where(damaged, 0, samples)) if some else np.abs(samples)
    wild = peaks > _WILD
    if wild.any():
        if np.count_nonzero(wild) > _MAX_WILD * wild.size:
            said.append("its level lies far beyond full scale; it is brought down")
            samples = samples / np.float32(np.percentile(peaks, 99.9))
            peaks = np.abs(np.where(damaged, 0, samples))
            wild = peaks > _WILD
        damaged |= wild
    if not damaged.any():
        return samples
    if some:
        said.append("some of its samples are not numbers; they are bridged")
    out = np.array(samples, np.float32)
    for channel in range(out.shape[1]):
        bad = damaged[:, channel]
        if bad.all():
            out[:, channel] = 0
        elif bad.any():
            good = np.flatnonzero(~bad)
            out[bad, channel] = np.interp(np.flatnonzero(bad), good, out[good, channel])
    return out


def remove_offset(samples: np.ndarray, said: list[str]) -> np.ndarray:
    """Return the sound without a constant, or one that drifts slower than is heard.

    Stretches of exact zeros (before a recording, between two) are no part of it: the constant is
    taken from what lies between them, so that nothing steps where it begins or ends.
    """
    out = None
    for channel in range(samples.shape[1]):
        signal = samples[:, channel]
        stretches = [(a, b, _moving_mean(signal[a:b])) for a, b in _find_recorded_stretches(signal)]
        slow = fast = 0.0
        for a, b, mean in stretches:
            slow += float(np.square(mean, dtype=np.float64).sum())
            fast += float(np.square(signal[a:b] - mean, dtype=np.float64).sum())
        length = sum(b - a for a, b, _ in stretches)
        if slow <= max(_SLOW_SHARE**2 * fast, _SLOW_MIN**2 * length):
            continue
        if out is None:
            out = np.array(samples, np.float32)
        for a, b, mean in stretches:
            out[a:b, channel] -= mean
    if out is None:
        return samples
    said.append("what can not be heard in it (a constant, or slow swings) is taken away")
    return out


def _find_recorded_stretches(signal: np.ndarray) -> list[tuple[int, int]]:
    """Stretches between runs of exact zeros, as (first, end), but for those that are too short to
    tell a constant from a click."""
    sounding = np.flatnonzero(signal)
    if not len(sounding):
        return []
    breaks = np.flatnonzero(np.diff(sounding) > _QUIET_RUN)
    firsts = sounding[np.concatenate([[0], breaks + 1])]
    ends = sounding[np.concatenate([breaks, [len(sounding) - 1]])] + 1
    return [(a, b) for a, b in zip(firsts.tolist(), ends.tolist(), strict=True) if b - a > _MIN_RUN]


def _moving_mean(part: np.ndarray) -> np.ndarray:
    """The mean of a signal around each sample, over a Hann window; mirrored beyond its ends."""
    if len(part) < _SLOW_WINDOW:
        return np.full(len(part), part.mean(dtype=np.float64), np.float32)
    hop, reach = _SLOW_HOP, _SLOW_WINDOW // 2
    padded = np.pad(part.astype(np.float64), (reach, reach + hop), mode="reflect")
    # Means of 2 ms first, so that the window is short: what they fold down lies 40 dB lower.
    whole = len(padded) // hop
    coarse = padded[: whole * hop].reshape(whole, hop).mean(1)
    window = np.hanning(_SLOW_WINDOW // hop + 2)[1:-1]
    smooth = np.convolve(coarse, window / window.sum(), mode="valid")
    centres = (np.arange(len(smooth)) + len(window) / 2) * hop - 0.5 - reach
    return np.interp(np.arange(len(part)), centres, smooth).astype(np.float32)


@dataclass(frozen=True)
class StereoSides:
    """K-weighted energies of each 100 ms: of either channel and of their mono sum, as loud as it is
    where one loudspeaker plays half of each."""

    left: np.ndarray
    right: np.ndarray
    mono: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """Hops that are judged: bool."""
        both = self.left + self.right
        heard = both > _SILENT_ENERGY
        if not heard.any():
            return heard
        return heard & (both > both[heard].mean() * 10 ** (_ACTIVE_DB / 10))

    @property
    def mono_lu(self) -> float | None:
        """Loudness of the mono sum against that of stereo, of all that is judged; None for
        silence."""
        on = self.active
        if not on.any():
            return None
        return _ratio_db(2 * self.mono[on].sum(), (self.left + self.right)[on].sum())

    @property
    def balance_lu(self) -> float | None:
        """How much louder the left channel is than the right; None for silence."""
        on = self.active
        return _ratio_db(self.left[on].sum(), self.right[on].sum()) if on.any() else None

    def cancelled(self, below_db: float = _CANCELS_DB) -> np.ndarray:
        """Return for each hop whether its mono sum loses more than this: bool."""
        return self.active & (2 * self.mono < (self.left + self.right) * 10 ** (below_db / 10))


def _ratio_db(a: float, b: float) -> float:
    return float(np.clip(10 * np.log10((a + 1e-30) / (b + 1e-30)), -120, 120))


def measure_sides(samples: np.ndarray) -> StereoSides:
    """Return the energies of the two channels and of their sum."""
    left, right = samples[:, :1], samples[:, 1:]
    return StereoSides(weigh_energy(left), weigh_energy(right), weigh_energy((left + right) / 2))


def longest_run(hit: np.ndarray) -> int:
    """Return how many neighbours in a row are true, at most."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hit.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def repair_channels(samples: np.ndarray, said: list[str], *, voice: bool) -> np.ndarray:
    """Return one-sided sound centred, and channels that cancel in mono repaired."""
    if not len(samples) or np.array_equal(samples[:, 0], samples[:, 1]):
        return samples
    sides = measure_sides(samples)
    balance, mono = sides.balance_lu, sides.mono_lu
    if balance is None or mono is None:
        return samples
    louder = 0 if balance >= 0 else 1
    if abs(balance) > _ONE_SIDED_DB[voice]:
        said.append(f"it lies on the {('left', 'right')[louder]} side alone; it is centred")
        return _to_stereo(samples[:, louder])
    energy = (sides.left + sides.right) * sides.active
    whole = energy.sum()
    cancelled = sides.cancelled()
    share = float(energy[cancelled].sum() / whole)
    if voice:
        apart = np.abs(10 * np.log10((sides.left + 1e-12) / (sides.right + 1e-12)))
        by_turns = float(energy[apart > _ONE_SIDED_DB[True]].sum() / whole)
        if by_turns > 0.5:
            said.append("its words lie on one side or the other; they are centred")
            return _to_stereo(samples.sum(axis=1))
        if mono < -MAX_MONO_LOSS_LU or longest_run(cancelled) >= _CANCELLED_HOPS:
            said.append(
                "its channels cancel each other on one loudspeaker; the "
                f"{('left', 'right')[louder]} one is heard on both sides"
            )
            return _to_stereo(samples[:, louder])
        return samples
    if share >= _FLIPPED_SHARE:
        said.append(
            "its channels cancel each other on one loudspeaker; the right one is turned over"
        )
        samples = samples * np.array([1, -1], np.float32)
    elif longest_run(cancelled) >= _CANCELLED_HOPS:
        said.append(
            "its channels cancel each other on one loudspeaker for a while; the "
            f"{('left', 'right')[louder]} one is heard on both sides there"
        )
        samples = _one_where(samples, cancelled, louder)
    else:
        return narrow_sides(samples, said, sides)
    return narrow_sides(samples, said)


def narrow_sides(
    samples: np.ndarray, said: list[str] | None = None, sides: StereoSides | None = None
) -> np.ndarray:
    """Return the difference of the channels made smaller where it takes too much from their mono
    sum."""
    sides = sides or measure_sides(samples)
    loss = sides.mono_lu
    if loss is None or loss >= -MAX_MONO_LOSS_LU:
        return samples
    on = sides.active
    middle = 2 * sides.mono[on].sum()
    side = (sides.left + sides.right)[on].sum() - middle
    kept = 10 ** (-(MAX_MONO_LOSS_LU - 0.2) / 10)
    narrower = np.float32(np.sqrt(max(middle * (1 / kept - 1) / max(side, 1e-30), 0.0)))
    if said is not None:
        said.append("it loses too much on one loudspeaker; its stereo is made narrower")
    centre = samples.mean(axis=1, keepdims=True)
    return centre + (samples - centre) * narrower


def _to_stereo(channel: np.ndarray) -> np.ndarray:
    return np.repeat(np.ascontiguousarray(channel, np.float32)[:, None], 2, axis=1)


def _one_where(samples: np.ndarray, hit: np.ndarray, channel: int) -> np.ndarray:
    """One channel on both sides in the hops that are hit, crossed over within 50 ms."""
    # A hop more on either side, so that the crossing lies outside what is put right.
    wide = np.convolve(hit, [1, 1, 1], mode="same") > 0
    each = np.repeat(wide.astype(np.float32), _HOP)[: len(samples)]
    each = np.pad(each, (0, len(samples) - len(each)), mode="edge")
    weight = _smooth_join(each)[:, None]
    return (samples * (1 - weight) + samples[:, channel : channel + 1] * weight).astype(np.float32)


def _smooth_join(each: np.ndarray) -> np.ndarray:
    """A running mean over the length of a join."""
    padded = np.pad(each.astype(np.float64), (_JOIN // 2, _JOIN - _JOIN // 2), mode="edge")
    sums = np.concatenate([[0.0], np.cumsum(padded)])
    return (sums[_JOIN:] - sums[:-_JOIN])[: len(each)] / _JOIN
