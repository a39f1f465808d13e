"""Dagster definitions, by domain. How runs are executed is in `runtime`."""
