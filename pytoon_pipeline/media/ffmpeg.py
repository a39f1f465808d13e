"""The one place that starts ffmpeg.

Commands are argument lists, never a shell's line. Graphs are built with ffmpeg-python by pure
functions elsewhere; what comes here is either such a stream or the list of arguments that follows
the executable. The exact command goes to the logger `pytoon.ffmpeg` at level DEBUG.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import ffmpeg as ffmpeg_python
import imageio_ffmpeg

from pytoon_pipeline.errors import FfmpegError
from pytoon_pipeline.media import limits

log = logging.getLogger("pytoon.ffmpeg")

TAIL_LINES = 40
TAIL_LINE = 1000
"""Characters of a line that are kept in a message."""
_TAIL_READ = 1 << 20
MAX_SAID = 64 << 20
"""Bytes of its stderr that are kept. It says a line for each tenth of a second that is measured,
and may say several for each piece of a damaged file."""
MAX_OUTPUT = 4 << 30
"""Bytes of its stdout: sound, 384 kB for a second."""
# What an input may open. Playlists and other containers can name further addresses; none of them
# may reach the network.
PROTOCOLS = "file,pipe,fd"
# Flags of every output, so that equal input gives equal bytes.
BITEXACT = (
    "-fflags",
    "+bitexact",
    "-flags:v",
    "+bitexact",
    "-flags:a",
    "+bitexact",
    "-map_metadata",
    "-1",
)
PIPE_BYTES = 1 << 20
_KNOWN = {
    "PATH",
    "HOME",
    "LANG",
    "LANGUAGE",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
}

_FIRST = ("-nostdin", "-hide_banner", "-nostats", "-y")


def find_executable() -> str:
    """Return the path of the ffmpeg executable: `PYTOON_FFMPEG`, else the one of the imageio-ffmpeg
    wheel."""
    return os.environ.get("PYTOON_FFMPEG") or imageio_ffmpeg.get_ffmpeg_exe()


def read_version() -> str:
    """Return the version of that ffmpeg, such as `7.1`. Part of what decides the bytes of a
    file."""
    path = find_executable()
    try:
        info = os.stat(path)
        return _read_version(path, info.st_size, info.st_mtime_ns)
    except OSError:  # It is found by the search path, or not at all.
        return _read_version(path)


@lru_cache
def _read_version(executable: str, *_state: int) -> str:
    out, _ = run_ffmpeg(["-version"], "ask ffmpeg for its version", timeout=60)
    words = out.decode("utf-8", "replace").split()
    return words[2] if words[:2] == ["ffmpeg", "version"] else "unknown"


def plain_environment() -> dict[str, str]:
    """Return the environment of programs that decode: of ours what they need, and none of its
    secrets."""
    return {k: v for k, v in os.environ.items() if k in _KNOWN or k.startswith(("LC_", "NVIDIA_"))}


def to_ffmpeg_url(path: str | os.PathLike[str]) -> str:
    """Return `path` as an ffmpeg input or output: names that hold a colon or begin with a dash
    work."""
    return f"file:{os.fspath(path)}"


def build_command(stream_or_argv: Any) -> list[str]:
    """Return the whole argument list, executable included, for an ffmpeg-python stream or an argv
    list.

    Pure. Puts the standing flags first and the protocol whitelist before each input.
    """
    if isinstance(stream_or_argv, (list, tuple)):
        tail = [os.fspath(a) if isinstance(a, Path) else str(a) for a in stream_or_argv]
    else:
        tail = ffmpeg_python.compile(stream_or_argv, cmd="ffmpeg")[1:]
    argv = [find_executable(), *_FIRST]
    for arg in tail:
        if arg == "-i":
            argv += ["-protocol_whitelist", PROTOCOLS]
        argv.append(arg)
    return argv


def run_ffmpeg(
    stream_or_argv: Any,
    what: str,
    *,
    timeout: float = limits.FFMPEG_SECONDS,
    input: bytes | memoryview | None = None,
) -> tuple[bytes, str]:
    """Run ffmpeg to its end and return its stdout and its stderr, of that the last 64 MB.

    `what` says in a few words what it is for ("measure loudness of x.mp4"); it begins the message
    of the `FfmpegError` that is raised when ffmpeg can't be started, fails, takes longer than
    `timeout` seconds, or writes more than 4 GB to its stdout. It and what it started are killed
    then. Where the system can, its memory and its processor's time are bounded, too.
    """
    argv = build_command(stream_or_argv)
    process = _start_process(argv, what, input is not None, stdout=subprocess.PIPE)
    try:
        _bind_process(process.pid, timeout)
        out, err = _exchange_data(process, input, timeout)
    except _OutputTooLargeError as e:
        tail = tail_of(_decode_output(e.said))
        raise FfmpegError(what, argv, None, f"{tail}\n{e} and was stopped.".lstrip()) from None
    finally:
        _end_process(process)
    stderr = _decode_output(err)
    if process.returncode:
        raise FfmpegError(what, argv, process.returncode, tail_of(stderr))
    return out, stderr


def _start_process(argv: list[str], what: str, fed: bool, stdout: int) -> subprocess.Popen[bytes]:
    log.debug("%s: %s", what, shlex.join(argv))
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            bufsize=0,  # frames are large: a buffer in between would only copy them
            env=plain_environment(),
            # Ctrl-C is ours to handle: an encoder that it ends looks like one that failed. And what
            # it starts (`PYTOON_FFMPEG` may be a script) ends with it.
            process_group=0,
        )
    except OSError as e:
        raise FfmpegError(what, argv, None, f"{argv[0]} can't be started: {e}") from e


def _bind_process(pid: int, seconds: float) -> None:
    """What a process may have of the machine, also when this one is gone."""
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        spent = int(seconds * (os.cpu_count() or 1)) + 1
        for kind, most in (
            (resource.RLIMIT_AS, limits.FFMPEG_BYTES),
            (resource.RLIMIT_CPU, spent),
            (resource.RLIMIT_CORE, 0),
        ):
            hard = resource.prlimit(pid, kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, kind, (most, most))


class _OutputTooLargeError(Exception):
    """It took too long or said too much; `said` is its stderr so far."""

    def __init__(self, message: str, said: bytes):
        self.said = said
        super().__init__(message)


def _exchange_data(
    process: subprocess.Popen[bytes], feed: bytes | memoryview | None, seconds: float
) -> tuple[bytes, bytes]:
    """Give a process its input, take what it writes, and wait for its end."""
    until = time.monotonic() + seconds
    left = memoryview(feed or b"").cast("B")
    out, err = bytearray(), bytearray()
    slow = f"It took longer than {seconds:g} s"
    with selectors.DefaultSelector() as selector:
        for pipe, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
            (process.stderr, selectors.EVENT_READ),
        ):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, event, pipe)
        while selector.get_map():
            wait = until - time.monotonic()
            if wait <= 0:
                raise _OutputTooLargeError(slow, bytes(err))
            for key, _ in selector.select(wait):
                done = False
                if key.fileobj is process.stdin:
                    try:
                        left = left[os.write(key.fd, left[:PIPE_BYTES]) :]
                        done = not left
                    except BlockingIOError:
                        pass
                    except BrokenPipeError:
                        done = True  # It has what it wanted, or its code says what is wrong.
                else:
                    data = os.read(key.fd, PIPE_BYTES)
                    done = not data
                    kept = out if key.fileobj is process.stdout else err
                    kept += data
                    if len(out) > MAX_OUTPUT:
                        raise _OutputTooLargeError(
                            f"It wrote more than {MAX_OUTPUT:,} bytes", bytes(err)
                        )
                    if len(err) > 2 * MAX_SAID:
                        del err[:-MAX_SAID]
                if done:
                    selector.unregister(key.fileobj)
                    key.data.close()
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _OutputTooLargeError(slow, bytes(err)) from None
    return bytes(out), bytes(err[-MAX_SAID:])


def _end_process(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and what it has started, unless its end was waited for: while it was not, no
    other can have its number."""
    if process.returncode is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            with suppress(OSError):
                pipe.close()


def tail_of(stderr: str, lines: int = TAIL_LINES) -> str:
    """Return the last `lines` lines of what ffmpeg said, empty lines dropped and long ones cut
    off."""
    found = [line for line in stderr[-_TAIL_READ:].splitlines() if line.strip()]
    return "\n".join(line[:TAIL_LINE] for line in found[-lines:])


def _decode_output(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


class FfmpegPipe:
    """An ffmpeg that reads raw frames or samples from its stdin.

        with FfmpegPipe(stream, "encode segment 3") as pipe:
            pipe.write(array)

    Leaving the block closes the stream and waits; FfmpegError carries ffmpeg's last lines when it
    failed. An exception inside the block kills the process and waits for its end; the output file
    is then whatever it had come to, so write to a temporary name.
    """

    def __init__(self, stream_or_argv: Any, what: str):
        self.what = what
        self.argv = build_command(stream_or_argv)
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> FfmpegPipe:
        process = _start_process(self.argv, self.what, True, stdout=subprocess.DEVNULL)
        self._process = process
        assert process.stdin is not None
        widen_pipe(process.stdin.fileno())
        os.set_blocking(process.stdin.fileno(), False)
        # A full stderr pipe would stop ffmpeg, and with it our writes, for good.
        self._reader = threading.Thread(
            target=self._drain_stderr, name="ffmpeg-stderr", daemon=True
        )
        self._reader.start()
        return self

    def write(self, buffer: Any) -> None:
        """Write a C-contiguous buffer whole (bytes, memoryview, numpy array), without a copy."""
        assert self._process is not None and self._process.stdin is not None
        fd, view = self._process.stdin.fileno(), memoryview(buffer).cast("B")
        room = select.poll()
        room.register(fd, select.POLLOUT)
        try:
            while view:
                try:
                    view = view[os.write(fd, view) :]
                except BlockingIOError:
                    if not room.poll(limits.ENCODE_SECONDS * 1000):
                        raise self._stuck_error() from None
        except BrokenPipeError as e:
            # ffmpeg has gone; it may have gone with 0 (say, enough frames), still no success here.
            raise FfmpegError(self.what, self.argv, self._wait_for_end(), self.log_tail) from e

    def _stuck_error(self) -> FfmpegError:
        message = f"It made nothing of its input for {limits.ENCODE_SECONDS:g} s and was stopped."
        return FfmpegError(self.what, self.argv, None, f"{self.log_tail}\n{message}".lstrip())

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
        try:
            code = self._wait_for_end() if kind is None else 0
        finally:
            self._kill_process()
        if code:
            raise FfmpegError(self.what, self.argv, code, self.log_tail)

    def _wait_for_end(self) -> int:
        """Close its input and wait for its end."""
        assert self._process is not None and self._reader is not None
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            code = self._process.wait(limits.ENCODE_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._stuck_error() from None
        self._reader.join(limits.ENCODE_SECONDS)
        return code

    def _kill_process(self) -> None:
        assert self._process is not None and self._reader is not None
        if self._process.returncode is None:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdin and not self._process.stdin.closed:
            with suppress(OSError):
                self._process.stdin.close()
        self._reader.join(1.0)

    def _drain_stderr(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        with self._process.stderr as stderr:
            rest = b""
            while chunk := stderr.read(65536):
                *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                self._tail.extend(
                    _decode_output(line[: 4 * TAIL_LINE])[:TAIL_LINE]
                    for line in lines
                    if line.strip()
                )
                rest = rest[: 4 * TAIL_LINE]  # Of a line without end.
            if rest.strip():
                self._tail.append(_decode_output(rest)[:TAIL_LINE])


def widen_pipe(fd: int, size: int = PIPE_BYTES) -> None:
    """Give a pipe a larger buffer where the system lets us: fewer switches per frame."""
    setting = getattr(fcntl, "F_SETPIPE_SZ", None)
    if setting is None:
        return
    try:
        fcntl.fcntl(fd, setting, size)
    except OSError:
        log.debug("pipe of %d bytes refused, the usual size stays", size)
