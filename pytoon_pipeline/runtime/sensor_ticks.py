"""Sensors that wait for a time that was never right: a machine's clock ran ahead and was set back,
and Dagster ticks again only once the time of the last tick has passed once more."""

from __future__ import annotations

import time

import dagster as dg

from pytoon_pipeline.dagster_private import SensorInstigatorData

AHEAD_SECONDS = 60.0
"""Machines' clocks differ by less."""


def repair_sensor_ticks(instance: dg.DagsterInstance, now: float | None = None) -> list[str]:
    """Let sensors whose last tick lies in the future tick again. Returns their names."""
    now = time.time() if now is None else now
    mended = []
    for state in instance.all_instigator_state():
        data = state.instigator_data
        if not isinstance(data, SensorInstigatorData):
            continue
        times = {
            name: value
            for name in (
                "last_tick_timestamp",
                "last_tick_start_timestamp",
                "last_tick_success_timestamp",
            )
            if (value := getattr(data, name)) is not None
        }
        if max(times.values(), default=0.0) > now + AHEAD_SECONDS:
            earlier = {name: min(value, now) for name, value in times.items()}
            instance.update_instigator_state(state.with_data(data._replace(**earlier)))
            mended.append(state.name)
    return mended
