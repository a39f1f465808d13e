"""Telemetry: metrics, counted where things happen and read by Prometheus, and log lines in JSON."""
