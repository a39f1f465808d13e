"""Faults of recordings: found, put right before levels are measured, and told; what is sound stays
as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_sound import RATE, encoded, noise, save, silence, speech, tone

from pytoon_pipeline.media import sound_plan
from pytoon_pipeline.media.loudness import measure_lufs
from pytoon_pipeline.media.sound import render_soundtrack
from pytoon_pipeline.media.sound_decoding import decode_sound
from pytoon_pipeline.media.sound_plan import MixClipSound, MixMusic, MixVoice, SoundPlan
from pytoon_pipeline.media.sound_repair import measure_sides, repair_sound

CASES = Path(__file__).parent / "fixtures" / "cases" / "sound"


def laid(tmp_path: Path, plan: SoundPlan) -> tuple[np.ndarray, sound_plan.SoundReport]:
    report = render_soundtrack(plan, tmp_path / "laid.m4a")
    return decode_sound(tmp_path / "laid.m4a", seconds=60), report


@pytest.mark.parametrize(
    ("name", "said"),
    [("upside-down", "cancel"), ("offset-half", "constant"), ("offset-tenth", "constant")],
)
def test_handed_voices_are_heard_at_their_level_on_one_loudspeaker(tmp_path, name, said):
    plan = SoundPlan(3 * RATE, voice=MixVoice(CASES / name / "voice.wav"))
    samples, report = laid(tmp_path, plan)

    assert measure_lufs(samples) == pytest.approx(-14, abs=0.5)
    assert measure_sides(samples).mono_lu == pytest.approx(0, abs=0.1)
    assert [r.part for r in report.repairs] == ["voice"] and said in report.repairs[0].what
    # Nothing clicks where it begins.
    assert np.abs(samples[:48]).max() < 0.1


def one(samples: np.ndarray, left: float = 1.0, right: float = 1.0) -> np.ndarray:
    return samples * np.array([left, right], np.float32)


SPEECH = speech()
SLOW = np.sin(2 * np.pi * 0.5 * np.arange(len(SPEECH)) / RATE)[:, None].astype(np.float32)


@pytest.mark.parametrize(
    "samples",
    [
        SPEECH * 0.5 + 0.4,
        SPEECH * 0.5 - 0.4,
        one(SPEECH) + np.float32([0.4, 0]),
        SPEECH * 0.5 + 0.3 * SLOW,
        np.concatenate([silence(1), SPEECH * 0.5 + 0.3]),
        SPEECH[RATE // 2 : RATE // 2 + RATE * 3 // 10] * 0.5 + 0.4,
    ],
    ids=["above", "below", "one channel", "slow swing", "begins late", "0.3 s"],
)
def test_a_constant_is_taken_away_without_a_trace(samples):
    mended = repair_sound(samples, voice=True)

    assert len(mended.said) == 1 and "constant" in mended.said[0]
    still = np.abs(mended.samples).max(axis=1) < 0.02
    slow = np.convolve(mended.samples[:, 0], np.ones(4800) / 4800, mode="valid")
    assert np.abs(slow).max(initial=0) < 0.02
    assert len(samples) < RATE or still.mean() > 0.3, "pauses are silent again"


def test_deep_bass_is_no_constant():
    for hz in (25, 40):
        bass = tone(hz, 3)
        assert repair_sound(bass).samples is bass


def test_a_click_is_no_constant():
    clicks = silence(3)
    for second in (0.5, 1.5, 2.5):
        clicks[round(second * RATE) :][:40] = 0.9
    assert repair_sound(clicks).samples is clicks


@pytest.mark.parametrize(
    ("samples", "voice", "said"),
    [
        (one(SPEECH, 1, -1), False, "turned over"),
        (one(SPEECH, 1, -0.7), False, "turned over"),
        (one(SPEECH, 1, -0.7), True, "cancel"),
        (one(SPEECH, 1, 0), True, "left side alone"),
        (one(SPEECH, 0, 1) + 0.0005 * noise(3, 1), True, "right side alone"),
        (one(SPEECH, 1, 0), False, "left side alone"),
        (np.concatenate([one(SPEECH, 1, 0), one(SPEECH, 0, 1)]), True, "one side or the other"),
        (np.concatenate([SPEECH, one(SPEECH, 1, -1)]), True, "cancel"),
        (np.concatenate([SPEECH, one(SPEECH, 1, -1)]), False, "for a while"),
        (noise(3), False, "narrower"),
        (noise(3), True, "cancel"),
    ],
)
def test_channels_that_only_some_devices_play_are_put_right(samples, voice, said):
    mended = repair_sound(samples, voice=voice)
    sides = measure_sides(mended.samples)

    assert any(said in s for s in mended.said), mended.said
    assert sides.mono_lu > -2.6 and abs(sides.balance_lu) < 7
    assert not sides.cancelled().any()
    assert measure_lufs(mended.samples) == pytest.approx(measure_lufs(samples), abs=4)


def test_sound_without_a_fault_stays_sample_for_sample():
    wide = SPEECH + 0.3 * np.stack([noise(3)[:, 0], noise(3)[:, 1]], axis=1) * one(SPEECH * 0 + 1)
    for samples in (SPEECH, one(SPEECH, 1, 0.5), wide.astype(np.float32)):
        mended = repair_sound(samples)
        assert mended.samples is samples and not mended.said


def test_values_that_are_no_numbers_are_bridged_and_told():
    samples = tone(440, 1) + np.float32(0.0)
    samples[1000:1200] = np.nan
    samples[5000, 1] = -np.inf
    mended = repair_sound(samples, voice=True)

    assert np.isfinite(mended.samples).all() and "not numbers" in mended.said[0]
    assert np.abs(np.diff(mended.samples[:, 1])).max() < 0.1
    loud = repair_sound(tone(440, 1) * 32767).samples
    assert 0.5 < np.abs(loud).max() < 4


@pytest.mark.parametrize("what", ["music", "clip"])
def test_music_and_clips_are_heard_on_one_loudspeaker_too(tmp_path, what):
    path = save(tmp_path / "x.wav", one(tone(440, 2), 1, -1))
    plan = (
        SoundPlan(2 * RATE, music=MixMusic(path))
        if what == "music"
        else SoundPlan(2 * RATE, clips=(MixClipSound(path, 0, 0, 2 * RATE),))
    )
    samples, report = laid(tmp_path, plan)

    assert report.repairs[0].part.startswith(what)
    assert measure_sides(samples).mono_lu > -0.5


def test_a_recorders_channel_is_found_wherever_it_lies(tmp_path):
    for channels, place in ((6, 3), (8, 3), (9, 8), (16, 15)):
        samples = np.zeros((RATE, channels), np.float32)
        samples[:, place] = tone(500, 1)[:, 0]
        path = save(tmp_path / f"{channels}.wav", samples)
        assert np.abs(decode_sound(path, seconds=2)).max() > 0.1, (channels, place)


def test_what_is_silent_or_very_quiet_is_told(tmp_path):
    mute = save(tmp_path / "mute.wav", silence(1))
    _, report = laid(tmp_path, SoundPlan(2 * RATE, voice=MixVoice(mute)))
    assert report.silent == ("voice",)
    late = save(tmp_path / "late.wav", np.concatenate([silence(3), SPEECH]))
    assert laid(tmp_path, SoundPlan(2 * RATE, voice=MixVoice(late)))[1].silent == ("voice",)
    quiet = encoded(tmp_path / "quiet.wav", SPEECH * np.float32(1e-3), "-c:a", "pcm_s24le")
    samples, report = laid(tmp_path, SoundPlan(3 * RATE, voice=MixVoice(quiet)))
    assert measure_lufs(samples) == pytest.approx(-14, abs=0.5)
    assert "very quiet" in report.repairs[0].what
