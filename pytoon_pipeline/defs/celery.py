"""Deprecated: what a `dagster.yaml` of an earlier version names; now in `runtime`."""

from pytoon_pipeline.runtime.celery_launcher import CeleryLauncher

__all__ = ["CeleryLauncher"]
