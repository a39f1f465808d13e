"""Every failure of Pytoon is a named exception under `PytoonError`.

Two families: faults of the person who wrote a brief or a call (`UserError`, exit code 2), which
carry a list of `Problem`s, and failures of the machinery (everything else, exit code 1), which
carry the last lines of what failed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


def quote_text(text: str) -> str:
    """A text for a message, between quotes and in one line: with the characters that it has, where
    `repr` would write a no-break space as an escape."""
    return f"'{' '.join(text.split())}'"


@dataclass(frozen=True)
class Problem:
    """One thing wrong (or worth saying) that a person and a program can both act on."""

    code: str
    """Stable, dotted, lower case: `media.missing`, `caption.too_long`."""
    message: str
    """What is wrong, in a sentence that names the offending value."""
    remedy: str = ""
    """What to do about it, in a sentence."""
    severity: str = "error"
    """`error` stops the brief; `warning` and `info` do not."""
    file: str | None = None
    """The file that holds the fault, as the person knows it."""
    field: str | None = None
    """The field inside that file: `media[2]`, `segments[0].duration`."""
    time: tuple[float, float] | None = None
    """Seconds in the video, where the problem has a place in time."""
    box: tuple[int, int, int, int] | None = None
    """x0, y0, x1, y1 in pixels of the frame, where the problem has a place on it."""

    def as_dict(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if v not in (None, "")}

    def __str__(self) -> str:
        place = ": ".join(p for p in (self.file, self.field) if p)
        text = f"{place}: {self.message}" if place else self.message
        return f"{text} {self.remedy}".rstrip() if self.remedy else text


class PytoonError(Exception):
    """Base of all failures of Pytoon."""


class UserError(PytoonError):
    """The brief or the call is wrong; nothing was rendered. Exit code 2."""

    def __init__(self, problems: list[Problem] | Problem):
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class BriefError(UserError):
    """A brief, spec or its media can't be compiled."""


class SettingsError(UserError):
    """A `PYTOON_...` setting can't be used."""


class PresetError(UserError):
    """A preset, brand kit, font or other data file of the project is wrong."""


class MediaError(PytoonError):
    """A media file can't be read as what it should be."""


class InternalError(Exception):
    """A defect of Pytoon, or a library that is not as Pytoon needs it, found where a file or a
    process is looked after. No PytoonError, so that it is nowhere taken for a fault of the file:
    it ends what is done, and is reported as a fault of Pytoon with its text."""


class FetchRefusedError(MediaError):
    """A file at an address may not be fetched, or can't be."""

    def __init__(self, code: str, message: str, remedy: str):
        self.code, self.message, self.remedy = code, message, remedy
        super().__init__(f"{message} {remedy}".rstrip())


class FfmpegError(PytoonError):
    """ffmpeg failed. Holds the command and its last lines."""

    def __init__(self, what: str, argv: list[str], returncode: int | None, log_tail: str):
        self.what, self.argv, self.returncode, self.log_tail = what, argv, returncode, log_tail
        super().__init__(f"{what}: ffmpeg ended with {returncode}.\n{log_tail}".rstrip())


class LinkError(PytoonError):
    """Segments can't be joined into one video."""


class StoreError(PytoonError):
    """The store can't be read or written."""


class QualityError(PytoonError):
    """A finished file breaks a promise."""


class EngineError(PytoonError):
    """An engine made no footage. `transient` faults may pass, so the engine is asked again."""

    transient = False


class EngineUnavailableError(EngineError):
    """The engine can't be reached or is not set up."""


class EngineTimeoutError(EngineError):
    """The engine took longer than it may."""


class BudgetExhaustedError(EngineError):
    """A video may spend no more; no fault of the engine's."""


class EngineFailedError(EngineError):
    """The engine answered with a failure."""

    def __init__(self, reason: str, log_tail: str = "", *, transient: bool = False):
        self.reason, self.log_tail, self.transient = reason, log_tail, transient
        super().__init__(f"{reason}\n{log_tail}".rstrip())


class RenderError(PytoonError):
    """A segment or a video could not be finished."""
