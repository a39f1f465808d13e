"""`GET /metrics`, for Prometheus."""

from __future__ import annotations

from fastapi import FastAPI, Response

from pytoon_pipeline.service.guard import METRICS_PATH
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.telemetry.prometheus import CONTENT_TYPE


def add_metrics_route(app: FastAPI, settings: Settings) -> None:
    """Not part of the API that the server describes: its text has a format of its own."""
    meter = None

    @app.get(METRICS_PATH, include_in_schema=False)
    def metrics() -> Response:
        nonlocal meter
        if meter is None:
            # Brings Dagster in, which whoever never asks can do without.
            from pytoon_pipeline.runtime.metrics import MetricsReader

            meter = MetricsReader(settings)
        return Response(meter.text(), media_type=CONTENT_TYPE)
