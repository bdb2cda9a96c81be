"""The original bytes of photos, wherever they are stored; for copying, and only if they are a
picture's."""

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
"""Bytes by which a picture is known."""


def is_picture(photo: Photo) -> bool:
    """Whether it begins like one. Raises PhotoError."""
    return bool(formats_of(next(_pieces(photo), b"")[:SIGNATURE]))


def copy(photo: Photo, target: Path) -> bool:
    """Copy a picture, with its time, to a new file in a folder that is made; False if it is none or
    cannot be read.

    Whoever calls has made sure that the photo may be opened. Raises OSError if the copy cannot be
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
    """Raises PhotoError; what goes wrong with a piece elsewhere is not its concern."""
    data = decode.fetched(photo)[1]
    try:
        with storage.open_file(photo.file) if data is None else BytesIO(data) as source:
            while piece := source.read(PIECE):
                yield piece
    except OSError as error:
        raise PhotoError(*diagnosis(error)) from error
