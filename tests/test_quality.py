"""Each check fails on a file that breaks its promise, and only then."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.measure import Measurement, measure
from pytoon_pipeline.quality.checks import CHECK_NAMES, Expected, run_checks

GOOD_VIDEO = [
    "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "high", "-level", "4.1", "-g", "30",
    "-bf", "2",
]
GOOD_AUDIO = ["-c:a", "aac", "-ar", "48000", "-ac", "2", "-b:a", "160k"]
FAST = ["-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0"]
PICTURE = (
    "testsrc2=size=270x480:rate=30:duration=3,format=yuv420p,setsar=1,"
    "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
)
LOUD = "sine=frequency=500:duration=3:sample_rate=48000,volume=7.8dB"


def make(path: Path, picture=PICTURE, sound=LOUD, video=GOOD_VIDEO, audio=GOOD_AUDIO, mux=FAST):
    argv = [ffmpeg.exe(), "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    if sound:
        argv += ["-f", "lavfi", "-i", sound, *audio]
    subprocess.run([*argv, *video, *mux, str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def expected(**changes) -> Expected:
    return Expected(**{"width": 270, "height": 480, "rate": 30, "frames": 90, **changes})


@lru_cache(maxsize=1)
def good() -> Measurement:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return measure(make(Path(folder) / "good.mp4"))


def failed(m: Measurement, e: Expected | None = None) -> set[str]:
    return {v.name for v in run_checks(m, e or expected()) if not v.passed}


def test_a_good_file_passes_everything() -> None:
    verdicts = run_checks(good(), expected())
    assert [v.name for v in verdicts] == list(CHECK_NAMES)
    assert not failed(good()), [v for v in verdicts if not v.passed]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"mux": []}, {"container"}),
        ({"mux": ["-movflags", "+faststart"]}, {"container"}),
        ({"video": [*GOOD_VIDEO, "-g", "90", "-x264-params", "keyint=90"]}, {"video_codec"}),
        ({"picture": PICTURE.replace("range=tv", "range=pc")}, {"video_codec"}),
        ({"video": ["-c:v", "mpeg4"]}, {"video_codec"}),
        ({"picture": PICTURE.replace("270x480", "480x270")}, {"resolution"}),
        ({"picture": PICTURE.replace("setsar=1", "setsar=4/3")}, {"resolution"}),
        ({"picture": PICTURE.replace("rate=30", "rate=25")}, {"frame_rate", "duration"}),
        ({"picture": PICTURE.replace("duration=3", "duration=2.5")}, {"duration", "audio_track"}),
        ({"sound": None}, {"audio_track", "loudness"}),
        ({"audio": [*GOOD_AUDIO, "-ac", "1"]}, {"audio_track"}),
        ({"audio": [*GOOD_AUDIO, "-ar", "44100"]}, {"audio_track"}),
        ({"sound": LOUD.replace("7.8dB", "-6dB")}, {"loudness"}),
        ({"sound": "anullsrc=r=48000:cl=stereo,atrim=duration=3"}, {"loudness"}),
        ({"picture": f"{PICTURE},drawbox=t=fill:c=black:enable='between(n,40,50)'"},
         {"black_frames"}),
        ({"picture": f"{PICTURE},loop=loop=45:size=1:start=40,trim=end_frame=90"},
         {"frozen_frames"}),
    ],
)
def test_a_broken_promise_is_found(changes: dict, names: set[str], tmp_path: Path) -> None:
    m = measure(make(tmp_path / "bad.mp4", **changes))
    assert failed(m) >= names and "container" not in failed(m) - names


def test_what_was_asked_for_is_no_fault(tmp_path: Path) -> None:
    black = f"{PICTURE},drawbox=t=fill:c=black:enable='between(n,40,50)'"
    m = measure(make(tmp_path / "asked.mp4", picture=black, sound=LOUD))
    assert not failed(m, expected(black=[(39, 52)]))
    still = f"{PICTURE},loop=loop=45:size=1:start=40,trim=end_frame=90"
    m = measure(make(tmp_path / "still.mp4", picture=still))
    assert not failed(m, expected(still=[(40, 90)]))


def test_a_stand_in_is_a_warning() -> None:
    verdict = next(v for v in run_checks(good(), expected(degraded=["s2"])) if not v.passed)
    assert verdict.severity == "warning" and "s2" in verdict.message and verdict.remedy
