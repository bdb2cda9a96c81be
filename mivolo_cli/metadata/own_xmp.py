"""Read a photo's own XMP, wherever its format or other programs store it.

Programs that find a sidecar ignore the XMP in the photo, so a new sidecar must start with all of
it. Files are read as ExifTool reads them, broken ones as far as possible.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from ..photos import bmff
from ..photos.formats import formats_of
from . import Refused, extended_xmp, jpeg, packet, png, tiff, webp
from .xmp import OURS, SKELETON

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")
BYTE_ORDER_MARKS = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
                    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
BARE = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"),
        (b"\0<", "utf-16-be"))  # fmt: skip
"""Encodings other than UTF-8, by the first bytes of a packet."""
START = re.compile(rb"<\?xpacket\s+begin|<(?:x:xmpmeta|x:xapmeta|(?:\w+:)?RDF)\b")
ROOT = re.compile(rb"<(x:xmpmeta|x:xapmeta|(?:\w+:)?RDF)\b")
END = rb"""</%s\s*>(\s*<\?xpacket\s+end=["']\w["']\s*\?>)?"""
HEADER = SKELETON[: SKELETON.index(b"<x:xmpmeta")]
"""Identifies a sidecar for Exiv2."""
TRACES = [
    mark.encode(encoding)
    for mark in ("<x:xmpmeta", "<?xpacket begin", "<rdf:RDF", bmff.XMP_TYPE.decode())
    for encoding in ENCODINGS
] + [bmff.PACKED + bmff.JXL_XMP]
HIDDEN = "a sidecar would hide what other programs read there"


def own_xmp(data: bytes) -> bytes | None:
    """Return the packet in UTF-8 without trailing data; None if there is none.

    Raises Refused if a packet cannot be read, or if there are several different ones.
    """
    found = {clean(one) for one in _packets(data) if not packet.is_blank(one)}
    if len(found) > 1:
        raise Refused("bad_xmp", f"there are {len(found)}, and {HIDDEN}")
    if not found:
        return None
    whole = found.pop()
    try:
        packet.check(whole)
    except Refused as error:
        raise Refused("bad_xmp", f"{error.detail}; {HIDDEN}") from error
    return extended_xmp.joined(whole, data)


def mentions_us(data: bytes) -> bool:
    """Whether a file, even a damaged one, may contain our entries."""
    if any(OURS.encode(encoding) in data for encoding in ENCODINGS):
        return True
    with suppress(Refused):
        return any(OURS.encode() in clean(one) for one in _packets(data))
    return False


def clean(found: bytes) -> bytes:
    """Return a packet in UTF-8, from its start to its end."""
    head = found.lstrip(b" \t\r\n") if found[:1] in b" \t\r\n" else found
    for mark, encoding in (*BYTE_ORDER_MARKS, *BARE):
        if head.startswith(mark):
            found = head.decode(encoding, "replace").encode()
            break
    start, root = START.search(found), ROOT.search(found)
    end = root and re.compile(END % root[1]).search(found, root.end())
    whole = found[start.start() : end.end()] if start and end else found
    return whole if whole.startswith(b"<?xpacket") else HEADER + whole


def _packets(data: bytes) -> list[bytes]:
    """Return all packets, however they are stored. Raises Refused if one cannot be unpacked, or if
    the file cannot be parsed but seems to contain one."""
    formats = ["CR3"] if data[4:12] == b"ftypcrx " else formats_of(data[:32])
    for format in formats:
        if format not in READERS:
            continue
        try:
            return list(READERS[format](data))
        except bmff.BrokenBoxes:
            pass
        except Refused as error:
            if error.code != "bad_container":
                raise
    if any(trace in data for trace in TRACES):
        raise Refused("bad_xmp", f"it cannot be taken out of this file, and {HIDDEN}")
    return []


def _tiff(data: bytes) -> Iterator[bytes]:
    found = tiff.read_xmp(data)
    if found is not None:
        yield found


def _gif(data: bytes) -> Iterator[bytes]:
    """Yield packets stored without sub-block lengths, each followed by a 258-byte trailer that
    guides readers to its end."""
    mark = b"\x21\xff\x0bXMP DataXMP"
    for part in data.split(mark)[1:]:
        yield part.partition(b"\x01\xff\xfe\xfd")[0]


READERS: Mapping[str, Callable[[bytes], Iterator[bytes] | list[bytes]]] = {
    "JPEG": jpeg.packets,
    "PNG": png.packets,
    "WEBP": webp.packets,
    "TIFF": _tiff,
    "GIF": _gif,
    "AVIF": bmff.packets,
    "HEIF": bmff.packets,
    "JPEG2000": bmff.outer_packets,
    "JXL": bmff.outer_packets,
    "CR3": bmff.outer_packets,
}
