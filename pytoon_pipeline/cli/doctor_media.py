"""Checks of `pytoon doctor` that concern media: ffmpeg, decoders, what examines files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytoon_pipeline.cli.doctor_findings import (
    REMEDIES,
    DoctorContext,
    DoctorFinding,
)
from pytoon_pipeline.errors import FfmpegError

if TYPE_CHECKING:
    pass


def check_ffmpeg(_: DoctorContext) -> Iterator[DoctorFinding]:
    """A fifth of a second of picture and sound, encoded, read back and measured."""
    import av

    from pytoon_pipeline.media import ffmpeg

    yield DoctorFinding("ffmpeg", "ok", f"{ffmpeg.read_version()} at {ffmpeg.find_executable()}")
    with tempfile.TemporaryDirectory(prefix="pytoon-doctor-") as folder:
        made = Path(folder) / "try.mp4"
        ffmpeg.run_ffmpeg(
            [
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=270x480:rate=30:duration=0.2",
                "-f",
                "lavfi",
                "-i",
                "sine=frequency=440:sample_rate=48000:duration=0.2",
                "-vf",
                "setparams=range=tv:colorspace=bt709,setsar=1,format=yuv420p",
                "-af",
                "aresample=48000,aformat=channel_layouts=stereo",
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-c:a",
                "aac",
                ffmpeg.to_ffmpeg_url(made),
            ],
            "encode H.264 and AAC",
            timeout=60,
        )
        log = ffmpeg.run_ffmpeg(
            [
                "-i",
                ffmpeg.to_ffmpeg_url(made),
                "-vn",
                "-af",
                "silencedetect=noise=-60dB,ebur128=peak=true",
                "-f",
                "null",
                "-",
            ],
            "measure loudness",
            timeout=60,
        )[1]
        with av.open(f"file:{made}") as container:
            frames = sum(1 for _ in container.decode(video=0))
    heard = "Integrated loudness" in log
    if frames == 6 and heard:
        yield DoctorFinding("encoding", "ok", "H.264, AAC and loudness measuring work")
    else:
        what = f"{frames} frames came back of 6" if frames != 6 else "ebur128 measured nothing"
        yield DoctorFinding("encoding", "fail", what, REMEDIES["ffmpeg"])


def check_decoders(_: DoctorContext) -> Iterator[DoctorFinding]:
    import av

    known = av.codecs_available
    lacking = [c for c in ("h264", "hevc", "vp9", "prores", "aac", "mp3", "flac") if c not in known]
    detail = f"PyAV {av.__version__}"
    if lacking:
        yield DoctorFinding(
            "clips",
            "warn",
            f"{detail} can't read {', '.join(lacking)}",
            "Reinstall av from its wheel.",
        )
    else:
        yield DoctorFinding(
            "clips", "ok", f"{detail} reads H.264, HEVC, VP9, ProRes, AAC, MP3, FLAC"
        )


def check_examining(p: DoctorContext) -> Iterator[DoctorFinding]:
    """A picture, a clip and a sound, opened as those of briefs are: in the process apart."""
    from PIL import Image

    from pytoon_pipeline.media import ffmpeg
    from pytoon_pipeline.media.probe import probe_media
    from pytoon_pipeline.media.unreadable import UnreadableMediaError

    with tempfile.TemporaryDirectory(prefix="pytoon-doctor-") as folder:
        still, moving = Path(folder, "picture.png"), Path(folder, "clip.mp4")
        Image.new("RGBA", (32, 18), (200, 90, 60, 128)).save(still)
        files = {"picture": (still, "image")}
        with suppress(FfmpegError):  # Which is said where ffmpeg is tried.
            ffmpeg.run_ffmpeg(
                [
                    "-f",
                    "lavfi",
                    "-i",
                    "testsrc2=size=64x36:rate=25:duration=0.2",
                    "-f",
                    "lavfi",
                    "-i",
                    "sine=frequency=440:duration=0.2",
                    "-pix_fmt",
                    "yuv420p",
                    "-c:v",
                    "libx264",
                    "-c:a",
                    "aac",
                    ffmpeg.to_ffmpeg_url(moving),
                ],
                "make a clip to open",
                timeout=60,
            )
            files["clip"] = (moving, "video")
        tracks = sorted(p.library.tracks())
        if tracks:
            files["music"] = (p.library.track_file(tracks[0]), "audio")
        for what, (path, kind) in files.items():
            try:
                found = probe_media(path)
            except UnreadableMediaError as error:
                yield DoctorFinding(
                    "files",
                    "fail",
                    f"a sound {what} can't be opened: {error.message}",
                    REMEDIES["files"],
                )
                return
            if found.kind != kind:
                yield DoctorFinding(
                    "files", "fail", f"a {what} is taken for {found.kind}", REMEDIES["files"]
                )
                return
    yield DoctorFinding("files", "ok", f"{', '.join(files)}: opened as those of briefs are")


def check_opencv(_: DoctorContext) -> Iterator[DoctorFinding]:
    import cv2
    import numpy as np

    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (20, 1))
    moved = cv2.warpAffine(ramp, np.array([[1, 0, 0.5], [0, 1, 0]], np.float32), (20, 20))
    right = bool(abs(int(moved[10, 10]) - 95) <= 1)
    yield DoctorFinding(
        "pictures",
        "ok" if right else "fail",
        f"OpenCV {cv2.__version__}",
        "Reinstall opencv-python-headless.",
    )
