"""A separate process, in which files of people are opened for the first time.

Decoders are large and written in C: a file made for it can keep one busy for ever, take all
memory, or end the process. So what `probe` asks is found out in a small process of its own (140 ms
to start, once in each process that probes): it has so much time and memory and no more, none of
the environment's secrets, writes no file, and when a file ends it the next one gets another.

What the file is to blame for and what Pytoon is are distinguished: a decoder that crashes is the
file's doing, an exception that nobody expected is a defect (`InternalError`) and comes back with
its text. And before the first file is called damaged, small sound ones are opened in the same way:
where these can't be read either, a library is not as Pytoon needs it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytoon_pipeline.errors import InternalError
from pytoon_pipeline.media import limits
from pytoon_pipeline.media.ffmpeg import plain_environment
from pytoon_pipeline.media.probe import MediaInfo
from pytoon_pipeline.media.probe import examine_media as _examine
from pytoon_pipeline.media.unreadable import UnreadableMediaError

_LONGEST = 1 << 20
"""Bytes of an answer."""
_END_SECONDS = 2.0
"""For a process to end that has closed its answers."""


def examine_in_sandbox(path: Path) -> MediaInfo:
    """Return what a file is. Raises UnreadableMediaError, `media.slow` where it took too long;
    InternalError where Pytoon itself failed."""
    path = path.absolute()
    for last in (False, True):
        try:
            return _read_media_info(_ask_sandbox(path), path.name)
        except _SandboxSlowError:
            raise UnreadableMediaError(
                "media.slow",
                f"{path.name} takes too long to be opened.",
                "Export it again: a picture as JPEG or PNG, a clip as MP4 with H.264.",
            ) from None
        except _SandboxGoneError as gone:
            # Once may be somebody else's doing: the system's, where memory is short.
            if last and gone.code >= 0:  # It ended by itself, so no decoder was to blame.
                raise InternalError(
                    f"{path.name} could not be examined: the process that does so ended with "
                    f"{gone.code}"
                ) from None
            if last:
                raise UnreadableMediaError(
                    "media.corrupt",
                    f"{path.name} is damaged: the decoder did not survive it ({gone}).",
                    "Copy or export it again.",
                ) from None
    raise AssertionError


class _SandboxSlowError(Exception):
    pass


class _SandboxGoneError(Exception):
    def __init__(self, code: int):
        super().__init__(f"it ended with {code}")
        self.code = code


# On the side that asks ----------------------------------------------------------------------------

_lock = threading.Lock()
_helper: _SandboxProcess | None = None


class _SandboxProcess:
    """A running process. Belongs to the process that started it: a fork starts its own."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, *_import_folders()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # What libraries say of broken files.
            env={**plain_environment(), "MALLOC_ARENA_MAX": "2"},
            bufsize=0,
            process_group=0,  # Ctrl-C is ours to handle.
        )
        try:
            said = self._exchange_line(b"")
        except (_SandboxSlowError, _SandboxGoneError) as error:
            self.end()
            raise InternalError(
                "the process in which files are examined does not start "
                f"({str(error) or 'it took too long'}); `pytoon doctor` says what does not work"
            ) from None
        if said != _READY:
            self.end()
            raise _defect_error(
                "the process in which files are examined does not start", json.loads(said)
            )

    def ask(self, path: Path) -> bytes:
        """One line for one line. Raises _SandboxSlowError or _SandboxGoneError, and is of no more
        use then."""
        return self._exchange_line(os.fsencode(path).hex().encode() + b"\n")

    def _exchange_line(self, question: bytes) -> bytes:
        assert self.process.stdin is not None and self.process.stdout is not None
        end, answer = time.monotonic() + limits.EXAMINE_SECONDS, b""
        try:
            self.process.stdin.write(question)
            while not answer.endswith(b"\n"):
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                    raise _SandboxSlowError
                more = self.process.stdout.read(65536)
                if not more or len(answer) > _LONGEST:
                    raise BrokenPipeError
                answer += more
        except BrokenPipeError:
            try:
                code = self.process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                # It says too much, or nothing any more: it is no longer what it was.
                self.process.kill()
                code = self.process.wait()
            if code == -_SIGXCPU:
                raise _SandboxSlowError from None
            raise _SandboxGoneError(code) from None
        return answer

    def end(self) -> None:
        if self.owner != os.getpid():
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


_SIGXCPU = 24  # Linux and macOS; `signal` has no such name on Windows.
_READY = b"ready\n"
_START = """
import sys
sys.path[:0] = sys.argv[1:]
try:
    from pytoon_pipeline.media.sandbox import serve_requests
except Exception as error:
    import json, traceback
    said = f"{type(error).__name__}: {error}"
    print(json.dumps({"defect": said, "details": traceback.format_exc()}), flush=True)
    sys.exit(1)
serve_requests()
"""


def _import_folders() -> list[str]:
    """Where this process finds its modules; the folder it stands in is not meant."""
    return [str(Path(__file__).parents[2]), *filter(None, sys.path)]


def _ask_sandbox(path: Path) -> bytes:
    global _helper
    with _lock:
        if _helper is None or _helper.owner != os.getpid():
            _helper = _SandboxProcess()
        try:
            return _helper.ask(path)
        except BaseException:
            # Whatever it was, half an answer may be on its way.
            _helper.end()
            _helper = None
            raise


def _after_fork() -> None:
    """Of the parent's process nothing is used, and its lock may be held by a thread that is not
    here."""
    global _lock, _helper
    _lock, _helper = threading.Lock(), None


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _stop_sandbox() -> None:
    if _helper is not None:
        _helper.end()


def _defect_error(what: str, said: dict[str, Any]) -> InternalError:
    """What the separate process said of a defect, as an exception of this one."""
    error = InternalError(f"{what}: {said['defect']}")
    error.add_note(f"In the process apart:\n{said['details']}")
    return error


def _read_media_info(answer: bytes, name: str) -> MediaInfo:
    said: dict[str, Any] = json.loads(answer)
    if "defect" in said:
        raise _defect_error(f"{name} could not be examined", said)
    if "code" in said:
        raise UnreadableMediaError(**said)
    rate = said["frame_rate"]
    # JSON has no tuples.
    several = {
        "sizes": tuple((w, h) for w, h in said["sizes"]),
        "notes": tuple(said["notes"]),
        "warnings": tuple((code, text, remedy) for code, text, remedy in said["warnings"]),
    }
    return MediaInfo(**{**said, **several, "frame_rate": rate and Fraction(rate)})


# On the side that answers -------------------------------------------------------------------------


def serve_requests() -> None:
    """Answer requests until the process that asks has ended."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # Nothing that a library prints is taken for an answer.
    _bind_resources()
    answers.write(_READY)
    for line in sys.stdin.buffer:
        _allow_cpu()
        path = Path(os.fsdecode(bytes.fromhex(line.strip().decode())))
        try:
            answer = json.dumps(_answer_request(path))
        except Exception as error:  # Not foreseen, so ours: the file is not blamed for it.
            said = {"defect": f"{type(error).__name__}: {error}", "details": traceback.format_exc()}
            answer = json.dumps(said)
        answers.write(answer.encode() + b"\n")


def _answer_request(path: Path) -> dict[str, Any]:
    try:
        found = asdict(_examine(path))
    except UnreadableMediaError as error:
        if error.code in ("media.corrupt", "media.not_media"):
            _check_samples()
        return {"code": error.code, "message": error.message, "remedy": error.remedy}
    except OSError as error:
        return {
            "code": "media.missing",
            "message": f"{path.name} can't be opened: {error.strerror}.",
            "remedy": "Check that it is there and may be read.",
        }
    return {**found, "frame_rate": found["frame_rate"] and str(found["frame_rate"])}


SAMPLES = tuple(
    Path(__file__).with_name("samples") / name
    for name in ("picture.png", "picture.jpg", "clip.gif", "sound.wav")
)
"""Small sound files, of the project's own making (CC0)."""


@lru_cache(maxsize=1)
def _check_samples() -> None:
    """Raises InternalError where a sound file can't be read; looks once in a process."""
    _allow_cpu()
    for sample in SAMPLES:
        try:
            _examine(sample)
        except UnreadableMediaError as error:
            if error.code in ("media.slow", "media.too_large"):
                continue  # What was before it left it too little.
            cause = error.__cause__ or error
            raise InternalError(
                f"not even {sample.name} of Pytoon's own can be read here "
                f"({type(cause).__name__}: {cause})"
            ) from error


def _bind_resources() -> None:
    """What this process may have of the machine."""
    with suppress(ImportError):
        import resource

        bounds = {
            resource.RLIMIT_AS: limits.EXAMINE_BYTES,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_NOFILE: 64,
        }
        for what, most in bounds.items():
            with suppress(OSError, ValueError):
                hard = resource.getrlimit(what)[1]
                most = most if hard == resource.RLIM_INFINITY else min(most, hard)
                resource.setrlimit(what, (most, most))


def _allow_cpu() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        spent = time.process_time()
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        most = int(spent) + 1 + limits.EXAMINE_CPU_SECONDS
        if hard == resource.RLIM_INFINITY or most <= hard:
            resource.setrlimit(resource.RLIMIT_CPU, (most, hard))
