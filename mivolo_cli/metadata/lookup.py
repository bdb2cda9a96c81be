"""Which entries of ours a photo has, in itself or in its sidecar."""

from __future__ import annotations

from pathlib import Path

from ..records import Photo
from . import Refused, embed, replace, sidecar
from .packet import Tags


def tags_of(file: Path) -> Tags | None:
    """Those in the photo, else those of its sidecar. Raises Refused for what cannot be read."""
    data = replace.read(file)
    kind = embed.container(data, file.name)
    return (embed.read(data, kind) if kind else None) or sidecar.read(file)


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
