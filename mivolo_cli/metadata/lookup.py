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


def is_current(photo: Photo, model_sha256: str) -> bool:
    """Whether the photo carries tags of this model; a sidecar counts if the photo is as long as it was then."""
    try:
        tags = tags_of(photo.file)
    except Refused:
        return False
    if tags is None or tags.mark.model_sha256 != model_sha256:
        return False
    return tags.mark.undo != sidecar.CREATED or tags.mark.scanned_bytes == str(photo.bytes)
