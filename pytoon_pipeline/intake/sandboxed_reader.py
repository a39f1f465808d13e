"""A process apart, in which the sensor has briefs read.

Text that people wrote goes through parsers and regular expressions in C, which hold up every thread
of their process for as long as they take, and can take all memory. So the sensor's own process only
asks: what is read is read in a helper that can be killed. A file that takes too long, or ends the
helper, is left out until it changes or an hour has passed; all others are read.

This bounds time and memory. It is no wall against code: the answers are trusted.
"""

from __future__ import annotations

import atexit
import datetime as dt
import errno
import math
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from pytoon_pipeline.briefs.queue_hints import QueueHints, read_hints
from pytoon_pipeline.briefs.source import (
    BriefSource,
    FileStillness,
    content_hash,
    iterate_mentions,
    read_signature,
    read_stillness,
)
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.intake.folders import scan_folder

FILE_SECONDS = 15.0
"""Longest time that one file is read, beside ..."""
BYTES_PER_SECOND = 20_000_000
"""... the time that its bytes take on a slow disk."""
START_SECONDS = 60.0
"""Longest time until the helper has imported what it needs."""
AGAIN_SECONDS = 3600.0
"""A file that was left out is tried again after this time."""
KEPT_SECONDS = 30.0
"""An answer that nobody waited for is of no use after this time."""
MEMORY_BYTES = 4_000_000_000
_CPU_SECONDS = 300
"""Of one answer. It ends a helper whose own process was killed, and that is busy."""
_TOLD_SECONDS = 0.5
"""Between two signs of progress that name no file."""
_HEAD = struct.Struct("!cQ")

Roots = Mapping[str, Path]
State = tuple[int, int]


class FoundSource(NamedTuple):
    """A brief as it lies there."""

    source: BriefSource
    look: str
    """As `source.look`."""
    left_out: str
    """A file of it that is not read, or empty."""


class BriefReading(NamedTuple):
    """All that is read of a brief before it is compiled."""

    still: FileStillness
    contents: str
    """Empty where the brief is still being copied."""
    look: str
    hints: QueueHints


def read_brief(
    source: BriefSource, roots: Roots, unmoved: str = "", settled_before: float = math.inf
) -> BriefReading:
    """What is read of a brief, in this process. Its files are read through only where nothing of it
    changed at `settled_before` (Unix time) or later, or where its stillness has the signature
    `unmoved`: a file that is being copied is not read over and over."""
    still = read_stillness(source, roots)
    if still.newest >= settled_before and still.signature != unmoved:
        return BriefReading(still, "", "", QueueHints())
    return BriefReading(
        still, content_hash(source, roots), read_signature(source, roots), read_hints(source)
    )


class ReaderBusyError(Exception):
    """There is no answer yet; whoever asks again for the same gets it."""


class ReaderStuckError(Exception):
    """A file was read for too long, or ended the helper. `path` is empty where it is not known
    which."""

    def __init__(self, path: str, why: str):
        super().__init__(path, why)
        self.path, self.why = path, why

    def as_problem(self) -> Problem:
        return Problem(
            "brief.unread",
            f"{self.why}; it is left out until it changes.",
            "Make the file smaller or simpler, or write it anew; `pytoon check` says more.",
            file=self.path or None,
        )


# On the side that asks ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _LeftOutNote:
    state: State | None
    since: float
    why: str


class BriefReader:
    """Reads briefs in a helper process, which is started at the first question and again after it
    was killed. Safe to use from several threads; questions are answered one by one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._asked: object = None
        """Key of the question that is being answered."""
        self._answers: dict[object, tuple[float, Any]] = {}
        """An answer that nobody waited for, and when it came (time.monotonic())."""
        self._left_out: dict[str, _LeftOutNote] = {}
        self._heard = b""
        self._at, self._limit = "", 0.0
        """The file that is being read, and until when at most (time.monotonic())."""

    def find(
        self, root: Path, now: dt.datetime, roots: Roots, until: float
    ) -> tuple[list[FoundSource], list[Problem]]:
        """`folder.scan`, and the looks of what it finds."""
        return self._request_answer("find", until, "find", root, now, dict(roots))

    def looks(
        self, sources: Sequence[BriefSource], roots: Roots, until: float
    ) -> list[FoundSource]:
        return self._request_answer("looks", until, "looks", list(sources), dict(roots))

    def read(
        self,
        source: BriefSource,
        roots: Roots,
        until: float,
        unmoved: str = "",
        settled_before: float = math.inf,
    ) -> BriefReading:
        """`read_brief`."""
        key, args = ("read", source.origin), (source, dict(roots), unmoved, settled_before)
        return self._request_answer(key, until, "read", *args, of=str(source.path))

    def why_left_out(self, path: str) -> ReaderStuckError | None:
        known = self._left_out.get(path)
        return ReaderStuckError(path, known.why) if known else None

    def close(self) -> None:
        with self._lock:
            self._end_process()

    def _request_answer(
        self, key: object, until: float, name: str, *args: Any, of: str = ""
    ) -> Any:
        """Raises ReaderBusyError where there is no answer until then, ReaderStuckError where there
        will be none, and what the question raised."""
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise ReaderBusyError
        try:
            if self._owner != os.getpid():  # A forked process starts a helper of its own.
                self._process, self._asked, self._answers = None, None, {}
            if self._asked is not None and self._asked != key:
                waited = self._asked
                try:
                    answer = self._wait_for_answer(until, "")
                except ReaderStuckError as stuck:
                    answer = stuck
                self._answers = {waited: (time.monotonic(), answer)}
            came, answer = self._answers.pop(key, (0.0, None))
            if answer is None or time.monotonic() - came > KEPT_SECONDS:
                if self._asked is None:
                    self._send_request(key, name, args)
                answer = self._wait_for_answer(until, of)
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self._lock.release()

    def _send_request(self, key: object, name: str, args: tuple[Any, ...]) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start_process()
        assert self._process is not None and self._process.stdin is not None
        now = time.monotonic()
        for path, left in list(self._left_out.items()):
            if _read_file_state(path) != left.state or now - left.since > AGAIN_SECONDS:
                del self._left_out[path]
        self._asked, self._at, self._limit = key, "", now + FILE_SECONDS
        with suppress(BrokenPipeError):  # `_wait_for_answer` finds out how it ended.
            _write_frame(self._process.stdin, b"Q", (name, args, set(self._left_out)))

    def _wait_for_answer(self, until: float, of: str) -> Any:
        """The answer to what was asked last."""
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while True:
            while (frame := self._next_frame()) is not None:
                kind, said = frame
                if kind == b"A":  # It begins with a file, or goes on.
                    self._at = said[0] or self._at
                    self._limit = time.monotonic() + FILE_SECONDS + said[1] / BYTES_PER_SECOND
                    continue
                self._asked = None
                return said
            now = time.monotonic()
            if now >= self._limit:
                raise self._leave_out(of, "reading it takes too long")
            if now >= until:
                raise ReaderBusyError
            if not select.select([pipe], [], [], min(self._limit, until) - now)[0]:
                continue
            more = os.read(pipe, 1 << 20)
            if not more:
                code = self._process.wait()
                raise self._leave_out(of, f"the process that read it ended with {code}")
            self._heard += more

    def _leave_out(self, of: str, why: str) -> ReaderStuckError:
        self._end_process()
        path = self._at or of
        if path:
            self._left_out[path] = _LeftOutNote(_read_file_state(path), time.monotonic(), why)
        return ReaderStuckError(path, why)

    def _next_frame(self) -> tuple[bytes, Any] | None:
        if len(self._heard) < _HEAD.size:
            return None
        kind, length = _HEAD.unpack_from(self._heard)
        end = _HEAD.size + length
        if len(self._heard) < end:
            return None
        said = pickle.loads(self._heard[_HEAD.size : end])
        self._heard = self._heard[end:]
        return kind, said

    def _start_process(self) -> None:
        self._heard, self._owner = b"", os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, str(Path(__file__).parents[2]), *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # Ctrl-C is for the process that asks.
        )
        self._asked, self._at, self._limit = "start", "", time.monotonic() + START_SECONDS
        self._wait_for_answer(self._limit + 1, "")

    def _end_process(self) -> None:
        process, self._process, self._asked = self._process, None, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _read_file_state(path: str) -> State | None:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info.st_size, info.st_mtime_ns


_reader = BriefReader()
atexit.register(lambda: _reader.close())


def shared_reader() -> BriefReader:
    """The one of this process."""
    return _reader


def _write_frame(pipe: IO[bytes], kind: bytes, said: Any) -> None:
    data = pickle.dumps(said)
    view = memoryview(_HEAD.pack(kind, len(data)) + data)
    while view:
        view = view[pipe.write(view) :]


# On the side that answers -------------------------------------------------------------------------

_START = """
import sys
sys.path[:0] = sys.argv[1:]
from pytoon_pipeline.intake.sandboxed_reader import serve_requests
serve_requests()
"""
_told = 0.0
_left_out: set[str] = set()
_tell: Any = None


def serve_requests() -> None:
    """Answer until whoever asks is gone."""
    global _left_out, _tell
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # Nothing that a library prints is taken for an answer.
    _bind_resources()
    _tell = lambda path, size: _write_frame(pipe, b"A", (path, size))  # noqa: E731
    sys.addaudithook(_on_event)
    _write_frame(pipe, b"R", None)
    while head := sys.stdin.buffer.read(_HEAD.size):
        name, args, _left_out = pickle.loads(sys.stdin.buffer.read(_HEAD.unpack(head)[1]))
        _allow_cpu()
        try:
            answer = _QUESTIONS[name](*args)
        except Exception as error:
            answer = error
        _write_frame(pipe, b"R", answer)


def _on_event(event: str, args: tuple[Any, ...]) -> None:
    """Tells which file is opened, and keeps those closed that are left out."""
    if event == "open":
        path = args[0]
        if not isinstance(path, (str, bytes)) or args[2] & (os.O_WRONLY | os.O_RDWR):
            return
        path = os.fsdecode(path)
        if path in _left_out:
            raise OSError(errno.EIO, "it is left out, since reading it took too long", path)
        if not path.endswith((".py", ".pyc", ".so")):
            _tell(path, (_read_file_state(path) or (0, 0))[0])
    elif event == "os.scandir":
        _go_on()


def _go_on() -> None:
    """Tells, now and then, that it goes on."""
    global _told
    if time.monotonic() - _told > _TOLD_SECONDS:
        _told = time.monotonic()
        _tell("", 0)


def _find_sources(
    root: Path, now: dt.datetime, roots: Roots
) -> tuple[list[FoundSource], list[Problem]]:
    sources, problems = scan_folder(root, now)
    return _read_signatures(sources, roots), problems


def _read_signatures(sources: Sequence[BriefSource], roots: Roots) -> list[FoundSource]:
    found = []
    for source in sources:
        _go_on()
        left = ""
        if _left_out:
            files = {str(source.path), *(m.at for m in iterate_mentions(source, roots))}
            left = min(files & _left_out, default="")
        try:
            found.append(FoundSource(source, read_signature(source, roots), left))
        except OSError:
            found.append(FoundSource(source, "", left))  # `read` says what is wrong.
    return found


_QUESTIONS: dict[str, Any] = {"find": _find_sources, "looks": _read_signatures, "read": read_brief}


def _bind_resources() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allow_cpu() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        most = int(time.process_time()) + _CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (most, hard))
