"""Master the mix: bring it to its loudness, with its true peaks under the ceiling."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pytoon_pipeline.media.loudness import PEAK_HOP, SILENCE_LUFS, find_peaks, measure_lufs, to_gain
from pytoon_pipeline.media.sound_plan import MixLoudness

_LOOK = 8  # ms the limiter looks either way
_RELEASE_DB = 0.2  # dB a millisecond at which it lets go
CODEC_HEADROOM_DB = 0.3  # what AAC usually adds to the peaks


def _limit_peaks(
    samples: np.ndarray, peaks: np.ndarray, gain_db: float, ceiling_db: float
) -> np.ndarray:
    """`samples` with a static gain, their true peaks held under the ceiling.

    `peaks` are those of `samples` before the gain, by the millisecond. The reduction reaches its
    depth before a peak and is eased over it; the smoothing averages values that all suffice for
    the peaks they reach, so no peak slips through.
    """
    needed = np.minimum(ceiling_db - gain_db - 20 * np.log10(np.maximum(peaks, 1e-9)), 0.0)
    if not len(needed) or needed.min() == 0.0:
        return samples * to_gain(gain_db)
    ms = np.arange(len(needed))
    held = np.minimum.accumulate(needed - _RELEASE_DB * ms) + _RELEASE_DB * ms
    wide = np.pad(held, 2 * _LOOK + 1, mode="edge")
    lowest = sliding_window_view(wide, 2 * (_LOOK + 1) + 1).min(1)
    window = np.bartlett(2 * _LOOK + 3)[1:-1]
    eased = np.convolve(lowest, window / window.sum(), mode="valid")
    level = np.pad(10 ** ((eased + gain_db) / 20), 1, mode="edge").astype(np.float32)[:, None]
    # Linear from the middle of one millisecond to that of the next.
    away = ((np.arange(PEAK_HOP) - (PEAK_HOP - 1) / 2) / PEAK_HOP).astype(np.float32)
    curve = level[1:-1] * (1 - np.abs(away))
    curve += level[:-2] * np.maximum(-away, 0)
    curve += level[2:] * np.maximum(away, 0)
    return samples * curve.reshape(-1, 1)[: len(samples)]


def master_mix(
    samples: np.ndarray, loudness: MixLoudness, ceiling_db: float
) -> tuple[np.ndarray, float, float]:
    """Return the mastered sound, float32 (n, 2), its static gain in dB, and the LU by which it
    stayed below the target."""
    lufs = measure_lufs(samples)
    if lufs <= SILENCE_LUFS:
        return samples, 0.0, 0.0
    peaks = find_peaks(samples)
    gain_db = loudness.target_lufs - lufs
    out = _limit_peaks(samples, peaks, gain_db, ceiling_db)
    short = loudness.target_lufs - measure_lufs(out)
    slope = 1.0
    # The limiter takes loudness away; each round gives it more, by what the last one brought.
    for _ in range(6):
        if abs(short) <= loudness.tolerance / 10:
            break
        step = float(np.clip(short / slope, -6, 6))
        louder = _limit_peaks(samples, peaks, gain_db + step, ceiling_db)
        left = loudness.target_lufs - measure_lufs(louder)
        slope = (short - left) / step
        if slope < 0.1:  # nothing but limiting and noise would come of more
            break
        slope = min(max(slope, 0.25), 1.0)
        out, gain_db, short = louder, gain_db + step, left
    return out, gain_db, short


def master_sound(samples: np.ndarray, loudness: MixLoudness) -> np.ndarray:
    """Return `samples` (n, 2) at the target loudness with its true peaks under the ceiling.

    One static gain and a true-peak limiter, the gain corrected for what the limiter takes; nothing
    that follows the programme, so a ducked bed stays ducked. The peaks stay 0.3 dB under
    `true_peak_db`, for what AAC adds. Silence (`SILENCE_LUFS` or less) is returned as it came.
    Sound so sparse that only heavy limiting would reach the target may stay below it.
    """
    return master_mix(samples, loudness, loudness.true_peak_db - CODEC_HEADROOM_DB)[0]
