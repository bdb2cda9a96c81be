"""Small photos in every format, and broken files."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pillow_heif
from numpy.typing import NDArray

from mivolo_cli.records import Pixels

FORMATS = {
    ".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF",
    ".bmp": "BMP", ".gif": "GIF", ".avif": "AVIF", ".heic": "HEIF", ".jp2": "JPEG2000",
}  # fmt: skip
TO_STORED = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_90,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_270,
}
"""EXIF orientation -> what turns an upright picture into the one that a camera held that way
stores."""

pillow_heif.register_heif_opener()


def draw_scene(width: int = 80, height: int = 64) -> Pixels:
    """A picture (height, width, 3) with no symmetry: red, green, blue and grey quarters, calm
    enough for any codec."""
    pixels = np.empty((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:] = (200, 60, 50), (60, 170, 70)
    pixels[top:, :left], pixels[top:, left:] = (50, 80, 190), (210, 210, 205)
    return pixels


def assets() -> Path:
    """The two photos that travel with ultralytics, found without importing it."""
    spec = importlib.util.find_spec("ultralytics")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "assets"


def save_photo(
    path: Path,
    format: str | None = None,
    *,
    pixels: NDArray[Any] | PIL.Image.Image | None = None,
    mode: str | None = None,
    orientation: int | None = None,
    taken_at: str | None = None,
    **options: Any,
) -> Path:
    """Write a photo and return its path; folders are made as needed.

    `format` is Pillow's name, else the suffix decides. `pixels` (default: the scene) are what
    should be seen: with an `orientation` they are stored turned, and EXIF says so. `taken_at` goes
    into EXIF's DateTimeOriginal as it is. `options` go to Pillow's save.
    """
    picture = (
        pixels
        if isinstance(pixels, PIL.Image.Image)
        else PIL.Image.fromarray(draw_scene() if pixels is None else pixels)
    )
    if mode:
        picture = picture.convert(mode)
    if orientation in TO_STORED:
        picture = picture.transpose(TO_STORED[orientation])
    exif = PIL.Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    if taken_at:
        exif[0x8769] = {0x9003: taken_at}
    if orientation or taken_at:
        options["exif"] = exif.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format or FORMATS[path.suffix.lower()], **options)
    return path


def save_broken(path: Path, kind: str, *, size: tuple[int, int] = (60_000, 60_000)) -> Path:
    """Write a file that cannot be decoded, and return its path.

    `kind` is empty, text, truncated (a JPEG), garbage (after the first bytes of a PNG) or bomb (a
    PNG of a few bytes that claims to have that `size`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
        whole = save_photo(path, "JPEG", pixels=noise).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        content = {
            "empty": b"",
            "text": b"Dear diary, this is no picture.\n" * 20,
            "bomb": _png_header(*size),
            "garbage": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
        }
        path.write_bytes(content[kind])
    return path


def _png_header(width: int, height: int) -> bytes:
    chunks = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    )
    body = (
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def encode(pixels: NDArray[Any], mode: str = "RGB") -> bytes:
    """As a PNG file."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


def noise(seed: int = 0, height: int = 60, width: int = 60) -> Pixels:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)
