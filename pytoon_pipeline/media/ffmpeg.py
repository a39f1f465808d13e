"""The one place that starts ffmpeg.

Commands are argument lists, never a shell's line. Graphs are built with ffmpeg-python by pure
functions elsewhere; what comes here is either such a stream or the list of arguments that follows
the executable. The exact command goes to the logger `pytoon.ffmpeg` at level DEBUG.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import subprocess
import threading
from collections import deque
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import ffmpeg as ffmpeg_python
import imageio_ffmpeg

from pytoon_pipeline.errors import FfmpegError

log = logging.getLogger("pytoon.ffmpeg")

TAIL_LINES = 40
# What an input may open. Playlists and other containers can name further addresses; none of them
# may reach the network.
PROTOCOLS = "file,pipe,fd"
# Flags of every output, so that equal input gives equal bytes.
BITEXACT = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact",
            "-map_metadata", "-1")
PIPE_BYTES = 1 << 20
_KNOWN = {"PATH", "HOME", "LANG", "LANGUAGE", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "TZ",
          "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"}

_FIRST = ("-nostdin", "-hide_banner", "-nostats", "-y")


def exe() -> str:
    """Path of the ffmpeg executable: `PYTOON_FFMPEG`, else the one of the imageio-ffmpeg wheel."""
    return os.environ.get("PYTOON_FFMPEG") or imageio_ffmpeg.get_ffmpeg_exe()


def version() -> str:
    """The version of that ffmpeg, such as `7.1`. Part of what decides the bytes of a file."""
    path = exe()
    try:
        info = os.stat(path)
        return _version(path, info.st_size, info.st_mtime_ns)
    except OSError:  # It is found by the search path, or not at all.
        return _version(path)


@lru_cache
def _version(executable: str, *_state: int) -> str:
    out, _ = run(["-version"], "ask ffmpeg for its version", timeout=60)
    words = out.decode("utf-8", "replace").split()
    return words[2] if words[:2] == ["ffmpeg", "version"] else "unknown"


def plain_environment() -> dict[str, str]:
    """The environment of programs that decode: of ours what they need, and none of its secrets."""
    return {k: v for k, v in os.environ.items() if k in _KNOWN or k.startswith(("LC_", "NVIDIA_"))}


def url(path: str | os.PathLike[str]) -> str:
    """`path` as an ffmpeg input or output: names that hold a colon or begin with a dash work."""
    return f"file:{os.fspath(path)}"


def command(stream_or_argv: Any) -> list[str]:
    """The whole argument list, executable included, for an ffmpeg-python stream or an argv list.

    Pure. Puts the standing flags first and the protocol whitelist before each input.
    """
    if isinstance(stream_or_argv, (list, tuple)):
        tail = [os.fspath(a) if isinstance(a, Path) else str(a) for a in stream_or_argv]
    else:
        tail = ffmpeg_python.compile(stream_or_argv, cmd="ffmpeg")[1:]
    argv = [exe(), *_FIRST]
    for arg in tail:
        if arg == "-i":
            argv += ["-protocol_whitelist", PROTOCOLS]
        argv.append(arg)
    return argv


def run(
    stream_or_argv: Any,
    what: str,
    *,
    timeout: float | None = None,
    input: bytes | memoryview | None = None,
) -> tuple[bytes, str]:
    """Run ffmpeg to its end and return its stdout and its whole stderr.

    `what` says in a few words what it is for ("measure loudness of x.mp4"); it begins the message
    of the `FfmpegError` that is raised when ffmpeg can't be started, fails, or takes longer than
    `timeout` seconds (it is killed then).
    """
    argv = command(stream_or_argv)
    log.debug("%s: %s", what, shlex.join(argv))
    feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    try:
        done = subprocess.run(
            argv, capture_output=True, timeout=timeout, check=False, env=plain_environment(), **feed
        )
    except OSError as e:
        raise FfmpegError(what, argv, None, f"{argv[0]} can't be started: {e}") from e
    except subprocess.TimeoutExpired as e:
        tail = tail_of(_text(e.stderr or b""))
        message = f"{tail}\nIt took longer than {timeout} s and was stopped.".lstrip()
        raise FfmpegError(what, argv, None, message) from e
    stderr = _text(done.stderr)
    if done.returncode:
        raise FfmpegError(what, argv, done.returncode, tail_of(stderr))
    return done.stdout, stderr


def tail_of(stderr: str, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of what ffmpeg said, empty lines dropped."""
    return "\n".join([line for line in stderr.splitlines() if line.strip()][-lines:])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


class Pipe:
    """An ffmpeg that reads raw frames or samples from its stdin.

        with Pipe(stream, "encode segment 3") as pipe:
            pipe.write(array)

    Leaving the block closes the stream and waits; FfmpegError carries ffmpeg's last lines when it
    failed. An exception inside the block kills the process and waits for its end; the output file
    is then whatever it had come to, so write to a temporary name.
    """

    def __init__(self, stream_or_argv: Any, what: str):
        self.what = what
        self.argv = command(stream_or_argv)
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Pipe:
        log.debug("%s: %s", self.what, shlex.join(self.argv))
        try:
            process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,  # frames are large: a buffer in between would only copy them
                env=plain_environment(),
                # Ctrl-C is ours to handle: an encoder that it ends looks like one that failed.
                process_group=0,
            )
        except OSError as e:
            message = f"{self.argv[0]} can't be started: {e}"
            raise FfmpegError(self.what, self.argv, None, message) from e
        self._process = process
        assert process.stdin is not None
        widen(process.stdin.fileno())
        # A full stderr pipe would stop ffmpeg, and with it our writes, for good.
        self._reader = threading.Thread(target=self._drain, name="ffmpeg-stderr", daemon=True)
        self._reader.start()
        return self

    def write(self, buffer: Any) -> None:
        """Write a C-contiguous buffer whole (bytes, memoryview, numpy array), without a copy."""
        assert self._process is not None and self._process.stdin is not None
        view = memoryview(buffer).cast("B")
        try:
            while view:
                view = view[self._process.stdin.write(view) :]
        except BrokenPipeError as e:
            # ffmpeg has gone; it may have gone with 0 (say, enough frames), still no success here.
            raise FfmpegError(self.what, self.argv, self._wait(), self.log_tail) from e

    @property
    def log_tail(self) -> str:
        """The last lines of what ffmpeg has said so far."""
        return "\n".join(self._tail)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if kind is not None:
            self._process.kill()
            self._wait()
            return
        try:
            code = self._wait()
        except BaseException:
            self._process.kill()
            raise
        if code:
            raise FfmpegError(self.what, self.argv, code, self.log_tail)

    def _wait(self) -> int:
        assert self._process is not None and self._reader is not None
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        code = self._process.wait()
        self._reader.join()
        return code

    def _drain(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        with self._process.stderr as stderr:
            rest = b""
            while chunk := stderr.read(65536):
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                self._tail.extend(_text(line) for line in lines if line.strip())
            if rest.strip():
                self._tail.append(_text(rest))


def widen(fd: int, size: int = PIPE_BYTES) -> None:
    """Give a pipe a larger buffer where the system lets us: fewer switches per frame."""
    setting = getattr(fcntl, "F_SETPIPE_SZ", None)
    if setting is None:
        return
    try:
        fcntl.fcntl(fd, setting, size)
    except OSError:
        log.debug("pipe of %d bytes refused, the usual size stays", size)


