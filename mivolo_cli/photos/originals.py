"""Copy the original bytes of photos from any storage, provided that they are pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from .. import storage
from ..errors import PhotoError
from ..records import Photo
from . import decode
from .codes import diagnosis
from .formats import formats_of

PIECE = 1 << 20
SIGNATURE = 32
"""Number of leading bytes that identify a picture."""


def is_picture(photo: Photo) -> bool:
    """Return whether a file begins like a picture. Raises PhotoError."""
    return bool(formats_of(next(_pieces(photo), b"")[:SIGNATURE]))


def copy(photo: Photo, target: Path) -> bool:
    """Copy a picture with its time to a new file, creating the folder; return False if it is not a
    picture or cannot be read.

    The caller must have checked that the photo may be opened. Raises OSError if the copy cannot be
    written.
    """
    pieces = _pieces(photo)
    try:
        first = next(pieces, b"")
        if not formats_of(first[:SIGNATURE]):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, first, pieces)
    except PhotoError:
        target.unlink(missing_ok=True)
        return False
    if photo.mtime_ns is not None:
        os.utime(target, ns=(photo.mtime_ns, photo.mtime_ns))
    return True


def _write(target: Path, first: bytes, pieces: Iterator[bytes]) -> None:
    with target.open("xb") as file:
        file.write(first)
        file.writelines(pieces)


def _pieces(photo: Photo) -> Iterator[bytes]:
    """Yield the bytes in pieces. Raises PhotoError for read errors only, not for errors in the
    caller."""
    data = decode.fetched(photo)[1]
    try:
        with storage.open_file(photo.file) if data is None else BytesIO(data) as source:
            while piece := source.read(PIECE):
                yield piece
    except OSError as error:
        raise PhotoError(*diagnosis(error)) from error
