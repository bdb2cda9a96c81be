"""One labelled person in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, NamedTuple

import PIL.Image

from .. import storage
from ..errors import BadInput, PhotoError
from ..photos import decode, sandbox
from ..photos.codes import DAMAGE
from ..photos.formats import formats_of, open_picture
from ..photos.png_text import TEXTS, chunks
from ..pipeline.crops import Crops, cut
from ..records import Box, Failure, Person, Photo, Pixels, Use
from .labels import Label

Shows = Literal["face", "body", "photo"]
"""Content of a picture without boxes: a face or a body filling it, or a whole photo of people."""
TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""
ORIENTATION = 0x0112
REFUSED: tuple[type[Exception], ...] = (
    *DAMAGE,
    PhotoError,
    PIL.Image.DecompressionBombError,
)
TURNING = (b"eXIf", *TEXTS)
"""Chunks of a PNG that may hold an orientation."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled person: the picture, as a file or as its bytes, and where the face and the body
    are on it.

    Boxes are in pixels of the upright picture. Without either box the picture is a photo that needs
    a detector. `neighbours` are the others on it, labelled or not: they are blackened out of this
    person's body. `roll` is by how many degrees the head leans clockwise, where that is known.
    """

    name: str
    source: Path | bytes
    label: Label
    face: Box | None = None
    body: Box | None = None
    neighbours: tuple[Person, ...] = ()
    roll: float | None = None

    @property
    def shows(self) -> str:
        """face+body, face, body or photo."""
        return (
            "+".join(name for name in ("face", "body") if getattr(self, name) is not None)
            or "photo"
        )

    def pixels(self) -> Pixels:
        """The upright picture, (height, width, 3) uint8 RGB, read with the limits of a scan. Raises
        BadInput if it cannot be decoded."""
        if isinstance(self.source, Path):
            photo, data = Photo(str(self.source.parent), self.source.name), None
        else:
            photo, data = Photo("", self.name, len(self.source), 0), self.source
        found = decode.decode_or_fail(photo, sandbox.shared(), data=data)
        if isinstance(found, Failure):
            raise BadInput(
                f"the labelled picture {self.name} cannot be read: {found.message}",
                hint="correct or remove its row in the labels",
            )
        return found.pixels

    def crops(self, size: int, use: Use = "both", level: bool = False) -> Crops:
        """The model's inputs, cut as a scan cuts them: none if no box is known. With `level`, a
        head that leans is turned upright."""
        person = Person(self.face, self.body, self.roll)
        return cut(self.pixels(), [person, *self.neighbours], size, use, level)[0]


class Size(NamedTuple):
    width: int
    height: int


def size_of(name: str, source: Path | bytes) -> Size:
    """Of the upright picture, from its first bytes where that is enough. Raises BadInput for what
    is not a picture."""
    try:
        with storage.open_file(source) if isinstance(source, Path) else BytesIO(source) as file:
            if (size := _announced(file)) is not None:
                return size
    except REFUSED:
        pass  # what is wrong with it is said by who decodes it
    height, width = Sample(name, source, Label()).pixels().shape[:2]
    return Size(width, height)


def _announced(file: IO[bytes]) -> Size | None:
    """Header data of a JPEG, or of a PNG that cannot be rotated; None for other files, which would
    have to be decoded for that."""
    formats = formats_of(file.read(32))
    if formats == ["PNG"] and any(kind in TURNING for *_, kind in chunks(file)):
        return None
    if formats not in (["JPEG"], ["PNG"]):
        return None
    file.seek(0)
    picture = open_picture(file)
    turned = formats == ["JPEG"] and picture.getexif().get(ORIENTATION) in TURNED
    return Size(*picture.size[::-1]) if turned else Size(*picture.size)


def whole(size: Size) -> Box:
    """The box of the whole picture."""
    return Box(0, 0, size.width, size.height)
