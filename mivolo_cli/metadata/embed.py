"""Insert and remove mivolo's entries in a photo's bytes, in memory, and check the result by
decoding it and with Exiv2.

The containers of this package keep the bytes around the packet; `judge` explains why.
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
    """What the modules of containers offer. They raise Refused for files that they cannot change
    safely."""

    def read_xmp(self, data: bytes) -> bytes | None: ...

    def write_xmp(self, data: bytes, packet: bytes | None) -> bytes: ...

    def read_raw(self, data: bytes) -> bytes | None:
        """The packet as it lies in the file."""

    def write_raw(self, data: bytes, raw: bytes) -> bytes: ...

    def revert_info(self, data: bytes) -> str:
        """What `revert` must know of a file that is about to get another packet."""

    def revert(self, data: bytes, info: str) -> bytes:
        """A file that has its old packet again, in its old form as far as that was noted."""

    def untouched(self, before: bytes, after: bytes) -> bool: ...


class ExifContainer(Container, Protocol):
    """A container whose EXIF is a TIFF block of its own."""

    def read_exif(self, data: bytes) -> bytes | None: ...

    def write_exif(self, data: bytes, block: bytes | None) -> bytes: ...


WITH_EXIF: dict[str, ExifContainer] = {"JPEG": jpeg, "PNG": png, "WEBP": webp}
CONTAINERS: dict[str, Container] = {**WITH_EXIF, "TIFF": tiff}
TIFF_SUFFIXES = (".tif", ".tiff")
"""Raw files of cameras are TIFFs, too, and are left alone."""
LISTS = {"microsoft": ("MPRI",), "keywords": ("digiKam", "lr"), "subjects": ("dc",)}
"""The namespaces of the lists that the entries add to; regions are always added."""


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

    `bare` is the photo without any entries of ours; `old` and `new` are the XMP packets; `added`
    counts the new regions; `unchanged` says that all this was there already.
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
    there = read_packet(data, kind)
    return None if there is None else packet.read(there)


def read_packet(data: bytes, kind: str) -> bytes | None:
    """The photo's packet; None if it has none, or one that says nothing. Raises Refused."""
    there = CONTAINERS[kind].read_xmp(data)
    return None if there is None or packet.is_blank(there) else there


def embed(
    data: bytes, kind: str, tags: Tags, entries: TagEntries, text: Text | None = None
) -> Embedded:
    """The photo with these entries instead of those that it has of ours. Nothing is checked yet.
    Raises Refused."""
    check_extended(data, kind, entries)
    was = strip(data, kind)
    if entries.named_faces == "leave":
        tags = packet.without_named(read_packet(was.data, kind), tags)
    provenance = _about_original(tags.provenance, was)
    if was.tags is not None:
        before = was.tags.provenance
        same = replace(provenance, date=before.date, scanned_bytes=before.scanned_bytes)
        done = _build(was.data, kind, replace(tags, provenance=same), entries, text)
        if done.data == data:
            return replace(done, unchanged=True)
    return _build(was.data, kind, replace(tags, provenance=provenance), entries, text)


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
    """Refuse a changed photo whose coded picture, pixels, or others' metadata are not those from
    before.

    `added` is how many regions there must be more of.
    """
    if not CONTAINERS[kind].untouched(before, after):
        raise Refused("failed_check", "the coded picture is not the same")
    if seen(before) != seen(after):
        raise Refused("failed_check", "the decoded pixels are not the same")
    there = CONTAINERS[kind].read_xmp(before)
    if there is not None and packet.is_blank(there):  # Exiv2 takes some of these for damage
        before = CONTAINERS[kind].write_xmp(before, None)
    judge.check(before, after, added, None if text is None else text.field)


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


def _build(bare: bytes, kind: str, tags: Tags, entries: TagEntries, text: Text | None) -> Embedded:
    """With a promise that it can be undone if it can: at first without the original packet kept in
    ours, then with it."""
    shelf = CONTAINERS[kind]
    provenance = replace(tags.provenance, undo=shelf.revert_info(bare))
    base = bare
    if text is not None:
        base, provenance = _with_text(bare, kind, provenance, text, tags.people.size)
    done = _put_in(bare, base, kind, replace(tags, provenance=provenance), entries)
    raw = shelf.read_raw(bare)
    if done.reversible or not provenance.is_reversible:
        return done
    if raw is not None:
        whole = replace(provenance, kept=kept.keep(raw, packet.remove(done.new)))
        with suppress(Refused):  # it may not fit
            again = _put_in(bare, base, kind, replace(tags, provenance=whole), entries)
            if again.reversible:
                return again
    broken = replace(provenance, reversible="False")
    return _put_in(bare, base, kind, replace(tags, provenance=broken), entries)


def _put_in(bare: bytes, base: bytes, kind: str, tags: Tags, entries: TagEntries) -> Embedded:
    """`base` is the bare photo, with the text in its EXIF if there is to be one."""
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
    """EXIF as it was; if others have changed it since, only our text goes."""
    block = shelf.read_exif(data)
    if block is None:
        return data
    if exif.fingerprint(block) == provenance.exif_sha256:
        return shelf.write_exif(data, exif.restored(block, provenance.exif_undo))
    field = next(field for field in exif.FIELDS if field == provenance.exif_field)
    return shelf.write_exif(data, exif.without_text(block, field, provenance.exif_text))
