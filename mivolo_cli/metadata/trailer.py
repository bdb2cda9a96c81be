"""Detect data after a JPEG's picture that is located by an offset and would be lost if the metadata
grew.

Pictures in an MPF index are located relative to the index, and phones' videos relative to the end
of the file, so they stay valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np

from .tiff import SIZES

OFFSETS = (4, 9, 13)
"""TIFF types used for offsets."""
ORDERS: tuple[tuple[Literal["big", "little"], tuple[int, ...]], ...] = (
    ("big", (24, 16, 8, 0)),
    ("little", (0, 8, 16, 24)),
)
END_OF_IMAGE = 0xD9
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
"""Markers that end a scan: all but stuffed zeros and restart markers."""
PREVIEW = re.compile(rb"(?=.\xd8\xff)", re.DOTALL)
"""Start of a JPEG; Minolta's have a different first byte."""
AFCP = re.compile(rb"AXS([!*])(.{4})", re.DOTALL)
NIKON_HEADER = 10
MAX_PREVIEWS = 1000
ENTRY_BYTES = 12
"""Bytes per entry of a directory."""


def is_referred_to(data: bytes, scan: int, exif: tuple[int, int] | None, note: int | None) -> bool:
    """Whether an AFCP trailer, or an offset in the EXIF data, refers to something after the
    picture.

    `scan` is the position of the first scan's marker, `exif` the start and end of the TIFF block,
    `note` the start of the maker note.
    """
    end = _end_of_picture(data, scan)
    if not data[end:].strip(b"\0"):
        return False
    return _has_afcp(data, end) or (exif is not None and _has_offset(data, end, exif, note))


def _end_of_picture(data: bytes, scan: int) -> int:
    """Return the position after the first picture's end marker."""
    at = scan
    while match := MARKER.search(data, at):
        if match[1][0] == END_OF_IMAGE:
            return match.end()
        at = match.end() + int.from_bytes(data[match.end() : match.end() + 2], "big")
    return len(data)


def _has_afcp(data: bytes, end: int) -> bool:
    for match in AFCP.finditer(data, end):
        offset = int.from_bytes(match[2], "big" if match[1] == b"!" else "little")
        if data[offset : offset + 4] == match[0][:4]:
            return True
    return False


def _has_offset(data: bytes, end: int, exif: tuple[int, int], note: int | None) -> bool:
    """Whether a number in the block is the offset of a place after the picture, relative to any
    base that cameras use."""
    start, stop = exif
    if stop - start < ENTRY_BYTES:
        return False
    bases = [0, start, *([] if note is None else [note, note + NIKON_HEADER])]
    wanted = [place - base for place in _places(data, end) for base in bases]
    block = np.frombuffer(data, np.uint8, stop - start, start)
    numbers = np.lib.stride_tricks.sliding_window_view(block, 4).astype(np.uint32)
    for order, shifts in ORDERS:
        values = (numbers << np.array(shifts, np.uint32)).sum(1, dtype=np.uint32)
        places = np.flatnonzero(np.isin(values, wanted))
        if any(_is_entry(block[max(at - 8, 0) : at].tobytes(), order) for at in places):
            return True
    return False


def _is_entry(before: bytes, order: Literal["big", "little"]) -> bool:
    """Whether the eight bytes before a number make it an offset: tag, type, count."""
    type_, count = (int.from_bytes(before[at:end], order) for at, end in ((2, 4), (4, 8)))
    is_number = type_ in OFFSETS and count == 1
    return len(before) == 8 and (is_number or SIZES.get(type_, 0) * count > 4)


def _places(data: bytes, end: int) -> Iterator[int]:
    yield end
    for count, match in enumerate(PREVIEW.finditer(data, end)):
        if count == MAX_PREVIEWS:
            return
        yield match.start()
