"""The content types of the objects of a store, by the extensions of their keys."""

from __future__ import annotations

from pathlib import PurePosixPath

_TYPES = {
    ".mp4": "video/mp4",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".wav": "audio/wav",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".yaml": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".vtt": "text/vtt; charset=utf-8",
    ".srt": "text/plain; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_OTHER = "application/octet-stream"


def content_type_of(key: str) -> str:
    """Return the content type of an object, by the extension of its key."""
    return _TYPES.get(PurePosixPath(key).suffix.lower(), _OTHER)
