"""Limits of tables, and the error for a table that is beyond them."""

from __future__ import annotations

from pytoon_pipeline.errors import Problem, UserError

MAX_BYTES = 50_000_000
MAX_ROWS = 50_000
MAX_COLUMNS = 1_000
MAX_CELLS = 3_000_000
"""Rows times columns that are kept: 50,000 rows of 60 columns."""
MAX_LINES = 1_048_576
"""Rows of a sheet, empty ones included, as many as spreadsheets have."""
MAX_UNPACKED = 150_000_000
"""Bytes of a workbook out of its zip: a small file can hold a great deal of nothing. 50,000 rows of
30 columns are some 80 MB."""
MAX_SHARED = 50_000_000
"""Of those, bytes of the texts that its cells share: all of them are read and kept."""
MAX_MEMBERS = 2_000
"""Files in a workbook's zip."""
MAX_TEXT = 1_000_000
"""Characters of one cell of a feed."""
GAP = 2_000
"""Empty rows after which a sheet is taken to have ended; formatted ones may go on to a million."""


def refuse_table(
    code: str, message: str, remedy: str, shown: str, place: str | None = None
) -> UserError:
    """Return the error for a table that is not read. `shown` is its name, `place` a row or a
    column."""
    return UserError(Problem(code, message, remedy, file=shown, field=place))
