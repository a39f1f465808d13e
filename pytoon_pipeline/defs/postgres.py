"""Deprecated: what a `dagster.yaml` of an earlier version names; now in `runtime`."""

from pytoon_pipeline.runtime.postgres_storage import PooledPostgresStorage as KeptPostgresStorage

__all__ = ["KeptPostgresStorage"]
