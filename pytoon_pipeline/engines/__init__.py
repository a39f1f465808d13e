"""Engines: what makes the footage of a segment."""
