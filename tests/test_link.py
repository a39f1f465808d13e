"""Linking segments and sound packet for packet, and measuring what came out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pytoon_pipeline.errors import LinkError, MediaError
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.encode import VideoSettings, encode_video
from pytoon_pipeline.media.link import AAC_PRIMING, LinkPart, link_video
from pytoon_pipeline.media.measure import measure_file
from pytoon_pipeline.media.measure_sound import loudness_graph, parse_loudness
from pytoon_pipeline.media.mp4_boxes import edit_lists, is_faststart, read_boxes

W, H, RATE, SOUND = 270, 480, 30, 48000
FADE = 16


def numbered(n: int, level: int = 200) -> np.ndarray:
    """Luma with the frame's number in ten blocks."""
    y = np.full((H, W), 60, np.uint8)
    for bit in range(10):
        if n >> bit & 1:
            y[100:300, bit * 27 : bit * 27 + 27] = level
    return y


def number(y: np.ndarray) -> int:
    return sum(1 << bit for bit in range(10) if y[200, bit * 27 + 13] > 130)


def encode(path: Path, lumas: Iterable[np.ndarray], keys: list[int], **settings: object) -> Path:
    grey = np.full((H // 2, W // 2), 128, np.uint8)
    frames = [(y, grey, grey) for y in lumas]
    encode_video(
        frames,
        path,
        size=(W, H),
        rate=RATE,
        count=len(frames),
        keyframes=keys,
        settings=VideoSettings(**settings),
    )
    return path


def aac(path: Path, samples: np.ndarray) -> Path:
    """As sound is encoded for the linker: (n, 2) at 48 kHz, ffmpeg's own encoder."""
    ffmpeg.run_ffmpeg(
        [
            "-f",
            "f32le",
            "-ar",
            SOUND,
            "-ac",
            2,
            "-i",
            "pipe:0",
            "-c:a",
            "aac",
            "-b:a",
            "160k",
            *ffmpeg.BITEXACT,
            "-f",
            "mp4",
            path,
        ],
        "encode sound",
        input=samples.astype(np.float32).tobytes(),
    )
    return path


def clicks(frames: Iterable[int], count: int) -> np.ndarray:
    """A millisecond of noise at the first sample of each of `frames`, silence else."""
    samples = np.zeros((count * SOUND // RATE, 2), np.float32)
    for frame in frames:
        at = frame * SOUND // RATE
        samples[at : at + 48] = np.random.default_rng(frame).choice([-0.8, 0.8], (48, 1))
    return samples


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    """Three segments with handles, and the two windows between them, blended.

    On the video's clock: a shows [0, 52) and fades [52, 68), b shows [68, 108), fades [108, 124),
    c shows [124, 168).
    """
    folder = tmp_path_factory.mktemp("segments")
    a = encode(folder / "a.mp4", map(numbered, range(0, 68)), [52])
    b = encode(folder / "b.mp4", map(numbered, range(52, 124)), [FADE, 56])
    c = encode(folder / "c.mp4", map(numbered, range(108, 168)), [FADE])
    parts = [LinkPart(a, 0, 52)]
    for name, first, rest in (
        ("ab", 52, LinkPart(b, FADE, 40)),
        ("bc", 108, LinkPart(c, FADE, 44)),
    ):
        # Both sides show the same number: what a crossfade leaves still must stay still.
        window = (numbered(first + n, 200 - n) for n in range(FADE))
        parts += [LinkPart(encode(folder / f"{name}.mp4", window, []), 0, FADE), rest]
    return parts


@pytest.fixture(scope="module")
def linked(segments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("linked")
    sound = aac(folder / "sound.m4a", clicks([7, 60, 150], 168))
    link_video(segments, sound, folder / "video.mp4", rate=RATE)
    return folder / "video.mp4"


def test_every_frame_in_its_place(linked):
    with av.open(str(linked)) as container:
        stream = container.streams.video[0]
        frames = [
            (f.pts * f.time_base * RATE, number(f.to_ndarray()[:H]))
            for f in container.decode(stream)
        ]
        assert frames == [(n, n) for n in range(168)]
        assert stream.frames == 168 and stream.duration * stream.time_base * RATE == 168
        assert stream.average_rate == RATE and stream.time_base == Fraction(1, 15360)


def test_decoder_has_nothing_to_say(linked):
    _, log = ffmpeg.run_ffmpeg(["-loglevel", "warning", "-i", linked, "-f", "null", "-"], "decode")
    assert log == ""


def test_packets_are_the_segments_packets(segments, linked):
    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(p) for p in container.demux(video=0) if p.size]

    whole = packets(linked)
    assert len(whole) == 168
    assert set(whole) <= {p for part in segments for p in packets(part.path)}


def test_container(linked):
    names = [box.path for box in read_boxes(linked)]
    assert names[:2] == ["ftyp", "moov"] and not [n for n in names if "elst" in n or "edts" in n]
    assert is_faststart(linked) and edit_lists(linked) == []
    data = linked.read_bytes()
    assert data[8:12] == b"mp42" and b"Lavf" not in data
    with av.open(str(linked)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert container.duration == 5_600_000
        assert (video.start_time, audio.start_time) == (0, 0)
        assert audio.duration == 168 * SOUND // RATE


def test_sound_is_in_sync(linked):
    """With no edit list there is nothing a player could fail to heed; decoded times are its."""
    with av.open(str(linked)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].pts == 0
    heard = np.concatenate([f.to_ndarray() for f in frames], axis=1)[0]
    for frame in (7, 60, 150):
        at = frame * SOUND // RATE
        near = np.abs(heard[at - 4800 : at + 4800])
        onset = np.argmax(near > 0.4) - 4800
        assert abs(onset) < 0.005 * SOUND, f"click of frame {frame} is {onset} samples off"
        assert abs(onset) < 48  # in fact it is exact, but for the codec's own smear


def test_encoder_puts_one_packet_before_the_sound(tmp_path):
    sound = aac(tmp_path / "s.m4a", clicks([], 30))
    assert [(e.media_time, e.rate) for e in edit_lists(sound)] == [(AAC_PRIMING, 1.0)]
    assert not is_faststart(sound)


def test_linking_is_the_same_every_time(segments, linked, tmp_path):
    link_video(segments, linked.with_name("sound.m4a"), tmp_path / "again.mp4", rate=RATE)
    assert (tmp_path / "again.mp4").read_bytes() == linked.read_bytes()
    assert os.listdir(tmp_path) == ["again.mp4"]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ((0, 50), "no keyframe"),  # ends between keyframes
        ((5, 47), "no keyframe"),  # begins between them
        ((52, 17), "has 68 frames"),
        ((0, 0), "has 68 frames"),
    ],
)
def test_parts_must_hold_what_they_promise(segments, tmp_path, part, says):
    wrong = LinkPart(segments[0].path, *part)
    with pytest.raises(LinkError, match=rf"a\.mp4.*{says}"):
        link_video([wrong], None, tmp_path / "v.mp4", rate=RATE)
    assert os.listdir(tmp_path) == []


def test_parts_must_be_of_one_kind(segments, tmp_path):
    other = encode(tmp_path / "other.mp4", map(numbered, range(5)), [], profile="main")
    with pytest.raises(LinkError, match=r"other\.mp4 was encoded with other settings"):
        link_video([segments[0], LinkPart(other, 0, 5)], None, tmp_path / "v.mp4", rate=RATE)
    with pytest.raises(LinkError, match="25 frames a second"):
        link_video(segments, None, tmp_path / "v.mp4", rate=25)
    (tmp_path / "cut.mp4").write_bytes(segments[0].path.read_bytes()[:3000])
    with pytest.raises(LinkError, match=r"cut\.mp4"):
        link_video([LinkPart(tmp_path / "cut.mp4", 0, 52)], None, tmp_path / "v.mp4", rate=RATE)


def test_groups_of_pictures_must_be_closed(tmp_path):
    """Frames that come after an open keyframe but are shown before it need what was cut off."""
    moving = b"".join(np.roll(numbered(n), 5 * n, 0).tobytes() for n in range(60))
    ffmpeg.run_ffmpeg(
        [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-s",
            f"{W}x{H}",
            "-r",
            RATE,
            "-i",
            "pipe:0",
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-x264-params",
            "open-gop=1:keyint=20:bframes=2:b-adapt=0:scenecut=0",
            tmp_path / "open.mp4",
        ],
        "encode open groups",
        input=moving,
    )
    with av.open(str(tmp_path / "open.mp4")) as container:
        keys = [int(p.pts * p.time_base * RATE) for p in container.demux(video=0) if p.is_keyframe]
    with pytest.raises(LinkError, match="not closed"):
        link_video(
            [LinkPart(tmp_path / "open.mp4", keys[1], 60 - keys[1])],
            None,
            tmp_path / "v.mp4",
            rate=RATE,
        )


def test_broken_rates_keep_their_time(tmp_path):
    rate, grey = Fraction(30000, 1001), np.full((H // 2, W // 2), 128, np.uint8)
    frames = ((numbered(n), grey, grey) for n in range(20))
    encode_video(frames, tmp_path / "a.mp4", size=(W, H), rate=rate, count=20, keyframes=[8])
    part = LinkPart(tmp_path / "a.mp4", 8, 12)
    link_video([part, part], None, tmp_path / "v.mp4", rate=rate)
    v = measure_file(tmp_path / "v.mp4").video
    assert v is not None and (v.frame_rate, v.constant_rate, v.frames) == ("30000/1001", True, 24)
    assert v.seconds == pytest.approx(24 * 1001 / 30000, abs=1e-6)


def test_sound_must_reach_the_end(segments, tmp_path):
    short = aac(tmp_path / "short.m4a", clicks([], 160))
    with pytest.raises(LinkError, match=r"short\.m4a is 5\.3.. s long, the video 5\.600"):
        link_video(segments, short, tmp_path / "v.mp4", rate=RATE)
    long = aac(tmp_path / "long.m4a", clicks([], 300))
    link_video(segments, long, tmp_path / "v.mp4", rate=RATE)
    assert measure_file(tmp_path / "v.mp4").seconds == 5.6


def test_boxes_of_what_is_no_mp4(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"\0\0\1\0ftypmp42")
    with pytest.raises(MediaError, match="no whole MP4"):
        read_boxes(tmp_path / "x.mp4")


# ------------------------------------------------------------------------------------------ measure


def test_measure_a_linked_video(linked):
    m = measure_file(linked)
    assert (m.container, m.faststart, m.edits, m.audio_tracks) == ("mp4", True, [], 1)
    assert m.seconds == 5.6 and m.size_bytes == linked.stat().st_size
    v, a = m.video, m.audio
    assert v is not None and a is not None
    assert (v.codec, v.profile, v.level, v.pixel_format) == ("h264", "High", "4.1", "yuv420p")
    assert (v.width, v.height, v.sample_aspect_ratio) == (W, H, "1:1")
    assert (v.frame_rate, v.constant_rate, v.frames) == ("30", True, 168)
    assert (v.start, v.seconds) == (0, 5.6)
    assert {v.color_primaries, v.color_transfer, v.color_matrix} == {"bt709"}
    assert v.color_range == "tv" and v.max_gop <= 30 and v.max_b_run <= 2 and v.b_frames > 0
    assert 0 < v.bit_rate <= v.peak_bit_rate
    assert len(v.luma) == len(v.dark) == len(v.change) == 168
    assert (a.codec, a.profile, a.sample_rate, a.channels) == ("aac", "LC", SOUND, 2)
    assert (a.start, a.seconds) == (0, 5.6)
    assert a.longest_silence == pytest.approx(3, abs=0.2)  # between the clicks of frames 60 and 150
    assert json.loads(json.dumps(m.as_dict()))["video"]["frames"] == 168


def test_measured_series(tmp_path):
    """Black, a still, and the same still gliding a third of a pixel a frame."""
    still = np.random.default_rng(3).integers(40, 220, (H // 8, W // 8 + 20)).astype(np.float32)
    still = np.kron(still, np.ones((8, 8), np.float32))
    black = [np.full((H, W), 16, np.uint8)] * 10
    frozen = [still[:, :W].astype(np.uint8)] * 10
    gliding = []
    for n in range(10):
        whole, part = divmod(n / 3, 1)
        left = still[:, int(whole) : int(whole) + W]
        right = still[:, int(whole) + 1 : int(whole) + 1 + W]
        gliding.append(np.rint(left * (1 - part) + right * part).astype(np.uint8))
    v = measure_file(encode(tmp_path / "v.mp4", black + frozen + gliding, [])).video
    assert v is not None
    assert v.luma[5] == pytest.approx(16, abs=0.5) and v.dark[5] == 1
    assert v.luma[15] == pytest.approx(frozen[0].mean(), abs=4) and v.dark[15] < 0.05
    assert max(v.change[1:10]) < 0.1
    assert 4 * np.mean(v.change[12:20]) < np.mean(v.change[22:30])
    assert v.change[10] > 50


def test_measured_loudness(tmp_path):
    """997 Hz at -20 dBFS in both channels is -20 LUFS: -3.01 for each (BS.1770-4, annex 1)."""
    seconds = np.arange(4 * SOUND) / SOUND
    sine = np.repeat(0.1 * np.sin(2 * np.pi * 997 * seconds)[:, None], 2, 1)
    sine[:4800] *= np.linspace(0, 1, 4800)[:, None]  # a sudden onset overshoots in the codec
    loud = measure_file(aac(tmp_path / "sine.m4a", sine))
    assert loud.video is None and loud.audio is not None
    assert loud.audio.integrated_lufs == pytest.approx(-20, abs=0.2)
    assert loud.audio.true_peak_dbtp == pytest.approx(-20, abs=0.2)
    assert loud.audio.longest_silence == 0


def test_measured_silence(tmp_path):
    tone = np.full((4 * SOUND, 2), 0.1) * np.sin(np.arange(4 * SOUND) / 8)[:, None]
    tone[SOUND : 2 * SOUND] = 0
    broken = measure_file(aac(tmp_path / "gap.m4a", tone)).audio
    assert broken is not None and broken.longest_silence == pytest.approx(1, abs=0.05)
    assert len(broken.momentary) == pytest.approx(40, abs=1)
    assert broken.momentary[18] < -60 and broken.momentary[30] > -30
    silent = measure_file(aac(tmp_path / "silence.m4a", np.zeros((SOUND, 2)))).audio
    assert silent is not None and silent.longest_silence == pytest.approx(1, abs=0.05)
    assert (silent.integrated_lufs, silent.true_peak_dbtp) == (None, None)


def test_loudness_command_and_log():
    argv = ffmpeg.build_command(loudness_graph("a.mp4"))
    assert "silencedetect=duration=0.1:noise=-60dB" in argv[argv.index("-filter_complex") + 1]
    with pytest.raises(MediaError, match="could not be measured"):
        parse_loudness("nothing of it")


def test_measure_says_what_does_not_decode(linked, tmp_path):
    whole = linked.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError, match=r"cut\.mp4"):
        measure_file(tmp_path / "cut.mp4")
