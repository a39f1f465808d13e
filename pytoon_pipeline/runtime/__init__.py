"""How runs are executed: launchers, workers, storage adapters, heartbeats, the dev server."""
