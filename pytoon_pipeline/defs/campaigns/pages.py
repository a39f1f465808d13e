"""Campaigns' pages, written by the sensor's own process: a run for each would crowd the list of
runs, where people look for their videos."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.store import Store

if TYPE_CHECKING:
    from pytoon_pipeline.report.write import ReportDocument

log = logging.getLogger("pytoon.pages")


@dataclass(frozen=True)
class WrittenPage:
    """What became of a page that was asked for."""

    campaign: str
    document: ReportDocument | None = None
    """None where it could not be written."""
    error: str = ""


class PageWriter:
    """Writes pages one after the other, in a thread that is started with the first: a campaign of
    thousands, in a bucket, takes longer than a sensor's tick may."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[str, Ledger, Store]] = SimpleQueue()
        self._written: SimpleQueue[WrittenPage] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, campaign: str, ledger: Ledger, store: Store) -> None:
        """Write a campaign's page in the background; the ledger is told when it is there."""
        self._asked.put((campaign, ledger, store))
        if self._thread is None or not self._thread.is_alive():
            # Nobody who ends this process waits for it: a page is put into the store whole.
            self._thread = threading.Thread(target=self._write_pages, name="pages", daemon=True)
            self._thread.start()

    def take_written(self) -> list[WrittenPage]:
        """The pages that were finished since this was last called."""
        found = []
        try:
            while True:
                found.append(self._written.get_nowait())
        except Empty:
            return found

    def _write_pages(self) -> None:
        while True:
            self._written.put(write_page(*self._asked.get()))


def write_page(campaign: str, ledger: Ledger, store: Store) -> WrittenPage:
    """Write a campaign's page and note it in the ledger. What goes wrong is returned; the page is
    asked for again later."""
    from pytoon_pipeline.report.write import write_report

    try:
        seen = ledger.campaigns().get(campaign, 0.0)
        document = write_report(campaign, ledger, store)
        ledger.note_page(campaign, made=ledger.now(), seen=seen)
    except Exception as error:  # The next page is to be written all the same.
        log.warning("The page of %s was not written: %s", campaign, error)
        return WrittenPage(campaign, error=f"{type(error).__name__}: {error}")
    return WrittenPage(campaign, document)
