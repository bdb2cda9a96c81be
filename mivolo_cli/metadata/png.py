"""Read, insert and remove XMP and Exif chunks in the bytes of a PNG file. All other bytes stay the
same."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from . import Refused
from .packet import is_blank

KEYWORD = b"XML:com.adobe.xmp"
PROFILE = b"Raw profile type "
"""ImageMagick's prefix for metadata in text chunks, stored as lines of hexadecimal digits."""
PROFILE_TEXT = re.compile(rb"\s*\S+\s+(\d+)\s([0-9a-fA-F\s]*)")
EXIF_PROFILES, XMP_PROFILES = (b"exif", b"APP1"), (b"xmp", b"APP1")
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
MAX_TEXT = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A chunk from its length to its checksum."""

    kind: bytes
    start: int
    end: int

    def body(self, data: bytes) -> bytes:
        return data[self.start + 8 : self.end - 4]


@dataclass(frozen=True, slots=True)
class _Text:
    """A text chunk, its keyword, whether it is compressed, and the text."""

    chunk: _Chunk
    keyword: bytes
    compressed: bool
    text: bytes


def read_xmp(data: bytes) -> bytes | None:
    """Return the packet. Raises Refused if there are two, or one in a non-standard form."""
    found = _xmp(data)
    return None if found is None else found.text


def write_xmp(data: bytes, packet: bytes | None) -> bytes:
    """Replace, insert or (None) remove the packet; it stays compressed if it was. Raises
    Refused."""
    there = _xmp(data)
    compressed = there is not None and there.compressed and there.chunk.kind == b"iTXt"
    place = None if there is None else there.chunk
    if packet is None:
        return _write(data, place, None)
    text = zlib.compress(packet, 9) if compressed else packet
    body = KEYWORD + bytes((0, compressed, 0)) + b"\0\0" + text
    return _write(data, place, _chunk(b"iTXt", body))


def read_raw(data: bytes) -> bytes | None:
    """Return the packet's chunk, of any type."""
    found = _xmp(data)
    return None if found is None else data[found.chunk.start : found.chunk.end]


def write_raw(data: bytes, raw: bytes) -> bytes:
    there = _xmp(data)
    return _write(data, None if there is None else there.chunk, raw)


def revert_info(data: bytes) -> str:
    """Return an empty string: only the packet's chunk is changed."""
    return ""


def revert(data: bytes, info: str) -> bytes:
    return data


def read_exif(data: bytes) -> bytes | None:
    """Return the TIFF block of the eXIf chunk. Raises Refused if EXIF is in a text chunk instead,
    which a new eXIf chunk would hide."""
    found = _exif(data)
    if found is None and any(_profiles(data, EXIF_PROFILES, EXIF)):
        raise Refused("exif_in_text")
    return None if found is None else found.body(data)


def write_exif(data: bytes, block: bytes | None) -> bytes:
    return _write(data, _exif(data), None if block is None else _chunk(b"eXIf", block))


def untouched(before: bytes, after: bytes) -> bool:
    """Whether all bytes except XMP and Exif are the same."""
    return _rest(before) == _rest(after)


def packets(data: bytes) -> Iterator[bytes]:
    """Yield the XMP of chunks of all types, even in a truncated file. Raises Refused if one cannot
    be decompressed."""
    try:
        yield from (text.text for text in _texts(data) if text.keyword == KEYWORD)
    except Refused as error:
        if error.code != "bad_container":
            raise
    with suppress(Refused):
        yield from _profiles(data, XMP_PROFILES, XMP)


def exif_blocks(data: bytes) -> Iterator[bytes]:
    """Yield the TIFF blocks in chunks of all types. Raises Refused."""
    found = _exif(data)
    if found is not None:
        yield found.body(data)
    yield from _profiles(data, EXIF_PROFILES, EXIF)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    at, kind = 8, b""
    while kind != b"IEND":
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or (at == 8 and kind != b"IHDR"):
            raise Refused("bad_container", f"no chunk at byte {at}")
        yield _Chunk(kind, at, end)
        at = end


def _texts(data: bytes) -> Iterator[_Text]:
    """Yield text chunks that may contain metadata. Raises Refused."""
    for chunk in _chunks(data):
        if chunk.kind in TEXTS and data.startswith((KEYWORD + b"\0", PROFILE), chunk.start + 8):
            yield _text(chunk, chunk.body(data))


def _text(chunk: _Chunk, body: bytes) -> _Text:
    keyword, _, rest = body.partition(b"\0")
    if chunk.kind == b"tEXt":
        return _Text(chunk, keyword, False, rest)
    compressed, method, text = True, rest[:1], rest[1:]
    if chunk.kind == b"iTXt":
        compressed, method = rest[:1] != b"\0", rest[1:2]
        *_, text = rest[2:].split(b"\0", 2)
    return _Text(chunk, keyword, compressed, _inflated(text, method) if compressed else text)


def _inflated(text: bytes, method: bytes) -> bytes:
    try:
        opened = zlib.decompressobj()
        found = opened.decompress(text, MAX_TEXT)
    except zlib.error as error:
        raise Refused("bad_xmp", str(error)) from error
    if method != b"\0" or not opened.eof:
        raise Refused("bad_xmp", "it is compressed in an unknown way, or too large")
    return found


def _profiles(data: bytes, names: tuple[bytes, ...], start: bytes) -> Iterator[bytes]:
    """Yield the content of text chunks with these names, without the prefix `start`; APP1 may be
    Exif or XMP."""
    for text in _texts(data):
        name = text.keyword.removeprefix(PROFILE)
        match = PROFILE_TEXT.fullmatch(text.text.rstrip(b"\0"))
        if name not in names or match is None:
            continue
        with suppress(ValueError):
            content = bytes.fromhex(match[2].decode())
            if name != b"APP1" or content.startswith(start):
                yield content.removeprefix(start)


def _xmp(data: bytes) -> _Text | None:
    """Return the packet's chunk: the one that all programs read, or else a blank one."""
    found = [text for text in _texts(data) if text.keyword == KEYWORD]
    standard = [text for text in found if text.chunk.kind == b"iTXt"]
    others = [text for text in found if text.chunk.kind != b"iTXt" and not is_blank(text.text)]
    if others or any(_profiles(data, XMP_PROFILES, XMP)):
        raise Refused("bad_container", "its XMP is in a text chunk that only some programs read")
    if len(standard) > 1:
        raise Refused("bad_container", "there are two XMP packets")
    return next(iter(standard or found), None)


def _exif(data: bytes) -> _Chunk | None:
    return next((chunk for chunk in _chunks(data) if chunk.kind == b"eXIf"), None)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + checksum


def _write(data: bytes, there: _Chunk | None, new: bytes | None) -> bytes:
    header = next(_chunks(data))
    start, end = (header.end, header.end) if there is None else (there.start, there.end)
    return data[:start] + (new or b"") + data[end:]


def _rest(data: bytes) -> bytes:
    """Return all bytes except Exif, the packet, and chunks that a packet may replace."""
    parts, done = [], 0
    for chunk in _chunks(data):
        is_text = chunk.kind in TEXTS and data.startswith(KEYWORD + b"\0", chunk.start + 8)
        if chunk.kind == b"eXIf" or is_text:
            parts.append(data[done : chunk.start])
            done = chunk.end
    return b"".join([*parts, data[done:]])
