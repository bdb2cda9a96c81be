"""Pictures passed in memory: bytes, open files, arrays and Pillow images. Unusable ones become
failures."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np
import PIL.Image
import PIL.ImageOps

from .. import storage
from ..errors import PhotoError
from ..records import Failure, Image, Photo, Pixels
from . import archives, walk
from .codes import CODES, DAMAGE, diagnosis
from .decode import Loaded
from .formats import prepare
from .rgb import to_pixels, to_rgb

Picture = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Pixels | PIL.Image.Image
)
"""The path of a file or folder; the bytes of a file, or an open file; an array (height, width, 3)
uint8 RGB; or a Pillow image."""
MEMORY = "(memory)"
"""Root of pictures that are not in a file; roots of files are absolute."""
BYTES = (bytes, bytearray, memoryview)
ALLOWED = (
    "give a path, bytes, a file opened in binary mode, a Pillow picture, or an array"
    " (height, width, 3) of uint8 in the order red, green, blue"
)


def is_picture(value: object) -> bool:
    """Return whether a value is meant as one picture, not several."""
    kinds = (str, os.PathLike, PIL.Image.Image, np.ndarray, *BYTES)
    return isinstance(value, kinds) or hasattr(value, "read")


class Memory:
    """Numbers pictures, and keeps those from memory by name until their results are returned."""

    def __init__(self) -> None:
        self._numbers = count()
        self._kept: dict[str, Pixels | bytes] = {}

    def items(self, picture: object) -> Iterator[Photo | Failure | Loaded | Image]:
        """Yield what to decode for one picture, or for all photos in a folder."""
        if isinstance(picture, (str, os.PathLike)) and picture != "":
            yield from walk.opened(walk.walk([_place(picture)]))
            return
        photo = Photo(MEMORY, f"picture {next(self._numbers)}")
        try:
            if isinstance(picture, str):  # an empty string
                raise PhotoError("missing", CODES["missing"])
            content = _content(picture)
        except PhotoError as error:
            yield Failure(photo, error.code, str(error))
            return
        self._kept[photo.path] = content
        if isinstance(content, bytes):
            yield Loaded(photo, content)
        else:
            yield Image(photo, content)

    def kept(self, photo: Photo) -> Pixels | bytes | None:
        return self._kept.get(photo.path) if photo.root == MEMORY else None

    def data(self, photo: Photo) -> bytes | None:
        """Return the bytes of a photo, or None if it is in a file."""
        kept = self.kept(photo)
        return kept if isinstance(kept, bytes) else None

    def forget(self, photo: Photo) -> None:
        if photo.root == MEMORY:
            self._kept.pop(photo.path, None)


def _place(picture: str | os.PathLike[str]) -> Path:
    return storage.place(os.fsdecode(picture))


def _content(picture: Any) -> Pixels | bytes:
    """Return pixels, or the bytes of a file. Raises PhotoError."""
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    try:
        if isinstance(picture, PIL.Image.Image):
            return _from_pillow(picture)
        data = bytes(picture) if isinstance(picture, BYTES) else _read(picture)
    except (MemoryError, PIL.Image.DecompressionBombError) as error:
        raise PhotoError("too_large", CODES["too_large"]) from error
    except DAMAGE as error:
        raise PhotoError(*diagnosis(error)) from error
    if len(data) > archives.MAX_BYTES:
        raise PhotoError("too_large", CODES["too_large"])
    return data


def _read(file: Any) -> bytes:
    """Read an open file from its beginning, as Pillow does. Raises PhotoError."""
    if not hasattr(file, "read"):
        raise PhotoError("not_a_picture", f"a picture cannot be a {_kind(file)}: {ALLOWED}")
    try:
        if file.seekable() if hasattr(file, "seekable") else hasattr(file, "seek"):
            file.seek(0)
        data = file.read(archives.MAX_BYTES + 1)
    except MemoryError:
        raise
    except Exception as error:  # custom file objects may raise anything
        raise PhotoError("unreadable", f"{CODES['unreadable']}: {error}") from error
    if inspect.iscoroutine(data):
        data.close()
    if not isinstance(data, BYTES):
        raise PhotoError(
            "not_a_picture", f"a file gave {_kind(data)} and not bytes: open it in binary mode"
        )
    return bytes(data)


def _from_array(array: Any) -> Pixels:
    fits = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size
    if not fits:
        text = f"a picture cannot be an array {array.shape} {array.dtype}: {ALLOWED}"
        raise PhotoError("not_a_picture", text)
    return np.ascontiguousarray(array)  # an array reversed from BGR to RGB is a view


def _from_pillow(picture: PIL.Image.Image) -> Pixels:
    """Convert to upright RGB."""
    prepare()
    if not all(picture.size):
        raise PhotoError("not_a_picture", "the picture has no pixels")
    picture.load()
    with suppress(*DAMAGE):  # damaged EXIF data are ignored
        picture = PIL.ImageOps.exif_transpose(picture)
    return to_pixels(to_rgb(picture))


def _kind(value: object) -> str:
    return type(value).__name__
