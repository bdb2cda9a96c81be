"""Small copies of photos, without any metadata of the original."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from typing import Literal

import PIL.Image

from ..records import Failure, Photo
from ..threads import ordered
from .decode import decode_or_fail
from .limits import Limits
from .located import is_inside
from .sandbox import shared

Kind = Literal["WEBP", "JPEG"]
QUALITY = {"WEBP": 72, "JPEG": 80}


Allowed = Callable[[Photo], bool]
"""Whether a photo may be opened. For photos named by a table, use metadata.lookup.is_as_scanned."""


def thumbnail(
    photo: Photo, side: int, kind: Kind = "WEBP", allowed: Allowed = is_inside
) -> bytes | None:
    """Return the upright photo, with a longer side of at most `side` pixels; None if it cannot be
    read."""
    if not allowed(photo):
        return None
    with Limits().room() as room:
        image = decode_or_fail(photo, shared(), (2 * side, 1), room)
        if isinstance(image, Failure):
            return None
        picture = PIL.Image.fromarray(image.pixels)
        picture.thumbnail((side, side), PIL.Image.Resampling.LANCZOS)
    coded = BytesIO()
    picture.save(coded, kind, quality=QUALITY[kind])
    return coded.getvalue()


def thumbnails(
    found: Iterable[Photo], side: int, kind: Kind, workers: int, allowed: Allowed = is_inside
) -> Iterator[bytes | None]:
    """Return an iterator over the thumbnails in order; at most 2 * workers are made in advance."""
    make = partial(thumbnail, side=side, kind=kind, allowed=allowed)
    return ordered(make, found, workers, "thumbnail")
