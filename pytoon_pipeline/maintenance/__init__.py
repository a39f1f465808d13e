"""Maintenance: finds and deletes what is no longer needed, in the store and on this machine."""
