"""Read a photo's own EXIF, wherever its format stores it, and its fields as text."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from ..photos import bmff
from ..photos.formats import formats_of
from . import Refused, jpeg, png, tiff, webp

MAIN, PHOTO, GPS = None, 0x8769, 0x8825
"""Directories, by the field in the first one that points to them."""
MAX_TEXT = 64 * 1024
PREFIX = b"Exif\0\0"
CHARSETS = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": "utf-16", bytes(8): "utf-8"}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def own_exif(data: bytes) -> Exif | None:
    """Return the EXIF; None if there is none that can be read: then other programs cannot,
    either."""
    for format in formats_of(data[:32]):
        with suppress(Refused, bmff.BrokenBoxes):
            block = READERS[format](data) if format in READERS else None
            if block is not None:
                return Exif(block.removeprefix(PREFIX))
    return None


@dataclass(frozen=True, slots=True)
class Exif:
    """A TIFF block. Damaged fields are treated as empty."""

    block: bytes

    def text(self, tag: int, through: int | None = MAIN) -> str:
        """Return a text in UTF-8 as most programs write it, or in Latin-1 as old ones do."""
        return decoded(self._content(tag, through).partition(b"\0")[0])

    def windows_text(self, tag: int) -> str:
        """Return a text that Windows wrote in UTF-16."""
        return _clean(self._content(tag, MAIN).decode("utf-16-le", "ignore"))

    def comment(self, tag: int) -> str:
        """Return a text that follows its character set code."""
        content = self._content(tag, PHOTO)
        encoding = CHARSETS.get(content[:8])
        if encoding == "utf-16":
            encoding = "utf-16-le" if self._order == "<" else "utf-16-be"
            return _clean(content[8:].decode(encoding, "ignore").removeprefix("\ufeff"))
        return decoded(content[8:]) if encoding else ""

    def number(self, tag: int) -> int | None:
        content = self._content(tag, MAIN)
        return int.from_bytes(content, "little" if self._order == "<" else "big") or None

    def time(self, tag: int, fraction: int, zone: int) -> str:
        """Return a time in XMP format; empty if the clock was not set."""
        text = self.text(tag, PHOTO)
        try:
            time = datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
        except ValueError:
            return ""
        part, offset = self.text(fraction, PHOTO), self.text(zone, PHOTO)
        part = f".{part}" if re.fullmatch(r"\d{1,9}", part) else ""
        return time.isoformat() + part + (offset if re.fullmatch(r"[+-]\d\d:\d\d", offset) else "")

    def degrees(self, tag: int, reference: int) -> str:
        """Return a latitude or longitude in XMP format: degrees and decimal minutes."""
        content, side = self._content(tag, GPS), self.text(reference, GPS)[:1]
        if len(content) != 24 or side not in ("N", "S", "E", "W"):
            return ""
        numbers = struct.unpack(f"{self._order}6L", content)
        if 0 in numbers[1::2]:
            return ""
        degrees, minutes, seconds = map(Fraction, numbers[::2], numbers[1::2])
        whole = degrees * 60 + minutes + seconds / 60
        return f"{int(whole // 60)},{float(whole % 60):.8f}{side}"

    @property
    def _order(self) -> str:
        return "<" if self.block[:2] == b"II" else ">"

    def _content(self, tag: int, through: int | None) -> bytes:
        with suppress(Refused):
            found = tiff.read_field(self.block, tag, through)
            return b"" if found is None else found.content[:MAX_TEXT]
        return b""


def decoded(content: bytes) -> str:
    """Decode UTF-8, or else Latin-1."""
    try:
        return _clean(content.decode("utf-8"))
    except UnicodeDecodeError:
        return _clean(content.decode("latin-1"))


def _clean(text: str) -> str:
    """Remove characters that XML cannot contain."""
    return NOT_XML.sub("", text.rstrip("\0")).strip()


def _first(found: Iterator[bytes]) -> bytes | None:
    return next(found, None)


READERS: Mapping[str, Callable[[bytes], bytes | None]] = {
    "JPEG": jpeg.read_exif,
    "PNG": lambda data: _first(png.exif_blocks(data)),
    "WEBP": webp.read_exif,
    "TIFF": lambda data: data,
    "AVIF": lambda data: _first(bmff.exif_blocks(data)),
    "HEIF": lambda data: _first(bmff.exif_blocks(data)),
    "JPEG2000": lambda data: _first(bmff.exif_blocks(data)),
    "JXL": lambda data: _first(bmff.exif_blocks(data)),
}
