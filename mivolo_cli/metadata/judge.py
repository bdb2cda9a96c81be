"""Compare a file's metadata before and after a change, with Exiv2, digiKam's library.

Exiv2 is not used for writing: version 0.28 reformats packets, moves segments, drops Photoshop
blocks that it cannot read, and cannot remove XMP from a WebP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyexiv2

from . import Refused
from .exif import Field

REGION = re.compile(r"Xmp\.mwg-rs\.Regions/mwg-rs:RegionList\[\d+\]/mwg-rs:Area/stArea:x")
POINTERS = {"Exif.Image.ExifTag", "Exif.Image.XMLPacket"}
"""Not EXIF of the photo: a directory's offset, and a TIFF's XMP."""
FIELDS: dict[Field, str] = {
    "UserComment": "Exif.Photo.UserComment",
    "ImageDescription": "Exif.Image.ImageDescription",
}
MUTE = 4


@dataclass(frozen=True, slots=True)
class Properties:
    """Metadata by Exiv2's keys."""

    exif: Mapping[str, Any]
    iptc: Mapping[str, Any]
    xmp: Mapping[str, Any]

    @property
    def regions(self) -> int:
        return sum(REGION.fullmatch(key) is not None for key in self.xmp)


def check(before: bytes, after: bytes, added: int, field: Field | None = None) -> None:
    """Refuse a photo or sidecar in which Exiv2 misses foreign metadata, or does not find `added`
    more regions. `field` is the EXIF field that was written."""
    old, new = properties(before), properties(after)
    _check_exif(old, new, field)
    if not contains(new.iptc, old.iptc) or not contains(new.xmp, old.xmp):
        raise Refused("failed_check", "Exiv2 no longer finds all other metadata")
    if new.regions - old.regions != added:
        raise Refused("failed_check", "Exiv2 does not find the regions")


def properties(data: bytes) -> Properties:
    """Return all metadata that Exiv2 reads; for a sidecar, also IPTC and EXIF that it derives from
    XMP.

    Not thread-safe because of its XMP part. Raises Refused.
    """
    pyexiv2.set_log_level(MUTE)
    try:
        with pyexiv2.ImageData(data) as image:
            # Latin-1 decodes any bytes without loss
            exif, iptc = image.read_exif(encoding="latin-1"), image.read_iptc(encoding="latin-1")
            return Properties(exif, iptc, image.read_xmp(encoding="latin-1"))
    except (RuntimeError, ValueError) as error:
        raise Refused("failed_check", f"Exiv2 does not read it: {error}") from error


def contains(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether `new` still has everything in `old`; lists may have items appended."""
    for key, value in old.items():
        now = new.get(key)
        if isinstance(value, list) and isinstance(now, list):
            now = now[: len(value)]
        if now != value:
            return False
    return True


def _check_exif(old: Properties, new: Properties, field: Field | None) -> None:
    """Refuse changes of EXIF beyond the written field and the mandatory fields added with it."""
    passed = POINTERS | ({FIELDS[field]} if field else set())
    before, after = ({k: v for k, v in p.exif.items() if k not in passed} for p in (old, new))
    if field is None and before != after:
        raise Refused("failed_check", "Exiv2 reads other EXIF data")
    if not contains(after, before):
        raise Refused("bad_exif", "Exiv2 no longer finds all other metadata after the change")
