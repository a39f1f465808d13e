"""What Dagster loads."""

from pytoon_pipeline.defs.collect import collect

defs = collect()
