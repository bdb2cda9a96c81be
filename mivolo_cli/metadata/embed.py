"""Insert and remove mivolo's entries in a photo's bytes, in memory, and check the result by
decoding it and with Exiv2.

Files are written by the container modules of this package, which preserve all other bytes; `judge`
explains why not by Exiv2.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Protocol

from ..photos.formats import SIGNATURES
from . import ABOUT_EXIF, Refused, exif, jpeg, judge, kept, packet, png, tiff, webp
from .packet import Provenance, TagEntries, Tags
from .picture import PictureInfo, examine
from .xmp import NAMESPACES


class Container(Protocol):
    """Interface of the container modules. They raise Refused for files that they cannot change
    safely."""

    def read_xmp(self, data: bytes) -> bytes | None: ...

    def write_xmp(self, data: bytes, packet: bytes | None) -> bytes: ...

    def read_raw(self, data: bytes) -> bytes | None:
        """Return the packet exactly as stored (in PNG: the whole chunk)."""

    def write_raw(self, data: bytes, raw: bytes) -> bytes: ...

    def revert_info(self, data: bytes) -> str:
        """Return what `revert` needs to know; call this before replacing the packet."""

    def revert(self, data: bytes, info: str) -> bytes:
        """Restore the container of a file that has its old packet again, as far as `info`
        allows."""

    def untouched(self, before: bytes, after: bytes) -> bool: ...


class ExifContainer(Container, Protocol):
    """A container that stores EXIF as a separate TIFF block."""

    def read_exif(self, data: bytes) -> bytes | None: ...

    def write_exif(self, data: bytes, block: bytes | None) -> bytes: ...


WITH_EXIF: dict[str, ExifContainer] = {"JPEG": jpeg, "PNG": png, "WEBP": webp}
CONTAINERS: dict[str, Container] = {**WITH_EXIF, "TIFF": tiff}
TIFF_SUFFIXES = (".tif", ".tiff")
"""Camera raw files are also TIFFs, but are never changed."""
LISTS = {"microsoft": ("MPRI",), "keywords": ("digiKam", "lr"), "subjects": ("dc",)}
"""Option -> namespace prefixes of the lists that it extends; regions are always added."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text for an EXIF field."""

    field: exif.Field
    text: str
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """A photo with our entries. `reversible`: removing them restores the previous bytes (tested,
    not assumed).

    `bare` is the photo without any of our entries; `old` and `new` are the XMP packets; `added`
    counts the new regions; `unchanged`: the photo already had exactly these entries.
    """

    data: bytes
    bare: bytes
    old: bytes | None
    new: bytes
    reversible: bool
    added: int
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Stripped:
    """A photo without our entries, and the `tags` that were removed (None if there were none).

    `restored`: these are the bytes from before tagging, according to the stored hash.
    """

    data: bytes
    tags: Tags | None
    restored: bool = False


def container(data: bytes, name: str) -> str | None:
    """Return the container format of a file; None if metadata cannot be embedded in it."""
    found = next(
        (key for key in CONTAINERS if re.match(SIGNATURES[key], data[:32], re.DOTALL)), None
    )
    return None if found == "TIFF" and PurePath(name).suffix.lower() not in TIFF_SUFFIXES else found


def read(data: bytes, kind: str) -> Tags | None:
    """Return our entries in a photo. Raises Refused."""
    there = read_packet(data, kind)
    return None if there is None else packet.read(there)


def read_packet(data: bytes, kind: str) -> bytes | None:
    """Return the photo's packet; None if it has none or a blank one. Raises Refused."""
    there = CONTAINERS[kind].read_xmp(data)
    return None if there is None or packet.is_blank(there) else there


def embed(
    data: bytes, kind: str, tags: Tags, entries: TagEntries, text: Text | None = None
) -> Embedded:
    """Replace our entries in the photo with these. The result is not checked yet. Raises
    Refused."""
    check_extended(data, kind, entries)
    was = strip(data, kind)
    if entries.named_faces == "leave":
        tags = packet.without_named(read_packet(was.data, kind), tags)
    provenance = _with_original(tags.provenance, was)
    if was.tags is not None:
        before = was.tags.provenance
        same = replace(provenance, date=before.date, scanned_bytes=before.scanned_bytes)
        done = _build(was.data, kind, replace(tags, provenance=same), entries, text)
        if done.data == data:
            return replace(done, unchanged=True)
    return _build(was.data, kind, replace(tags, provenance=provenance), entries, text)


def check_extended(data: bytes, kind: str, entries: TagEntries) -> None:
    """Refuse a photo whose extended XMP has a list that we would add to: a second list would hide
    one of the two."""
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
    """Remove our entries from the photo. Raises Refused."""
    shelf = CONTAINERS[kind]
    there = read_packet(data, kind)
    tags = None if there is None else packet.read(there)
    if there is None or tags is None:
        return Stripped(data, None)
    left = packet.remove(there)
    original = kept.kept(tags.provenance.kept, left)
    bare = shelf.write_xmp(data, left) if original is None else shelf.write_raw(data, original)
    bare = shelf.revert(bare, tags.provenance.undo)
    if tags.provenance.exif_field in exif.FIELDS and kind in WITH_EXIF:
        bare = _without_text(bare, WITH_EXIF[kind], tags.provenance)
        bare = shelf.revert(bare, tags.provenance.undo)
    return Stripped(
        bare,
        tags,
        tags.provenance.is_reversible and sha256(bare) == tags.provenance.original_sha256,
    )


def check(before: bytes, after: bytes, kind: str, added: int, text: Text | None = None) -> None:
    """Refuse a changed photo whose compressed image data, pixels or foreign metadata differ from
    before.

    `added` is the expected number of new regions.
    """
    if not CONTAINERS[kind].untouched(before, after):
        raise Refused("failed_check", "the coded picture is not the same")
    if seen(before) != seen(after):
        raise Refused("failed_check", "the decoded pixels are not the same")
    there = CONTAINERS[kind].read_xmp(before)
    if there is not None and packet.is_blank(there):  # Exiv2 reports some as damaged
        before = CONTAINERS[kind].write_xmp(before, None)
    judge.check(before, after, added, None if text is None else text.field)


def seen(data: bytes) -> PictureInfo:
    return examine(data, pixels=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _with_original(provenance: Provenance, was: Stripped) -> Provenance:
    """Add the hash and size of the photo before our first change, as far as known."""
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


def _build(bare: bytes, kind: str, tags: Tags, entries: TagEntries, text: Text | None) -> Embedded:
    """Insert the entries and record whether they are reversible: try without storing the original
    packet, then with it."""
    shelf = CONTAINERS[kind]
    provenance = replace(tags.provenance, undo=shelf.revert_info(bare))
    base = bare
    if text is not None:
        base, provenance = _with_text(bare, kind, provenance, text, tags.people.size)
    done = _insert(bare, base, kind, replace(tags, provenance=provenance), entries)
    raw = shelf.read_raw(bare)
    if done.reversible or not provenance.is_reversible:
        return done
    if raw is not None:
        whole = replace(provenance, kept=kept.keep(raw, packet.remove(done.new)))
        with suppress(Refused):  # it may not fit
            again = _insert(bare, base, kind, replace(tags, provenance=whole), entries)
            if again.reversible:
                return again
    broken = replace(provenance, reversible="False")
    return _insert(bare, base, kind, replace(tags, provenance=broken), entries)


def _insert(bare: bytes, base: bytes, kind: str, tags: Tags, entries: TagEntries) -> Embedded:
    """Insert the entries into `base`: the bare photo, with the EXIF text if requested."""
    old = read_packet(base, kind)
    new = packet.merge(old, tags, entries)
    data = CONTAINERS[kind].write_xmp(base, new)
    reversible = tags.provenance.is_reversible and strip(data, kind).data == bare
    return Embedded(data, bare, old, new, reversible, packet.count_own(new))


def _with_text(
    data: bytes, kind: str, provenance: Provenance, text: Text, size: tuple[int, int]
) -> tuple[bytes, Provenance]:
    if kind not in WITH_EXIF:
        raise Refused("no_exif")
    shelf = WITH_EXIF[kind]
    block = shelf.read_exif(data)
    new = exif.with_text(block, text.field, text.text, size, overwrite=text.overwrite)
    try:
        changed = shelf.write_exif(data, new)
    except Refused as error:
        raise error if error.code in ABOUT_EXIF else Refused("bad_exif", str(error)) from error
    known = {"exif_field": text.field, "exif_text": text.text, "exif_sha256": exif.fingerprint(new)}
    return changed, replace(provenance, **known, exif_undo=exif.revert_info(block))


def _without_text(data: bytes, shelf: ExifContainer, provenance: Provenance) -> bytes:
    """Restore the original EXIF; if others have changed it since, remove only our text."""
    block = shelf.read_exif(data)
    if block is None:
        return data
    if exif.fingerprint(block) == provenance.exif_sha256:
        return shelf.write_exif(data, exif.restored(block, provenance.exif_undo))
    field = next(field for field in exif.FIELDS if field == provenance.exif_field)
    return shelf.write_exif(data, exif.without_text(block, field, provenance.exif_text))
