"""What an uploaded file is, by its first bytes; never by its name."""

from __future__ import annotations

HEAD_BYTES = 4096
"""As much of a file as is looked at."""

_STILLS = {b"avif": "avif", b"avis": "avif"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"), "heic"
)
_PLAIN = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"ID3", "mp3"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
)
USUAL = "Send JPEG, PNG, WebP, GIF, AVIF, MP4, MOV, WebM, WAV, MP3, FLAC, OGG, M4A or AAC."


def ending(head: bytes) -> str | None:
    """The usual ending of such a file, without a dot; None for what is no picture, clip or
    sound."""
    for magic, name in _PLAIN:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"WAVE": "wav"}.get(head[8:12])
    if head[:4] == b"\x1aE\xdf\xa3":
        return "webm" if b"webm" in head[:64] else "mkv" if b"matroska" in head[:64] else None
    box = head[4:8]
    if box == b"ftyp":
        brand = head[8:12]
        if brand in (b"M4A ", b"M4B "):
            return "m4a"
        return _STILLS.get(brand) or ("mov" if brand == b"qt  " else "mp4")
    if box in (b"moov", b"mdat", b"wide"):
        return "mov"  # QuickTime of old has no `ftyp`.
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        layer, version = head[1] & 0x06, head[1] & 0x18
        if head[1] & 0xF6 == 0xF0:
            return "aac"
        # A rate or a version that does not exist: two bytes alone are found in many files.
        if layer and version != 0x08 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C:
            return "mp3"
    return None
