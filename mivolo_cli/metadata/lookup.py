"""Find our entries in a photo or its sidecar, and check whether the photo is otherwise the one that
was scanned."""

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
    """Those in the photo, else those of its sidecar. Raises Refused for what cannot be read."""
    found = tagged_packet(file, replace.read(file))
    return None if found is None else packet.read(found)


def tagged_packet(file: Path, data: bytes) -> bytes | None:
    """The packet with entries of ours, in the photo or else in a sidecar of it. Raises Refused for
    what cannot be read."""
    found = _with_ours(_embedded(data, file.name))
    for beside in sidecar.existing(file):
        found = found or _with_ours(sidecar.content(beside))
    return found


def photo_file(photo: Photo, beside: Callable[[Path], Path] | None = None) -> Path:
    """The file of a row, or one next to it, as photos.located finds it. Raises Refused."""
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
    """Whether what a row of a table is about may be opened: it is there, below the row's root, and
    the one that was scanned, tagged since or not.

    A row that knows neither size nor time is about no file that was scanned.
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
    """Whether an object in a bucket, which the photo is or is in, has this size and time."""
    if not stays_inside(photo.path):
        return False
    there = storage.stat(f"{photo.root}/{archive_of(photo.path)[0]}")
    time = there.mtime_ns
    return there.bytes == size and time is not None and same_time(time, mtime_ns)


def is_same_photo(photo: Photo, info: os.stat_result, data: bytes | None = None) -> bool:
    """Whether a file is that photo by size and time, or by its tags: tagging keeps the time, and
    notes the size from before."""
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
    """Whether the photo is the file of that size with our entries put in since, and nothing else
    changed.

    `tag` only writes to a photo that is as it was scanned, and notes its size; the hash that it
    kept proves that taking our entries out gives the original back.
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
    """Whether the photo carries tags of this model; a sidecar counts if the photo is as long as it
    was then."""
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
    """The photo's packet. Raises Refused if entries of ours may be, but cannot be read."""
    kind = embed.container(data, name)
    try:
        return embed.read_packet(data, kind) if kind else None
    except Refused:
        if own_xmp.mentions_us(data):
            raise
        return None


def _with_ours(found: bytes | None) -> bytes | None:
    """The packet if something of ours is in it. Raises Refused if that cannot be told."""
    if found is None or packet.is_blank(found):
        return None
    try:
        return None if packet.read(found) is None else found
    except Refused:
        if own_xmp.mentions_us(found):
            raise
        return None
