"""Tell the kind of a downloaded file by its first bytes, never by its name."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 4096
"""As much of a file as is looked at."""

_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF87a", ".gif"),
    (b"GIF89a", ".gif"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
    (b"ID3", ".mp3"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"FLV\x01", ".flv"),
    (b"\x00\x00\x01\xba", ".mpg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".wmv"),
    (b"\x06\x0e\x2b\x34\x02\x05\x01\x01", ".mxf"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", ".jp2"),
)


def suffix_of(head: bytes) -> str | None:
    """Return the suffix that fits the first bytes of a picture, clip or sound; None for all
    else."""
    for magic, suffix in _MAGIC:
        if head.startswith(magic):
            return suffix
    if head[:4] == b"RIFF":
        return {b"WEBP": ".webp", b"WAVE": ".wav", b"AVI ": ".avi"}.get(head[8:12])
    if head[:1] == b"\x47" and head[188:189] == b"\x47":
        return ".ts"  # MPEG transport stream
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return ".webm" if b"webm" in head[:64] else ".mkv"
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12]} | {head[i : i + 4] for i in range(16, size - 3, 4)}
        if brands & {b"avif", b"avis"}:
            return ".avif"
        if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}:
            return ".heic"
        return {b"M4A ": ".m4a", b"M4B ": ".m4a", b"qt  ": ".mov"}.get(head[8:12], ".mp4")
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return ".mov"  # QuickTime files of old begin without ftyp.
    if len(head) > 3 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:
            return ".aac"
        # Layer III, with a bit rate and a sample rate that exist.
        if head[1] & 0xE6 == 0xE2 and head[2] >> 4 != 15 and head[2] & 12 != 12:
            return ".mp3"
    return None


def may_be_joined(path: Path) -> bool:
    """Return whether the file is an MPEG stream, of the kind that recordings are joined in end to
    end?"""
    try:
        with open(path, "rb") as file:
            head = file.read(189)
    except OSError:
        return False
    return suffix_of(head) in (".ts", ".mpg")


# What may be tried on a file ----------------------------------------------------------------------

_MOV = "mov,mp4,m4a,3gp,3g2,mj2"
_DEMUXERS = (
    (b"\x1a\x45\xdf\xa3", "matroska,webm"),
    (b"GIF8", "gif"),
    (b"\x89PNG", "apng"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"FLV\x01", "flv"),
    (b"DKIF", "ivf"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (b"caff", "caf"),
    (b"FORM", "aiff"),
    (b"riff", "w64"),
    (b"#!AMR", "amr"),
    (b"\x00\x00\x01\xba", "mpeg"),
)


def demuxers_of(head: bytes) -> str | None:
    """Return the only ones of ffmpeg's demuxers that fit the first bytes of a clip or sound, comma
    separated; None where they say nothing definite."""
    for magic, names in _DEMUXERS:
        if head.startswith(magic):
            return names
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WAVE": "wav"}.get(head[8:12])
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _MOV
    return None
