"""The sound of a video: decoding, mixing, ducking, mastering and the file, on sound made here."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytoon_pipeline.errors import FfmpegError, MediaError
from pytoon_pipeline.media import ffmpeg, link, loudness
from pytoon_pipeline.media.loudness import RATE, SILENCE_LUFS
from pytoon_pipeline.media.mastering import master_sound
from pytoon_pipeline.media.mixing import duck_curve, mix_sound
from pytoon_pipeline.media.sound import encode_aac, measure_loudness, render_soundtrack
from pytoon_pipeline.media.sound_decoding import decode_sound
from pytoon_pipeline.media.sound_plan import (
    MixClipSound,
    MixDucking,
    MixLoudness,
    MixMusic,
    MixVoice,
    SoundPlan,
)


def tone(hz: float, seconds: float, level: float = 0.5, rate: int = RATE) -> np.ndarray:
    wave_ = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave_.astype(np.float32)[:, None], 2, axis=1)


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(7)
    return (level * rng.standard_normal((round(seconds * RATE), 2))).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros((round(seconds * RATE), 2), np.float32)


def speech() -> np.ndarray:
    """3 s: words (bursts of 3 kHz) at 0.5-0.8, 1.0-1.3 and 2.5-2.8 s."""
    word = tone(3000, 0.3)
    return np.concatenate(
        [silence(0.5), word, silence(0.2), word, silence(1.2), word, silence(0.2)]
    )


def save(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """16-bit WAV with as many channels as `samples` has columns."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def encoded(path: Path, samples: np.ndarray, *options: str) -> Path:
    argv = [
        "-f",
        "f32le",
        "-ar",
        RATE,
        "-ac",
        2,
        "-i",
        "pipe:",
        *options,
        ffmpeg.to_ffmpeg_url(path),
    ]
    with ffmpeg.FfmpegPipe(argv, f"make {path.name}") as pipe:
        pipe.write(samples)
    return path


def video(path: Path, *options: str, seconds: float = 1) -> Path:
    source = f"color=gray:s=64x64:r=30:d={seconds}"
    ffmpeg.run_ffmpeg(
        [
            "-f",
            "lavfi",
            "-i",
            source,
            *options,
            "-c:v",
            "libx264",
            "-g",
            30,
            "-flags:v",
            "+cgop",
            path,
        ],
        f"make {path.name}",
    )
    return path


def rms_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def level_of(samples: np.ndarray, hz: float) -> np.ndarray:
    """Level in dB of one frequency in each 20 ms (hz a multiple of 50): blind to the others."""
    carrier = np.exp(-2j * np.pi * hz * np.arange(960) / RATE)
    blocks = samples[: len(samples) // 960 * 960, 0].reshape(-1, 960)
    return 20 * np.log10(np.abs(blocks @ carrier) / 480 + 1e-12)


def by_ffmpeg(path: Path) -> tuple[float, float]:
    """Loudness and true peak of a file as ffmpeg's own meter reads them."""
    argv = ["-i", path, "-map", "0:a", "-af", "ebur128=peak=true", "-f", "null", "-"]
    summary = ffmpeg.run_ffmpeg(argv, "measure")[1].rpartition("Summary:")[2]
    found = re.search(r"I:\s+(\S+) LUFS.*Peak:\s+(\S+) dBFS", summary, re.DOTALL)
    assert found
    return float(found[1]), float(found[2])


# --------------------------------------------------------------------------- decoding


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (22050, 1), (96000, 2), (48000, 6)])
def test_any_rate_and_layout_becomes_stereo_at_48_khz(tmp_path, rate, channels):
    one = tone(500, 1, level=0.99, rate=rate)[:, :1]
    path = save(tmp_path / "töne: 1.wav", np.repeat(one, channels, axis=1), rate)

    samples = decode_sound(path, seconds=10)

    assert samples.dtype == np.float32
    assert samples.shape == (RATE, 2)
    assert np.argmax(np.abs(np.fft.rfft(samples[:, 0]))) == 500
    assert 0.6 < np.abs(samples).max() <= 1.0


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.flac", "a.opus", "a.mka"])
def test_compressed_sound_keeps_its_place(tmp_path, name):
    samples = np.concatenate([silence(0.7), tone(1000, 0.5), silence(0.3)])
    options = ["-c:a", "libvorbis"] if name == "a.mka" else []
    path = encoded(tmp_path / name, samples, *options)

    whole = decode_sound(path, seconds=10)
    part = decode_sound(path, seconds=0.6, start=0.5)

    assert abs(len(whole) - len(samples)) <= 1200
    assert abs(np.argmax(np.abs(whole) > 0.1) // 2 - 0.7 * RATE) < 500
    assert len(part) == 0.6 * RATE
    assert abs(np.argmax(np.abs(part) > 0.1) // 2 - 0.2 * RATE) < 500


@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.wav"])
def test_a_truncated_file_gives_what_is_left(tmp_path, name):
    path = encoded(tmp_path / name, noise(2))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])

    assert RATE < len(decode_sound(path, seconds=10)) < 1.4 * RATE


def test_a_file_that_is_mostly_damaged_gives_the_rest(tmp_path):
    path = encoded(tmp_path / "a.m4a", tone(1000, 3), "-movflags", "+faststart")
    raw = bytearray(path.read_bytes())
    begin = len(raw) // 5
    raw[begin:] = np.random.default_rng(1).bytes(len(raw) - begin)
    path.write_bytes(raw)

    samples = decode_sound(path, seconds=10)

    assert rms_db(samples[2000:20_000]) == pytest.approx(-9, abs=0.5)
    assert len(samples) <= 3 * RATE


def test_without_sound_the_error_names_the_file_and_says_why(tmp_path):
    mute = video(tmp_path / "mute.mp4")
    cut = encoded(tmp_path / "cut.m4a", noise(1))
    cut.write_bytes(cut.read_bytes()[:9000])

    with pytest.raises(MediaError, match=r"mute\.mp4(.|\n)*matches no streams"):
        decode_sound(mute, seconds=1)
    with pytest.raises(MediaError, match=r"cut\.m4a(.|\n)*moov atom not found"):
        decode_sound(cut, seconds=1)


def test_sound_that_begins_late_stays_in_step_with_the_pictures(tmp_path):
    path = save(tmp_path / "tone.wav", tone(1000, 1))
    clip = video(tmp_path / "late.mkv", "-itsoffset", "0.5", "-i", str(path), "-c:a", "flac")

    samples = decode_sound(clip, seconds=10)

    assert abs(np.argmax(np.abs(samples) > 0.1) // 2 - RATE // 2) < 100
    assert len(decode_sound(clip, seconds=1, start=9)) == 0


def test_a_span_is_decoded_to_the_sample(tmp_path):
    path = save(tmp_path / "noise.wav", noise(2))

    for n in (1, 12_345, 31_999, 32_001, 88_888):
        assert len(decode_sound(path, seconds=n / RATE)) == n


def test_a_hole_in_the_sound_does_not_shift_what_follows(tmp_path):
    samples = silence(1)
    samples[40_000:] = tone(1000, 1)[40_000:]
    gap = ["-af", "aselect=not(between(t\\,0.2\\,0.6))", "-c:a", "pcm_s16le"]
    path = encoded(tmp_path / "gap.mkv", samples, *gap)

    assert abs(np.argmax(np.abs(decode_sound(path, seconds=10)) > 0.1) // 2 - 40_000) < 100


def test_damaged_values_do_not_reach_the_mix(tmp_path):
    samples = tone(1000, 0.5)
    samples[100], samples[200], samples[300] = np.nan, np.inf, 1e9
    path = encoded(tmp_path / "bad.wav", samples, "-c:a", "pcm_f32le")

    assert np.abs(decode_sound(path, seconds=1)).max() <= 4


# --------------------------------------------------------------------------- measuring


def test_loudness_and_true_peak_agree_with_ffmpeg(tmp_path):
    tones = [tone(60, 0.7, 0.9), tone(11025, 0.8, 0.7)]
    samples = np.concatenate([noise(1.03, 0.2), silence(0.5), *tones, noise(1, 1e-3)])
    samples[:, 1] *= 0.3
    path = encoded(tmp_path / "a.wav", samples, "-c:a", "pcm_f32le")

    assert measure_loudness(samples) == pytest.approx(by_ffmpeg(path), abs=0.11)
    assert measure_loudness(path) == pytest.approx(measure_loudness(samples), abs=1e-3)


def test_loudness_of_known_signals():
    # EBU Tech 3341, case 1; a sine at a quarter of the rate whose samples all miss its peaks.
    assert measure_loudness(tone(1000, 5, 10 ** (-23 / 20)))[0] == pytest.approx(-23, abs=0.1)
    between = np.repeat(np.sin(np.pi / 4 + np.pi / 2 * np.arange(RATE))[:, None], 2, axis=1)
    assert measure_loudness(between.astype(np.float32))[1] == pytest.approx(0, abs=0.1)
    assert measure_loudness(silence(1)) == (SILENCE_LUFS, loudness.SILENCE_PEAK_DB)
    assert measure_loudness(silence(0)) == (SILENCE_LUFS, loudness.SILENCE_PEAK_DB)
    long, short = tone(1000, 2), tone(1000, 0.2)
    assert measure_loudness(short)[0] == pytest.approx(measure_loudness(long)[0], abs=0.2)


# --------------------------------------------------------------------------- mixing


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sound")
    return {
        "tone": save(folder / "tone.wav", tone(443, 0.73)),
        "bed": save(folder / "bed.wav", tone(200, 4, 0.2)),
        "noise": save(folder / "noise.wav", noise(4)),
        "words": save(folder / "words.wav", speech()),
    }


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n=st.integers(1, 3 * RATE),
    start=st.floats(0, 0.7),
    at=st.integers(0, 4 * RATE),
    length=st.integers(0, 2 * RATE),
    fade=st.integers(0, RATE),
    loop=st.booleans(),
)
def test_the_mix_is_as_long_as_planned_to_the_sample(material, n, start, at, length, fade, loop):
    plan = SoundPlan(
        n,
        music=MixMusic(material["tone"], start=start, fade_in_s=fade / RATE, loop=loop),
        voice=MixVoice(material["words"], start=at / RATE),
        clips=(MixClipSound(material["noise"], start, at, length, fade_samples=fade),),
    )

    mixed = mix_sound(plan)

    assert mixed.shape == (n, 2)
    assert mixed.dtype == np.float32
    assert np.isfinite(mixed).all()


def test_a_loop_has_no_click_and_no_hole(material, tmp_path):
    padded = np.concatenate([silence(0.2), tone(443, 0.73), silence(0.3)])
    for path in (material["tone"], save(tmp_path / "padded.wav", padded)):
        mixed = mix_sound(SoundPlan(3 * RATE, music=MixMusic(path, fade_out_s=0)))[: -RATE // 50]

        steps = np.abs(np.diff(mixed[:, 0]))
        # The tone's own steepest step, raised by what two equal tones may add up to in a seam.
        assert steps.max() < 1.42 * np.median(steps) * np.pi / 2
        windows = [rms_db(mixed[i : i + 1440]) for i in range(0, len(mixed) - 1440, 480)]
        assert max(windows) - min(windows) < 9


def test_a_loop_of_noise_keeps_its_power_through_the_seam(tmp_path):
    path = save(tmp_path / "short.wav", noise(1.5))

    mixed = mix_sound(SoundPlan(4 * RATE, music=MixMusic(path, fade_out_s=0)))

    windows = [rms_db(mixed[i : i + 4800]) for i in range(0, 3 * RATE, 4800)]
    assert max(windows) - min(windows) < 1


def test_music_is_trimmed_and_fades_out_to_nothing(material):
    mixed = mix_sound(
        SoundPlan(2 * RATE, music=MixMusic(material["bed"], fade_out_s=0.5, fade_in_s=0.1))
    )

    body = rms_db(mixed[RATE // 2 : RATE])
    assert rms_db(mixed[-RATE // 4 :]) < body - 6
    assert rms_db(mixed[-RATE // 100 :]) < body - 50
    assert rms_db(mixed[: RATE // 200]) < body - 30
    assert measure_loudness(mixed[RATE // 5 : RATE])[0] == pytest.approx(-16, abs=1)


def test_music_that_does_not_loop_ends_with_the_track(material):
    mixed = mix_sound(
        SoundPlan(2 * RATE, music=MixMusic(material["tone"], loop=False, fade_out_s=0.2))
    )

    assert rms_db(mixed[RATE // 4 : RATE // 2]) > -30
    assert rms_db(mixed[round(0.725 * RATE) : round(0.73 * RATE)]) < -60
    assert not mixed[round(0.74 * RATE) :].any()
    with pytest.raises(MediaError, match="tone.wav.*second 9"):
        mix_sound(SoundPlan(RATE, music=MixMusic(material["tone"], start=9)))


def test_clip_sound_lies_at_its_place_with_its_own_level(material):
    clip = MixClipSound(material["bed"], 1.0, RATE // 2, RATE, gain_db=-6, fade_samples=480)
    mixed = mix_sound(SoundPlan(2 * RATE, clips=(clip,)))

    assert not mixed[: RATE // 2].any()
    assert not mixed[RATE // 2 + RATE :].any()
    assert np.abs(mixed[RATE // 2 : RATE // 2 + 5]).max() < 0.002
    assert level_of(mixed, 200)[40] == pytest.approx(20 * np.log10(0.2) - 6, abs=0.1)


def test_two_clips_keep_their_power_where_they_overlap(material):
    first = MixClipSound(material["noise"], 0, 0, RATE, fade_samples=RATE // 4)
    second = MixClipSound(material["noise"], 2, RATE - RATE // 4, RATE, fade_samples=RATE // 4)
    mixed = mix_sound(SoundPlan(2 * RATE, clips=(first, second)))

    join = rms_db(mixed[RATE - RATE // 5 : RATE - RATE // 20])
    assert join == pytest.approx(rms_db(mixed[RATE // 3 : RATE // 2]), abs=0.5)


@pytest.mark.parametrize("quiet", [1.0, 0.02])
def test_a_quiet_voice_is_brought_up(tmp_path, quiet):
    path = save(tmp_path / "quiet.wav", speech()[:, :1] * quiet)

    mixed = mix_sound(SoundPlan(3 * RATE, voice=MixVoice(path)))
    louder = mix_sound(SoundPlan(3 * RATE, voice=MixVoice(path, gain_db=3)))

    assert measure_loudness(mixed)[0] == pytest.approx(-16, abs=0.2)
    assert measure_loudness(louder)[0] == pytest.approx(-13, abs=0.2)


def test_a_voice_longer_than_the_video_is_cut_without_a_click(tmp_path):
    path = save(tmp_path / "long.wav", tone(1000, 2))

    mixed = mix_sound(SoundPlan(RATE, voice=MixVoice(path, start=0.5)))

    assert not mixed[: RATE // 2].any()
    assert np.abs(mixed[-5:]).max() < 0.001
    assert rms_db(mixed[RATE // 2 :]) > -25
    assert not mix_sound(SoundPlan(RATE, voice=MixVoice(path, start=1.5))).any()


# --------------------------------------------------------------------------- ducking


@pytest.mark.parametrize("under", ["music", "clip"])
def test_what_lies_under_the_voice_steps_back_in_time_and_by_the_depth(material, under):
    n = 4 * RATE
    beds = {
        "music": {"music": MixMusic(material["bed"], fade_out_s=0)},
        "clip": {"clips": (MixClipSound(material["bed"], 0, 0, n),)},
    }[under]
    ducking = MixDucking(depth_db=-12, attack_s=0.2, release_s=0.4, hold_s=0.3)
    alone = level_of(mix_sound(SoundPlan(n, **beds)), 200)
    # Words at 0.6-0.9, 1.1-1.4 and 2.6-2.9 s of the video.
    ducked = mix_sound(
        SoundPlan(n, **beds, voice=MixVoice(material["words"], start=0.1), ducking=ducking)
    )
    curve = level_of(ducked, 200) - alone
    at = lambda second: curve[round(second * 50)]  # noqa: E731

    assert at(0.34) == pytest.approx(0, abs=0.1)  # before the attack
    assert at(0.48) == pytest.approx(-6, abs=1.2)  # half way, linear in dB
    assert at(0.60) == pytest.approx(-12, abs=0.2)  # there when the word begins
    assert curve[30:84] == pytest.approx(-12, abs=0.2)  # the gap between two words is bridged
    assert at(1.90) == pytest.approx(-6, abs=1.2)  # hold till 1.7, then up
    assert curve[108:118] == pytest.approx(0, abs=0.1)
    assert at(2.60) == pytest.approx(-12, abs=0.2)
    assert at(3.70) == pytest.approx(0, abs=0.1)


def test_ducking_follows_the_voice_at_any_level_and_over_its_noise():
    words = speech()
    hiss = noise(3, 0.08)
    plain = duck_curve(words, MixDucking())

    assert plain.shape == (3 * RATE,)
    assert plain.min() == pytest.approx(10 ** (-12 / 20), rel=1e-3)
    assert np.array_equal(plain, duck_curve(words * 2.0**-8, MixDucking()))
    noisy = duck_curve(words + hiss, MixDucking())
    assert np.abs(noisy - plain).max() < 0.15
    assert noisy[round(2.2 * RATE)] > 0.9


def test_the_whole_word_is_ducked_without_any_hold():
    words = np.roll(speech(), 333, axis=0)  # off the grid on which the voice is judged
    curve = duck_curve(words, MixDucking(hold_s=0))

    assert curve[np.abs(words[:, 0]) > 0.01].max() == pytest.approx(10 ** (-12 / 20), rel=1e-3)


def test_nothing_is_ducked_without_a_voice():
    assert (duck_curve(silence(1), MixDucking()) == 1).all()
    assert len(duck_curve(silence(0), MixDucking())) == 0


# --------------------------------------------------------------------------- mastering


def test_mastering_is_one_gain_and_leaves_the_dynamics():
    samples = np.concatenate([tone(300, 2, 0.05), tone(300, 2, 0.0125), tone(300, 2, 0.05)])

    out = master_sound(samples, MixLoudness())

    assert measure_loudness(out)[0] == pytest.approx(-14, abs=0.15)
    ratio = level_of(out, 300) - level_of(samples, 300)
    assert np.ptp(ratio) < 0.01


def test_the_limiter_holds_peaks_between_samples_and_keeps_the_rest():
    samples = tone(300, 3, 0.2)
    for i in range(10_000, len(samples) - 20_000, 20_000):
        samples[i : i + 240] += tone(11_025, 0.005, 3.0)

    out = master_sound(samples, MixLoudness())

    lufs, true_peak = measure_loudness(out)
    assert lufs == pytest.approx(-14, abs=0.5)
    assert true_peak == pytest.approx(-1.3, abs=0.05)
    gain = level_of(out, 300) - level_of(samples, 300)
    assert gain.max() - np.median(gain) < 0.2  # it lets go between the peaks


@pytest.mark.parametrize("seconds", [0, 0.001, 0.2, 2])
def test_silence_and_short_sound_are_mastered_to_the_same_length(seconds):
    assert not master_sound(silence(seconds), MixLoudness()).any()
    out = master_sound(tone(1000, seconds), MixLoudness())
    assert out.shape == silence(seconds).shape
    assert measure_loudness(out)[1] <= -1


def test_what_no_meter_hears_is_not_raised():
    hum = tone(100, 1, 1e-4)
    assert np.array_equal(master_sound(hum, MixLoudness()), hum)


# --------------------------------------------------------------------------- the file


def drums() -> np.ndarray:
    hits = noise(3, 0.5) * np.exp(-((np.arange(3 * RATE) / RATE * 4) % 1) * 30)[:, None]
    return hits.astype(np.float32) + tone(110, 3, 0.05)


@pytest.mark.parametrize("what", ["drums", "noise", "voice", "voice over music", "clip", "hard"])
def test_the_encoded_sound_measures_as_promised(tmp_path, material, what):
    n = 3 * RATE
    beat = save(tmp_path / "beat.wav", drums())
    square = save(tmp_path / "square.wav", np.sign(tone(700, 3)) * 0.9 + noise(3, 0.1))
    plan = {
        "drums": SoundPlan(n, music=MixMusic(beat)),
        "noise": SoundPlan(n, music=MixMusic(material["noise"])),
        "voice": SoundPlan(n, voice=MixVoice(material["words"])),
        "voice over music": SoundPlan(
            n, music=MixMusic(beat, -6), voice=MixVoice(material["words"])
        ),
        "clip": SoundPlan(n, clips=(MixClipSound(beat, 0, RATE, RATE, gain_db=-30),)),
        "hard": SoundPlan(n, music=MixMusic(square, fade_out_s=0.1)),
    }[what]
    out = tmp_path / "sound.m4a"

    report = render_soundtrack(plan, out)

    lufs, true_peak = by_ffmpeg(out)
    assert lufs == pytest.approx(-14, abs=1 if what == "drums" else 0.55)
    assert true_peak <= -1
    assert (report.lufs, report.true_peak_db) == pytest.approx((lufs, true_peak), abs=0.2)
    assert report.ducked_db == pytest.approx(-12 if what == "voice over music" else 0, abs=0.1)
    assert report.seconds == 3
    assert len(decode_sound(out, seconds=9)) == n
    assert [p.name for p in tmp_path.glob("*.part")] == []


def test_a_video_without_sound_gets_a_silent_stereo_track(tmp_path):
    out = tmp_path / "sound.m4a"
    report = render_soundtrack(SoundPlan(RATE), out)

    said = ffmpeg.run_ffmpeg(["-i", out, "-f", "null", "-"], "look")[1]
    assert "Audio: aac (LC)" in said and "48000 Hz, stereo" in said
    samples = decode_sound(out, seconds=9)
    assert samples.shape == (RATE, 2)
    assert not samples.any()
    assert (report.lufs, report.gain_db, report.ducked_db) == (SILENCE_LUFS, 0, 0)


def test_equal_sound_gives_equal_bytes_and_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    out = tmp_path / "a.m4a"
    encode_aac(noise(1), out)
    before = out.read_bytes()
    encode_aac(noise(1), out)
    assert out.read_bytes() == before
    assert b"Lav" not in before  # no encoder's version either

    monkeypatch.setenv("PYTOON_FFMPEG", "/bin/false")
    with pytest.raises(FfmpegError):
        encode_aac(noise(1), out)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_linked_without_an_edit_list_the_sound_is_in_sync_and_under_the_ceiling(tmp_path):
    samples = tone(700, 1, 0.02)
    # Loud from the first sample on, of a shape that the cold start of a decoder makes louder.
    samples[:1024] += np.sin(2 * np.pi * 5 * (np.arange(1024) - 511.5) / 1024)[:, None]
    samples[30_000:30_010] = 0.1
    path = save(tmp_path / "a.wav", samples)
    plan = SoundPlan(RATE, clips=(MixClipSound(path, 0, 0, RATE, fade_samples=0),))
    render_soundtrack(plan, tmp_path / "a.m4a")
    picture = video(tmp_path / "picture.mp4")

    link.link_video(
        [link.LinkPart(picture, 0, 30)], tmp_path / "a.m4a", tmp_path / "out.mp4", rate=30
    )

    # As a player that knows no edit lists decodes it.
    argv = ["-ignore_editlist", 1, "-i", tmp_path / "out.mp4", "-map", "0:a"]
    raw, _ = ffmpeg.run_ffmpeg([*argv, "-f", "f32le", "-"], "decode")
    heard = np.frombuffer(raw, "<f4").reshape(-1, 2)[:RATE]
    laid = decode_sound(tmp_path / "a.m4a", seconds=1)
    a, b = heard[20_000:40_000, 0], laid[20_000:40_000, 0]
    lag = np.argmax(np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b))))
    assert lag == 0
    assert np.abs(a - b).max() < 1e-3
    assert measure_loudness(heard)[1] <= -1
