#!/usr/bin/env python3
"""Compose and render Pytoon's four royalty-free music loops.

    python presets/music/make_music.py            # render everything next to this file
    python presets/music/make_music.py warm drive # render some (the ledger keeps the rest)
    python presets/music/make_music.py --check    # print the note tables, render nothing

Everything is synthesised from arithmetic and seeded random numbers: no samples, no
downloads.  It needs numpy, and the ffmpeg binary of ``imageio_ffmpeg`` for FLAC encoding.

How the loops stay seamless
---------------------------
A track is a *circle* of N samples.  Notes are written modulo N, so a tail that runs past
the end lands on the start.  Filters, reverb, delay and tape wow are circular as well
(FFT products, rolls, modulators with a whole number of cycles per loop), and dynamics
are computed from circular envelopes.  So the sample that follows the last one *is* the
first one.  FLAC keeps that property because it has no encoder padding.

Layout of this file: theory -> signal tools -> instruments -> the Loop mixer -> the four
compositions -> mastering and measurement -> export.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import re
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SR = 48_000
HERE = Path(__file__).resolve().parent
MADE_BY = "presets/music/make_music.py"
TARGET_LUFS = -18.0
CEILING_DBTP = -3.3  # true-peak ceiling of the master, a little under the promised -3


# --------------------------------------------------------------------------------------
# Theory: notes, chords, voice leading, melody notation
# --------------------------------------------------------------------------------------

PITCH_CLASS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

#: Chord quality -> four upper-voice intervals above the root.  The root itself is left to
#: the bass where a chord has richer tones to offer.
UPPER = {
    "maj9": (4, 7, 11, 2),
    "m9": (3, 7, 10, 2),
    "m7": (0, 3, 7, 10),
    "7": (0, 4, 7, 10),
    "6": (0, 4, 7, 9),
    "add9": (0, 2, 4, 7),
    "9sus": (5, 7, 10, 2),
    "7sus": (0, 5, 7, 10),
    "dim7": (0, 3, 6, 9),
}


def pc(name: str) -> int:
    """Pitch class of a note name such as ``F#`` or ``Bb``."""
    return (PITCH_CLASS[name[0]] + name.count("#") - name[1:].count("b")) % 12


def midi(name: str) -> int:
    """MIDI number of a note name with octave: ``midi("A4") == 69``."""
    letter, octave = re.fullmatch(r"([A-G][#b]?)(-?\d)", name).groups()
    base = PITCH_CLASS[letter[0]] + letter.count("#") - letter[1:].count("b")
    return base + 12 * (int(octave) + 1)


def name_of(note: int) -> str:
    """Readable name of a MIDI number."""
    names = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
    return names[note % 12] + str(note // 12 - 1)


def hz(note: float) -> float:
    """Equal-tempered frequency of a MIDI number."""
    return 440.0 * 2.0 ** ((note - 69) / 12)


@dataclass(frozen=True)
class Chord:
    """One chord of a progression, placed in time (beats)."""

    symbol: str
    start: float
    beats: float
    root: int
    bass: int
    upper: tuple[int, ...]

    @property
    def tones(self) -> frozenset[int]:
        return frozenset(self.upper) | {self.root, self.bass}


def progression(bars: list[str], beats_per_bar: int = 4) -> list[Chord]:
    """Parse one string per bar; several symbols in a bar share it equally."""
    chords = []
    for i, bar in enumerate(bars):
        symbols = bar.split()
        length = beats_per_bar / len(symbols)
        for j, symbol in enumerate(symbols):
            root, quality, bass = re.fullmatch(
                r"([A-G][#b]?)([^/]*)(?:/([A-G][#b]?))?", symbol
            ).groups()
            r = pc(root)
            upper = tuple((r + step) % 12 for step in UPPER[quality])
            start = i * beats_per_bar + j * length
            chords.append(Chord(symbol, start, length, r, pc(bass) if bass else r, upper))
    return chords


def voice_lead(chords: list[Chord], low: str, high: str) -> list[tuple[int, ...]]:
    """Four-part voicings with the least total movement around the whole *cycle*.

    All placements of each chord's tones inside [low, high] are candidates; a shortest
    closed path through them is found by dynamic programming, so the step from the last
    chord back to the first is as smooth as the others.
    """
    lo, hi = midi(low), midi(high)

    def candidates(chord: Chord) -> list[tuple[int, ...]]:
        places = [[n for n in range(lo, hi + 1) if n % 12 == p] for p in chord.upper]
        found = set()
        for notes in itertools.product(*places):
            v = tuple(sorted(notes))
            gaps = np.diff(v)
            muddy = any(g < 3 and n < 55 for g, n in zip(gaps, v, strict=False))
            if 7 <= v[-1] - v[0] <= 17 and gaps.min() >= 1 and gaps[-1] >= 2 and not muddy:
                found.add(v)
        return sorted(found)

    def cost(a: tuple[int, ...], b: tuple[int, ...]) -> float:
        move = np.abs(np.array(a) - np.array(b))
        return float(move.sum() + 0.5 * move[-1] + 0.7 * max(0, move.max() - 3) ** 2)

    layers = [candidates(c) for c in chords]
    steps = [
        np.array([[cost(a, b) for b in layers[(i + 1) % len(layers)]] for a in layers[i]])
        for i in range(len(layers))
    ]
    best, best_path = np.inf, None
    for first in range(len(layers[0])):
        total = np.full(len(layers[0]), np.inf)
        total[first] = 0.0
        back = []
        for step in steps:
            through = total[:, None] + step
            back.append(through.argmin(axis=0))
            total = through.min(axis=0)
        if total[first] < best:
            best, k, path = total[first], first, []
            for pointers in reversed(back):
                k = int(pointers[k])
                path.append(k)
            best_path = path[::-1]
    return [layer[k] for layer, k in zip(layers, best_path, strict=True)]


@dataclass(frozen=True)
class Note:
    """A melody note: start and length in beats, MIDI pitch."""

    start: float
    pitch: int
    beats: float


def melody(bars: dict[int, str], beats_per_bar: int = 4) -> list[Note]:
    """Parse ``{bar: "beat pitch length, ..."}`` (bars count from 1, beats from 0)."""
    notes = []
    for bar, text in bars.items():
        for item in text.split(","):
            beat, pitch, length = item.split()
            start = (bar - 1) * beats_per_bar + float(beat)
            notes.append(Note(start, midi(pitch), float(length)))
    return notes


def chord_at(chords: list[Chord], beat: float) -> Chord:
    """The chord sounding at a beat."""
    return next(c for c in chords if c.start <= beat < c.start + c.beats)


def check_melody(chords: list[Chord], notes: list[Note]) -> list[str]:
    """Note table of a melody; raises if a strong or long note is foreign to its chord."""
    lines = []
    for n in notes:
        chord = chord_at(chords, n.start)
        inside = n.pitch % 12 in chord.tones
        passing = n.beats <= 0.5 and n.start % 2 != 0
        if not inside and not passing:
            raise ValueError(f"{name_of(n.pitch)} at beat {n.start} clashes with {chord.symbol}")
        label = "chord" if inside else "passing"
        pitch = name_of(n.pitch)
        lines.append(f"{n.start:6.2f} {chord.symbol:9s} {pitch:4s} {n.beats:4.2f} {label}")
    return lines


# --------------------------------------------------------------------------------------
# Signal tools (everything that touches a whole track is circular)
# --------------------------------------------------------------------------------------


def db(x: float) -> float:
    """Decibels to linear gain."""
    return 10.0 ** (x / 20.0)


def seconds(n: int) -> np.ndarray:
    """Time axis of n samples."""
    return np.arange(n) / SR


def low_pass(f: np.ndarray, cut: float, order: int = 2) -> np.ndarray:
    """Butterworth-shaped magnitude response."""
    return 1.0 / np.sqrt(1.0 + (f / cut) ** (2 * order))


def high_pass(f: np.ndarray, cut: float, order: int = 2) -> np.ndarray:
    """Butterworth-shaped magnitude response; exactly zero at DC."""
    ratio = (f / cut) ** (2 * order)
    return np.sqrt(ratio / (1.0 + ratio))


def shelf(f: np.ndarray, corner: float, gain_db: float) -> np.ndarray:
    """Smooth high shelf (negative gain: softer treble)."""
    return 10.0 ** (gain_db / 20.0 / (1.0 + (corner / np.maximum(f, 1.0)) ** 2))


def freqs(n: int) -> np.ndarray:
    """Frequencies of the real FFT of n samples."""
    return np.fft.rfftfreq(n, 1.0 / SR)


def equalise(x: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Apply a magnitude response to a circular signal (last axis), zero phase."""
    return np.fft.irfft(np.fft.rfft(x) * response, x.shape[-1])


def band_noise(rng: np.random.Generator, n: int, lo: float, hi: float) -> np.ndarray:
    """Unit-RMS noise with soft band edges."""
    m = 1 << max(10, (n - 1).bit_length())
    f = freqs(m)
    noise = equalise(rng.standard_normal(m), high_pass(f, lo) * low_pass(f, hi))[:n]
    return noise / np.sqrt(np.mean(noise**2))


def ring(freq: float, t60: float, n: int, phase: float = 0.0) -> np.ndarray:
    """Exponentially damped sine, built from block powers instead of n sines."""
    z = complex(-6.91 / t60, 2 * np.pi * freq) / SR
    block = 512
    inner = np.exp(z * np.arange(block))
    outer = np.exp(z * block * np.arange(-(-n // block)) + 1j * phase)
    return np.outer(outer, inner).ravel()[:n].imag


def edges(x: np.ndarray, attack: float, release: float) -> np.ndarray:
    """Raised-cosine fade in and out (seconds) so that no note starts or ends with a click."""
    y = x.copy()
    for length, part in ((attack, slice(None)), (release, slice(None, None, -1))):
        k = min(int(length * SR), x.shape[-1] // 2)
        y[..., part][..., :k] *= 0.5 - 0.5 * np.cos(np.pi * (np.arange(k) + 0.5) / k)
    return y


def saturate(x: np.ndarray, drive: float) -> np.ndarray:
    """Gentle tanh saturation at twice the sample rate (circular resampling), unity for small x."""
    n = x.shape[-1]
    spectrum = np.zeros(x.shape[:-1] + (n + 1,), complex)
    spectrum[..., : n // 2 + 1] = np.fft.rfft(x)
    up = 2.0 * np.fft.irfft(spectrum, 2 * n)
    shaped = np.tanh(drive * up) / drive
    return np.fft.irfft(np.fft.rfft(shaped)[..., : n // 2 + 1], n) / 2.0


def circular_smooth(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Circular convolution of a real signal with a short kernel that starts at time 0."""
    return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(kernel, x.shape[-1]), x.shape[-1])


def compress(x: np.ndarray, threshold_db: float, ratio: float) -> np.ndarray:
    """Slow stereo-linked RMS compressor with a circular, centred 80 ms window."""
    width = int(0.08 * SR)
    window = np.hanning(width)
    power = circular_smooth(np.mean(x**2, axis=0), window / window.sum())
    level = 10 * np.log10(np.maximum(np.roll(power, -width // 2), 1e-9))
    return x * db(-np.maximum(0.0, level - threshold_db) * (1 - 1 / ratio))


def true_peak(x: np.ndarray) -> float:
    """Largest magnitude after fourfold circular oversampling."""
    n = x.shape[-1]
    peak = 0.0
    for channel in x:
        spectrum = np.zeros(2 * n + 1, complex)
        spectrum[: n // 2 + 1] = np.fft.rfft(channel)
        peak = max(peak, float(np.abs(4.0 * np.fft.irfft(spectrum, 4 * n)).max()))
    return peak


def limit(x: np.ndarray, ceiling: float) -> np.ndarray:
    """Look-ahead peak limiter: held minimum of the needed gain, then a smooth window."""
    reach = int(0.004 * SR)
    gain = np.minimum(1.0, ceiling / np.maximum(np.abs(x).max(axis=0), 1e-9))
    held, span = gain, 1  # running minimum by doubling
    while span < 2 * reach:
        step = min(span, 2 * reach - span)
        held, span = np.minimum(held, np.roll(held, -step)), span + step
    window = np.hanning(2 * reach)
    return x * np.minimum(1.0, circular_smooth(held, window / window.sum()))


def k_weighting(f: np.ndarray) -> np.ndarray:
    """Complex K-weighting response of ITU-R BS.1770 at 48 kHz."""
    z = np.exp(-2j * np.pi * f / SR)
    head = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    return head * (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)


def loudness(x: np.ndarray, gated: bool = True) -> float:
    """Integrated loudness (LUFS) of a circular stereo signal."""
    n = x.shape[-1]
    weighted = np.fft.irfft(np.fft.rfft(x) * k_weighting(freqs(n)), n)
    hop = SR // 10
    steps = (weighted[:, : n // hop * hop] ** 2).reshape(2, -1, hop).mean(axis=2).sum(axis=0)
    blocks = sum(np.roll(steps, -k) for k in range(4)) / 4  # 400 ms, 75 % overlap
    if gated:
        blocks = blocks[blocks > 10 ** ((-70 + 0.691) / 10)]
        blocks = blocks[blocks > blocks.mean() / 10]
    return -0.691 + 10 * np.log10(max(blocks.mean(), 1e-12))


def room(n: int, seed: int, t60: float, predelay: float, bright: float) -> np.ndarray:
    """Spectrum of a stereo reverb: decaying noise whose treble dies first, unit energy."""
    rng = np.random.default_rng(seed)
    length = min(n, int((t60 + predelay) * SR))
    t = seconds(length)
    m = 1 << (length - 1).bit_length()
    f = freqs(m)
    splits = [180.0, 450.0, 1100.0, 2600.0, bright]
    scale = [1.0, 1.08, 1.0, 0.78, 0.5]  # decay time per band
    ir = np.zeros((2, length))
    for lo, hi, s in zip([120.0, *splits[:-1]], splits, scale, strict=True):
        noise = equalise(rng.standard_normal((2, m)), high_pass(f, lo) * low_pass(f, hi))
        ir += noise[:, :length] * np.exp(-6.91 * t / (t60 * s))
    ir *= 1 - np.exp(-t / 0.006)  # diffuse onset
    ir = np.roll(edges(ir, 0.001, 0.3 * t60), int(predelay * SR), axis=1)
    ir[:, : int(predelay * SR)] = 0.0
    for k, delay in enumerate((0.011, 0.017, 0.023, 0.031)):  # a few early reflections
        ir[k % 2, int(delay * SR)] += 0.9 * np.abs(ir).max() * 0.8**k
    ir /= np.sqrt((ir**2).sum(axis=1, keepdims=True))
    return np.fft.rfft(ir, n)


def wow(x: np.ndarray, cycles: int, depth_ms: float) -> np.ndarray:
    """Tape wow: a periodic, fractional delay (cubic interpolation) around the circle."""
    n = x.shape[-1]
    turn = 2 * np.pi * np.arange(n) / n
    delay = depth_ms * 1e-3 * SR * (np.sin(cycles * turn) + 0.4 * np.sin((3 * cycles + 1) * turn))
    position = np.arange(n) - delay
    i = np.floor(position).astype(int)
    u = position - i
    a, b, c, d = (x[..., (i + k) % n] for k in (-1, 0, 1, 2))
    return b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)))


def echo(x: np.ndarray, delay: int, feedback: float, cut: float, taps: int = 5) -> np.ndarray:
    """Ping-pong echoes only (no dry signal), darker with every repeat."""
    wet, current = np.zeros_like(x), x
    tone = low_pass(freqs(x.shape[-1]), cut, 1)
    for _ in range(taps):
        current = feedback * np.roll(equalise(current, tone)[::-1], delay, axis=1)
        wet += current
    return wet


# --------------------------------------------------------------------------------------
# Instruments: each returns one note, mono (n,) or stereo (2, n), peak around vel
# --------------------------------------------------------------------------------------


def partial_sum(f0, ratios, amps, t60s, n, rng):
    """Sum of damped partials with random phases, skipping anything near or above 12 kHz."""
    out = np.zeros(n)
    for ratio, amp, t60 in zip(ratios, amps, t60s, strict=True):
        if f0 * ratio < 12_000:
            out += amp * ring(f0 * ratio, t60, n, rng.uniform(-0.4, 0.4))
    return out


def e_piano(rng, note, dur, vel):
    """Tine piano: 1:1 FM body whose brightness follows velocity, and a short soft tine."""
    f0 = hz(note + rng.normal(0, 0.02))
    n = int((dur + 0.35) * SR)
    t = seconds(n)
    index = (0.55 + 1.7 * vel) * np.exp(-t / 0.45) + 0.18
    body = np.sin(2 * np.pi * f0 * t + index * np.sin(2 * np.pi * f0 * 1.0008 * t))
    tine = 0.16 * vel * ring(f0 * 7.0, 0.45, n) if f0 * 7 < 7000 else 0.0
    tone = body * np.exp(-t / (2.6 * (220 / f0) ** 0.35)) + tine
    return edges(vel * tone, 0.004, 0.33)


def nylon(rng, note, dur, vel):
    """Soft plucked string: additive, plucked a third along, treble decaying first."""
    f0 = hz(note + rng.normal(0, 0.015))
    n = int(max(dur, 0.9) * 1.6 * SR)
    k = np.arange(1, 25)
    amps = np.abs(np.sin(np.pi * k * 0.31)) / k**1.15 * np.exp(-k * f0 / (3600 + 4600 * vel))
    t60 = 2.4 * (196 / f0) ** 0.4 / (1 + 0.22 * (k - 1))
    tone = partial_sum(f0, k * np.sqrt(1 + 6e-5 * k**2), amps / amps.max(), t60, n, rng)
    finger = band_noise(rng, n, 700, 4500) * np.exp(-seconds(n) / 0.008) * 0.08
    return edges(0.6 * vel * (tone + finger), 0.003, 0.4)


def felt_piano(rng, note, dur, vel):
    """Felt-muted piano: stiff partials, two slightly mistuned strings, a soft hammer thud."""
    f0 = hz(note)
    n = int((dur + 2.0) * SR)
    k = np.arange(1, 21)
    soft = np.exp(-k * f0 / (1700 + 3600 * vel))
    amps = soft / k**0.9 * (0.55 + 0.45 * np.abs(np.sin(np.pi * k / 7.5)))
    ratios = k * np.sqrt(1 + 3.5e-4 * k**2)
    t60 = 7.5 * (220 / f0) ** 0.55 / (1 + 0.33 * (k - 1))
    out = np.zeros(n)
    for detune, weight, decay in ((-0.35, 0.6, 0.45), (0.3, 0.4, 1.0)):  # fast and slow string
        out += weight * partial_sum(
            f0 * 2 ** (detune / 1200), ratios, amps / amps.sum(), t60 * decay, n, rng
        )
    thud = band_noise(rng, n, 90, 1600) * np.exp(-seconds(n) / 0.016) * 0.035
    return edges(vel * (1.5 * out + thud), 0.006, 1.2)


def marimba(rng, note, dur, vel):
    """Wooden bar with a tuned fourth-harmonic mode, resonator body and mallet knock."""
    f0 = hz(note)
    n = int(0.9 * SR)
    t60 = np.array([1.15, 0.36, 0.14]) * (330 / f0) ** 0.6
    amps = [1.0, 0.16 + 0.36 * vel, 0.14 * vel]
    tone = partial_sum(f0, [1.0, 3.98, 9.7], amps, t60, n, rng)
    knock = band_noise(rng, n, 700, 4500) * np.exp(-seconds(n) / 0.005) * 0.16 * vel
    return edges(vel * (0.8 * tone + knock), 0.002, 0.2)


def pizzicato(rng, note, dur, vel):
    """Short plucked string section: two players a few cents and milliseconds apart."""
    n = int(0.7 * SR)
    k = np.arange(1, 19)
    out = np.zeros(n)
    for player in range(2):
        f0 = hz(note + rng.normal(0, 0.04))
        amps = np.abs(np.sin(np.pi * k * 0.17)) / k * np.exp(-k * f0 / 6500)
        t60 = 0.62 * (300 / f0) ** 0.3 / (1 + 0.28 * (k - 1))
        voice = partial_sum(f0, k, amps / amps.sum(), t60, n, rng)
        late = int(player * rng.uniform(0.003, 0.009) * SR)
        out[late:] += voice[: n - late]
    body = band_noise(rng, n, 200, 2400) * np.exp(-seconds(n) / 0.010) * 0.06
    return edges(vel * (1.1 * out + body), 0.003, 0.15)


def tuba(rng, note, dur, vel):
    """Round brass bass: upper harmonics open and close with the breath envelope."""
    f0 = hz(note)
    n = int((dur + 0.12) * SR)
    t = seconds(n)
    breath = (1 - np.exp(-t / 0.022)) * (0.75 + 0.25 * np.exp(-t / 0.12))
    breath *= 1 / (1 + np.exp((t - dur) / 0.018))
    phase = 2 * np.pi * f0 * (t + 0.0009 * np.exp(-t / 0.03))
    amps = (1.0, 0.75, 0.5, 0.32, 0.2, 0.11, 0.06)
    tone = sum(
        a * breath ** (1 + 0.45 * k) * np.sin((k + 1) * phase + 0.3 * k) for k, a in enumerate(amps)
    )
    air = band_noise(rng, n, 150, 700) * 0.02 * breath
    return edges(0.5 * vel * (tone + air), 0.004, 0.05)


def whistle(rng, note, dur, vel, previous=None):
    """Human whistle: near-sine, scoop from the previous note, late vibrato, breath around it."""
    n = int((dur + 0.05) * SR)
    t = seconds(n)
    start = note - 0.6 if previous is None else note + np.clip(previous - note, -2.5, 2.5)
    glide = (start - note) * np.exp(-t / 0.022)
    vibrato = (
        0.16
        * (1 - np.exp(-np.maximum(t - 0.16, 0) / 0.2))
        * np.sin(2 * np.pi * rng.uniform(5.0, 5.6) * t)
    )
    phase = 2 * np.pi * np.cumsum(hz(0) * 2 ** ((note + glide + vibrato) / 12)) / SR
    flutter = 1 + 0.05 * band_noise(rng, n, 2, 9)
    breath = 0.16 * band_noise(rng, n, 10, 260)
    tone = np.sin(phase) * flutter + 0.05 * np.sin(2 * phase) + breath * np.sin(phase + 1.1)
    tone += 0.02 * band_noise(rng, n, 1800, 5500)
    shape = (1 - np.exp(-t / 0.018)) * (0.82 + 0.18 * np.exp(-t / 0.25))
    return edges(vel * tone * shape, 0.02, 0.07)


def wavetable(f0: float, cut: float, top: float = 12_000.0) -> np.ndarray:
    """One period of a band-limited saw through a gentle low-pass, plus a wrap sample."""
    k = np.arange(1, max(2, int(min(top / f0, 90))))
    spectrum = np.zeros(2049 // 2 + 1, complex)
    spectrum[k] = -1j * 1024 / k / (1 + (k * f0 / cut) ** 1.5)
    table = np.fft.irfft(spectrum, 2048)
    return np.append(table, table[0])


def play_table(table: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Linear-interpolated wavetable lookup."""
    position = (phase % 1.0) * 2048
    i = position.astype(int)
    return table[i] + (position - i) * (table[i + 1] - table[i])


def pad(rng, note, dur, vel, dark=500.0, bright=1500.0, attack=0.35, release=0.9, voices=5):
    """Wide ensemble pad: detuned saw voices breathing between a dark and a brighter filter."""
    f0 = hz(note)
    n = int((dur + release) * SR)
    t = seconds(n)
    open_ = 0.5 - 0.5 * np.cos(2 * np.pi * np.clip(t / (dur + release), 0, 1))
    tables = wavetable(f0, dark), wavetable(f0, bright)
    out = np.zeros((2, n))
    for v in range(voices):
        spread = 2 * v / (voices - 1) - 1
        drift = 0.0004 * np.sin(2 * np.pi * rng.uniform(0.1, 0.35) * t + rng.uniform(0, 6.28))
        phase = f0 * 2 ** ((7.0 * spread + rng.normal(0, 0.8)) / 1200) * (t + drift) + rng.random()
        tone = (1 - open_) * play_table(tables[0], phase) + open_ * play_table(tables[1], phase)
        angle = np.pi / 4 * (1 + 0.85 * (spread if v % 2 else -spread))
        out += tone * np.array([[np.cos(angle)], [np.sin(angle)]])
    return edges(0.25 * vel * out, attack, release)


def pluck(rng, note, dur, vel, decay=0.16):
    """Synth pluck: two detuned saws whose filter closes quickly."""
    f0 = hz(note)
    n = int(max(dur, 0.1) * SR) + int(0.45 * SR)
    t = seconds(n)
    tables = wavetable(f0, 1100.0), wavetable(f0, 2400 + 2600 * vel)
    blend = np.exp(-t / 0.07)
    out = np.zeros((2, n))
    for side, cents in ((0, -5.0), (1, 5.0)):
        phase = f0 * 2 ** (cents / 1200) * t + rng.random()
        tone = (1 - blend) * play_table(tables[0], phase) + blend * play_table(tables[1], phase)
        out += tone * np.array([[0.85], [0.35]] if side == 0 else [[0.35], [0.85]])
    return edges(0.4 * vel * out * np.exp(-t / decay), 0.003, 0.25)


def sub_bass(rng, note, dur, vel, colour=0.3, attack=0.012):
    """Sine bass with enough second and third harmonic to be heard on a phone."""
    f0 = hz(note)
    n = int((dur + 0.09) * SR)
    t = seconds(n)
    phase = 2 * np.pi * f0 * t
    tone = np.sin(phase) + colour * np.sin(2 * phase + 0.4) + 0.5 * colour * np.sin(3 * phase)
    tone += 0.25 * colour * np.sin(4 * phase) * np.exp(-t / 0.25)
    return edges(0.7 * vel * np.tanh(1.1 * tone) * (0.7 + 0.3 * np.exp(-t / 0.4)), attack, 0.08)


def kick(rng, vel, punch=95.0, base=47.0, length=0.32):
    """Soft kick: falling sine and a felt-like beater, no click."""
    n = int(length * 1.4 * SR)
    t = seconds(n)
    phase = 2 * np.pi * (base * t + punch * 0.028 * (1 - np.exp(-t / 0.028)))
    beater = band_noise(rng, n, 400, 2800) * np.exp(-t / 0.006) * 0.16
    return edges(vel * (np.sin(phase) * np.exp(-t / (length * 0.38)) + beater), 0.0025, 0.1)


def puff(rng, vel, lo, hi, attack, decay):
    """Shaped noise: shaker, brush, hat, depending on band and envelope."""
    n = int((attack + 7 * decay) * SR)
    t = seconds(n)
    shape = np.minimum(t / attack, 1.0) ** 1.5 * np.exp(-np.maximum(t - attack, 0) / decay)
    return edges(0.3 * vel * band_noise(rng, n, lo, hi) * shape, 0.001, decay)


def clap(rng, vel):
    """Four close hand bursts and a short tail, in stereo."""
    n = int(0.34 * SR)
    t = seconds(n)
    shape = 0.5 * np.exp(-np.maximum(t - 0.03, 0) / 0.065) * (t > 0.03)
    for burst in (0.0, 0.010, 0.019, 0.030):
        shape = np.maximum(shape, (t >= burst) * np.exp(-np.maximum(t - burst, 0) / 0.006))
    noise = np.stack([band_noise(rng, n, 750, 2900) for _ in range(2)])
    noise = 0.6 * noise + 0.4 * noise.mean(axis=0)
    return edges(0.3 * vel * noise * shape, 0.001, 0.1)


def snap(rng, vel):
    """Finger snap: flick then hit, with two hollow hand resonances."""
    n = int(0.16 * SR)
    t = seconds(n)
    hit = np.zeros(n)
    for delay, gain in ((0.0, 0.3), (0.009, 1.0)):
        d = int(delay * SR)
        tail = seconds(n - d)
        hit[d:] += gain * band_noise(rng, n - d, 1000, 3600) * np.exp(-tail / 0.008)
        for freq, amp in ((1450 * rng.uniform(0.97, 1.03), 0.9), (2300, 0.5)):
            hit[d:] += gain * amp * ring(freq, 0.09, n - d)
    return edges(0.4 * vel * hit * np.exp(-t / 0.06), 0.0015, 0.05)


# --------------------------------------------------------------------------------------
# The loop: a circular multi-bus mixer
# --------------------------------------------------------------------------------------


@dataclass
class Loop:
    """A circular canvas of ``bars`` bars on which notes are written into named buses."""

    name: str
    title: str
    mood: str
    bpm: float
    bars: int
    seed: int
    swing: float = 0.0  # 0 straight .. 0.33 triplet feel
    swing_grid: float = 0.5  # beats: 0.5 swings eighths, 0.25 sixteenths
    buses: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        exact = self.bars * 4 * 60 * SR / self.bpm
        self.n = round(exact)
        if self.n != exact:
            raise ValueError(f"{self.name}: the loop is not a whole number of samples")
        self.rng = np.random.default_rng(self.seed)

    @property
    def beat(self) -> float:
        """Seconds per beat."""
        return 60.0 / self.bpm

    def sample(self, beat: float, jitter_ms: float = 0.0) -> int:
        """Sample index of a (swung, humanised) beat position."""
        pair = 2 * self.swing_grid
        inside = beat % pair
        stretch = 1 + self.swing
        if inside < self.swing_grid:
            warped = inside * stretch
        else:
            warped = self.swing_grid * stretch + (inside - self.swing_grid) * (2 - stretch)
        time = (beat - inside + warped) * self.beat + self.rng.normal(0, 1) * jitter_ms * 1e-3
        return round(time * SR) % self.n

    def human(self, vel: float, spread: float = 0.07) -> float:
        """A velocity with a little seeded variation."""
        return float(np.clip(vel * (1 + spread * self.rng.normal()), 0.05, 1.0))

    def add(self, bus: str, beat: float, sound: np.ndarray, pan: float = 0.0, jitter: float = 0.0):
        """Write a sound onto a bus, wrapping around the seam."""
        if bus not in self.buses:
            self.buses[bus] = np.zeros((2, self.n))
        if sound.ndim == 1:
            angle = np.pi / 4 * (1 + pan)
            sound = sound * np.array([[np.cos(angle)], [np.sin(angle)]])
        at, canvas = self.sample(beat, jitter), self.buses[bus]
        while sound.shape[1]:
            fits = min(self.n - at, sound.shape[1])
            canvas[:, at : at + fits] += sound[:, :fits]
            sound, at = sound[:, fits:], 0

    def duck(self, bus: str, beats: list[float], depth: float, recover: float):
        """Side-chain: dip a bus at the given beats, recovering within ``recover`` seconds."""
        length = int(4 * recover * SR)
        t = seconds(length)
        dip = 1 - depth * np.exp(-((t / recover) ** 1.6)) * (1 - np.exp(-t / 0.004))
        gain = np.ones(self.n)
        for beat in beats:
            where = (self.sample(beat) + np.arange(length)) % self.n
            gain[where] = np.minimum(gain[where], dip)
        self.buses[bus] *= circular_smooth(gain, np.full(240, 1 / 240))

    def mix(self, levels: dict[str, tuple[float, float]], reverb: np.ndarray) -> np.ndarray:
        """Balance buses by *measured* loudness (LUFS) and reverb send (dB); return the sum."""
        dry, send = np.zeros((2, self.n)), np.zeros((2, self.n))
        for bus, (lufs, send_db) in levels.items():
            signal = self.buses[bus] * db(lufs - loudness(self.buses[bus], gated=False))
            dry += signal
            send += signal * db(send_db)
        return dry + np.fft.irfft(np.fft.rfft(send) * reverb, self.n)


@dataclass
class Score:
    """What a composition hands to the mastering stage (and to --check)."""

    loop: Loop
    chords: list[Chord]
    voicings: list[tuple[int, ...]]
    lines: dict[str, list[Note]]


def bass_pitch(chord: Chord, low: str) -> int:
    """The chord's bass note at or above ``low``."""
    floor = midi(low)
    return floor + (chord.bass - floor) % 12


# --------------------------------------------------------------------------------------
# 1. warm
# --------------------------------------------------------------------------------------


def score_warm() -> Score:
    """D major, eight bars at 75 bpm: lush ninths that drift down and settle on a sus."""
    loop = Loop("warm", "Morning Counter", "calm, warm, acoustic", 75, 8, 1101, 0.16, 0.25)
    chords = progression(["Dmaj9", "Bm9", "Gmaj9", "A9sus", "Dmaj9", "F#m7", "Gmaj9 Em9", "A9sus"])
    lead = melody(
        {
            1: "1 F#5 1.5, 2.5 E5 .5, 3 D5 1",
            2: ".5 C#5 .5, 1 D5 2, 3.5 A4 .5",
            3: "0 B4 1.5, 1.5 D5 .5, 2 F#5 1.5, 3.5 E5 .5",
            4: "0 E5 2, 2.5 D5 .5, 3 B4 1",
            5: "1 F#5 1, 2 A5 1.5, 3.5 F#5 .5",
            6: "0 E5 1.5, 1.5 C#5 .5, 2 A4 2",
            7: ".5 B4 .5, 1 D5 1, 2 G5 1, 3 F#5 1",
            8: "0 E5 2.5, 3 A4 .5, 3.5 D5 .5",
        }
    )
    return Score(loop, chords, voice_lead(chords, "F#3", "C#5"), {"lead": lead})


def render_warm(s: Score) -> np.ndarray:
    """E-piano and nylon over a soft sub, brushes and shaker; tape wow on the keys."""
    loop, rng = s.loop, s.loop.rng
    for chord, voicing in zip(s.chords, s.voicings, strict=True):
        # Keys: strum on the chord change, a softer answer in the second half of the bar.
        hits = [(0.0, 2.5, 0.62), (2.5, 1.4, 0.42)] if chord.beats == 4 else [(0.0, 1.9, 0.56)]
        for offset, length, vel in hits:
            for i, note in enumerate(voicing):
                sound = e_piano(rng, note, length * loop.beat, loop.human(vel - 0.03 * i))
                loop.add("keys", chord.start + offset + 0.012 * i, sound, 0.24 * (i - 1.5), 3)
        # Nylon: a rolling eighth-note figure through the voicing, leaving holes.
        figure = [(0.5, 0), (1.0, 2), (1.5, 1), (2.0, 3), (2.75, 1), (3.25, 2), (3.5, 0)]
        for offset, i in figure:
            if offset < chord.beats:
                accent = 0.55 if offset % 1 == 0 else 0.42
                sound = nylon(rng, voicing[i], 0.8, loop.human(accent, 0.12))
                loop.add("nylon", chord.start + offset, sound, 0.35, 6)
        # Bass: long root, a pick-up to the next chord; the nylon thumb doubles it above.
        root = bass_pitch(chord, "F#1")
        for offset in (0.0, 2.0)[: round(chord.beats) // 2]:
            thumb = nylon(rng, root + 12, 1.6, loop.human(0.6 if offset == 0 else 0.45, 0.1))
            loop.add("thumb", chord.start + offset, thumb, 0.15, 5)
        held = 2.3 if chord.beats == 4 else 1.8
        loop.add("bass", chord.start, sub_bass(rng, root, held * loop.beat, 0.8, 0.5), 0, 4)
        if chord.beats == 4:
            fifth = root + 7 if root + 7 <= midi("E2") else root
            for offset, note, length in ((2.5, root, 0.9), (3.5, fifth, 0.42)):
                sound = sub_bass(rng, note, length * loop.beat, loop.human(0.62), 0.5)
                loop.add("bass", chord.start + offset, sound, 0, 5)
    for note in s.lines["lead"]:
        vel = loop.human(0.58 if note.beats >= 1 else 0.44)
        string = nylon(rng, note.pitch, note.beats * loop.beat + 0.3, vel)
        loop.add("lead", note.start, string, -0.22, 7)
        bell_tone = e_piano(rng, note.pitch, note.beats * loop.beat, 0.5 * vel)
        loop.add("lead", note.start, 0.55 * bell_tone, -0.1, 4)
    for bar in range(loop.bars):
        b = 4 * bar
        for beat, vel in ((0.0, 0.8), (2.5, 0.55)) + (((3.75, 0.3),) if bar % 4 == 3 else ()):
            loop.add("kick", b + beat, kick(rng, loop.human(vel), 60, 46, 0.28), 0, 3)
        for beat in (1.0, 3.0):
            sound = puff(rng, loop.human(0.8), 700, 5200, 0.012, 0.075)
            loop.add("brush", b + beat, sound, -0.12, 4)
        sweep = puff(rng, loop.human(0.35), 600, 3000, 0.5, 0.14)
        loop.add("brush", b + 1.9, sweep, -0.3, 10)
        for step in range(16):
            accent = (0.55, 0.22, 0.85, 0.3)[step % 4]
            sound = puff(rng, loop.human(accent, 0.15), 2800, 6500, 0.016, 0.028)
            loop.add("shaker", b + step / 4, sound, 0.3, 3)
    loop.buses["keys"] = wow(loop.buses["keys"], 14, 0.22)
    turn = 2 * np.pi * np.arange(loop.n) / loop.n
    sway = 0.22 * np.sin(64 * turn)  # 2.5 Hz stereo tremolo
    loop.buses["keys"] *= np.stack([1 + sway, 1 - sway])
    loop.buses["nylon"] = wow(loop.buses["nylon"], 11, 0.12)
    levels = {
        "keys": (-21.0, -10),
        "nylon": (-25.0, -8),
        "lead": (-22.5, -7),
        "bass": (-25.0, -40),
        "kick": (-28.0, -26),
        "brush": (-31.0, -10),
        "shaker": (-34.0, -14),
        "thumb": (-25.5, -12),
    }
    return loop.mix(levels, room(loop.n, 71, 1.5, 0.018, 4800))


# --------------------------------------------------------------------------------------
# 2. drive
# --------------------------------------------------------------------------------------


def score_drive() -> Score:
    """A major / F# minor, sixteen bars at 120 bpm: a vi-IV-I-V groove, then a lift on IV."""
    loop = Loop("drive", "Up and Out", "upbeat, modern, confident", 120, 16, 2202)
    verse = ["F#m7", "Dmaj9", "Aadd9", "Eadd9"]
    chords = progression(
        verse + verse + ["Dmaj9", "Eadd9", "F#m7", "Aadd9/C#", "Dmaj9", "Eadd9", "Aadd9", "E7sus"]
    )
    lead = melody(
        {
            5: "2.5 C#5 .5, 3 E5 1",
            6: "0 F#5 1.5, 2.5 E5 .5, 3 C#5 1",
            7: "0 E5 1.5, 2.5 C#5 .5, 3 B4 1",
            8: "0 B4 1.5, 2.5 E5 .5, 3 F#5 .5, 3.5 G#5 .5",
            9: "0 A5 .75, .75 F#5 .75, 1.5 E5 1, 2.5 F#5 .5, 3 E5 1",
            10: "0 G#5 .75, .75 E5 .75, 1.5 B4 1, 2.5 E5 .5, 3 F#5 .5, 3.5 G#5 .5",
            11: "0 A5 .75, .75 F#5 .75, 1.5 C#5 1, 2.5 E5 .5, 3 F#5 1",
            12: "0 E5 .75, .75 C#5 .75, 1.5 A4 1, 2.5 C#5 .5, 3 E5 1",
            13: "0 A5 .75, .75 F#5 .75, 1.5 E5 1, 2.5 F#5 .5, 3 A5 1",
            14: "0 B5 .75, .75 G#5 .75, 1.5 F#5 1, 2.5 E5 .5, 3 F#5 .5, 3.5 G#5 .5",
            15: "0 A5 1.5, 1.5 E5 1, 2.5 C#5 .5, 3 E5 1",
            16: "0 B4 .75, .75 E5 .75, 1.5 A5 1, 2.5 B5 1",
        }
    )
    return Score(loop, chords, voice_lead(chords, "F#3", "D5"), {"lead": lead})


def render_drive(s: Score) -> np.ndarray:
    """Four on the floor, ducked pads and bass, sixteenth arpeggio with ping-pong echo."""
    loop, rng = s.loop, s.loop.rng
    kicks = [float(b) for b in range(4 * loop.bars)]
    kicks.remove(63.0)  # breathe before the loop comes round
    for b in kicks:
        loop.add("kick", b, kick(rng, loop.human(0.95, 0.03), 105, 48, 0.30))
    for bar, (chord, voicing) in enumerate(zip(s.chords, s.voicings, strict=True)):
        b, lifted = 4 * bar, bar >= 8
        bright = 3200 if lifted else 2400
        for note in voicing:
            sound = pad(rng, note, 4 * loop.beat, 0.6, 800, bright, 0.05, 0.35)
            loop.add("pad", b, sound)
        # Bass: off-beat eighths, with a walking last half beat.
        root = bass_pitch(chord, "F#1")
        pattern = [(0.5, 0), (1.5, 0), (2.5, 0), (3.5, 0)]
        if bar >= 4:
            pattern += [(0.75, 0), (2.75, 12), (3.75, 0)]
        for offset, octave in pattern:
            length = 0.24 if bar >= 4 else 0.42
            sound = sub_bass(rng, root + octave, length * loop.beat, loop.human(0.8), 0.45, 0.006)
            loop.add("bass", b + offset, sound, 0, 1)
        # Arpeggio: 3-3-2 accents over a rising and falling climb of two octaves.
        ladder = sorted(set(voicing) | {n + 12 for n in voicing[:3]})
        climb = [0, 2, 4, 1, 3, 5, 2, 4, 6, 3, 5, 4, 2, 3, 1, 2]
        for step in range(16):
            if not lifted and step in (7, 15):
                continue
            accent = 0.8 if step % 8 in (0, 3, 6) else 0.5
            note = ladder[climb[step] % len(ladder)]
            sound = pluck(rng, note, 0.1, loop.human(accent, 0.08), 0.13)
            loop.add("arp", b + step / 4, sound, 0, 1.5)
        for beat in (1.0, 3.0):
            loop.add("clap", b + beat, clap(rng, loop.human(0.9, 0.05)), 0, 2)
        if bar % 8 == 7:
            loop.add("clap", b + 3.5, clap(rng, 0.5))
            loop.add("clap", b + 3.75, clap(rng, 0.65))
            swell = puff(rng, 0.9, 900, 5200, 3.6 * loop.beat, 0.05)
            loop.add("swell", b + 0.4, swell * 0.7)
        for step in range(8):
            if step % 2:
                sound = puff(rng, loop.human(0.85), 5200, 9500, 0.003, 0.050)
            else:
                sound = puff(rng, loop.human(0.25), 5200, 9500, 0.003, 0.016)
            loop.add("hat", b + step / 2, sound, 0.18, 1)
        if bar >= 4:
            for step in (3, 6, 11, 14):
                sound = puff(rng, loop.human(0.3, 0.15), 3500, 7500, 0.010, 0.020)
                loop.add("hat", b + step / 4, sound, -0.35, 2)
    for note in s.lines["lead"]:
        vel = loop.human(0.72 if note.start >= 32 else 0.5)
        sound = pluck(rng, note.pitch, note.beats * loop.beat, vel, 0.32)
        loop.add("lead", note.start, sound, 0, 2)
        body = e_piano(rng, note.pitch, note.beats * loop.beat * 0.9, 0.6 * vel)
        loop.add("lead", note.start, 0.8 * body, 0, 2)
    eighth_dotted = round(0.75 * loop.beat * SR)
    loop.buses["arp"] += echo(loop.buses["arp"], eighth_dotted, 0.42, 2600)
    loop.buses["lead"] += echo(loop.buses["lead"], eighth_dotted, 0.34, 2200, 4)
    loop.duck("pad", kicks, 0.72, 0.16)
    loop.duck("bass", kicks, 0.85, 0.09)
    loop.duck("arp", kicks, 0.30, 0.10)
    loop.duck("lead", kicks, 0.20, 0.08)
    levels = {
        "kick": (-22.5, -40),
        "bass": (-22.5, -40),
        "pad": (-23.0, -9),
        "arp": (-25.0, -9),
        "lead": (-23.5, -9),
        "clap": (-28.5, -9),
        "hat": (-31.5, -18),
        "swell": (-37.0, -8),
    }
    return loop.mix(levels, room(loop.n, 72, 1.7, 0.022, 5200))


# --------------------------------------------------------------------------------------
# 3. bounce
# --------------------------------------------------------------------------------------


def score_bounce() -> Score:
    """C major rag, sixteen bars at 120 bpm, swung: I-VI-ii-V, a bridge, and a turnaround."""
    loop = Loop("bounce", "Sidewalk Skip", "playful, cheeky, light", 120, 16, 3303, 0.28, 0.5)
    chords = progression(
        [
            "C6",
            "A7",
            "Dm7",
            "G7",
            "C6",
            "A7",
            "D7 G7",
            "C6",
            "F6",
            "F#dim7",
            "C6/G",
            "A7",
            "D7",
            "G7",
            "C6 A7",
            "Dm7 G7",
        ]
    )
    pizz = melody(
        {
            1: "0 E5 .5, .5 G5 .5, 1 A5 .5, 1.5 G5 .5, 2.5 E5 .5, 3 C5 .5",
            2: "0 C#5 .5, .5 E5 .5, 1 G5 .5, 1.5 E5 .5, 2.5 A5 .5, 3 G5 .5",
            3: "0 F5 .5, .5 A5 .5, 1 C6 .5, 1.5 A5 .5, 2.5 F5 .5, 3 D5 .5",
            4: "0 B4 .5, .5 D5 .5, 1 F5 .5, 1.5 E5 .5, 2 D5 .5, 3 G5 .5",
            8: "2 E5 .5, 2.5 G5 .5, 3 C6 .5",
            12: "2 A4 .5, 2.5 C#5 .5, 3 E5 .5, 3.5 G5 .5",
            16: "3 G4 .5, 3.5 B4 .5",
        }
    )
    tune = melody(
        {
            4: "3 G5 .5, 3.5 B5 .5",
            5: "0 C6 1, 1 D6 .5, 1.5 E6 1, 2.5 C6 .5, 3 A5 1",
            6: "0 C#6 1.5, 1.5 B5 .5, 2 A5 1, 3 G5 1",
            7: "0 A5 .5, .5 C6 .5, 1 D6 .5, 1.5 C6 .5, 2 B5 1, 3 G5 .5, 3.5 B5 .5",
            8: "0 C6 2, 3 G5 .5, 3.5 A5 .5",
            9: "0 C6 1.5, 1.5 A5 .5, 2 C6 1, 3 D6 1",
            10: "0 Eb6 1.5, 1.5 C6 .5, 2 A5 1, 3 C6 1",
            11: "0 E6 1.5, 1.5 C6 .5, 2 G5 1, 3 C6 1",
            12: "0 C#6 1.5, 1.5 E6 .5, 2 C#6 1, 3 A5 1",
            13: "0 C6 1, 1 A5 .5, 1.5 F#5 .5, 2 A5 1, 3 D6 1",
            14: "0 B5 1, 1 G5 .5, 1.5 B5 .5, 2 D6 1, 3 F6 1",
            15: "0 E6 1, 1 C6 1, 2 C#6 1, 3 E6 .5, 3.5 A5 .5",
            16: "0 D6 1, 1 A5 .5, 1.5 C6 .5, 2 B5 1",
        }
    )
    return Score(loop, chords, voice_lead(chords, "G3", "D5"), {"pizz": pizz, "whistle": tune})


def render_bounce(s: Score) -> np.ndarray:
    """Oom-pah tuba and marimba, pizzicato call, whistle answer, snaps on two and four."""
    loop, rng = s.loop, s.loop.rng
    for chord, voicing in zip(s.chords, s.voicings, strict=True):
        root = bass_pitch(chord, "F1")
        fifth = next((root + k for k in (7, -5, 6) if (root + k) % 12 in chord.tones), root)
        steps = [(0.0, root, 0.85), (2.0, fifth, 0.75)] if chord.beats == 4 else [(0.0, root, 0.85)]
        for offset, note, vel in steps:
            sound = tuba(rng, note, 0.62 * loop.beat, loop.human(vel, 0.05))
            loop.add("tuba", chord.start + offset, sound, -0.05, 4)
        for offset in [o for o in (1.0, 3.0, 1.5, 3.5) if o < chord.beats]:
            strong = offset % 1 == 0
            for i, note in enumerate(voicing if strong else voicing[2:]):
                sound = marimba(rng, note, 0.3, loop.human(0.5 if strong else 0.28, 0.1))
                loop.add("marimba", chord.start + offset, sound, 0.4 - 0.12 * i, 5)
        # Pizzicato chord stab on the down-beat keeps the harmony clear without the whistle.
        for i, note in enumerate(voicing[::2]):
            sound = pizzicato(rng, note, 0.3, loop.human(0.5))
            loop.add("stab", chord.start, sound, -0.45 + 0.1 * i, 6)
    for note in s.lines["pizz"]:
        vel = loop.human(0.75 if note.start % 1 == 0 else 0.6)
        loop.add("pizz", note.start, pizzicato(rng, note.pitch, 0.3, vel), -0.25, 4)
        loop.add("pizz", note.start, 0.6 * marimba(rng, note.pitch, 0.3, vel), -0.1, 4)
    previous = None
    for note in s.lines["whistle"]:
        length = note.beats * loop.beat * 0.94
        sound = whistle(rng, note.pitch, length, loop.human(0.6, 0.05), previous)
        loop.add("whistle", note.start, sound, 0.08, 6)
        loop.add("double", note.start, marimba(rng, note.pitch - 12, 0.3, loop.human(0.5)), 0.3, 5)
        previous = note.pitch if note.beats <= 1 else None
    for bar in range(loop.bars):
        b = 4 * bar
        for beat in (1.0, 3.0):
            loop.add("snap", b + beat, snap(rng, loop.human(0.85, 0.06)), 0.15, 4)
            loop.add("snap", b + beat, 0.7 * snap(rng, loop.human(0.7, 0.06)), -0.35, 9)
        if bar % 4 == 3:
            loop.add("snap", b + 3.5, snap(rng, 0.6), -0.2, 4)
        for beat in (0.0, 2.0):
            loop.add("thump", b + beat, kick(rng, loop.human(0.7), 55, 58, 0.2), 0, 3)
        for step in range(8):
            accent = 0.4 if step % 2 == 0 else 0.65
            sound = puff(rng, loop.human(accent, 0.15), 2600, 6200, 0.012, 0.022)
            loop.add("shaker", b + step / 2, sound, -0.3, 4)
    levels = {
        "tuba": (-22.5, -22),
        "marimba": (-23.5, -12),
        "stab": (-28.5, -10),
        "pizz": (-27.5, -9),
        "whistle": (-24.3, -9),
        "double": (-28.0, -11),
        "snap": (-28.0, -8),
        "thump": (-29.0, -26),
        "shaker": (-34.0, -14),
    }
    return loop.mix(levels, room(loop.n, 73, 1.2, 0.014, 5600))


# --------------------------------------------------------------------------------------
# 4. still
# --------------------------------------------------------------------------------------


def score_still() -> Score:
    """A flat major, eight bars at 60 bpm: stepwise bass, slow wide piano notes."""
    loop = Loop("still", "Quiet Shelf", "ambient, spacious, quiet", 60, 8, 4404)
    chords = progression(
        ["Abmaj9", "Ebadd9/G", "Fm9", "Dbmaj9", "Abadd9/C", "Dbmaj9", "Bbm9", "Eb9sus"]
    )
    piano = melody(
        {
            1: "0 C5 2, 2 Eb5 1, 3 Bb4 1",
            2: "0 G4 1.5, 1.5 Bb4 1.5, 3 Eb5 1",
            3: "0 Ab4 2, 2 C5 1, 3 G5 1",
            4: "0 F5 2, 2 Eb5 1, 3 C5 1",
            5: "0 Eb5 2, 2 Bb4 1, 3 C5 1",
            6: "0 Ab4 1.5, 1.5 C5 1.5, 3 F5 1",
            7: "0 Db5 2, 2 F5 1, 3 C5 1",
            8: "0 Bb4 2, 2 F4 1, 3 Ab4 1",
        }
    )
    return Score(loop, chords, voice_lead(chords, "Eb3", "Bb4"), {"piano": piano})


def render_still(s: Score) -> np.ndarray:
    """Overlapping pads in a long hall, felt piano, a low octave under each change."""
    loop, rng = s.loop, s.loop.rng
    for i, (chord, voicing) in enumerate(zip(s.chords, s.voicings, strict=True)):
        for note in voicing:
            sound = pad(rng, note, 4.1, loop.human(0.6), 600, 2400, 1.1, 1.9, 7)
            loop.add("pad", chord.start - 0.3, sound)
        shimmer = voicing[-1] + 12
        loop.add("air", chord.start + 0.8, pad(rng, shimmer, 2.6, 0.4, 1500, 4500, 1.3, 1.8, 5))
        root = bass_pitch(chord, "G1")
        sound = sub_bass(rng, root, 4.4, 0.6, 0.3, 0.45)
        loop.add("bass", chord.start - 0.2, edges(sound, 0.5, 0.7))
        rise = 2.3 if i % 2 else rng.uniform(1.3, 1.9)  # a slow wave of air, never quite regular
        breath = puff(rng, loop.human(0.3 if i % 2 else 0.5), 1500, 6000, rise, 0.6)
        loop.add("wave", chord.start + 0.2, breath, 0.5 if i % 2 else -0.5)
        loop.add("piano", chord.start, felt_piano(rng, root + 12, 3.5, loop.human(0.34)), -0.2, 8)
        if i % 2 == 0:
            sound = felt_piano(rng, voicing[0], 3.0, loop.human(0.26))
            loop.add("piano", chord.start + 0.06, sound, 0, 8)
    for note in s.lines["piano"]:
        vel = loop.human(0.5 if note.start % 4 == 0 else 0.4, 0.09)
        pan = (note.pitch - 72) / 40
        loop.add("piano", note.start, felt_piano(rng, note.pitch, note.beats + 1.2, vel), pan, 14)
    levels = {
        "pad": (-22.0, -5),
        "air": (-30.0, -3),
        "bass": (-27.5, -30),
        "piano": (-20.8, -5),
        "wave": (-38.0, -4),
    }
    return loop.mix(levels, room(loop.n, 74, 3.6, 0.03, 4600))


TRACKS = {
    "warm": (score_warm, render_warm),
    "drive": (score_drive, render_drive),
    "bounce": (score_bounce, render_bounce),
    "still": (score_still, render_still),
}

#: Spectral tilt the master is nudged towards, in dB per octave.
TILT = {"warm": -4.6, "drive": -4.2, "bounce": -4.3, "still": -5.0}


# --------------------------------------------------------------------------------------
# Mastering, measurement, export
# --------------------------------------------------------------------------------------


def tilt_match(x: np.ndarray, slope: float, strength: float = 0.65, most: float = 5.0):
    """Response that nudges the smoothed spectrum towards a straight tilt (100 Hz to 10 kHz)."""
    f = freqs(x.shape[-1])
    power = (np.abs(np.fft.rfft(x)) ** 2).sum(axis=0)
    centres = 100.0 * 2.0 ** (np.arange(21) / 3)
    index = np.searchsorted(f, np.append(centres / 2 ** (1 / 6), centres[-1] * 2 ** (1 / 6)))
    density = 10 * np.log10(np.add.reduceat(power, index)[:-1] / np.diff(index))
    octave = np.log2(centres / 1000.0)
    near = np.exp(-0.5 * ((octave[:, None] - octave[None, :]) / 0.6) ** 2)
    smooth = near @ density / near.sum(axis=1)
    error = slope * octave - smooth
    error -= np.average(error, weights=np.exp(-0.5 * ((octave + 1) / 1.5) ** 2))
    move = np.clip(strength * error, -most, most)
    return db(np.interp(np.log2(np.maximum(f, 1) / 1000.0), octave, near @ move / near.sum(axis=1)))


def master(name: str, x: np.ndarray) -> np.ndarray:
    """Clean-up filters, glue compression, saturation, loudness and a true-peak ceiling."""
    n = x.shape[-1]
    f = freqs(n)
    x = equalise(x, high_pass(f, 30, 3) * low_pass(f, 13_500, 3) * tilt_match(x, TILT[name]))
    x = equalise(x, shelf(f, 9000, -2.0))
    mid, side = x.mean(axis=0), (x[0] - x[1]) / 2
    side = equalise(side, high_pass(f, 130, 2))  # the low end stays in the middle
    x = np.stack([mid + side, mid - side])
    x = x * db(TARGET_LUFS - loudness(x))
    x = compress(x, -19.0, 1.6)
    x = saturate(x, 0.9)
    x = equalise(x, high_pass(f, 25, 3))
    for _ in range(3):
        x = x * db(TARGET_LUFS - loudness(x))
        x = limit(x, db(CEILING_DBTP - 0.4))
    over = true_peak(x) / db(CEILING_DBTP)
    return x / max(1.0, over)


def quantise(x: np.ndarray, seed: int) -> np.ndarray:
    """16-bit samples with seeded triangular dither, shape (n, 2)."""
    rng = np.random.default_rng(seed)
    dither = rng.random(x.shape) - rng.random(x.shape)
    return np.round(x * 32767 + dither).astype("<i2").T.copy()


def seam_ratio(pcm: np.ndarray) -> float:
    """Second-difference across the seam over its 99.9th percentile elsewhere (< 1: inaudible)."""
    x = pcm.astype(float)
    bend = np.abs(np.roll(x, -1, axis=0) - 2 * x + np.roll(x, 1, axis=0)).max(axis=1)
    at_seam = max(bend[0], bend[-1])
    return float(at_seam / np.percentile(bend[1:-1], 99.9))


def encode(pcm: np.ndarray, loop: Loop, path: Path) -> None:
    """Write FLAC with ffmpeg, bit-exact and single-threaded for repeatable files."""
    import imageio_ffmpeg

    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-y",
        "-v",
        "error",
        "-f",
        "s16le",
        "-ar",
        str(SR),
        "-ac",
        "2",
        "-i",
        "-",
        "-map_metadata",
        "-1",
        "-metadata",
        f"title={loop.title}",
        "-metadata",
        "artist=the Pytoon project",
        "-metadata",
        "license=CC0-1.0",
        "-c:a",
        "flac",
        "-compression_level",
        "12",
        "-threads",
        "1",
        "-fflags",
        "+bitexact",
        "-flags:a",
        "+bitexact",
        str(path),
    ]
    subprocess.run(command, input=pcm.tobytes(), check=True)


def ledger_entry(loop: Loop, path: Path) -> str:
    """One YAML list item of the ledger."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return "\n".join(
        [
            f"  - name: {loop.name}",
            f"    file: {path.name}",
            f'    title: "{loop.title}"',
            f'    mood: "{loop.mood}"',
            f"    tempo_bpm: {loop.bpm}",
            f"    bars: {loop.bars}",
            f"    seconds: {loop.n / SR:g}",
            "    loop: true",
            "    licence: CC0-1.0",
            '    author: "the Pytoon project"',
            f"    made_by: {MADE_BY}",
            f"    sha256: {digest}",
        ]
    )


def write_ledger(folder: Path) -> None:
    """Describe every rendered track in ``ledger.yaml``."""
    entries = []
    for name, (score, _) in TRACKS.items():
        path = folder / f"{name}.flac"
        if path.exists():
            entries.append(ledger_entry(score().loop, path))
    header = f"# Written by {MADE_BY}; see LICENSE.md.\ntracks:\n"
    (folder / "ledger.yaml").write_text(header + "\n".join(entries) + "\n", encoding="utf-8")


def print_tables(score: Score) -> None:
    """Chords, voicings with voice movement, and melody notes against the harmony."""
    print(f"\n== {score.loop.name}: {score.loop.bars} bars at {score.loop.bpm} bpm")
    before = score.voicings[-1]
    for chord, voicing in zip(score.chords, score.voicings, strict=True):
        move = [b - a for a, b in zip(before, voicing, strict=True)]
        print(f"{chord.start:5.1f} {chord.symbol:9s} {' '.join(map(name_of, voicing)):20s} {move}")
        assert {v % 12 for v in voicing} == set(chord.upper)
        before = voicing
    for line, notes in score.lines.items():
        print(f"-- {line}")
        print("\n".join(check_melody(score.chords, notes)))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tracks", nargs="*", help=f"any of: {', '.join(TRACKS)} (default: all)")
    parser.add_argument("--out", type=Path, default=HERE, help="output folder")
    parser.add_argument("--check", action="store_true", help="print note tables only")
    args = parser.parse_args()
    for name in args.tracks or TRACKS:
        compose, render = TRACKS[name]
        score = compose()
        for notes in score.lines.values():
            check_melody(score.chords, notes)
        if args.check:
            print_tables(score)
            continue
        loop = score.loop
        audio = master(name, render(score))
        pcm = quantise(audio, zlib.crc32(name.encode()))
        path = args.out / f"{name}.flac"
        encode(pcm, loop, path)
        print(
            f"{name:7s} {loop.n / SR:6.2f} s  {loudness(audio):6.2f} LUFS  "
            f"{20 * np.log10(true_peak(audio)):6.2f} dBTP  {path.stat().st_size / 1e6:5.2f} MB  "
            f"seam {seam_ratio(pcm):.3f}"
        )
    if not args.check:
        write_ledger(args.out)


if __name__ == "__main__":
    main()
