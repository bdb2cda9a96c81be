"""Which entries of ours a photo has, in itself or in its sidecar."""

from __future__ import annotations

from pathlib import Path

from ..records import Photo
from . import Refused, embed, own_xmp, packet, replace, sidecar
from .packet import Tags


def tags_of(file: Path) -> Tags | None:
    """Those in the photo, else those of its sidecar. Raises Refused for what cannot be read."""
    found = tagged_packet(file, replace.read(file))
    return None if found is None else packet.read(found)


def tagged_packet(file: Path, data: bytes) -> bytes | None:
    """The packet with entries of ours, in the photo or else in its sidecar. Raises Refused for
    what cannot be read."""
    return _with_ours(_embedded(data, file.name)) or _with_ours(sidecar.content(file))


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
    """The photo's packet. Raises Refused where entries of ours may be, but cannot be read."""
    kind = embed.container(data, name)
    try:
        return embed.read_packet(data, kind) if kind else None
    except Refused:
        if own_xmp.mentions_us(data):
            raise
        return None


def _with_ours(found: bytes | None) -> bytes | None:
    """The packet if something of ours is in it. Raises Refused where that cannot be told."""
    if found is None or packet.is_blank(found):
        return None
    try:
        return None if packet.read(found) is None else found
    except Refused:
        if own_xmp.mentions_us(found):
            raise
        return None
