"""Checks of the finished file against what was planned."""
