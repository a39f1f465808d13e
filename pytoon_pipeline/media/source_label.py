"""The mark in a finished MP4 that says where its picture comes from: an XMP packet with the IPTC
property `DigitalSourceType`, in a box of its own at the end of the file."""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from pytoon_pipeline.errors import LinkError, MediaError
from pytoon_pipeline.media.credentials import VOCABULARY, FileCredentials, read_credentials
from pytoon_pipeline.media.mp4_boxes import Mp4Box, is_faststart, read_boxes

GENERATED = "trainedAlgorithmicMedia"
"""All of the picture is a model's."""
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
"""A model's picture together with others."""

_XMP = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
_C2PA = UUID("d8fec3d6-1b0e-483c-9297-5828877ec481").bytes
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_BASIC = "http://ns.adobe.com/xap/1.0/"
_MAX_BYTES = 1 << 20
"""Of a packet that is read."""


@dataclass(frozen=True)
class SourceMark:
    """What a file says of its picture."""

    source_type: str | None = None
    """Of the XMP packet: `trainedAlgorithmicMedia`, ...; None where it says nothing."""
    credentials: FileCredentials | None = None
    fault: str = ""
    """Why what is there can't be read."""


def build_packet(source_type: str, tool: str, credit: str) -> bytes:
    """Return the XMP packet; equal bytes for equal words."""
    fields = {
        "Iptc4xmpExt:DigitalSourceType": VOCABULARY + source_type,
        "photoshop:Credit": credit,
        "xmp:CreatorTool": tool,
    }
    said = "".join(f"\n   {name}={quoteattr(value)}" for name, value in fields.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{_RDF}">\n'
        f'  <rdf:Description rdf:about=""\n   xmlns:Iptc4xmpExt="{_IPTC}"\n'
        f'   xmlns:photoshop="{_PHOTOSHOP}"\n   xmlns:xmp="{_BASIC}"{said}/>\n'
        " </rdf:RDF>\n</x:xmpmeta>\n"
        '<?xpacket end="r"?>'
    ).encode()


def add_packet(video: str | os.PathLike[str], out: str | os.PathLike[str], content: bytes) -> None:
    """Return `video` with an XMP packet as its last box. Nothing before it moves, so that the index
    stays first and right.

    Raises LinkError when `video` has a packet already, or is no MP4 that a box can follow. `out`
    appears whole or not at all.
    """
    video, out = Path(video), Path(out)
    temporary = out.with_name(f".{out.name}.part")
    try:
        if _find_uuid_boxes(video, _XMP):
            raise LinkError(f"{video.name} bears a mark already.")
        shutil.copyfile(video, temporary)
        with open(temporary, "ab") as file:
            file.write(struct.pack(">I4s16s", 24 + len(content), b"uuid", _XMP) + content)
        if _read_packet(temporary) != content or not is_faststart(temporary):
            raise LinkError(f"{video.name} can't be marked: its last box has no end.")
        os.replace(temporary, out)
    except (MediaError, OSError) as error:
        raise LinkError(f"{video.name} can't be marked: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_mark(path: str | os.PathLike[str]) -> SourceMark:
    """Return what an MP4 says of its picture, read from the file alone. What can't be read is said
    in `fault`."""
    try:
        content = _read_packet(path)
        signed = bool(_find_uuid_boxes(path, _C2PA))
    except (MediaError, OSError) as error:
        return SourceMark(fault=str(error))
    credentials = read_credentials(path) if signed else None
    if content is None:
        return SourceMark(credentials=credentials)
    try:
        return SourceMark(_source_type(content), credentials)
    except (ElementTree.ParseError, ValueError) as error:
        return SourceMark(None, credentials, f"the XMP packet can't be read: {error}")


def _find_uuid_boxes(path: str | os.PathLike[str], kind: bytes) -> list[Mp4Box]:
    """The `uuid` boxes of a kind, at the top of the file."""
    with open(path, "rb") as file:

        def is_kind(box: Mp4Box) -> bool:
            file.seek(box.start + box.header)
            return file.read(16) == kind

        return [box for box in read_boxes(path) if box.path == "uuid" and is_kind(box)]


def _read_packet(path: str | os.PathLike[str]) -> bytes | None:
    found = _find_uuid_boxes(path, _XMP)
    if not found:
        return None
    if len(found) > 1 or found[0].size > _MAX_BYTES:
        raise MediaError(f"{Path(path).name} has {len(found)} XMP packets, or one too large.")
    with open(path, "rb") as file:
        file.seek(found[0].start + found[0].header + 16)
        return file.read(found[0].size - found[0].header - 16)


def _source_type(content: bytes) -> str | None:
    """Of a packet, whether it is written as an attribute or as an element."""
    name = f"{{{_IPTC}}}DigitalSourceType"
    for description in ElementTree.fromstring(content).iter(f"{{{_RDF}}}Description"):
        value = description.get(name) or description.findtext(name)
        if value:
            return value.strip().removeprefix(VOCABULARY)
    return None
