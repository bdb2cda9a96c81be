"""JPEGs of a few kilobytes with any number of scans."""

from __future__ import annotations

import struct
from typing import Literal

Kind = Literal["baseline", "progressive", "fill"]


def many_scans(width: int, height: int, scans: int, kind: Kind) -> bytes:
    """Black. `baseline` has one component a scan, again and again; `fill` is progressive, with fill
    bytes before its frame."""
    frame = _segment(0xC0 if kind == "baseline" else 0xC2, _frame(width, height))
    head = b"\xff\xd8" + _segment(0xDB, bytes([0, *[1] * 64]))
    head += _segment(0xC4, bytes([0x00, 1, *[0] * 15, 0]))
    head += _segment(0xC4, bytes([0x10, 1, *[0] * 15, 0]))
    head += (b"\xff\xff\xff" if kind == "fill" else b"") + frame
    if kind == "baseline":
        body = b"".join(_scan([1 + number % 3], 0) for number in range(scans))
    else:
        body = _scan([1, 2, 3], 0, 0)
        body += b"".join(_scan([1 + number % 3], 1) for number in range(scans))
    return head + body + b"\xff\xd9"


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _frame(width: int, height: int) -> bytes:
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    return struct.pack(">BHHB", 8, height, width, 3) + components


def _scan(components: list[int], first: int, last: int = 63) -> bytes:
    named = b"".join(bytes([number, 0]) for number in components)
    return _segment(0xDA, bytes([len(components)]) + named + bytes([first, last, 0]))
