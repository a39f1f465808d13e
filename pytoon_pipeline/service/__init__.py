"""The HTTP API: submit, status, retrieve, cancel."""
