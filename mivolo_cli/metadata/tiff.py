"""Edit the bytes of TIFF files, and of the TIFF blocks of Exif: an entry is changed by appending a
new directory.

Everything in a TIFF is located by its offset from the start, so existing data stays in place:
pictures, maker notes, and whatever else programs store. Only the pointer to the directory changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from . import Refused

XMP_TAG, BYTE, UNDEFINED, MAX_CLASSIC = 700, 1, 7, 2**32 - 1
SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes per value of each type."""


class Value(NamedTuple):
    """A field's type, the number of its values, and their bytes."""

    type: int
    values: int
    content: bytes


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte order and offset size: offsets have 4 bytes in classic TIFF, 8 in BigTIFF."""

    order: Literal["little", "big"]
    big: bool

    @property
    def word(self) -> int:
        return 8 if self.big else 4

    @property
    def entry(self) -> int:
        """Bytes per entry: tag, type, number of values, and the values or their offset."""
        return 4 + 2 * self.word

    @property
    def pointer(self) -> int:
        """Position in the header of the first directory's offset."""
        return 8 if self.big else 4

    def number(self, data: bytes, at: int, length: int) -> int:
        if at + length > len(data):
            raise Refused("bad_container", "it ends in the middle of a directory")
        return int.from_bytes(data[at : at + length], self.order)

    def write(self, value: int, length: int) -> bytes:
        return value.to_bytes(length, self.order)

    def tag(self, entry: bytes) -> int:
        return int.from_bytes(entry[:2], self.order)


def read_xmp(data: bytes) -> bytes | None:
    found = read_field(data, XMP_TAG)
    return None if found is None else found.content


def write_xmp(data: bytes, packet: bytes | None) -> bytes:
    """Replace, insert or (None) remove the packet in the first directory. Raises Refused."""
    return write_fields(
        data, {XMP_TAG: None if packet is None else Value(BYTE, len(packet), packet)}
    )


def read_raw(data: bytes) -> bytes | None:
    """Return the packet itself."""
    return read_xmp(data)


def write_raw(data: bytes, raw: bytes) -> bytes:
    return write_xmp(data, raw)


def revert_info(data: bytes) -> str:
    """Return the offset of the first directory and the file size to which `revert` truncates."""
    layout = _layout(data)
    return f"{layout.number(data, layout.pointer, layout.word)}:{len(data)}"


def revert(data: bytes, info: str) -> bytes:
    """Restore the file as it was for `revert_info`; return it unchanged if others have written to
    it since."""
    before = cut_back(data, info)
    same = before is not None and _first_directory(before) == _first_directory(data)
    return before if before is not None and same else data


def cut_back(data: bytes, undo: str) -> bytes | None:
    """Remove what was appended after `undo` was recorded; None if nothing was."""
    layout = _layout(data)
    try:
        offset, length = map(int, undo.split(":"))
    except ValueError:
        return None
    if not layout.number(data, layout.pointer, layout.word) >= length > offset > 0:
        return None
    return _point(data[:length], layout, layout.pointer, offset)


def untouched(before: bytes, after: bytes) -> bool:
    """Whether the shorter file is a prefix of the longer, apart from the header's pointer."""
    start = _layout(before).pointer + _layout(before).word
    shorter = min(len(before), len(after))
    return before[start:shorter] == after[start:shorter]


def read_field(data: bytes, tag: int, through: int | None = None) -> Value | None:
    """Return a field of the first directory, or of the one that its field `through` points to."""
    layout = _layout(data)
    entry = _find(data, layout, tag, through)
    return None if entry is None else _value(data, layout, entry)


def place_of(data: bytes, tag: int, through: int | None = None) -> int | None:
    """Return the offset of a field's content; None if it is short enough to be in the directory
    itself."""
    layout = _layout(data)
    entry = _find(data, layout, tag, through)
    if entry is None or len(_value(data, layout, entry).content) <= layout.word:
        return None
    return layout.number(entry, 4 + layout.word, layout.word)


def write_fields(
    data: bytes, fields: Mapping[int, Value | None], through: int | None = None
) -> bytes:
    """Set these fields, or remove those that are None, in the directory that `read_field` would
    search.

    A missing directory is created. The old content stays in the file, unused. Raises Refused.
    """
    layout = _layout(data)
    if through is None:
        data, new = _append(data, layout, layout.number(data, layout.pointer, layout.word), fields)
        return _point(data, layout, layout.pointer, new)
    there = read_field(data, through)
    data, new = _append(
        data, layout, 0 if there is None else int.from_bytes(there.content, layout.order), fields
    )
    return write_fields(data, {through: Value(4, 1, layout.write(new, 4))})


def _layout(data: bytes) -> _Layout:
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    version = int.from_bytes(data[2:4], order)
    if data[:2] not in (b"II", b"MM") or version not in (42, 43) or len(data) < 16:
        raise Refused("bad_container", "it is not a TIFF file")
    return _Layout(order, version == 43)


def _entries(data: bytes, layout: _Layout, offset: int) -> tuple[list[bytes], bytes]:
    """Return the raw entries of a directory (at 0: an empty one) in file order, and the offset of
    the next one."""
    if not offset:
        return [], bytes(layout.word)
    length = 8 if layout.big else 2
    count = layout.number(data, offset, length)
    start, end = offset + length, offset + length + count * layout.entry
    if end + layout.word > len(data):
        raise Refused("bad_container", "it ends in the middle of a directory")
    entries = [data[at : at + layout.entry] for at in range(start, end, layout.entry)]
    return entries, data[end : end + layout.word]


def _find(data: bytes, layout: _Layout, tag: int, through: int | None) -> bytes | None:
    offset = layout.number(data, layout.pointer, layout.word)
    if through is not None:
        inner = read_field(data, through)
        if inner is None:
            return None
        offset = int.from_bytes(inner.content, layout.order)
    return _entry(_entries(data, layout, offset)[0], layout, tag)


def _entry(entries: Sequence[bytes], layout: _Layout, tag: int) -> bytes | None:
    """Return the entry with this tag. Raises Refused if there are two."""
    found = [entry for entry in entries if layout.tag(entry) == tag]
    if len(found) > 1:
        raise Refused("bad_container", "a directory holds a field twice")
    return found[0] if found else None


def _value(data: bytes, layout: _Layout, entry: bytes) -> Value:
    type_ = layout.number(entry, 2, 2)
    count = layout.number(entry, 4, layout.word)
    length = SIZES.get(type_, 1) * count
    place = 4 + layout.word
    if length <= layout.word:
        return Value(type_, count, entry[place : place + length])
    at = layout.number(entry, place, layout.word)
    if at + length > len(data):
        raise Refused("bad_container", "a field lies beyond its end")
    return Value(type_, count, data[at : at + length])


def _append(
    data: bytes, layout: _Layout, offset: int, fields: Mapping[int, Value | None]
) -> tuple[bytes, int]:
    """Append a copy of the directory at this offset with the fields changed; return the data and
    the copy's offset."""
    entries, next_one = _entries(data, layout, offset)
    data += bytes(len(data) % 2)
    for tag, value in fields.items():
        new = None
        if value is not None:
            content = value.content
            place = content.ljust(layout.word, b"\0")
            if len(content) > layout.word:
                place, data = (
                    layout.write(len(data), layout.word),
                    data + content + bytes(len(content) % 2),
                )
            count = layout.write(value.values, layout.word)
            new = layout.write(tag, 2) + layout.write(value.type, 2) + count + place
        entries = _with_entry(entries, layout, tag, new)
    number = layout.write(len(entries), 8 if layout.big else 2)
    directory = number + b"".join(entries) + next_one
    if len(data) + len(directory) > MAX_CLASSIC and not layout.big:
        raise Refused("too_large", "a TIFF ends at 4 GB")
    return data + directory, len(data)


def _point(data: bytes, layout: _Layout, at: int, offset: int) -> bytes:
    return data[:at] + layout.write(offset, layout.word) + data[at + layout.word :]


def _with_entry(
    entries: Sequence[bytes], layout: _Layout, tag: int, new: bytes | None
) -> list[bytes]:
    """Replace, insert or (None) remove the entry with this tag. The others keep their order, even a
    wrong one: with an all-zero entry in front, ExifTool reads nothing of the directory."""
    there = _entry(entries, layout, tag)
    if there is not None:
        place = entries.index(there)
        return [*entries[:place], *([] if new is None else [new]), *entries[place + 1 :]]
    behind = (at for at, entry in enumerate(entries) if layout.tag(entry) > tag)
    place = next(behind, len(entries))
    return [*entries[:place], *([] if new is None else [new]), *entries[place:]]


def _first_directory(data: bytes) -> tuple[Sequence[bytes], Value | None]:
    """Return the raw entries other than the packet's, and the packet."""
    layout = _layout(data)
    entries, _ = _entries(data, layout, layout.number(data, layout.pointer, layout.word))
    return [entry for entry in entries if layout.tag(entry) != XMP_TAG], read_field(data, XMP_TAG)
