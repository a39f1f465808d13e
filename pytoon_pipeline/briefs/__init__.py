"""Briefs: the model of a brief, its files, its variants, and its bundle in the store."""
