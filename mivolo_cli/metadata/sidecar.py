"""Sidecars, `photo.jpg.xmp` or `photo.xmp`: XMP packets in separate files, for photos that cannot
or should not be changed, and for programs that prefer them."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from ..photos.passed import EXTENSIONS, RAW
from ..records import same_file
from ..storage import read_file
from . import Refused, kept, packet
from .packet import TagEntries, Tags
from .xmp import SKELETON

SUFFIX = ".xmp"
MAX_BYTES = 64 * 1024**2
"""Largest sidecar that is read; the largest known ones contain masks of a few megabytes."""
SidecarName = Literal["photo.jpg.xmp", "photo.xmp"]
"""As darktable and digiKam name them, and as Adobe's programs do, respectively."""
NAMES: tuple[SidecarName, ...] = get_args(SidecarName)
CREATED = "created"
"""Value of `Provenance.undo` in a file that we created: removing our entries deletes it."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The `old` content of a sidecar (None: there is none) and the `new` one; `bare` is the old or
    initial content without our entries. `added` and `reversible` are as in Embedded."""

    file: Path
    old: bytes | None
    bare: bytes
    new: bytes
    reversible: bool
    added: int
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class StrippedSidecar:
    """A sidecar without our entries: `data` is None if nothing is left, `tags` is None if there
    were none.

    `superfluous`: we created the file, and no other program has written to it.
    """

    data: bytes | None
    tags: Tags | None
    restored: bool = False
    superfluous: bool = False


def path(photo: Path, name: SidecarName = "photo.jpg.xmp") -> Path:
    """Return the path of the photo's sidecar, existing or not."""
    whole = photo.with_name(photo.name + SUFFIX)
    return whole if name == "photo.jpg.xmp" else photo.with_suffix(SUFFIX)


def paths(photo: Path) -> list[Path]:
    """Return all possible paths of the photo's sidecars."""
    return list(dict.fromkeys(path(photo, name) for name in NAMES))


def existing(photo: Path) -> list[Path]:
    """Return the photo's existing sidecars, without those that may belong to another photo."""
    there = [file for file in paths(photo) if os.path.lexists(file)]
    return [file for file in there if file == path(photo) or not sharing(photo)]


def sharing(photo: Path) -> list[str]:
    """List other pictures in the folder that have the same `photo.xmp`, such as a camera's raw
    file."""
    stem = same_file(photo.stem)
    return [
        name
        for name in sorted(os.listdir(photo.parent))
        if same_file(os.path.splitext(name)[0]) == stem
        and name != photo.name
        and _is_picture(os.path.splitext(name)[1].lower())
    ]


def require_own(photo: Path, name: SidecarName) -> None:
    """Refuse a sidecar that other pictures would share."""
    if path(photo, name) != path(photo) and (others := sharing(photo)):
        raise Refused("shared_sidecar", ", ".join(others))


def content(file: Path) -> bytes | None:
    """Return the content of a sidecar; None if there is none. Raises Refused."""
    try:
        return read_file(file, MAX_BYTES)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            return None
        raise Refused("unreadable", f"{file.name}: {error.strerror or error}") from error


def plan(
    photo: Path,
    embedded: Callable[[], bytes | None],
    tags: Tags,
    entries: TagEntries,
    file: Path | None = None,
) -> Sidecar:
    """Prepare a sidecar of the photo (by default `photo.jpg.xmp`) with these entries. Raises
    Refused.

    Programs read a sidecar instead of the photo's own XMP, so a new one begins with a sidecar under
    the other name, or else with the photo's `embedded` metadata.
    """
    file = path(photo) if file is None else file
    there = content(file)
    others = (content(one) for one in paths(photo) if one != file)
    seed = there if there is not None else next(filter(None, others), None) or embedded()
    was = StrippedSidecar(seed, None) if seed is None else strip(seed)
    if entries.named_faces == "leave":
        tags = packet.without_named(_unless_blank(was.data), tags)
    created = there is None or (was.tags is not None and was.tags.provenance.undo == CREATED)
    provenance = replace(tags.provenance, undo=CREATED if created else "", reversible="True")
    if was.tags is not None:
        before = was.tags.provenance
        same = replace(provenance, date=before.date)
        if not created:  # the photo may have been tagged since, which changes its size
            same = replace(same, scanned_bytes=before.scanned_bytes)
        done = _build(file, there, was.data, replace(tags, provenance=same), entries)
        if done.new == there:
            return replace(done, unchanged=True)
    return _build(file, there, was.data, replace(tags, provenance=provenance), entries)


def strip(data: bytes) -> StrippedSidecar:
    """Remove our entries. Raises Refused."""
    tags = None if packet.is_blank(data) else packet.read(data)
    if tags is None:
        return StrippedSidecar(data, None)
    left = packet.remove(data)
    original = kept.kept(tags.provenance.kept, left)
    bare = original if original is not None else left or SKELETON
    restored = tags.provenance.is_reversible and _sha256(bare) == tags.provenance.original_sha256
    superfluous = tags.provenance.undo == CREATED and (left is None or restored)
    return StrippedSidecar(bare, tags, restored, superfluous)


def _build(
    file: Path, there: bytes | None, data: bytes | None, tags: Tags, entries: TagEntries
) -> Sidecar:
    """Add the entries and record whether they are reversible, as `embed` does."""
    bare = SKELETON if data is None else data
    provenance = replace(
        tags.provenance, original_sha256=_sha256(bare), original_bytes=str(len(bare))
    )
    new = packet.merge(_unless_blank(bare), replace(tags, provenance=provenance), entries)
    whole = replace(provenance, kept=kept.keep(bare, packet.remove(new)))
    broken = replace(provenance, reversible="False")
    for attempt in (provenance, whole, broken):
        new = packet.merge(_unless_blank(bare), replace(tags, provenance=attempt), entries)
        if attempt is broken or strip(new).restored:
            break
    added = packet.count_own(new)
    return Sidecar(file, there, _unless_blank(bare) or SKELETON, new, attempt is not broken, added)


def _unless_blank(data: bytes | None) -> bytes | None:
    """Return the content of a sidecar unless it is blank."""
    return None if data is None or packet.is_blank(data) else data


def _is_picture(suffix: str) -> bool:
    return bool(EXTENSIONS.fullmatch(suffix) or RAW.fullmatch(suffix))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
