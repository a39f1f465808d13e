"""Deprecated: what a `dagster.yaml` of an earlier version names; now in `runtime`."""

from pytoon_pipeline.runtime.prefork_launcher import PreforkRunLauncher as WarmRunLauncher

__all__ = ["WarmRunLauncher"]
