"""A camera's raw file: a DNG with a large JPEG as its preview, as small as LibRaw takes it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image

BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5
SIZES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "L"}
Fields = dict[int, tuple[int, list[int]]]
"""Tag -> type and values; of a rational both numbers, one after the other."""


def dng(
    preview: PIL.Image.Image,
    orientation: int = 1,
    taken: str = "2021:05:04 10:11:12",
    exif: bytes = b"",
    quality: int = 75,
) -> bytes:
    """`exif` is a segment for the start of the preview."""
    target = io.BytesIO()
    preview.save(target, "JPEG", quality=quality)
    coded = target.getvalue()
    if exif:
        coded = coded[:2] + exif + coded[2 + 18 :]  # in place of JFIF's segment
    width, height = 240, 160
    sensor = np.random.default_rng(0).integers(0, 4000, (height, width), np.uint16).tobytes()
    pixels, picture = 8, 8 + len(sensor)
    directory = picture + len(coded) + len(coded) % 2
    raw: Fields = {
        254: (LONG, [0]), 256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [16]),
        259: (SHORT, [1]), 262: (SHORT, [32803]), 273: (LONG, [pixels]), 277: (SHORT, [1]),
        278: (LONG, [height]), 279: (LONG, [len(sensor)]), 33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]), 50714: (SHORT, [0]), 50717: (LONG, [4095]),
    }  # fmt: skip
    inner = _directory(raw, directory)
    main: Fields = {
        254: (LONG, [1]), 256: (LONG, [preview.width]), 257: (LONG, [preview.height]),
        258: (SHORT, [8, 8, 8]), 259: (SHORT, [7]), 262: (SHORT, [6]),
        271: (ASCII, [*b"Acme\0"]), 272: (ASCII, [*b"One\0"]), 273: (LONG, [picture]),
        274: (SHORT, [orientation]), 277: (SHORT, [3]), 278: (LONG, [preview.height]),
        279: (LONG, [len(coded)]), 306: (ASCII, [*taken.encode(), 0]),
        330: (LONG, [directory]), 50706: (BYTE, [1, 4, 0, 0]), 50707: (BYTE, [1, 1, 0, 0]),
        50708: (ASCII, [*b"Acme One\0"]),
        50721: (RATIONAL, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]),
        50728: (RATIONAL, [1, 1, 1, 1, 1, 1]), 50778: (SHORT, [21]),
    }  # fmt: skip
    if not taken:
        del main[306]
    start = directory + len(inner)
    head = struct.pack("<2sHL", b"II", 42, start) + sensor + coded
    return head.ljust(directory, b"\0") + inner + _directory(main, start)


def save_dng(file: Path, preview: PIL.Image.Image, **options: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dng(preview, **options))  # type: ignore[arg-type]
    return file


def _directory(fields: Fields, at: int) -> bytes:
    """A directory of TIFF that stands there, and what does not fit into it behind it."""
    entries, more = b"", b""
    end = at + 2 + 12 * len(fields) + 4
    for tag, (kind, values) in sorted(fields.items()):
        letter = SIZES.get(kind, "L")
        content = struct.pack(f"<{len(values)}{letter}", *values)
        count = len(values) // 2 if kind == RATIONAL else len(values)
        place = content.ljust(4, b"\0")
        if len(content) > 4:
            place = struct.pack("<L", end + len(more))
            more += content + bytes(len(content) % 2)
        entries += struct.pack("<HHL", tag, kind, count) + place
    return struct.pack("<H", len(fields)) + entries + bytes(4) + more
