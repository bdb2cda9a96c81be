"""Read picture sizes from file headers, for formats whose decoders allocate memory on opening a
file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from ..errors import PhotoError
from .codes import CODES

HEADER = 64
MOST_BOXES = 1000
VP8_START = b"\x9d\x01\x2a"
JXL_START = b"\xff\x0a"
JXL_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"
JXL_SIDES = (9, 13, 18, 30)
"""Number of bits of a JPEG XL picture's side, by the two bits before it."""
JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Aspect ratios of pictures that store only their height; numbered from 1."""


@dataclass(frozen=True, slots=True)
class Announced:
    """Picture properties announced by a file, with Pillow's names; `size` is width and height."""

    format: str
    size: tuple[int, int]
    mode: str = "RGB"
    info: Mapping[str, Any] = field(default_factory=dict)


def announced(file: IO[bytes]) -> Announced | None:
    """Return the properties of a picture, to be checked before it is opened; None for formats that
    open without decoding. The file must be at its beginning, and is rewound. Raises PhotoError."""
    start = file.read(HEADER)
    try:
        if start.startswith(JXL_START):
            return _jxl(start)
        if start.startswith(JXL_BOXES):
            return _jxl(_codestream(file))
        return _webp(start) if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None
    finally:
        file.seek(0)


def _webp(start: bytes) -> Announced | None:
    """Parse the first chunk; None if it contains no picture."""
    kind, body = start[12:16], start[20:]
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
        return Announced("WEBP", (width, height), "RGBA" if body[0] & 0x10 else "RGB")
    if kind == b"VP8L" and body[:1] == b"\x2f":
        bits = int.from_bytes(body[1:5], "little")
        width, height = ((bits >> shift & 0x3FFF) + 1 for shift in (0, 14))
        return Announced("WEBP", (width, height), "RGBA" if bits >> 28 & 1 else "RGB")
    if kind == b"VP8 " and body[3:6] == VP8_START:
        width, height = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        return Announced("WEBP", (width, height))
    return None


def _codestream(file: IO[bytes]) -> bytes:
    """Return the beginning of the codestream in a box-based JPEG XL file (ISO/IEC 18181-2)."""
    at = 0
    for _ in range(MOST_BOXES):
        file.seek(at)
        header = file.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        start = at + (16 if length == 1 else 8)
        if kind in (b"jxlc", b"jxlp"):
            file.seek(start + (4 if kind == b"jxlp" else 0))
            return file.read(HEADER)
        length = int.from_bytes(header[8:], "big") if length == 1 else length
        if length < 8:
            break
        at += length
    raise PhotoError("corrupt", f"{CODES['corrupt']}: it contains no picture")


def _jxl(start: bytes) -> Announced:
    """Parse the SizeHeader (ISO/IEC 18181-1): bits, lowest first in each byte."""
    if not start.startswith(JXL_START):
        raise PhotoError("corrupt", f"{CODES['corrupt']}: it does not begin with a picture")
    bits, at = int.from_bytes(start[2:], "little"), 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return bits >> (at - count) & ((1 << count) - 1)

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take(JXL_SIDES[take(2)]) + 1

    height = side()
    ratio = take(3)
    across, down = JXL_RATIOS[ratio - 1]
    width = height * across // down if ratio else side()
    return Announced("JXL", (width, height))
