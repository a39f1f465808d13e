"""`pytoon metrics`: all metrics as text, for people and for the textfile collector."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from pytoon_pipeline.cli.terminal import OK, settings_and_logs
from pytoon_pipeline.durable import replace_file
from pytoon_pipeline.errors import Problem, UserError


def write_metrics(out: Path | None) -> int:
    """To stdout, or to a file that is never seen half written. Raises UserError where it can't be
    written."""
    from pytoon_pipeline.runtime.metrics import format_metrics

    text = format_metrics(settings_and_logs())
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return OK
    try:
        write_whole(out, text)
    except OSError as error:
        raise UserError(
            Problem(
                "metrics.out",
                f"{out} can't be written: {error.strerror}.",
                "Name a file in a folder that exists and may be written to.",
                field="--out",
            )
        ) from error
    return OK


def write_whole(path: Path, text: str) -> None:
    """Under a temporary name beside it, then renamed: the collector reads whatever is there, of
    files that end in `.prom`. Others may read it."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        replace_file(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
