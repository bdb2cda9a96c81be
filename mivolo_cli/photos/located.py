"""Locate the photo of a table row. Tables may come from untrusted sources, so a row must not lead
outside its own root, neither by its path nor by a link."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from .. import storage
from ..atomic import real
from ..errors import PhotoError
from ..records import Photo, stays_inside

OUTSIDE = ("outside", "its path or a link leads outside the scanned folder")


def located(photo: Photo, beside: Callable[[Path], Path] | None = None) -> Path:
    """Return the file of a row, or one that `beside` derives from it. Raises PhotoError."""
    if not os.path.isabs(photo.root) or "\0" in photo.root or not stays_inside(photo.path):
        raise PhotoError(*OUTSIDE)
    file = photo.file if beside is None else beside(photo.file)
    if not real(file).is_relative_to(real(photo.folder)):
        raise PhotoError(*OUTSIDE)
    return file


def is_inside(photo: Photo) -> bool:
    """Return whether a photo, also one in a bucket, is below its root."""
    if storage.is_url(photo.root):
        return stays_inside(photo.path)
    try:
        located(photo)
    except PhotoError:
        return False
    return True
