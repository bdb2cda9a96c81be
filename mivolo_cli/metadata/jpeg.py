"""Read, insert and remove XMP and Exif segments in the bytes of a JPEG file. All other bytes stay
the same.

One number is adjusted: in an index of further pictures (MPF), the length of the first picture,
which includes the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from . import Refused, tiff, trailer

XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
EXIF = b"Exif\0\0"
MPF, MP_ENTRIES = b"MPF\0", 0xB002
MAKER_NOTE, EXIF_POINTER = 0x927C, 0x8769
APP0, APP1, APP2, START_OF_SCAN, END_OF_IMAGE = 0xE0, 0xE1, 0xE2, 0xDA, 0xD9
MARKER = re.compile(rb"\xff([\x01\xc0-\xfe])", re.DOTALL)
BARE = (0x01, *range(0xD0, 0xD8))
MAX_SEGMENT = 0xFFFF - 2


@dataclass(frozen=True, slots=True)
class _Segment:
    """A segment from its marker, without preceding fill bytes, to its end."""

    marker: int
    start: int
    end: int

    def body(self, data: bytes) -> bytes:
        return data[self.start + 4 : self.end]


def read_xmp(data: bytes) -> bytes | None:
    """Return the packet. Raises Refused if there are two."""
    found = _xmp(data)
    return None if found is None else found.body(data)[len(XMP) :]


def read_extended(data: bytes) -> bytes:
    """Return the content of the extended XMP segments, joined in file order."""
    head = len(EXTENDED) + 40  # a hash, the whole length, the offset
    return b"".join(
        s.body(data)[head:]
        for s in _segments(data)
        if s.marker == APP1 and _begins(data, s, EXTENDED)
    )


def extended(data: bytes) -> dict[bytes, bytes]:
    """Return extended XMP by its hash, leaving out incomplete ones."""
    parts: dict[tuple[bytes, int], dict[int, bytes]] = {}
    for body in _bodies(data, EXTENDED):
        length, offset = (int.from_bytes(body[at : at + 4], "big") for at in (32, 36))
        parts.setdefault((body[:32], length), {})[offset] = body[40:]
    found = {}
    for (name, length), pieces in parts.items():
        whole = b"".join(pieces[offset] for offset in sorted(pieces))
        if len(whole) == length:
            found[name] = whole
    return found


def packets(data: bytes) -> Iterator[bytes]:
    """Yield the XMP of all segments, even after stray bytes."""
    return _bodies(data, XMP)


def write_xmp(data: bytes, packet: bytes | None) -> bytes:
    """Replace, insert or (None) remove the packet. Raises Refused."""
    return _write(data, _xmp(data), None if packet is None else XMP + packet)


def read_raw(data: bytes) -> bytes | None:
    """Return the packet itself."""
    return read_xmp(data)


def write_raw(data: bytes, raw: bytes) -> bytes:
    return write_xmp(data, raw)


def revert_info(data: bytes) -> str:
    """Return an empty string: only the packet is changed."""
    return ""


def revert(data: bytes, info: str) -> bytes:
    return data


def read_exif(data: bytes) -> bytes | None:
    """Return the TIFF block of the first Exif segment."""
    found = _exif(data)
    return None if found is None else found.body(data)[len(EXIF) :]


def write_exif(data: bytes, block: bytes | None) -> bytes:
    """Replace, insert or (None) remove the TIFF block of the first Exif segment. Raises Refused."""
    return _write(data, _exif(data), None if block is None else EXIF + block)


def untouched(before: bytes, after: bytes) -> bool:
    """Whether all bytes are the same except XMP, Exif and the picture length in the MPF index."""
    return _rest(before) == _rest(after)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments before the image data. Raises Refused."""
    at = 2
    while True:
        if data[at : at + 1] != b"\xff":
            raise Refused("bad_container", f"no marker at byte {at}")
        while data[at + 1 : at + 2] == b"\xff":
            at += 1
        marker = data[at + 1] if at + 1 < len(data) else END_OF_IMAGE
        if marker in (START_OF_SCAN, END_OF_IMAGE):
            return
        end = at + 2 if marker in BARE else at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield _Segment(marker, at, end)
        at = end


def _bodies(data: bytes, start: bytes) -> Iterator[bytes]:
    """Yield what follows `start` in APP1 segments; bytes between segments are skipped, as decoders
    do."""
    at = 2
    while match := MARKER.search(data, at):
        marker, at = match[1][0], match.start()
        if marker in (START_OF_SCAN, END_OF_IMAGE):
            return
        end = match.end()
        if marker not in BARE:
            end += int.from_bytes(data[end : end + 2], "big")
        if marker == APP1 and data.startswith(start, at + 4):
            yield data[at + 4 + len(start) : end]
        at = max(end, match.end())


def _begins(data: bytes, segment: _Segment, start: bytes) -> bool:
    return data.startswith(start, segment.start + 4)


def _xmp(data: bytes) -> _Segment | None:
    found = [
        segment
        for segment in _segments(data)
        if segment.marker == APP1 and _begins(data, segment, XMP)
    ]
    if len(found) > 1:
        raise Refused("bad_container", "there are two XMP packets")
    return found[0] if found else None


def _exif(data: bytes) -> _Segment | None:
    return next((s for s in _segments(data) if s.marker == APP1 and _begins(data, s, EXIF)), None)


def _write(data: bytes, there: _Segment | None, body: bytes | None) -> bytes:
    if body is not None and len(body) > MAX_SEGMENT:
        raise Refused("too_large", f"{len(body)} bytes, where a JPEG segment holds {MAX_SEGMENT}")
    new = b"" if body is None else bytes((0xFF, APP1)) + (len(body) + 2).to_bytes(2, "big") + body
    start, end = _place(data, body) if there is None else (there.start, there.end)
    _check_offsets(data, end)
    if len(new) > end - start:
        _check_trailer(data)
    return _resized(data[:start] + new + data[end:], len(new) - (end - start))


def _place(data: bytes, body: bytes | None) -> tuple[int, int]:
    """Return where a new segment goes: Exif after JFIF, XMP after Exif, as readers expect."""
    segments = list(_segments(data))
    first = _leading(segments)
    exif = _exif(data)
    if exif is None or (body or b"").startswith(EXIF):
        return first, first
    before = [
        segment for segment in segments if segment.marker == APP2 and segment.start < exif.start
    ]
    place = first if any(_begins(data, segment, MPF) for segment in before) else exif.end
    return place, place


def _leading(segments: Sequence[_Segment]) -> int:
    """Return the end of the leading JFIF segments."""
    end = 2
    for segment in segments:
        if segment.marker != APP0:
            break
        end = segment.end
    return end


def _check_offsets(data: bytes, place: int) -> None:
    """Refuse a change between an MPF index and its pictures, which it locates by their distance."""
    for segment in _segments(data):
        if segment.marker == APP2 and _begins(data, segment, MPF) and segment.start < place:
            raise Refused(
                "bad_container", "its index of further pictures comes before the metadata"
            )


def _check_trailer(data: bytes) -> None:
    """Refuse to move data that is located by an offset."""
    exif, block = _exif(data), read_exif(data)
    scan = max((segment.end for segment in _segments(data)), default=2)
    where, note = None, None
    if exif is not None and block is not None:
        begin = exif.start + 4 + len(EXIF)
        where = begin, exif.end
        with suppress(Refused):
            place = tiff.place_of(block, MAKER_NOTE, EXIF_POINTER)
            note = None if place is None else begin + place
    if trailer.is_referred_to(data, scan, where, note):
        raise Refused("bad_container", "data after the picture is referenced by offset")


def _resized(data: bytes, more: int) -> bytes:
    """Add `more` bytes of metadata to the length of the first picture in the MPF index, if there is
    one."""
    place = _first_length(data)
    if place is None:
        return data
    at, order = place
    length = (int.from_bytes(data[at : at + 4], order) + more) % 2**32
    return data[:at] + length.to_bytes(4, order) + data[at + 4 :]


def _first_length(data: bytes) -> tuple[int, Literal["little", "big"]] | None:
    """Return the position and byte order of the first picture's length in the MPF index."""
    index = next((s for s in _segments(data) if s.marker == APP2 and _begins(data, s, MPF)), None)
    if index is None:
        return None
    block = index.body(data)[len(MPF) :]
    try:
        entries = tiff.place_of(
            block, MP_ENTRIES
        )  # each: attributes, length, offset (4 bytes each), 4 more bytes
    except Refused:
        return None
    if entries is None or entries + 12 > len(block) or any(block[entries + 8 : entries + 12]):
        return None  # the first picture has the offset 0
    return index.start + 4 + len(MPF) + entries + 4, "little" if block[:2] == b"II" else "big"


def _rest(data: bytes) -> bytes:
    length = _first_length(data)
    if length is not None:
        data = data[: length[0]] + bytes(4) + data[length[0] + 4 :]
    parts, done = [], 0
    for segment in _segments(data):
        if segment.marker == APP1 and (_begins(data, segment, XMP) or _begins(data, segment, EXIF)):
            parts.append(data[done : segment.start])
            done = segment.end
    return b"".join([*parts, data[done:]])
