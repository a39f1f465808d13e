"""How the command line speaks: consoles, problems in words, logs, and what becomes of exceptions.

Exit codes: 0 done, 1 something failed, 2 a brief or the call is wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from pytoon_pipeline.errors import FfmpegError, Problem, PytoonError, UserError
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.telemetry.logs import setup_logging

OK, FAILED, REFUSED, STOPPED = 0, 1, 2, 130
"""Exit codes."""

_UNWRAPPED = 100_000
"""Columns of an output that is no terminal: a program that reads lines wants them whole."""
_LABELS = {
    "error": ("error", "bold red"),
    "warning": ("warning", "bold yellow"),
    "info": ("note", "cyan"),
}
_INDENT = 13


def open_console(stderr: bool = False) -> Console:
    """For words meant for people. Nothing is read as markup, numbers are not coloured."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = _UNWRAPPED
    return made


def make_visible(text: object) -> str:
    """Text from outside with control characters made visible: a file's name or an engine's answer
    must not steer the terminal."""
    return "".join(
        c if c in "\n\t" or (ord(c) >= 32 and not 127 <= ord(c) < 160) else f"\\x{ord(c):02x}"
        for c in str(text)
    )


def print_json(data: Mapping[str, Any] | list[Any], pretty: bool = False) -> None:
    """One JSON value to stdout, on one line unless `pretty`."""
    utf8 = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    text = json.dumps(data, ensure_ascii=not utf8, indent=2 if pretty else None, default=str)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_labelled(
    to: Console, label: str | Text, body: Text | str, style: str = "", indent: int = _INDENT
) -> None:
    """A label in a column of its own, and beside it the body, wrapped where a terminal ends."""
    text = body if isinstance(body, Text) else Text(make_visible(body))
    head = label.copy() if isinstance(label, Text) else Text().append(label, style)
    head.pad_right(max(1, indent - 2 - len(head)))
    for number, line in enumerate(text.wrap(to, max(20, to.width - indent - 2))):
        line.rstrip()
        row = Text("  ") if number == 0 else Text(" " * indent)
        if number == 0:
            row.append_text(head)
        to.print(row.append_text(line), soft_wrap=True)


def _format_seconds(time: tuple[float, float]) -> str:
    return f"{time[0]:.1f}-{time[1]:.1f} s"


def show_problem(to: Console, problem: Problem, with_file: bool = True) -> None:
    """One problem: where, what, and what to do about it."""
    label, style = _LABELS.get(problem.severity, (problem.severity, ""))
    places = [problem.file] if with_file and problem.file else []
    places += [problem.field] if problem.field else []
    places += [_format_seconds(problem.time)] if problem.time else []
    if problem.box:
        x0, y0, x1, y1 = problem.box
        places.append(f"x {x0}-{x1}, y {y0}-{y1}")
    body = Text()
    if places:
        body.append(make_visible(": ".join(places)), "bold").append(": ")
    body.append(make_visible(problem.message))
    body.append(f"  [{problem.code}]", "dim")
    print_labelled(to, label, body, style)
    if problem.remedy:
        print_labelled(to, "", Text(f"-> {make_visible(problem.remedy)}"))


def show_problems(problems: Iterable[Problem], to: Console | None = None) -> None:
    """Problems of the call itself, on stderr."""
    to = to or open_console(stderr=True)
    for problem in problems:
        show_problem(to, problem)


def problem_of(error: PytoonError) -> list[Problem]:
    """What a program is told of an exception."""
    if isinstance(error, UserError):
        return error.problems
    code = type(error).__name__.removesuffix("Error").lower()
    return [Problem(f"failed.{code}", str(error))]


def show_error(to: Console, error: PytoonError | str) -> None:
    """A failure: its first line, then the last lines of what failed."""
    first, _, rest = str(error).partition("\n")
    print_labelled(to, "failed", Text(make_visible(first)), "bold red")
    for line in rest.splitlines():
        print_labelled(to, "", Text(make_visible(line), "dim"))
    if isinstance(error, FfmpegError):
        logging.getLogger("pytoon.ffmpeg").debug("command: %s", " ".join(error.argv))


# Logs --------------------------------------------------------------------------------------------


class _ConsoleHandler(logging.Handler):
    """Through the console, so that a line does not tear the progress display."""

    def __init__(self, to: Console):
        super().__init__()
        self.to = to

    def emit(self, record: logging.LogRecord) -> None:
        self.to.print(
            Text(make_visible(f"{record.name}: {record.getMessage()}"), "dim"), soft_wrap=True
        )


def set_up_logs(settings: Settings, to: Console, verbose: bool = False) -> None:
    """Pytoon's loggers to stderr: as JSON lines from INFO up when `PYTOON_LOG` is json, else in
    words, warnings only. `verbose` adds what is said for debugging, ffmpeg's commands included."""
    if setup_logging(settings, verbose=verbose):
        return
    for name in ("pytoon", "pytoon_pipeline"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [_ConsoleHandler(to)]
        logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
        logger.propagate = False


def settings_and_logs(to: Console | None = None, verbose: bool = False) -> Settings:
    """What nearly every command begins with."""
    settings = load_settings()
    set_up_logs(settings, to or open_console(stderr=True), verbose)
    return settings


# Ends --------------------------------------------------------------------------------------------


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Turns what a command raises into words on stderr and an exit code; never a traceback."""
    try:
        yield
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        open_console(stderr=True).print(
            "Stopped. What was finished is kept; run it again to go on."
        )
        raise typer.Exit(STOPPED) from None
    except UserError as error:
        show_problems(error.problems)
        raise typer.Exit(REFUSED) from None
    except PytoonError as error:
        show_error(open_console(stderr=True), error)
        raise typer.Exit(FAILED) from None
    except Exception as error:
        report_crash(error)
        raise typer.Exit(FAILED) from None


def report_crash(error: BaseException) -> None:
    """Writes the traceback of a fault of ours to a file and says in a line where it is."""
    text = "".join(traceback.format_exception(error))
    to = open_console(stderr=True)
    print_labelled(to, "failed", crash_line(f"{type(error).__name__}: {error}", text), "bold red")


def crash_line(message: str, text: str) -> str:
    """A fault of ours in a line: the message's first, and the file its traceback was written to."""
    name = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12] + ".txt"
    # The settings may be what is broken, so their one value is read here by hand.
    home = Path(os.environ.get("PYTOON_HOME") or ".pytoon").expanduser()
    first = message.strip().splitlines()[0].rstrip(".") if message.strip() else "no message"
    for folder in (home / "crash", Path(tempfile.gettempdir()) / "pytoon-crash"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="replace")
        except OSError:
            continue
        return f"{first}. This is a fault of Pytoon itself; details: {folder / name}"
    return f"{first}. This is a fault of Pytoon itself; its details could not be written.\n{text}"
