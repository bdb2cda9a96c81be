"""Sidecars, `photo.jpg.xmp`: XMP packets in files of their own, for photos that cannot or should
not be changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from ..storage import read_file
from . import Refused, packet
from .packet import TagEntries, Tags
from .xmp import SKELETON

SUFFIX = ".xmp"
MAX_BYTES = 64 * 1024**2
"""Of a sidecar; the largest that are known hold masks of a few megabytes."""
CREATED = "created"
"""What `Provenance.undo` says where we made the file: taking our entries out removes it."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar holds (None: there is none) and should hold. `reversible` as with embedded
    entries."""

    file: Path
    old: bytes | None
    new: bytes
    reversible: bool
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class StrippedSidecar:
    """A sidecar without our entries: `data` is None where nothing is left, `tags` where there were
    none of ours.

    `superfluous` says that the file was made by us, and that nobody else has written to it.
    """

    data: bytes | None
    tags: Tags | None
    restored: bool = False
    superfluous: bool = False


def path(photo: Path) -> Path:
    """Where the photo's sidecar is, or would be."""
    return photo.with_name(photo.name + SUFFIX)


def read(photo: Path) -> Tags | None:
    """Our entries in the photo's sidecar, if there is one. Raises Refused."""
    data = _content(path(photo))
    return None if data is None else packet.read(data)


def plan(photo: Path, embedded: bytes | None, tags: Tags, entries: TagEntries) -> Sidecar:
    """The photo's sidecar with these entries. Raises Refused.

    Programs read a sidecar instead of what is in the photo, so a new one begins with what the photo
    has `embedded`, or with a sidecar of the other fashion, `photo.xmp`.
    """
    file = path(photo)
    there = _content(file)
    seed = there if there is not None else _content(photo.with_suffix(SUFFIX)) or embedded
    was = StrippedSidecar(seed, None) if seed is None else strip(seed)
    created = there is None or (was.tags is not None and was.tags.provenance.undo == CREATED)
    provenance = replace(tags.provenance, undo=CREATED if created else "", reversible="True")
    if was.tags is not None:
        before = was.tags.provenance
        same = _build(
            was.data, replace(tags, provenance=replace(provenance, date=before.date)), entries
        )
        if same == there:
            return Sidecar(file, there, same, before.is_reversible, unchanged=True)
    new = _build(was.data, replace(tags, provenance=provenance), entries)
    if strip(new).restored:
        return Sidecar(file, there, new, True)
    return Sidecar(
        file,
        there,
        _build(
            was.data, replace(tags, provenance=replace(provenance, reversible="False")), entries
        ),
        False,
    )


def strip(data: bytes) -> StrippedSidecar:
    """Raises Refused."""
    tags = packet.read(data)
    if tags is None:
        return StrippedSidecar(data, None)
    left = packet.remove(data)
    restored = (
        tags.provenance.is_reversible
        and _sha256(left or SKELETON) == tags.provenance.original_sha256
    )
    return StrippedSidecar(
        left, tags, restored, left is None or (restored and tags.provenance.undo == CREATED)
    )


def _build(bare: bytes | None, tags: Tags, entries: TagEntries) -> bytes:
    provenance = replace(
        tags.provenance,
        original_sha256=_sha256(bare or SKELETON),
        original_bytes=str(len(bare or SKELETON)),
    )
    return packet.merge(bare, replace(tags, provenance=provenance), entries)


def _content(file: Path) -> bytes | None:
    try:
        return read_file(file, MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused("unreadable", f"{file.name}: {error.strerror or error}") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
