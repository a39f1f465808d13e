"""Loudness and true peak of samples, after ITU-R BS.1770-4.

Samples are float32 of shape (samples, 2) at 48 kHz, full scale 1.0. Both are computed here, not
asked of ffmpeg: the limiter needs the same oversampled peaks, and the search for the gain measures
several times.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

RATE = 48_000
"""Samples a second of all sound in here and of the finished file."""
SILENCE_LUFS = -70.0
"""The absolute gate of BS.1770-4: what measures no more than this counts as silent."""
SILENCE_PEAK_DB = -120.0
"""What the true peak of digital silence is reported as, so that reports hold numbers only."""

_HOP = RATE // 10  # loudness blocks are 400 ms and begin every 100 ms
_CHUNK = 12 * _HOP  # filtered at once
PEAK_HOP = RATE // 1000  # the grid of true peaks and of the limiter: 1 ms
_TAPS = 32  # of each phase of the interpolation filter
# Products this small stay on one thread in OpenBLAS: on few or busy cores its threads cost five
# times what they save, and the sums do not depend on their number.
_PEAK_ROWS = 16


@lru_cache
def _k_response() -> np.ndarray:
    """The K-weighting of BS.1770-4 (its coefficients for 48 kHz) at the bins of a chunk's FFT."""
    z = np.exp(-2j * np.pi * np.arange((_CHUNK + _HOP) // 2 + 1) / (_CHUNK + _HOP))
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return (shelf * high_pass).astype(np.complex64)


def weigh_energy(samples: np.ndarray) -> np.ndarray:
    """Return the K-weighted energy (sum of squares over both channels) of each 100 ms; the last may
    be part.

    Overlap-save: a chunk is filtered with the 100 ms before it, in which the filter's response has
    died away to 1e-10, so the circular convolution equals the recursive filter.
    """
    chunks = -(-len(samples) // _CHUNK)
    energy = np.zeros((chunks, _CHUNK // _HOP))
    for channel in samples.T:
        padded = np.zeros(_HOP + chunks * _CHUNK, np.float32)
        padded[_HOP : _HOP + len(channel)] = channel
        windows = sliding_window_view(padded, _HOP + _CHUNK)[::_CHUNK]
        for i in range(0, chunks, 8):
            spectrum = np.fft.rfft(windows[i : i + 8]) * _k_response()
            weighted = np.fft.irfft(spectrum, _HOP + _CHUNK)[:, _HOP:]
            hops = weighted.reshape(len(weighted), -1, _HOP)
            energy[i : i + 8] += np.einsum("abc,abc->ab", hops, hops)
    return energy.ravel()[: -(-len(samples) // _HOP)]


def measure_lufs(samples: np.ndarray) -> float:
    """Return the gated loudness of BS.1770-4 in LUFS, `SILENCE_LUFS` at the least.

    Sound shorter than one block of 400 ms has no gated loudness; it is measured whole.
    """
    if not len(samples):
        return SILENCE_LUFS
    energy = weigh_energy(samples)
    if len(samples) < 4 * _HOP:
        power = np.array([energy.sum() / len(samples)])
    else:
        whole = energy[: len(samples) // _HOP]
        power = sliding_window_view(whole, 4).sum(-1) / (4 * _HOP)
    power = power[power > 10 ** ((SILENCE_LUFS + 0.691) / 10)]
    if not len(power):
        return SILENCE_LUFS
    power = power[power > power.mean() / 10]
    return float(-0.691 + 10 * np.log10(power.mean()))


@lru_cache
def _interpolation_matrix() -> np.ndarray:
    """Matrix (inputs, outputs) from 1 ms of samples and their neighbours to 4x oversampled ones."""
    offset = np.arange(_TAPS) - (_TAPS // 2 - 1)
    matrix = np.zeros((PEAK_HOP + _TAPS - 1, 4 * PEAK_HOP), np.float32)
    for phase in range(4):
        t = phase / 4 - offset
        inside = np.clip(1 - (t / (_TAPS / 2)) ** 2, 0, None)
        taps = np.sinc(t) * np.i0(7.0 * np.sqrt(inside)) / np.i0(7.0)
        taps /= taps.sum()
        for i in range(PEAK_HOP):
            matrix[i : i + _TAPS, 4 * i + phase] = taps
    return matrix


def find_peaks(samples: np.ndarray) -> np.ndarray:
    """Return the highest magnitude, of both channels and 4x oversampled, within each
    millisecond."""
    blocks = -(-len(samples) // PEAK_HOP)
    rows = max(-(-blocks // _PEAK_ROWS), 1) * _PEAK_ROWS
    before = _TAPS // 2 - 1
    peaks = np.zeros(rows, np.float32)
    for channel in samples.T:
        padded = np.zeros(rows * PEAK_HOP + _TAPS - 1, np.float32)
        padded[before : before + len(channel)] = channel
        windows = sliding_window_view(padded, PEAK_HOP + _TAPS - 1)[::PEAK_HOP]
        for i in range(0, rows, 64 * _PEAK_ROWS):
            near = np.ascontiguousarray(windows[i : i + 64 * _PEAK_ROWS])
            fine = near.reshape(-1, _PEAK_ROWS, near.shape[1]) @ _interpolation_matrix()
            highest = np.maximum(fine.max(2), -fine.min(2)).ravel()
            np.maximum(peaks[i : i + len(near)], highest, out=peaks[i : i + len(near)])
    return peaks[:blocks]


def to_db(level: float) -> float:
    """Return a level (1.0 is full scale) in dB, `SILENCE_PEAK_DB` at least."""
    return max(20 * math.log10(level), SILENCE_PEAK_DB) if level > 0 else SILENCE_PEAK_DB


def to_gain(db: float) -> np.float32:
    """Return the factor of a gain in dB."""
    return np.float32(10 ** (db / 20))
