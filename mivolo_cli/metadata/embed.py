"""Our entries in a photo's own bytes, in memory: put in, taken out, and checked by Exiv2 and by
decoding the picture.

The bytes around the packet are kept by the containers of this package, since Exiv2 0.28 writes them
anew: it lays out packets again, moves segments, drops Photoshop blocks that it cannot read, and
cannot take XMP out of a WebP. Exiv2, the library of digiKam, is the judge instead: what it reads
before and after must be the same, and our regions be there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Protocol

import pyexiv2

from ..photos.decode import SIGNATURES
from . import Refused, exif, jpeg, packet, png, tiff, webp
from .packet import Provenance, TagEntries, Tags
from .picture import PictureInfo, examine
from .xmp import NAMESPACES


class Container(Protocol):
    """What the modules of containers offer. They raise Refused for files that they cannot change
    safely."""

    def read_xmp(self, data: bytes) -> bytes | None: ...

    def write_xmp(self, data: bytes, packet: bytes | None) -> bytes: ...

    def revert_info(self, data: bytes) -> str:
        """What `undone` must know to bring back a file that has no packet yet, or in a TIFF another
        one."""

    def revert(self, data: bytes, info: str) -> bytes | None: ...

    def untouched(self, before: bytes, after: bytes) -> bool: ...


class ExifContainer(Container, Protocol):
    """A container whose EXIF is a TIFF block of its own."""

    def read_exif(self, data: bytes) -> bytes | None: ...

    def write_exif(self, data: bytes, block: bytes | None) -> bytes: ...


WITH_EXIF: dict[str, ExifContainer] = {"JPEG": jpeg, "PNG": png, "WEBP": webp}
CONTAINERS: dict[str, Container] = {**WITH_EXIF, "TIFF": tiff}
TIFF_SUFFIXES = (".tif", ".tiff")
"""Raw files of cameras are TIFFs, too, and are left alone."""
LISTS = {"microsoft": ("MPRI",), "keywords": ("digiKam", "lr")}
"""The namespaces of the lists that a entries adds to; regions are always added."""
REGION = re.compile(r"Xmp\.mwg-rs\.Regions/mwg-rs:RegionList\[\d+\]/mwg-rs:Area/stArea:x")
MUTE = 4


@dataclass(frozen=True, slots=True)
class Text:
    """A text for one of EXIF's fields."""

    field: exif.Field
    text: str
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """A photo with our entries. `reversible` says that taking them out gives back the bytes before;
    tried, not guessed.

    `bare` is the photo without any entries of ours; `old` and `new` are the XMP packets;
    `unchanged` says that all this was there already.
    """

    data: bytes
    bare: bytes
    old: bytes | None
    new: bytes
    reversible: bool
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Stripped:
    """A photo without our entries, and what they were (None: there were none).

    `restored` says that these are the bytes from before the tagging, by the hash that was kept.
    """

    data: bytes
    tags: Tags | None
    restored: bool = False


def container(data: bytes, name: str) -> str | None:
    """The name of the container that a file is; None for those that nothing can be put into."""
    found = next(
        (key for key in CONTAINERS if re.match(SIGNATURES[key], data[:32], re.DOTALL)), None
    )
    return None if found == "TIFF" and PurePath(name).suffix.lower() not in TIFF_SUFFIXES else found


def read(data: bytes, kind: str) -> Tags | None:
    """Our entries in a photo. Raises Refused."""
    there = CONTAINERS[kind].read_xmp(data)
    return None if there is None else packet.read(there)


def embed(
    data: bytes, kind: str, tags: Tags, entries: TagEntries, text: Text | None = None
) -> Embedded:
    """The photo with these entries instead of those that it has of ours. Nothing is checked yet.
    Raises Refused."""
    check_extended(data, kind, entries)
    was = strip(data, kind)
    provenance = _about_original(tags.provenance, was)
    if was.tags is not None:
        before = was.tags.provenance
        same = _build(
            was.data,
            kind,
            tags,
            entries,
            text,
            replace(provenance, date=before.date, scanned_bytes=before.scanned_bytes),
        )
        if same.data == data:
            return replace(same, unchanged=True)
    return _build(was.data, kind, tags, entries, text, provenance)


def check_extended(data: bytes, kind: str, entries: TagEntries) -> None:
    """Refuse a photo with lists in extended XMP that we would add to: a second one would hide one
    of the two."""
    if kind != "JPEG":
        return
    extended = jpeg.read_extended(data)
    prefixes = [
        "mwg-rs",
        *(
            prefix
            for name, prefixes in LISTS.items()
            if getattr(entries, name)
            for prefix in prefixes
        ),
    ]
    if any(NAMESPACES[prefix].encode() in extended for prefix in prefixes):
        raise Refused("extended_xmp")


def strip(data: bytes, kind: str) -> Stripped:
    """The photo without our entries. Raises Refused."""
    shelf = CONTAINERS[kind]
    there = shelf.read_xmp(data)
    tags = None if there is None else packet.read(there)
    if there is None or tags is None:
        return Stripped(data, None)
    left = packet.remove(there)
    bare = shelf.revert(data, tags.provenance.undo)
    if bare is None or shelf.read_xmp(bare) != left:
        bare = shelf.write_xmp(data, left)
    if tags.provenance.exif_field in exif.FIELDS and kind in WITH_EXIF:
        bare = _without_text(bare, WITH_EXIF[kind], tags.provenance)
        if tags.provenance.undo and left is None:
            bare = shelf.revert(bare, tags.provenance.undo) or bare
    return Stripped(
        bare,
        tags,
        tags.provenance.is_reversible and sha256(bare) == tags.provenance.original_sha256,
    )


def check(before: bytes, after: bytes, kind: str, regions: int, text: Text | None = None) -> None:
    """Refuse a changed photo whose coded picture, pixels, or others' metadata are not those from
    before.

    `regions` is how many there must be more of.
    """
    if not CONTAINERS[kind].untouched(before, after):
        raise Refused("failed_check", "the coded picture is not the same")
    if seen(before) != seen(after):
        raise Refused("failed_check", "the decoded pixels are not the same")
    old, new = _properties(before), _properties(after)
    if text is None and old["exif"] != new["exif"]:
        raise Refused("failed_check", "Exiv2 reads other EXIF data")
    if old["iptc"] != new["iptc"] or not _contains(new["xmp"], old["xmp"]):
        raise Refused("failed_check", "Exiv2 does not find everything of others'")
    if len(_regions(new["xmp"])) - len(_regions(old["xmp"])) != regions:
        raise Refused("failed_check", "Exiv2 does not find the regions")


def seen(data: bytes) -> PictureInfo:
    return examine(data, pixels=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _about_original(provenance: Provenance, was: Stripped) -> Provenance:
    """The hash and size of the photo as it was before we ever wrote to it, as far as that can be
    known."""
    if (
        was.tags is not None
        and not was.tags.provenance.is_reversible
        and was.tags.provenance.original_sha256
    ):
        old = was.tags.provenance
        return replace(
            provenance,
            original_sha256=old.original_sha256,
            original_bytes=old.original_bytes,
            reversible="False",
        )
    return replace(
        provenance,
        original_sha256=sha256(was.data),
        original_bytes=str(len(was.data)),
        reversible="True",
    )


def _build(
    bare: bytes,
    kind: str,
    tags: Tags,
    entries: TagEntries,
    text: Text | None,
    provenance: Provenance,
) -> Embedded:
    """With a promise that it can be undone if it can."""
    shelf = CONTAINERS[kind]
    provenance = replace(provenance, undo=shelf.revert_info(bare))
    base, provenance = (
        (bare, provenance)
        if text is None
        else _with_text(bare, kind, provenance, text, tags.people.size)
    )
    old = shelf.read_xmp(base)
    new = packet.merge(old, replace(tags, provenance=provenance), entries)
    data = shelf.write_xmp(base, new)
    if not provenance.is_reversible or strip(data, kind).restored:
        return Embedded(data, bare, old, new, provenance.is_reversible)
    return _build(bare, kind, tags, entries, text, replace(provenance, reversible="False"))


def _with_text(
    data: bytes, kind: str, provenance: Provenance, text: Text, size: tuple[int, int]
) -> tuple[bytes, Provenance]:
    if kind not in WITH_EXIF:
        raise Refused("no_exif")
    shelf = WITH_EXIF[kind]
    block = shelf.read_exif(data)
    new = exif.with_text(block, text.field, text.text, size, overwrite=text.overwrite)
    known = {"exif_field": text.field, "exif_text": text.text, "exif_sha256": exif.fingerprint(new)}
    return shelf.write_exif(data, new), replace(
        provenance, **known, exif_undo=exif.revert_info(block)
    )


def _without_text(data: bytes, shelf: ExifContainer, provenance: Provenance) -> bytes:
    """EXIF as it was; if others have changed it since, only our text goes."""
    block = shelf.read_exif(data)
    if block is None:
        return data
    if exif.fingerprint(block) == provenance.exif_sha256:
        return shelf.write_exif(data, exif.restored(block, provenance.exif_undo))
    field = next(field for field in exif.FIELDS if field == provenance.exif_field)
    return shelf.write_exif(data, exif.without_text(block, field, provenance.exif_text))


def _properties(data: bytes) -> dict[str, Mapping[str, Any]]:
    """All that Exiv2 reads. Its XMP part is not safe among threads: one at a time."""
    pyexiv2.set_log_level(MUTE)
    try:
        with pyexiv2.ImageData(data) as image:
            # Latin-1 takes all bytes as they are: here they are only compared
            exif_, iptc = image.read_exif(encoding="latin-1"), image.read_iptc(encoding="latin-1")
            exif_.pop("Exif.Image.XMLPacket", None)  # a TIFF's XMP
            return {"exif": exif_, "iptc": iptc, "xmp": image.read_xmp(encoding="latin-1")}
    except (RuntimeError, ValueError) as error:
        raise Refused("failed_check", f"Exiv2 does not read it: {error}") from error


def _regions(xmp: Mapping[str, Any]) -> list[str]:
    return [key for key in xmp if REGION.fullmatch(key)]


def _contains(xmp: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether everything is still there; lists may have grown at their end."""
    for key, value in old.items():
        now = xmp.get(key)
        if isinstance(value, list) and isinstance(now, list):
            now = now[: len(value)]
        if now != value:
            return False
    return True
