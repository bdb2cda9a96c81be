"""A short text in EXIF's UserComment or ImageDescription, in a block that otherwise keeps every byte in its place.

piexif makes the block where there is none, and reads every changed block back. It does not write blocks that are there
already: it would lay them out anew, and maker notes, which hold offsets of their own, would point to nowhere.
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
"""piexif's directory, the tag, and the tag that points to the directory if it is not the first one."""
PREFIX = b"Exif\0\0"
CHARSET = b"ASCII\0\0\0"
LONGEST_TEXT = 2000
UNREADABLE = (struct.error, ValueError, LookupError, TypeError, OverflowError)
"""What piexif raises on blocks that it cannot read or write; its own error is a ValueError."""


def with_text(block: bytes | None, field: Field, text: str, *, overwrite: bool) -> bytes:
    """The TIFF block with the text in the field. Raises Refused where that is taken, or the block is unsound."""
    content = _content(field, text)
    directory, tag, through = FIELDS[field]
    if block is None:
        return piexif.dump({directory: {tag: content}}).removeprefix(PREFIX)
    before = _load(block)
    there = before[directory].get(tag)
    if there is not None and _says_something(there) and not overwrite:
        raise Refused("exif_taken", field)
    kind = 7 if field == "UserComment" else 2
    value = content if field == "UserComment" else content + b"\0"
    new = tiff.write_field(block, tag, tiff.Value(kind, len(value), value), through)
    after = _load(new)
    if after[directory].pop(tag, b"").rstrip(b"\0") != content or _others(before, directory, tag) != _others(after):
        raise Refused("bad_exif", "a change would not leave the rest as it is")
    return new


def undo(block: bytes | None) -> str:
    """What `restored` needs to make of a changed block the one that it was."""
    return "none" if block is None else tiff.undo(block)


def restored(block: bytes, undo: str) -> bytes | None:
    """The block before the text was put in; None where there was none. Raises Refused if others have changed it."""
    if undo == "none":
        return None
    before = tiff.cut_back(block, undo)
    if before is None:
        raise Refused("bad_exif", "it is shorter than it was")
    return before


def without_text(block: bytes, field: Field, text: str) -> bytes:
    """The block without the text; unchanged if the field says something else by now."""
    directory, tag, through = FIELDS[field]
    if _load(block)[directory].get(tag, b"").rstrip(b"\0") != _content(field, text):
        return block
    return tiff.write_field(block, tag, None, through)


def fingerprint(block: bytes | None) -> str:
    """Tells whether a block is still the one that we wrote."""
    return hashlib.sha256(block or b"").hexdigest()[:32]


def _content(field: Field, text: str) -> bytes:
    plain = text.encode("ascii", "replace")[:LONGEST_TEXT]
    return CHARSET + plain if field == "UserComment" else plain


def _load(block: bytes) -> dict[str, Any]:
    try:
        return piexif.load(PREFIX + block)
    except UNREADABLE as error:
        raise Refused("bad_exif", str(error)) from error


def _says_something(value: object) -> bool:
    """Whether a field holds more than a character set and blanks."""
    text = value if isinstance(value, bytes) else str(value).encode()
    return bool(text.removeprefix(CHARSET).removeprefix(b"UNICODE\0").strip(b" \0"))


def _others(fields: dict[str, Any], directory: str = "", tag: int = 0) -> dict[str, Any]:
    """All fields but the one, and but those that say where directories are."""
    moved = (0x8769, 0x8825)
    return {
        name: {key: value for key, value in inner.items() if key not in moved and (name, key) != (directory, tag)}
        if isinstance(inner, dict)
        else inner
        for name, inner in fields.items()
    }
