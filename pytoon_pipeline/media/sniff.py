"""Tell what a file is by its first bytes, and what to do with a file that is no media."""

from __future__ import annotations

USUAL_REMEDY = "Give a JPEG, PNG or WebP picture, an MP4 clip, or a WAV, MP3 or M4A sound."


def sniff_kind(head: bytes) -> str | None:
    """Return what the first bytes of a file say it is: a Pillow format, `movie`, `audio`, the name
    of something that is no media (`pdf`, `zip`, `html`, `text`, ...), or None."""
    for what, magics in _MAGIC:
        if head.startswith(magics):
            return what
    if head[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "movie", b"WAVE": "audio"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        brands = _read_brands(head)
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if b"crx " in brands:
            return "raw"
        return "HEIF" if brands & _HEIC_BRANDS else "movie"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "movie"  # QuickTime files of old begin without ftyp
    if head[:1] == b"\x47" and head[188:189] == b"\x47":
        return "movie"  # MPEG transport stream
    return _sniff_text(head)


def _read_brands(head: bytes) -> set[bytes]:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12]} | {head[i : i + 4] for i in range(16, size - 3, 4)}


def _sniff_text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        # The 4096th byte may lie inside a character.
        if e.start < len(head) - 4:
            return None
        text = head[: e.start].decode("utf-8-sig")
    if any(ord(c) < 32 and c not in "\t\n\r\f\x1b" for c in text):
        return None
    start = text.lstrip()[:256].lower()
    if "<svg" in text[:4096].lower() and start.startswith("<"):
        return "svg"
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script")):
        return "html"
    return "text"


_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_MAGIC: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("raw", (b"II*\0\x10\0\0\0CR",)),
    ("JPEG", (b"\xff\xd8\xff",)),
    ("PNG", (b"\x89PNG\r\n\x1a\n",)),
    ("GIF", (b"GIF87a", b"GIF89a")),
    ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("BMP", (b"BM",)),
    (
        "movie",
        (
            b"\x1a\x45\xdf\xa3",
            b"FLV\x01",
            b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
            b"\x00\x00\x01\xba",
            b"\x00\x00\x01\xb3",
            b"DKIF",
        ),
    ),
    (
        "audio",
        (
            b"ID3",
            b"fLaC",
            b"OggS",
            b"FORM",
            b"caff",
            b"riff",
            b"#!AMR",
            b"\x0b\x77",
            b"\xff\xfb",
            b"\xff\xfa",
            b"\xff\xf3",
            b"\xff\xf2",
            b"\xff\xf1",
            b"\xff\xf9",
        ),
    ),
    ("pdf", (b"%PDF",)),
    ("postscript", (b"%!PS", b"\xc5\xd0\xd3\xc6")),
    ("zip", (b"PK\x03\x04", b"PK\x05\x06")),
    (
        "archive",
        (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd"),
    ),
    ("psd", (b"8BPS",)),
    ("JPEG2000", (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("jxl", (b"\x00\x00\x00\x0cJXL ", b"\xff\x0a")),
    ("ico", (b"\x00\x00\x01\x00",)),
    ("raw", (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW")),
    ("office", (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",)),
    ("program", (b"\x7fELF", b"MZ")),
    ("lfs", (b"version https://git-lfs",)),
)
EXPORT_REMEDY = "Export it as JPEG or PNG."
NOT_MEDIA = {
    "pdf": ("a PDF", "Export its page as PNG or JPEG."),
    "postscript": ("a PostScript file", EXPORT_REMEDY),
    "zip": ("a zip archive (or an office document)", "Unpack it and give the picture itself."),
    "archive": ("a packed archive", "Unpack it and give the picture itself."),
    "psd": ("a Photoshop document", EXPORT_REMEDY),
    "jxl": ("a JPEG XL picture, which can't be read here", EXPORT_REMEDY),
    "svg": ("an SVG drawing, which can't be read here", "Export it as PNG."),
    "raw": ("a camera's raw file, which can't be read here", EXPORT_REMEDY),
    "ico": ("an icon file", "Export it as PNG."),
    "office": ("an office document", "Export the picture as JPEG or PNG."),
    "program": ("a program", USUAL_REMEDY),
    "html": ("a web page", "Download the picture or clip itself, not the page that shows it."),
    "lfs": ("a Git LFS pointer, not the file itself", "Run `git lfs pull`."),
    "text": ("a text file", USUAL_REMEDY),
}
