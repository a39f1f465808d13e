"""Partitions: one per brief, and one per campaign."""

from __future__ import annotations

import dagster as dg

BRIEFS = dg.DynamicPartitionsDefinition(name="briefs")
"""Keys are those of the ledger, `<campaign>/<brief>`; the sensor and the command line add them."""

CAMPAIGNS = dg.DynamicPartitionsDefinition(name="campaigns")
"""Keys are the campaigns' names, as parts of a brief's key."""
