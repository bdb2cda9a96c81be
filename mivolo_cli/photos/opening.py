"""Open pictures within the memory limit, estimating from their headers how much decoding needs."""

from __future__ import annotations

from typing import IO

import PIL.Image

from ..errors import PhotoError
from .announced import Announced, announced
from .codes import CODES
from .formats import open_picture
from .limits import MB, Room

SCALES = (2, 4, 8)
"""Factors by which libjpeg can reduce a picture while decoding."""
REDUCIBLE = ("JPEG", "MPO")
BYTES_A_PIXEL = {"I": 32, "F": 32}
"""Peak memory of decoding in bytes per pixel, measured: by mode, otherwise 8."""
MORE_BYTES_A_PIXEL = {
    "WEBP": 12, "AVIF": 6, "HEIF": 4, "TIFF": 4, "GIF": 4, "JPEG2000": 24, "JXL": 16,
}  # fmt: skip
WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
BYTES_OF_TRANSPARENCY, BYTES_OF_SCANS, BYTES_AT_LEAST = 10, 6, MB
MinSize = tuple[int, int]
"""A longer and a shorter side, in pixels."""


def opened(
    file: IO[bytes], name: str, room: Room, min_size: MinSize | None = None
) -> tuple[PIL.Image.Image, int]:
    """Open a picture after reserving the memory for decoding it; return it with its reduction
    factor. Raises PhotoError and DAMAGE."""
    known = announced(file)
    if known is not None:
        admit(known, room)
    picture = open_picture(file, name)
    return picture, admit(picture, room, min_size) if known is None else 1


def admit(picture: PIL.Image.Image | Announced, room: Room, min_size: MinSize | None = None) -> int:
    """Reserve the memory for decoding a picture; return the reduction factor. Raises PhotoError if
    it is too large."""
    width, height = picture.size
    pixels = width * height
    if room.max_pixels and pixels > room.max_pixels:
        raise _too_large(picture, f"and --max-pixels allows {room.max_pixels}")
    scale = 1
    if picture.format in REDUCIBLE:
        scale = 1 if min_size is None else _scale(picture.size, min_size)
        while need(picture, scale) > room.largest and scale < SCALES[-1]:
            scale *= 2
    if need(picture, scale) > room.largest:
        allowed = (
            f"it needs {need(picture, scale) // MB} MB of memory; the limit is {room.largest // MB}"
        )
        raise _too_large(picture, f"{allowed}: see --memory")
    room.take(need(picture, scale))
    return scale


def need(picture: PIL.Image.Image | Announced, scale: int = 1) -> int:
    """Return the peak memory of decoding in bytes, estimated from the header."""
    width, height = picture.size
    pixels = width * height
    kind = picture.mode.partition(";")[0]
    each = BYTES_A_PIXEL.get(kind, 8) + MORE_BYTES_A_PIXEL.get(picture.format or "", 0)
    if picture.mode in WITH_ALPHA or "transparency" in picture.info:
        each += BYTES_OF_TRANSPARENCY
    whole = BYTES_OF_SCANS if picture.info.get("progressive") else 0
    return pixels * whole + pixels // scale**2 * each + BYTES_AT_LEAST


def _too_large(picture: PIL.Image.Image | Announced, why: str) -> PhotoError:
    size = f"{picture.size[0]} x {picture.size[1]} pixels"
    return PhotoError("too_large", f"{CODES['too_large']}: {size}, {why}")


def _scale(size: tuple[int, int], min_size: MinSize) -> int:
    """Return the largest reduction factor for a picture of this size."""
    longer, shorter = min_size
    allowed = [
        scale for scale in SCALES if max(size) >= scale * longer and min(size) >= scale * shorter
    ]
    return max(allowed, default=1)
