"""What Dagster loads."""

from pytoon_pipeline.defs.collect import collect_definitions

defs = collect_definitions()
