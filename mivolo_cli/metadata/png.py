"""PNG files as bytes: the XMP and Exif chunks read, put in, taken out. Every other byte stays as it
is."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from . import Refused

KEYWORD = b"XML:com.adobe.xmp\0"
RAW_PROFILES = (b"Raw profile type xmp\0", b"Raw profile type APP1\0")
LARGEST_PACKET = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Chunk:
    """From the length to the checksum."""

    kind: bytes
    start: int
    end: int

    def body(self, data: bytes) -> bytes:
        return data[self.start + 8 : self.end - 4]


def read_xmp(data: bytes) -> bytes | None:
    """The packet. Raises Refused where there are two, or one in a form of other programs' own."""
    found = _xmp(data)
    return None if found is None else _packet(found.body(data))[1]


def write_xmp(data: bytes, packet: bytes | None) -> bytes:
    """With this packet, or with none, instead of the one that is there; compressed if that one was.
    Raises Refused."""
    there = _xmp(data)
    compressed = there is not None and _packet(there.body(data))[0]
    if packet is None:
        return _write(data, there, b"iTXt", None)
    text = zlib.compress(packet, 9) if compressed else packet
    return _write(data, there, b"iTXt", KEYWORD + bytes((compressed, 0)) + b"\0\0" + text)


def revert_info(data: bytes) -> str:
    """Nothing has to be known for a packet to be taken out."""
    return ""


def revert(data: bytes, info: str) -> bytes | None:
    return write_xmp(data, None)


def read_exif(data: bytes) -> bytes | None:
    """The TIFF block of the eXIf chunk."""
    found = _exif(data)
    return None if found is None else found.body(data)


def write_exif(data: bytes, block: bytes | None) -> bytes:
    return _write(data, _exif(data), b"eXIf", block)


def untouched(before: bytes, after: bytes) -> bool:
    """Whether all but XMP and Exif is the same, byte for byte."""
    return _rest(before) == _rest(after)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    at, kind = 8, b""
    while kind != b"IEND":
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or (at == 8 and kind != b"IHDR"):
            raise Refused("bad_container", f"no chunk at byte {at}")
        yield _Chunk(kind, at, end)
        at = end


def _xmp(data: bytes) -> _Chunk | None:
    found = []
    for chunk in _chunks(data):
        if chunk.kind == b"iTXt" and data.startswith(KEYWORD, chunk.start + 8):
            found.append(chunk)
        elif chunk.kind in (b"zTXt", b"tEXt", b"iTXt") and data.startswith(
            RAW_PROFILES, chunk.start + 8
        ):
            raise Refused(
                "bad_container", "its XMP is in a text chunk that only some programs read"
            )
    if len(found) > 1:
        raise Refused("bad_container", "there are two XMP packets")
    return found[0] if found else None


def _packet(body: bytes) -> tuple[bool, bytes]:
    """Whether it is compressed, and the packet."""
    compressed, method = body[len(KEYWORD) : len(KEYWORD) + 2]
    *_, text = body[len(KEYWORD) + 2 :].split(b"\0", 2)
    if not compressed:
        return False, text
    try:
        opened = zlib.decompressobj()
        packet = opened.decompress(text, LARGEST_PACKET)
    except zlib.error as error:
        raise Refused("bad_xmp", str(error)) from error
    if method or not opened.eof:
        raise Refused("bad_xmp", "it is compressed in an unknown way, or too large")
    return True, packet


def _exif(data: bytes) -> _Chunk | None:
    return next((chunk for chunk in _chunks(data) if chunk.kind == b"eXIf"), None)


def _write(data: bytes, there: _Chunk | None, kind: bytes, body: bytes | None) -> bytes:
    new = (
        b"" if body is None else len(body).to_bytes(4, "big") + kind + body + _checksum(kind + body)
    )
    header = next(_chunks(data))
    start, end = (header.end, header.end) if there is None else (there.start, there.end)
    return data[:start] + new + data[end:]


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")


def _rest(data: bytes) -> bytes:
    parts, done = [], 0
    for chunk in _chunks(data):
        if chunk.kind == b"eXIf" or (
            chunk.kind == b"iTXt" and data.startswith(KEYWORD, chunk.start + 8)
        ):
            parts.append(data[done : chunk.start])
            done = chunk.end
    return b"".join([*parts, data[done:]])
