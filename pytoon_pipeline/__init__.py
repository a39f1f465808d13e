"""Pytoon: a compiler for short vertical videos."""

__version__ = "0.1.0"

# Everything that decides the pixels of a segment is in its fingerprint except the code that draws
# it. Raise this when drawing or encoding changes, so that old segments are not taken for new ones.
RENDERER_VERSION = "3"
