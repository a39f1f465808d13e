"""The finished file against what was drawn and mastered for it, frame for frame.

Both are traces (`media/trace.py`): one taken where the frames were drawn and the sound was
mastered, one where the finished file was decoded. Encoding moves the mean of a cell by a step or
two; what else differs was not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytoon_pipeline.media.trace import LEVEL_RATE, SKETCH_RATE, FrameTrace

Run = tuple[int, int]
"""First and end."""

FRAME_MEAN = 2.5
"""Steps of luma by which the cells of a frame may differ in the mean ..."""
CELL = 14
"""... and steps by which a single cell may ..."""
MAX_CELLS = 4
"""... of which so many may differ by more (of 1296)."""
CHROMA_MEAN = 2.5
"""Steps of chroma in the mean of a frame ..."""
CHROMA_CELL = 10
"""... and of a single cell ..."""
MAX_CHROMA_CELLS = 5
"""... of which so many may differ by more (of 288)."""

SOUND_WINDOW = 0.25
"""Seconds over which waveforms are compared."""
SOUND_ERROR = 0.25
"""Energy of what differs, as a share of what should be heard (-6 dB)."""
SOUND_FLOOR = 10 ** (-50 / 20)
"""Of full scale, from which a window of the waveform is compared."""
LEVEL_DB = 3
"""By which a level of 10 ms may differ ..."""
LEVEL_FLOOR_DB = -45
"""... where it lies above this ..."""
LEVEL_HOPS = 8
"""... for so many in a row."""
SAME_SOUND = 0.7
"""Correlation from which a shifted sound counts as the same."""
SAME_GAIN = 0.95
"""Correlation from which sound that differs counts as the same, louder or quieter."""
MAX_LAG = 1.0
"""Seconds by which a shift is looked for."""


@dataclass(frozen=True)
class SoundMatch:
    """How a file differs from what was made for it. Runs are of frames, or seconds of sound."""

    frames: tuple[Run, ...] = ()
    """Whose picture is not the one that was drawn."""
    worst: float = 0.0
    """Luma steps, mean of a frame, of the frame that differs most."""
    instead: int | None = None
    """The drawn frame that is seen in place of the first of them, where it is another one's."""
    recoded: tuple[Run, ...] = ()
    """Whose packets are not those that were encoded."""
    sound: tuple[tuple[float, float], ...] = ()
    lag: float | None = None
    """Seconds by which the sound comes late (or early, below 0), where it is the same sound."""
    gain_db: float | None = None
    """How much louder it is than it was mastered."""
    recoded_sound: bool = False


def compare_traces(planned: FrameTrace, found: FrameTrace) -> SoundMatch:
    """Where the finished file (`found`) is not what was made for it (`planned`)."""
    frames, worst = _different_frames(planned, found)
    sound, lag, gain_db = _different_sound(planned, found)
    count = min(len(planned.packets), len(found.packets))
    return SoundMatch(
        frames=tuple(frames),
        worst=worst,
        instead=_shown_instead(planned, found, frames[0][0]) if frames else None,
        recoded=tuple(_hit_runs(planned.packets[:count] != found.packets[:count])),
        sound=sound,
        lag=lag,
        gain_db=gain_db,
        recoded_sound=bool(len(planned.sound_packets))
        and not np.array_equal(planned.sound_packets, found.sound_packets),
    )


def _hit_runs(hit: np.ndarray) -> list[Run]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hit.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _frame_differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(np.int16) - b)


def _different_frames(planned: FrameTrace, found: FrameTrace) -> tuple[list[Run], float]:
    count = min(len(planned.luma), len(found.luma))
    if not count:
        return [], 0.0
    hit = np.zeros(count, bool)
    worst = 0.0
    for first in range(0, count, 256):  # some at a time: a minute takes little memory
        part = slice(first, min(count, first + 256))
        luma = _frame_differences(found.luma[part], planned.luma[part])
        chroma = _frame_differences(found.chroma[part], planned.chroma[part])
        mean = luma.mean(axis=(1, 2))
        worst = max(worst, float(mean.max()))
        hit[part] = (
            (mean > FRAME_MEAN)
            | ((luma > CELL).sum(axis=(1, 2)) > MAX_CELLS)
            | (chroma.mean(axis=(2, 3)).max(axis=1) > CHROMA_MEAN)
            | ((chroma > CHROMA_CELL).sum(axis=(1, 2, 3)) > MAX_CHROMA_CELLS)
        )
    return _hit_runs(hit), worst


def _shown_instead(planned: FrameTrace, found: FrameTrace, frame: int) -> int | None:
    """The drawn frame that the finished file shows at this one, if it is one of the others."""
    seen = found.luma[frame].astype(np.int16)
    means = [
        float(np.abs(planned.luma[i].astype(np.int16) - seen).mean())
        for i in range(len(planned.luma))
    ]
    best = int(np.argmin(means))
    return best if best != frame and means[best] <= FRAME_MEAN / 2 else None


def _different_sound(
    planned: FrameTrace, found: FrameTrace
) -> tuple[tuple[tuple[float, float], ...], float | None, float | None]:
    """(stretches in seconds, lag, gain)."""
    if not len(planned.sketch):
        return (), None, None
    count = len(planned.sketch)
    wanted = planned.sketch.astype(np.float32) / 32767
    heard = np.zeros_like(wanted)
    heard[: min(count, len(found.sketch))] = found.sketch[:count].astype(np.float32) / 32767
    window = round(SOUND_WINDOW * SKETCH_RATE)
    starts = np.arange(0, count, window)
    energy = np.add.reduceat(np.square(wanted), starts).max(axis=1)
    error = np.add.reduceat(np.square(heard - wanted), starts)
    own = np.add.reduceat(np.square(wanted), starts)
    # Either channel counts, where something is to be heard of it.
    floor = window * SOUND_FLOOR**2
    loud = own > floor
    hit = np.asarray((loud & (error > SOUND_ERROR * own)).any(axis=1))
    # What should be silent and is not: against the floor itself.
    hit = np.asarray(hit | (~loud & (error > 4 * floor)).any(axis=1))
    stretches = [(a * SOUND_WINDOW, b * SOUND_WINDOW) for a, b in _hit_runs(hit)]
    hops = min(len(planned.levels), len(found.levels))
    a, b = planned.levels[:hops].astype(np.int16), found.levels[:hops].astype(np.int16)
    off = ((np.abs(a - b) > LEVEL_DB) & (np.maximum(a, b) > LEVEL_FLOOR_DB)).any(axis=1)
    stretches += [
        (first / LEVEL_RATE, end / LEVEL_RATE)
        for first, end in _hit_runs(off)
        if end - first >= LEVEL_HOPS
    ]
    if not stretches or energy.max() < floor:
        return tuple(stretches), None, None
    lag = _measure_lag(wanted.mean(axis=1), heard.mean(axis=1))
    power, there = float(np.square(wanted).sum()), float(np.square(heard).sum())
    shared = float((wanted * heard).sum())
    if lag is not None or shared < SAME_GAIN * np.sqrt(power * there):
        return tuple(stretches), lag, None
    gain = 20 * np.log10(shared / power)
    return tuple(stretches), lag, float(gain) if abs(gain) >= 0.5 else None


def _measure_lag(wanted: np.ndarray, heard: np.ndarray) -> float | None:
    """Seconds by which `heard` comes after `wanted`; None where they don't fit, or fit as they
    are."""
    size = 1 << (len(wanted) + round(MAX_LAG * SKETCH_RATE)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    scores = np.fft.irfft(product, size)
    reach = round(MAX_LAG * SKETCH_RATE)
    around = np.concatenate([scores[-reach:], scores[: reach + 1]])
    best = int(np.argmax(around))
    norm = float(np.sqrt(np.square(wanted).sum() * np.square(heard).sum()))
    if not norm or around[best] / norm < SAME_SOUND or best == reach:
        return None
    return (best - reach) / SKETCH_RATE
