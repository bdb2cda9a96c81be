"""EXIF data of a picture: orientation, and when it was taken."""

from __future__ import annotations

from datetime import datetime

import PIL.Image
from PIL import ExifTags

FIRST_PHOTOGRAPH = 1826
TIME_TAGS = (
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.DateTime,
)


def read_exif(
    picture: PIL.Image.Image, damage: tuple[type[Exception], ...]
) -> tuple[int, datetime | None]:
    """Return the orientation and when the photo was taken, from a loaded picture. Damaged EXIF
    data, which raise `damage`, are ignored."""
    tags: dict[int, object] = {}
    try:
        exif = picture.getexif()
        tags |= {tag: exif.get(tag) for tag in (ExifTags.Base.Orientation, ExifTags.Base.DateTime)}
        tags |= {
            tag: value for tag, value in exif.get_ifd(ExifTags.IFD.Exif).items() if tag in TIME_TAGS
        }
    except damage:
        pass
    orientation = None if is_turned(picture) else tags.get(ExifTags.Base.Orientation)
    times = (_time(tags.get(tag)) for tag in TIME_TAGS)
    return orientation if isinstance(orientation, int) else 1, next(
        (time for time in times if time), None
    )


def is_turned(picture: PIL.Image.Image) -> bool:
    """Return whether the JPEG XL decoder has already turned a picture: it does so unless the file
    is a recompressed JPEG."""
    return picture.format == "JXL" and not getattr(picture, "jpeg", False)


def _time(value: object) -> datetime | None:
    """Parse a time such as `2020:01:31 12:00:00`, or with the separators of other programs."""
    text = str(value).strip("\0 ")[:19].replace("-", ":").replace("T", " ")
    try:
        time = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:  # missing, all zeros, the 31st of February
        return None
    return time if time.year >= FIRST_PHOTOGRAPH else None
