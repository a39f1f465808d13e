"""Partitions: one per brief."""

from __future__ import annotations

import dagster as dg

BRIEFS = dg.DynamicPartitionsDefinition(name="briefs")
"""Keys are those of the ledger, `<campaign>/<brief>`; the sensor and the command line add them."""
