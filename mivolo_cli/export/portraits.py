"""A small picture of each person, cropped from the photo."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import PIL.Image

from ..metadata.lookup import is_as_scanned
from ..photos.formats import open_picture
from ..photos.thumbnails import QUALITY, thumbnail
from ..records import Box, Person, Result

PHOTO_SIDE = 2048
"""Longer side in pixels of the photos that people are cropped from."""
MARGIN = 0.4
"""Margin around a face, as a share of its longer side."""
TOLERANCE = 0.02
"""Tolerance for the aspect ratio of a photo to differ from the scanned one."""


def portraits(result: Result, side: int) -> Iterator[bytes | None]:
    """Yield a JPEG for each row of the result: the face, or the body if no face was found, or the
    photo if there are no people. None if the photo is gone or has another aspect ratio than when it
    was scanned."""
    coded = thumbnail(result.photo, PHOTO_SIDE, "JPEG", is_as_scanned)
    photo = None if coded is None else open_picture(BytesIO(coded))
    rows: list[Person | None] = [person for person, _ in result.people]
    for person in rows or [None]:
        fits = photo is not None and _has_shape(photo, result)
        yield _coded(_cut(photo, person, result), side) if photo is not None and fits else None


def _has_shape(photo: PIL.Image.Image, result: Result) -> bool:
    expected = photo.width * result.height / max(result.width, 1)
    return abs(photo.height - expected) <= max(1.0, TOLERANCE * expected)


def _cut(photo: PIL.Image.Image, person: Person | None, result: Result) -> PIL.Image.Image:
    box = None if person is None else person.face or person.body
    if person is None or box is None:
        return photo.copy()
    around = MARGIN * box.longer_side if person.face else 0.0
    x1, y1, x2, y2 = _inside(box, around, photo.width / result.width, photo.size)
    return photo.crop((x1, y1, x2, y2)) if x1 < x2 and y1 < y2 else photo.copy()


def _inside(box: Box, around: float, scale: float, size: tuple[int, int]) -> list[int]:
    """Return the box with this margin, in whole pixels of a picture of this size."""
    grown = (box.x1 - around, box.y1 - around, box.x2 + around, box.y2 + around)
    return [round(min(max(scale * at, 0), most)) for at, most in zip(grown, size * 2, strict=True)]


def _coded(picture: PIL.Image.Image, side: int) -> bytes:
    picture.thumbnail((side, side), PIL.Image.Resampling.LANCZOS)
    coded = BytesIO()
    picture.save(coded, "JPEG", quality=QUALITY["JPEG"])
    return coded.getvalue()
