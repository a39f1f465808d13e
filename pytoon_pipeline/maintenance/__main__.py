"""`python -m pytoon_pipeline.maintenance` tidies this machine once."""

from __future__ import annotations

import sys

from pytoon_pipeline.errors import PytoonError
from pytoon_pipeline.maintenance.machine import tidy_machine
from pytoon_pipeline.settings import load_settings


def tidy_this_machine() -> int:
    """Tidy this machine. Returns the exit code of the process; failures are printed on stderr."""
    try:
        outcome = tidy_machine(load_settings())
    except PytoonError as error:
        print(f"This machine could not be tidied: {error}", file=sys.stderr)
        return 1
    for each, reason in outcome.failed:
        print(f"{each.place} can't be deleted: {reason}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(tidy_this_machine())
