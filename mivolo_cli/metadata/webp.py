"""Read, insert and remove XMP and Exif chunks in the bytes of a WebP file. All other chunks stay
the same.

A simple file has one chunk, the picture. Metadata needs the extended form, whose first chunk lists
what the file contains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import Refused

HEADER, XMP, EXIF = b"VP8X", b"XMP ", b"EXIF"
HAS_XMP, HAS_EXIF, HAS_ALPHA = 0x04, 0x08, 0x10
PREFIX = b"Exif\0\0"
Chunk = tuple[bytes, bytes]
"""FourCC and content."""


def read_xmp(data: bytes) -> bytes | None:
    return _content(data, XMP)


def write_xmp(data: bytes, packet: bytes | None) -> bytes:
    """Replace, insert or (None) remove the packet. Raises Refused."""
    return _write(data, XMP, HAS_XMP, packet)


def read_raw(data: bytes) -> bytes | None:
    """Return the packet itself."""
    return read_xmp(data)


def write_raw(data: bytes, raw: bytes) -> bytes:
    return write_xmp(data, raw)


def revert_info(data: bytes) -> str:
    """Return the number of chunks of a simple file, or the flags of an extended one."""
    chunks = _chunks(data)
    return f"flags {chunks[0][1][0]}" if chunks[0][0] == HEADER else f"simple {len(chunks)}"


def revert(data: bytes, info: str) -> bytes:
    """Restore the simple form, unless chunks were added since, or the flags of an extended file."""
    word, _, digits = info.partition(" ")
    chunks = _chunks(data)
    try:
        number = int(digits or 1)
    except ValueError:
        return data
    if chunks[0][0] != HEADER:
        return data
    if word == "simple" and len(chunks) == number + 1:
        return _file(chunks[1:])
    if word == "flags":
        kept = chunks[0][1][0] & ~(HAS_XMP | HAS_EXIF)
        flags = kept | number & (HAS_XMP | HAS_EXIF)
        return _file([(HEADER, bytes((flags,)) + chunks[0][1][1:]), *chunks[1:]])
    return data


def packets(data: bytes) -> Iterator[bytes]:
    """Yield the XMP of all chunks, even if the file's length differs from its header."""
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == XMP:
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def read_exif(data: bytes) -> bytes | None:
    """Return the TIFF block, without the JPEG prefix that some programs add."""
    found = _content(data, EXIF)
    return None if found is None else found.removeprefix(PREFIX)


def write_exif(data: bytes, block: bytes | None) -> bytes:
    prefix = PREFIX if (_content(data, EXIF) or b"").startswith(PREFIX) else b""
    return _write(data, EXIF, HAS_EXIF, None if block is None else prefix + block)


def untouched(before: bytes, after: bytes) -> bool:
    """Whether all chunks are the same, except XMP, Exif and their flags in the header."""
    return _rest(before) == _rest(after)


def _chunks(data: bytes) -> list[Chunk]:
    if int.from_bytes(data[4:8], "little") + 8 != len(data):
        raise Refused("bad_container", "its length differs from its header")
    chunks, at = [], 12
    while at < len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        content = data[at + 8 : at + 8 + length]
        if len(content) != length or data[at + 8 + length : at + 8 + length + length % 2].strip(
            b"\0"
        ):
            raise Refused("bad_container", f"no chunk at byte {at}")
        chunks.append((data[at : at + 4], content))
        at += 8 + length + length % 2
    kinds = [kind for kind, _ in chunks]
    if at != len(data) or not chunks or kinds.count(XMP) > 1 or kinds.count(EXIF) > 1:
        raise Refused("bad_container", "its chunks are not in order")
    return chunks


def _file(chunks: Sequence[Chunk]) -> bytes:
    parts = [
        kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
        for kind, body in chunks
    ]
    whole = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(whole).to_bytes(4, "little") + whole


def _content(data: bytes, wanted: bytes) -> bytes | None:
    return next((body for kind, body in _chunks(data) if kind == wanted), None)


def _write(data: bytes, wanted: bytes, flag: int, body: bytes | None) -> bytes:
    chunks = _chunks(data)
    kinds = [kind for kind, _ in chunks]
    if chunks[0][0] != HEADER:
        if body is None:
            return _file([chunk for chunk in chunks if chunk[0] != wanted])
        chunks.insert(0, (HEADER, _header(*chunks[0])))
        kinds.insert(0, HEADER)
    place = kinds.index(wanted) if wanted in kinds else len(chunks)
    if wanted == EXIF and EXIF not in kinds and XMP in kinds:
        place = kinds.index(XMP)  # the order required by the format
    chunks[place : place + (wanted in kinds)] = [] if body is None else [(wanted, body)]
    flags = chunks[0][1][0]
    chunks[0] = HEADER, bytes((flags & ~flag if body is None else flags | flag,)) + chunks[0][1][1:]
    return _file(chunks)


def _header(kind: bytes, picture: bytes) -> bytes:
    """Return the content of the header chunk for this picture."""
    if kind == b"VP8L" and picture[:1] == b"\x2f":
        bits = int.from_bytes(picture[1:5], "little")
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    elif kind == b"VP8 " and picture[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(picture[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        width, height, alpha = width - 1, height - 1, 0
    else:
        raise Refused("bad_container", "its picture cannot be measured")
    return (
        bytes((alpha * HAS_ALPHA, 0, 0, 0))
        + width.to_bytes(3, "little")
        + height.to_bytes(3, "little")
    )


def _rest(data: bytes) -> list[Chunk]:
    return [chunk for chunk in _chunks(data) if chunk[0] not in (HEADER, XMP, EXIF)] + [
        (kind, bytes((body[0] & ~(HAS_XMP | HAS_EXIF),)) + body[1:])
        for kind, body in _chunks(data)
        if kind == HEADER and body[0] & ~(HAS_XMP | HAS_EXIF | HAS_ALPHA)
    ]
