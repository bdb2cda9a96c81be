"""Check with Exiv2, the library of digiKam, what a file contains before and after a change.

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
"""Where a directory is, and a TIFF's XMP: no EXIF of the photo."""
FIELDS: dict[Field, str] = {
    "UserComment": "Exif.Photo.UserComment",
    "ImageDescription": "Exif.Image.ImageDescription",
}
MUTE = 4


@dataclass(frozen=True, slots=True)
class Properties:
    """By Exiv2's names."""

    exif: Mapping[str, Any]
    iptc: Mapping[str, Any]
    xmp: Mapping[str, Any]

    @property
    def regions(self) -> int:
        return sum(REGION.fullmatch(key) is not None for key in self.xmp)


def check(before: bytes, after: bytes, added: int, field: Field | None = None) -> None:
    """Refuse a photo or a sidecar in which Exiv2 does not find everything of others', or not this
    many more regions. `field` is the one of EXIF that was written."""
    old, new = properties(before), properties(after)
    _check_exif(old, new, field)
    if not contains(new.iptc, old.iptc) or not contains(new.xmp, old.xmp):
        raise Refused("failed_check", "Exiv2 does not find everything of others'")
    if new.regions - old.regions != added:
        raise Refused("failed_check", "Exiv2 does not find the regions")


def properties(data: bytes) -> Properties:
    """All that Exiv2 reads; of a sidecar also IPTC and EXIF that it makes of XMP.

    Its XMP part is not safe among threads: one at a time. Raises Refused.
    """
    pyexiv2.set_log_level(MUTE)
    try:
        with pyexiv2.ImageData(data) as image:
            # Latin-1 takes all bytes as they are: here they are only compared
            exif, iptc = image.read_exif(encoding="latin-1"), image.read_iptc(encoding="latin-1")
            return Properties(exif, iptc, image.read_xmp(encoding="latin-1"))
    except (RuntimeError, ValueError) as error:
        raise Refused("failed_check", f"Exiv2 does not read it: {error}") from error


def contains(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether everything is still there; lists may have grown at their end."""
    for key, value in old.items():
        now = new.get(key)
        if isinstance(value, list) and isinstance(now, list):
            now = now[: len(value)]
        if now != value:
            return False
    return True


def _check_exif(old: Properties, new: Properties, field: Field | None) -> None:
    """All but the field that was written is the same; with it may come what EXIF must have."""
    passed = POINTERS | ({FIELDS[field]} if field else set())
    before, after = ({k: v for k, v in p.exif.items() if k not in passed} for p in (old, new))
    if field is None and before != after:
        raise Refused("failed_check", "Exiv2 reads other EXIF data")
    if not contains(after, before):
        raise Refused("bad_exif", "Exiv2 does not find all of it after the change")
