"""Partitions: one per brief, and one per campaign."""

from __future__ import annotations

import dagster as dg

BRIEFS_NAME, CAMPAIGNS_NAME = "briefs", "campaigns"
"""Names of the sets of partitions in Dagster."""

BRIEFS = dg.DynamicPartitionsDefinition(name=BRIEFS_NAME)
"""Keys are those of the ledger, `<campaign>/<brief>`; the sensor and the command line add them."""

CAMPAIGNS = dg.DynamicPartitionsDefinition(name=CAMPAIGNS_NAME)
"""Keys are the campaigns' names, as parts of a brief's key."""
