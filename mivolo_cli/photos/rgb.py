"""Convert decoded pixels of any kind to 8-bit sRGB."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL.Image
import pyarrow as pa
from numpy.typing import NDArray
from PIL import ImageCms

from ..records import Pixels

STRIP = 2**19
"""Number of pixels copied at a time: Pillow exports only contiguous memory."""


def to_rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a loaded picture to mode RGB in the sRGB colour space.

    16-bit values are divided by 257. Transparent pixels become white. An embedded colour profile is
    applied; one that is broken or for another kind of picture is ignored.
    """
    profile, alpha = picture.info.get("icc_profile"), None
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _eight_bit(picture)
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    if picture.mode not in ("L", "RGB", "CMYK", "LAB"):
        picture = picture.convert("RGB")
    picture = _to_srgb(picture, profile)
    if alpha is None:
        return picture
    page = PIL.Image.new("RGB", picture.size, "white")
    page.paste(picture, mask=alpha)
    return page


def to_pixels(picture: PIL.Image.Image) -> Pixels:
    """Return the pixels (height, width, 3) uint8 of an RGB picture.

    Arrow gives access to Pillow's four bytes per pixel; with NumPy alone, they would be copied
    three times.
    """
    import cv2  # only needed if a photo is decoded

    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = pixels[top : top + rows]
        padded = pa.array(picture.crop((0, top, width, top + len(strip)))).flatten()
        # to_numpy() would import pandas
        values = np.frombuffer(padded.buffers()[1], np.uint8, len(padded), padded.offset)
        cv2.cvtColor(values.reshape(len(strip), width, 4), cv2.COLOR_RGBA2RGB, dst=strip)
    return pixels


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Convert 16-bit, 32-bit or floating-point grey to mode L."""
    values = np.asarray(picture)
    if picture.mode.startswith("I;16"):
        return PIL.Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    return PIL.Image.fromarray(
        _stretch(values.astype(np.float32), (1,) if picture.mode == "F" else (255, 65535))
    )


def _stretch(values: NDArray[np.float32], whites: tuple[int, ...]) -> NDArray[np.uint8]:
    """Scale values (h, w) of unknown range to black to white.

    Black is 0, or the minimum if that is negative. White is the first of `whites` that no value
    exceeds, or else the maximum. NaN becomes black.
    """
    finite = values[np.isfinite(values)]
    least, greatest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    black = min(0.0, least)
    white = next((white for white in whites if greatest <= white), greatest)
    values = np.nan_to_num(values, nan=black, posinf=greatest, neginf=least)
    return np.rint((values - black) * (255 / (white - black))).astype(np.uint8)


def _to_srgb(picture: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert mode L, RGB, CMYK or LAB to RGB."""
    if picture.mode == "LAB":
        return _convert(picture, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    try:
        source = ImageCms.getOpenProfile(BytesIO(profile)) if profile else None
        if source and not ImageCms.getProfileDescription(source).startswith("sRGB"):
            return _convert(picture, source)
    except ImageCms.PyCMSError:
        pass
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _convert(picture: PIL.Image.Image, source: ImageCms.ImageCmsProfile) -> PIL.Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, source, srgb, outputMode="RGB")
    assert converted is not None  # None is returned only when converting in place
    return converted
