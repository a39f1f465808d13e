"""Leases: one process, of all that share a ledger, may do some work at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA

LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, default=""),
    sa.Column("until", sa.Float, nullable=False, default=0.0),
    sa.Column("done", sa.Float, nullable=False, default=0.0),
)
"""`until` the owner has it, should it die without giving it back; `done` is when the work was last
finished. Times of `Ledger.now`."""


@contextmanager
def hold_lease(ledger: Ledger, name: str, seconds: float) -> Iterator[bool]:
    """Take the lease of this name, for so many seconds at most. Yields whether this process has it.

    When the block ends without an exception, the time is noted as that of the last work. Raises
    StoreError when the ledger can't be used.
    """
    owner, mine, now = secrets.token_hex(8), LEASES.c.name == name, ledger.now()
    taken = {"owner": owner, "until": now + seconds}
    free = sa.update(LEASES).where(mine, LEASES.c.until < now).values(**taken)
    got = bool(ledger.run_transaction(lambda c: c.execute(free).rowcount))
    if not got:
        try:
            ledger.run_transaction(
                lambda c: c.execute(sa.insert(LEASES).values(name=name, **taken))
            )
            got = True
        except IntegrityError:
            got = False  # Another has it.
    if not got:
        yield False
        return
    ended: dict[str, float] = {}
    try:
        yield True
        ended = {"done": ledger.now()}
    finally:
        back = sa.update(LEASES).where(mine, LEASES.c.owner == owner).values(until=0.0, **ended)
        ledger.run_transaction(lambda c: c.execute(back), again=True)


def last_done(ledger: Ledger, name: str) -> float:
    """Return when the work of a lease was last finished (time of `Ledger.now`), 0 for never."""
    when = sa.select(LEASES.c.done).where(LEASES.c.name == name)
    return float(ledger.run_transaction(lambda c: c.execute(when).scalar(), again=True) or 0)
