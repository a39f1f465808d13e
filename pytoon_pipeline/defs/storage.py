"""Deprecated: what a `dagster.yaml` of an earlier version names; now in `runtime`."""

from pytoon_pipeline.runtime.sqlite_storage import PooledSqliteStorage as KeptSqliteStorage

__all__ = ["KeptSqliteStorage"]
