"""The pictures that the ComfyUI of the tests "generates": real H.264, soon made."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

from pytoon_pipeline.media import ffmpeg
from tests.comfy_graph import Graph, Shot

_made: dict[str, bytes] = {}
_lock = Lock()


def take(shot: Shot, graph: Graph, path: Path) -> None:
    """A moving picture of the shot's size, length and rate at `path`: a box that wanders over the
    picture it starts from, else ffmpeg's test picture; coloured by the seed.

    As on a real server the file carries the whole graph as metadata. Equal shots are encoded once.
    """
    with _lock:
        key = _key(shot)
        if key not in _made:
            _made[key] = _encode(shot)
    _write(_made[key], {"prompt": json.dumps(graph)}, path)


def garbage(shot: Shot, graph: Graph, path: Path) -> None:
    """Something that begins like an MP4 and is none."""
    path.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(range(256)) * 40)


def _key(shot: Shot) -> str:
    image = hashlib.sha256(shot.image.read_bytes()).hexdigest() if shot.image else ""
    return repr((shot.width, shot.height, shot.frames, shot.fps, shot.seed, image))


def _encode(shot: Shot) -> bytes:
    rate = shot.fps or 16.0
    if shot.image:
        source = ["-loop", "1", "-framerate", str(rate), "-i", str(shot.image)]
        picture = (
            f"scale={shot.width}:{shot.height}:force_original_aspect_ratio=increase,"
            f"crop={shot.width}:{shot.height}"
        )
    else:
        size = f"{shot.width}x{shot.height}"
        source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}"]
        picture = "null"
    box = f"color=red:size=16x16:rate={rate}"
    wander = f"overlay=x=mod(n*6\\,W):y=H/3,hue=h={shot.seed % 360}"
    return _ffmpeg(
        [
            *source,
            "-f",
            "lavfi",
            "-i",
            box,
            "-filter_complex",
            f"[0:v]{picture}[p];[p][1:v]{wander}[v]",
            "-map",
            "[v]",
            "-frames:v",
            str(shot.frames),
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-threads",
            "2",
        ]
    )


def _ffmpeg(arguments: list[str]) -> bytes:
    handle, name = tempfile.mkstemp(suffix=".mp4")
    os.close(handle)
    try:
        subprocess.run(
            [ffmpeg.find_executable(), "-nostdin", "-v", "error", "-y", *arguments, name],
            check=True,
        )
        return Path(name).read_bytes()
    finally:
        os.unlink(name)


def _write(video: bytes, metadata: dict[str, Any], path: Path) -> None:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        given = [f for k, v in metadata.items() for f in ("-metadata", f"{k}={v}")]
        path.write_bytes(
            _ffmpeg(["-i", file.name, "-c", "copy", *given, "-movflags", "use_metadata_tags"])
        )
