"""Inspect a file without decoding it: whether decoding is fast, and whether the end is missing."""

from __future__ import annotations

import os
import re
import sys
from typing import IO

from .png_text import chunks

MAX_SCANS = 200
"""Maximum number of scans in a JPEG. Progressive files have about ten; each costs as much as
decoding the whole picture."""
MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
SCAN, END = 0xDA, 0xD9
PIECE = 16 * 1024
MAX_SEGMENTS = 1000
MAX_CHUNKS = 10_000
MAX_METADATA = 64 * 1024
"""Maximum size in bytes of a PNG chunk other than the picture, such as a profile, text or EXIF."""
PASSED = (0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0))
"""JPEG segments allowed before the picture: tables, comments, metadata."""
EXIF = b"Exif"


def is_plain_jpeg(file: IO[bytes], most_pixels: int) -> bool:
    """Return whether the decoder reads the file once: baseline, with all components in the first
    scan, as written by cameras. Other files may have thousands of scans, each of which costs as
    much as the whole picture."""
    file.seek(2)
    components, blocks = 0, 0
    for _ in range(MAX_SEGMENTS):
        marker = file.read(4)
        start = file.read(6)
        length = int.from_bytes(marker[2:], "big") - 2
        if len(start) < 6 or marker[0] != 0xFF or length < 0:
            return False
        if marker[1] == 0xDA:
            return components > 0 and start[0] == components
        if marker[1] in (0xC0, 0xC1) and not components:
            height, width = start[1:3], start[3:5]
            pixels = int.from_bytes(height, "big") * int.from_bytes(width, "big")
            components = start[5] if pixels <= most_pixels else 0
        elif marker[1] not in PASSED:
            return False
        blocks += marker[1] == 0xE1 and start.startswith(EXIF)
        if blocks > 1:  # their total size is unlimited
            return False
        file.seek(length - len(start), os.SEEK_CUR)
    return False


def has_many_scans(file: IO[bytes]) -> bool:
    """Return whether a JPEG has more scans than programs write."""
    if is_plain_jpeg(file, sys.maxsize):
        return False
    file.seek(2)
    scans = 0
    while scans <= MAX_SCANS and (marker := _next_marker(file)) not in (None, END):
        length = int.from_bytes(file.read(2), "big")
        file.seek(max(length - 2, 0), os.SEEK_CUR)
        scans += marker == SCAN
    return scans > MAX_SCANS


def _next_marker(file: IO[bytes]) -> int | None:
    """Return the next marker outside of scan data, and position the file after it; None at the end
    of the file."""
    while piece := file.read(PIECE):
        if found := MARKER.search(piece):
            file.seek(found.end() - len(piece), os.SEEK_CUR)
            return found[1][0]
        if piece.endswith(b"\xff") and len(piece) > 1:
            file.seek(-1, os.SEEK_CUR)
    return None


def is_plain_png(file: IO[bytes], most_pixels: int) -> bool:
    """Return whether a PNG contains little but the picture, and that of usual size."""
    for number, (start, end, kind) in enumerate(chunks(file)):
        if number == MAX_CHUNKS:
            return False
        if kind == b"IEND":
            return True
        if kind == b"IHDR":
            file.seek(start + 8)
            sides = file.read(8)
            if int.from_bytes(sides[:4], "big") * int.from_bytes(sides[4:], "big") > most_pixels:
                return False
        elif kind != b"IDAT" and end - start - 12 > MAX_METADATA:
            return False
    return True


PLAIN = {"JPEG": is_plain_jpeg, "PNG": is_plain_png}


def ends_early(file: IO[bytes]) -> bool:
    """Return whether a WebP, AVIF or HEIC file is shorter than its header says; their decoders do
    not report that."""
    size = file.seek(0, os.SEEK_END)
    end = file.seek(0)
    start = file.read(8)
    if start[:4] == b"RIFF":
        return size < 8 + int.from_bytes(start[4:], "little")
    length = int.from_bytes(start[:4], "big") if start[4:] == b"ftyp" else 0
    while (
        length >= 8 and end < size
    ):  # boxes of other lengths extend to the end of the file, or are huge
        end = file.seek(end + length)
        length = int.from_bytes(file.read(4), "big")
    return end > size
