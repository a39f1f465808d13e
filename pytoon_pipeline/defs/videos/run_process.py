"""Whether the process of a Dagster run has ended."""

from __future__ import annotations

import socket
import time

import dagster as dg

from pytoon_pipeline.process_tags import PROCESS_TAG, _is_here, is_gone

QUIET_SECONDS = 1800.0
"""A run of which nothing can be known from here counts as ended when it has logged no event for
this long."""


def run_is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Has the process of a run ended? A container that was restarted under its old host name can't
    be told from another container that shares the name: its run counts as ended once it has logged
    nothing for QUIET_SECONDS."""
    tag = run.tags.get(PROCESS_TAG, "")
    if is_gone(tag):
        return True
    place = tag.partition(":")[0]
    if _is_here(place) or place.partition("~")[0] != socket.gethostname():
        return False
    logged = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return not logged or time.time() - logged[0].timestamp > QUIET_SECONDS
