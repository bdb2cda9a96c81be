"""HEIC and AVIF files as boxes (ISO/IEC 14496-12 and 23008-12): rotation and XMP of the picture.

Neither pillow-heif nor Pillow reports whether it has rotated a picture, and both look for XMP in a
single item only.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce

XMP_TYPE = b"application/rdf+xml"
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
JXL_XMP, PACKED = b"xml ", b"brob"
"""JPEG XL boxes: XMP, and a box compressed with Brotli, which starts with the name of the original
box."""
TIFF_STARTS = (b"II*\0", b"MM\0*")
JP2_EXIF = b"JpgTiffExif->JP2"
LARGEST_PACKET = 64 * 2**20
MOST = 100_000
"""Maximum number of boxes and items read; photos have a few hundred."""
Turn = tuple[int, int, int, int]
"""A matrix from right and down in the stored picture to right and down in the displayed one."""
TURNS: dict[int, Turn] = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, -1, 1, 0), 7: (0, -1, -1, 0), 8: (0, 1, -1, 0),
}  # fmt: skip
"""Matrix by EXIF orientation."""
ROTATIONS, MIRRORS = (1, 8, 3, 6), (4, 2)
"""EXIF orientation by angle of `irot`, and by mode of `imir`."""


class BrokenBoxes(ValueError):
    """The file is not a sequence of boxes, or a box is truncated."""


@dataclass(slots=True)
class _Box:
    """The content of a box, or of the whole file, read as a sequence of big-endian numbers."""

    data: bytes
    at: int
    end: int

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.end - self.at:
            raise BrokenBoxes(f"a box ends at byte {self.end}")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def text(self) -> bytes:
        """Read text up to a zero byte."""
        end = self.data.find(b"\0", self.at, self.end)
        found = self.take((self.end if end < 0 else end) - self.at)
        self.at = min(self.at + 1, self.end)
        return found

    def version(self) -> tuple[int, int]:
        """Read version and flags of a full box."""
        return self.number(1), self.number(3)

    def boxes(self) -> Iterator[tuple[bytes, _Box]]:
        """Yield kind and content of each box."""
        for _ in range(MOST):
            if self.at >= self.end:
                return
            start, length, kind = self.at, self.number(4), self.take(4)
            if length == 1:
                length = self.number(8)
            end = self.end if length == 0 else start + length
            if not self.at <= end <= self.end:
                raise BrokenBoxes(f"the box at byte {start} is longer than what holds it")
            yield kind, _Box(self.data, self.at, end)
            self.at = end


@dataclass(slots=True)
class _Meta:
    """Content of a meta box, by item number."""

    primary: int = 0
    types: dict[int, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
    places: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    described: dict[int, list[int]] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    associations: dict[int, list[int]] = field(default_factory=dict)
    idat: bytes = b""


def orientation(data: bytes) -> int:
    """Return the rotation of the main picture as an EXIF orientation; decoders apply it. Raises
    BrokenBoxes."""
    meta = _meta(data)
    turns = []
    known = dict(enumerate(meta.properties, 1))
    for number in meta.associations.get(meta.primary, []):
        kind, body = known.get(number, (b"", b""))
        if kind == b"irot" and body:
            turns.append(TURNS[ROTATIONS[body[0] & 3]])
        elif kind == b"imir" and body:
            turns.append(TURNS[MIRRORS[body[0] & 1]])
    whole = reduce(_then, turns, TURNS[1])
    return next(code for code, turn in TURNS.items() if turn == whole)


def packets(data: bytes) -> list[bytes]:
    """Return the XMP of the main picture or of the whole file, but not of depth or gain maps.
    Raises BrokenBoxes."""
    meta = _meta(data)
    found = [
        _inflated(_content(data, meta, item), encoding)
        for item, (_, content_type, encoding) in meta.types.items()
        if content_type == XMP_TYPE and meta.primary in meta.described.get(item, [meta.primary])
    ]
    return found + outer_packets(data)


def outer_packets(data: bytes) -> list[bytes]:
    """Return XMP from separate boxes, as in JPEG 2000 and JPEG XL. Raises BrokenBoxes."""
    found = []
    for kind, box in _Box(data, 0, len(data)).boxes():
        if kind == PACKED and box.take(4) == JXL_XMP:
            raise BrokenBoxes("its XMP is compressed with Brotli")
        if kind == b"uuid" and box.take(16) == XMP_UUID or kind == JXL_XMP and data[4:8] == b"JXL ":
            found.append(box.take(box.end - box.at))
    return found


def exif_blocks(data: bytes) -> Iterator[bytes]:
    """Yield the TIFF blocks of EXIF. Raises BrokenBoxes."""
    for kind, box in _Box(data, 0, len(data)).boxes():
        if kind == b"uuid" and box.take(16) == JP2_EXIF:
            yield box.take(box.end - box.at)
        elif kind == b"Exif":
            yield _behind_offset(box.take(box.end - box.at))
        elif kind == b"meta":
            meta = _meta(data)
            for item, (name, *_) in meta.types.items():
                if name == b"Exif":
                    yield _behind_offset(_content(data, meta, item))


def _behind_offset(content: bytes) -> bytes:
    """Skip the offset to the TIFF block, which some programs omit."""
    if content[:4] in TIFF_STARTS:
        return content
    return content[4 + int.from_bytes(content[:4], "big") :]


def _then(first: Turn, second: Turn) -> Turn:
    a, b, c, d = second
    e, f, g, h = first
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def _meta(data: bytes) -> _Meta:
    meta = _Meta()
    for kind, box in _Box(data, 0, len(data)).boxes():
        if kind == b"meta":
            box.version()
            for inner, content in box.boxes():
                _read(meta, inner, content)
            return meta
    raise BrokenBoxes("it has no meta box")


def _read(meta: _Meta, kind: bytes, box: _Box) -> None:
    if kind == b"pitm":
        meta.primary = box.number(2 if box.version()[0] == 0 else 4)
    elif kind == b"iinf":
        box.number(2 if box.version()[0] == 0 else 4)
        meta.types |= dict(_item_type(entry) for name, entry in box.boxes() if name == b"infe")
    elif kind == b"iloc":
        meta.places = dict(_locations(box))
    elif kind == b"iref":
        meta.described = _descriptions(box)
    elif kind == b"idat":
        meta.idat = box.take(box.end - box.at)
    elif kind == b"iprp":
        for name, inner in box.boxes():
            if name == b"ipco":
                meta.properties = [(k, b.take(b.end - b.at)) for k, b in inner.boxes()]
            elif name == b"ipma":
                meta.associations |= dict(_associations(inner))


def _item_type(box: _Box) -> tuple[int, tuple[bytes, bytes, bytes]]:
    """Return an item's number, its type, and for MIME items the content type and encoding."""
    version, _ = box.version()
    item = box.number(4 if version == 3 else 2)
    box.take(2)
    if version < 2:
        return item, (b"", b"", b"")
    kind, _ = box.take(4), box.text()
    return item, (kind, *((box.text(), box.text()) if kind == b"mime" else (b"", b"")))


def _locations(box: _Box) -> Iterator[tuple[int, tuple[int, list[tuple[int, int]]]]]:
    """Yield each item's number, its construction method (0: in the file, 1: in idat), offsets and
    lengths."""
    version, _ = box.version()
    sizes = box.number(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(min(box.number(4 if version == 2 else 2), MOST)):
        item = box.number(4 if version == 2 else 2)
        method = box.number(2) & 15 if version else 0
        box.take(2)
        start = box.number(base)
        extents = []
        for _ in range(box.number(2)):
            box.take(index if version else 0)
            extents.append((start + box.number(offset), box.number(length)))
        yield item, (method, extents)


def _descriptions(box: _Box) -> dict[int, list[int]]:
    """Return which items each item describes."""
    size = 2 if box.version()[0] == 0 else 4
    found: dict[int, list[int]] = {}
    for kind, reference in box.boxes():
        item = reference.number(size)
        targets = [reference.number(size) for _ in range(reference.number(2))]
        if kind == b"cdsc":
            found.setdefault(item, []).extend(targets)
    return found


def _associations(box: _Box) -> Iterator[tuple[int, list[int]]]:
    """Yield each item's number and those of its properties, in order of application."""
    version, flags = box.version()
    for _ in range(min(box.number(4), MOST)):
        item = box.number(2 if version == 0 else 4)
        wide = bool(flags & 1)
        numbers = [box.number(2 if wide else 1) for _ in range(box.number(1))]
        yield item, [number & (0x7FFF if wide else 0x7F) for number in numbers]


def _content(data: bytes, meta: _Meta, item: int) -> bytes:
    method, extents = meta.places.get(item, (0, []))
    source = meta.idat if method == 1 else data
    parts = [_Box(source, min(at, len(source)), len(source)) for at, _ in extents]
    if method > 1:
        raise BrokenBoxes("an item lies within another one")
    return b"".join(
        part.take(length or part.end - part.at)
        for part, (_, length) in zip(parts, extents, strict=True)
    )


def _inflated(content: bytes, encoding: bytes) -> bytes:
    if not encoding:
        return content
    try:
        opened = zlib.decompressobj(-zlib.MAX_WBITS if encoding == b"deflate" else zlib.MAX_WBITS)
        return opened.decompress(content, LARGEST_PACKET)
    except zlib.error as error:
        raise BrokenBoxes(f"an item cannot be unpacked: {error}") from error
