"""Write a short text to EXIF's UserComment or ImageDescription; all other bytes of the block stay
in place.

piexif only verifies changed blocks. It is not used to write them: it would rearrange the block and
break the offsets in maker notes, and in its own blocks values overlap a directory, as ExifTool
warns.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Literal

import piexif

from . import Refused, tiff

Field = Literal["UserComment", "ImageDescription"]
FIELDS: dict[Field, tuple[str, int, int | None]] = {
    "UserComment": ("Exif", piexif.ExifIFD.UserComment, 0x8769),
    "ImageDescription": ("0th", piexif.ImageIFD.ImageDescription, None),
}
"""piexif's name of the directory, the tag, and the tag that points to the directory (None: the
first one)."""
EXIF_POINTER = 0x8769
EMPTY = b"MM\0*\0\0\0\0" + bytes(8)
"""A TIFF block without a directory."""
PREFIX = b"Exif\0\0"
CHARSET = b"ASCII\0\0\0"
MAX_TEXT = 2000
UNREADABLE = (struct.error, ValueError, LookupError, TypeError, OverflowError)
"""Raised by piexif for blocks that it cannot read or write; its own error is a ValueError."""


def with_text(
    block: bytes | None, field: Field, text: str, size: tuple[int, int], *, overwrite: bool
) -> bytes:
    """Return the TIFF block with the text in the field; `size` is (width, height) of the stored
    picture.

    Raises Refused if the field is taken or the block is malformed.
    """
    content = _content(field, text)
    directory, tag, through = FIELDS[field]
    before: dict[str, Any] = {"thumbnail": None} if block is None else _load(block)
    there = before.get(directory, {}).get(tag)
    if there is not None and _has_text(there) and not overwrite:
        raise Refused("exif_taken", field)
    kind = 7 if field == "UserComment" else 2
    value = content if field == "UserComment" else content + b"\0"
    new = EMPTY if block is None else block
    if block is None:
        new = tiff.write_fields(new, _required(new, size, "0th"))
    if tiff.read_field(new, EXIF_POINTER) is None:
        new = tiff.write_fields(new, _required(new, size, "Exif"), EXIF_POINTER)
    new = tiff.write_fields(new, {tag: tiff.Value(kind, len(value), value)}, through)
    _check_text(before, _load(new), directory, tag, content)
    return new


def revert_info(block: bytes | None) -> str:
    """Return what `restored` needs to undo a change of the block."""
    return "none" if block is None else tiff.revert_info(block)


def restored(block: bytes, undo: str) -> bytes | None:
    """Return the block as it was before the text was added; None if there was none. Raises Refused
    if others have changed it."""
    if undo == "none":
        return None
    before = tiff.cut_back(block, undo)
    if before is None:
        raise Refused("bad_exif", "it is shorter than it was")
    return before


def without_text(block: bytes, field: Field, text: str) -> bytes:
    """Remove the text from the block, unless the field has since been changed."""
    directory, tag, through = FIELDS[field]
    if _load(block)[directory].get(tag, b"").rstrip(b"\0") != _content(field, text):
        return block
    return tiff.write_fields(block, {tag: None}, through)


def fingerprint(block: bytes | None) -> str:
    """Return a hash that identifies a block that we wrote."""
    return hashlib.sha256(block or b"").hexdigest()[:32]


def _content(field: Field, text: str) -> bytes:
    plain = text.encode("ascii", "replace")[:MAX_TEXT]
    return CHARSET + plain if field == "UserComment" else plain


def _load(block: bytes) -> dict[str, Any]:
    try:
        return piexif.load(PREFIX + block)
    except UNREADABLE as error:
        raise Refused("bad_exif", str(error)) from error


def _has_text(value: object) -> bool:
    """Whether a field contains more than a character set code and blanks."""
    text = value if isinstance(value, bytes) else str(value).encode()
    return bool(text.removeprefix(CHARSET).removeprefix(b"UNICODE\0").strip(b" \0"))


def _check_text(
    before: dict[str, Any], after: dict[str, Any], directory: str, tag: int, content: bytes
) -> None:
    """Refuse a change after which piexif does not read the text, or reads another field
    differently."""
    text = after[directory].get(tag, b"").rstrip(b"\0")
    kept = all(
        after[name].get(key) == value or key == EXIF_POINTER or (name, key) == (directory, tag)
        for name in ("0th", "Exif", "GPS", "Interop", "1st")
        for key, value in before.get(name, {}).items()
    )
    if text != content or not kept or before["thumbnail"] != after["thumbnail"]:
        raise Refused("bad_exif", "the change would alter other entries")


def _required(block: bytes, size: tuple[int, int], directory: str) -> dict[int, tiff.Value]:
    """Return the mandatory fields of an EXIF directory, with neutral values."""
    order = "<" if block[:2] == b"II" else ">"

    def short(value: int) -> tiff.Value:
        return tiff.Value(3, 1, struct.pack(order + "H", value))

    dots = tiff.Value(5, 1, struct.pack(order + "LL", 72, 1))
    if directory == "0th":
        return {0x011A: dots, 0x011B: dots, 0x0128: short(2), 0x0213: short(1)}
    width, height = (tiff.Value(4, 1, struct.pack(order + "L", side)) for side in size)
    return {
        0x9000: tiff.Value(7, 4, b"0232"), 0x9101: tiff.Value(7, 4, b"\1\2\3\0"),
        0xA000: tiff.Value(7, 4, b"0100"), 0xA001: short(0xFFFF), 0xA002: width, 0xA003: height,
    }  # fmt: skip
