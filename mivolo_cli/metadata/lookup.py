"""Find our entries in a photo or its sidecar, and check whether the photo is otherwise unchanged
since the scan."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .. import storage
from ..errors import PhotoError
from ..photos.located import located
from ..records import Photo, archive_of, same_time, stays_inside
from . import Refused, embed, own_xmp, packet, replace, sidecar
from .packet import Tags


def tags_of(file: Path) -> Tags | None:
    """Return our entries in the photo, or else in its sidecar. Raises Refused if they cannot be
    read."""
    found = tagged_packet(file, replace.read(file))
    return None if found is None else packet.read(found)


def tagged_packet(file: Path, data: bytes) -> bytes | None:
    """Return the packet with our entries, from the photo or else from a sidecar. Raises Refused if
    it cannot be read."""
    found = _if_ours(_embedded(data, file.name))
    for beside in sidecar.existing(file):
        found = found or _if_ours(sidecar.content(beside))
    return found


def photo_file(photo: Photo, beside: Callable[[Path], Path] | None = None) -> Path:
    """Return the file of a row, or one next to it, as photos.located finds it. Raises Refused."""
    if storage.is_url(photo.root):
        raise Refused("in_bucket")
    try:
        file = located(photo, beside)
    except PhotoError as error:
        raise Refused(error.code) from error
    archive, inside = archive_of(photo.path)
    if inside and not (photo.folder / archive).is_dir():
        raise Refused("in_archive")
    return file


def is_as_scanned(photo: Photo) -> bool:
    """Whether a row's photo may be opened: it exists, lies below the row's root, and is the file
    that was scanned, even if tagged since.

    False for rows without size or time, which refer to no scanned file.
    """
    try:
        return _is_as_scanned(photo)
    except (OSError, PhotoError):
        return False


def _is_as_scanned(photo: Photo) -> bool:
    if photo.bytes is None or photo.mtime_ns is None:
        return False
    if storage.is_url(photo.root):
        return _is_as_listed(photo, photo.bytes, photo.mtime_ns)
    archive, inside = archive_of(photo.path)
    whole = Photo(photo.root, archive, photo.bytes, photo.mtime_ns)
    file = photo_file(whole)
    if not inside or not file.is_file():
        file, whole = photo_file(photo), photo
    return is_same_photo(whole, replace.status(file))


def _is_as_listed(photo: Photo, size: int, mtime_ns: int) -> bool:
    """Whether the object in a bucket that is or contains the photo has this size and time."""
    if not stays_inside(photo.path):
        return False
    there = storage.stat(f"{photo.root}/{archive_of(photo.path)[0]}")
    time = there.mtime_ns
    return there.bytes == size and time is not None and same_time(time, mtime_ns)


def is_same_photo(photo: Photo, info: os.stat_result, data: bytes | None = None) -> bool:
    """Whether a file is this photo, by time and by size or tags: tagging keeps the time and records
    the previous size."""
    if photo.mtime_ns is None or not same_time(info.st_mtime_ns, photo.mtime_ns):
        return False
    if info.st_size == photo.bytes:
        return True
    data = replace.read(photo.file) if data is None else data
    kind = embed.container(data, photo.path)
    try:
        there = embed.read(data, kind) if kind else None
    except Refused:
        there = None
    return there is not None and str(photo.bytes) in (
        there.provenance.scanned_bytes,
        there.provenance.original_bytes,
    )


def was_scanned(photo: Photo, size: int) -> bool:
    """Whether the photo is the file of that size, with only our entries added since.

    `tag` writes only to photos unchanged since the scan and records their size; the stored hash
    proves that removing our entries restores the original.
    """
    try:
        data = replace.read(photo.file)
        kind = embed.container(data, photo.path)
        left = embed.strip(data, kind) if kind else None
    except Refused:
        return False
    if left is None or left.tags is None or not left.restored:
        return False
    return str(size) in (left.tags.provenance.original_bytes, left.tags.provenance.scanned_bytes)


def is_current(photo: Photo, model_sha256: str) -> bool:
    """Whether the photo has tags of this model; a sidecar that we created counts only if the photo
    still has the same size."""
    try:
        tags = tags_of(photo.file)
    except Refused:
        return False
    if tags is None or tags.provenance.model_sha256 != model_sha256:
        return False
    return tags.provenance.undo != sidecar.CREATED or tags.provenance.scanned_bytes == str(
        photo.bytes
    )


def _embedded(data: bytes, name: str) -> bytes | None:
    """Return the photo's packet. Raises Refused if it cannot be read but may contain our
    entries."""
    kind = embed.container(data, name)
    try:
        return embed.read_packet(data, kind) if kind else None
    except Refused:
        if own_xmp.mentions_us(data):
            raise
        return None


def _if_ours(found: bytes | None) -> bytes | None:
    """Return the packet if it contains our entries. Raises Refused if that cannot be determined."""
    if found is None or packet.is_blank(found):
        return None
    try:
        return None if packet.read(found) is None else found
    except Refused:
        if own_xmp.mentions_us(found):
            raise
        return None
