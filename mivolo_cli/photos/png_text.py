"""Skip texts and colour profiles in PNG files that are longer than Pillow allows.

Pillow rejects the whole file, to prevent a few compressed bytes from expanding to gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import IO

from PIL.PngImagePlugin import PngStream

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def without_long_text(file: IO[bytes]) -> IO[bytes]:
    """Return the file, or a copy in memory without the texts that Pillow would reject, rewound to
    the beginning."""
    long = {start for start, kind, data in _texts(file) if _is_refused(kind, data)}
    file.seek(0)
    if not long:
        return file
    whole = file.read()
    kept = (whole[start:end] for start, end, _ in chunks(file) if start not in long)
    return BytesIO(SIGNATURE + b"".join(kept))


def chunks(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Yield start, end and kind of each chunk, including its length, kind and checksum fields."""
    start = len(SIGNATURE)
    while True:
        file.seek(start)
        header = file.read(8)
        if len(header) < 8:
            return
        end = start + int.from_bytes(header[:4], "big") + 12
        yield start, end, header[4:]
        start = end


def _texts(file: IO[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    for start, end, kind in chunks(file):
        if kind in TEXTS:
            file.seek(start + 8)
            yield start, kind, file.read(end - start - 12)


def _is_refused(kind: bytes, data: bytes) -> bool:
    """Return whether Pillow rejects a chunk."""
    stream = PngStream(BytesIO(data))
    try:
        getattr(stream, f"chunk_{kind.decode()}")(0, len(data))
    except ValueError:
        return True
    return False
