"""Data after the picture of a JPEG that is located by an offset and would be lost if the metadata
grew.

Pictures of an MPF index are located relative to the index and videos of phones relative to the end,
so they stay valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np

from .tiff import SIZES

OFFSETS = (4, 9, 13)
"""TIFF's types of numbers that tell places."""
ORDERS: tuple[tuple[Literal["big", "little"], tuple[int, ...]], ...] = (
    ("big", (24, 16, 8, 0)),
    ("little", (0, 8, 16, 24)),
)
END_OF_IMAGE = 0xD9
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
"""What ends a coded scan: all but stuffed zeros and restart markers."""
PREVIEW = re.compile(rb"(?=.\xd8\xff)", re.DOTALL)
"""A JPEG; Minolta's have another first byte."""
AFCP = re.compile(rb"AXS([!*])(.{4})", re.DOTALL)
NIKON_HEADER = 10
MOST = 1000
SHORTEST = 12
"""Bytes of one entry of a directory."""


def is_referred_to(data: bytes, scan: int, exif: tuple[int, int] | None, note: int | None) -> bool:
    """Whether an AFCP trailer, or a number in the EXIF data, tells where something begins that lies
    behind the picture.

    `scan` is where the first scan's marker is, `exif` the start and end of the TIFF block, `note`
    the start of the maker note.
    """
    end = _end_of_picture(data, scan)
    if not data[end:].strip(b"\0"):
        return False
    return _has_afcp(data, end) or (exif is not None and _is_told(data, end, exif, note))


def _end_of_picture(data: bytes, scan: int) -> int:
    """Behind the end marker that belongs to the first picture."""
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


def _is_told(data: bytes, end: int, exif: tuple[int, int], note: int | None) -> bool:
    """Whether a number in the block is the distance of a place behind the picture from one of the
    places that cameras count from."""
    start, stop = exif
    if stop - start < SHORTEST:
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
    """Whether the eight bytes before a number make it an offset: a tag, a type, a count."""
    type_, count = (int.from_bytes(before[at:end], order) for at, end in ((2, 4), (4, 8)))
    is_number = type_ in OFFSETS and count == 1
    return len(before) == 8 and (is_number or SIZES.get(type_, 0) * count > 4)


def _places(data: bytes, end: int) -> Iterator[int]:
    yield end
    for count, match in enumerate(PREVIEW.finditer(data, end)):
        if count == MOST:
            return
        yield match.start()
