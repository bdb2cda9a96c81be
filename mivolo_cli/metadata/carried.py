"""Copy a photo's EXIF and IPTC fields into the initial XMP of a new sidecar.

Programs that find a sidecar may ignore the photo's own metadata. The fields are those that people
fill in and search by, mapped as ExifTool and digiKam do. Existing XMP properties are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from xml.sax.saxutils import escape, quoteattr

from ..photos.formats import formats_of
from . import Refused, judge, rdf, xmp
from .own_exif import Exif, decoded, own_exif
from .own_xmp import own_xmp
from .tree import Node, apply, insert
from .xmp import SKELETON

Values = Mapping[str, Sequence[str]]
"""Values by qualified name of the XMP property; empty if unknown."""
LISTS = {
    "dc:title": "Alt", "dc:description": "Alt", "dc:rights": "Alt",
    "dc:subject": "Bag", "dc:creator": "Seq",
}  # fmt: skip
IPTC = {
    "dc:title": "ObjectName", "dc:description": "Caption", "dc:rights": "Copyright",
    "dc:subject": "Keywords", "dc:creator": "Byline",
}  # fmt: skip
"""XMP property -> Exiv2's name of the IPTC field."""
WITH_IPTC = ("JPEG", "PNG", "TIFF")
STARS = (1, 13, 38, 63, 88)
"""Lowest percentages for one to five stars, as in Windows."""


def own_metadata(data: bytes) -> bytes | None:
    """Return the photo's own XMP, completed from its EXIF and IPTC; None if it has no metadata.
    Raises Refused as own_xmp does."""
    found, block = own_xmp(data), own_exif(data)
    exif, iptc = {} if block is None else _exif(block), _iptc(data)
    names = dict.fromkeys((*exif, *iptc))
    return _with_missing(found, {name: exif.get(name) or iptc.get(name) or () for name in names})


def _with_missing(packet: bytes | None, values: Values) -> bytes | None:
    """Add the missing properties to the packet."""
    data = SKELETON if packet is None else packet
    root = rdf.root(data)
    new = "".join(
        _property(name, found) for name, found in values.items() if found and not _has(root, name)
    )
    if not new:
        return packet
    start = f"<rdf:Description{xmp.declarations(new)} rdf:about={quoteattr(rdf.about(root))}>"
    return apply(data, [insert(data, root, f"{start}{new}</rdf:Description>".encode())])


def _has(root: Node, name: str) -> bool:
    wanted = xmp.name(name)
    return any(
        wanted in block.attributes or block.find(wanted) is not None for block in root.children
    )


def _property(name: str, values: Sequence[str]) -> str:
    kind = LISTS.get(name)
    if kind is None:
        return xmp.element(name, escape(values[0]))
    language = ' xml:lang="x-default"' if kind == "Alt" else ""
    items = "".join(f"<rdf:li{language}>{escape(value)}</rdf:li>" for value in values)
    return xmp.element(name, f"<rdf:{kind}>{items}</rdf:{kind}>")


def _exif(exif: Exif) -> Values:
    percent = exif.number(0x4749)
    rating = exif.number(0x4746) or (sum(percent >= star for star in STARS) if percent else None)
    texts = exif.text(0x010E), exif.windows_text(0x9C9C), exif.comment(0x9286)
    taken = exif.time(0x9003, 0x9291, 0x9011)
    return {
        "dc:title": _one(exif.windows_text(0x9C9B)),
        "dc:description": _one(*texts, exif.windows_text(0x9C9F)),
        "dc:creator": _split(exif.text(0x013B) or exif.windows_text(0x9C9D)),
        "dc:rights": _one(exif.text(0x8298)),
        "dc:subject": _split(exif.windows_text(0x9C9E)),
        "xmp:Rating": _one(str(rating) if rating and rating <= len(STARS) else ""),
        "MicrosoftPhoto:Rating": _one(str(percent) if percent and percent <= 100 else ""),
        "exif:DateTimeOriginal": _one(taken),
        "photoshop:DateCreated": _one(taken),
        "xmp:CreateDate": _one(exif.time(0x9004, 0x9292, 0x9012)),
        "exif:GPSLatitude": _one(exif.degrees(2, 1)),
        "exif:GPSLongitude": _one(exif.degrees(4, 3)),
    }


def _iptc(data: bytes) -> Values:
    if not set(formats_of(data[:32])) & set(WITH_IPTC):
        return {}
    with suppress(Refused):
        said = judge.properties(data).iptc
        return {
            name: _iptc_texts(said.get(f"Iptc.Application2.{key}")) for name, key in IPTC.items()
        }
    return {}


def _iptc_texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    texts = (str(one).encode("latin-1", "replace") for one in values)
    return [text for text in map(decoded, texts) if text]


def _one(*texts: str) -> list[str]:
    """Return a list of the first non-empty text, or an empty list."""
    return list(filter(None, texts))[:1]


def _split(text: str) -> list[str]:
    """Split at semicolons, as Windows separates values, and drop duplicates."""
    return list(dict.fromkeys(filter(None, (part.strip() for part in text.split(";")))))
