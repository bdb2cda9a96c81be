"""Read camera raw files by their preview, a large JPEG embedded by the camera; rawpy (LibRaw) finds
it."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from typing import IO

from PIL.JpegImagePlugin import JpegImageFile

from ..errors import PhotoError
from .codes import CODES

SMALLEST = 1000
"""Minimum longer side of a preview in pixels; on smaller ones, faces are too small for
estimates."""
UNKNOWN = datetime.fromtimestamp(0)
INSTALL = "pip install 'mivolo-cli[raw]' to have camera raw files read"
OTHERWISE = "scan JPEGs that the camera or a raw converter has made of them"


@cache
def is_available() -> bool:
    return find_spec("rawpy") is not None


def preview(file: IO[bytes]) -> IO[bytes]:
    """Return the largest JPEG in a raw file, with EXIF data for its orientation and time; LibRaw
    adds them if the camera has not. Raises PhotoError."""
    if not is_available():
        raise _unreadable(f"{INSTALL}, or {OTHERWISE}")
    import rawpy

    file.seek(0)
    try:
        with rawpy.imread(BytesIO(file.read())) as opened:
            found, taken_at = opened.extract_thumb(), opened.other.timestamp
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise _unreadable(f"no preview can be found in it ({_said(error)}): {OTHERWISE}") from error
    if not isinstance(found.data, bytes):
        raise _unreadable(f"its preview is no JPEG: {OTHERWISE}")
    width, height = JpegImageFile(BytesIO(found.data)).size
    if max(width, height) < SMALLEST:
        size = f"{width} x {height} pixels"
        raise _unreadable(f"its largest preview has only {size}: {OTHERWISE}")
    return BytesIO(_without(taken_at, found.data) if taken_at == UNKNOWN else found.data)


def _without(taken_at: datetime, jpeg: bytes) -> bytes:
    """Remove the time that LibRaw writes to the preview's EXIF data even if it is unknown."""
    return jpeg.replace(f"{taken_at:%Y:%m:%d %H:%M:%S}".encode(), b"0000:00:00 00:00:00", 1)


def _unreadable(why: str) -> PhotoError:
    return PhotoError("raw", f"{CODES['raw']}; {why}")


def _said(error: Exception) -> str:
    text = error.args[0] if error.args else ""
    return text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
