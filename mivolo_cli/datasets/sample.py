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
"""Content of a picture without boxes: a face or body that fills it, or a whole photo of people."""
TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
ORIENTATION = 0x0112
REFUSED: tuple[type[Exception], ...] = (
    *DAMAGE,
    PhotoError,
    PIL.Image.DecompressionBombError,
)
TURNING = (b"eXIf", *TEXTS)
"""PNG chunks that may contain an orientation."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled person: the picture, as a path or as bytes, and the boxes of face and body.

    Boxes are in pixels of the upright picture. Without a box, the picture is a photo that needs a
    detector. `neighbours` are the other people in it, labelled or not; they are blackened out of
    this person's body. `roll` is the clockwise lean of the head in degrees, None if unknown.
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
        """Decode the upright picture, (height, width, 3) uint8 RGB, within the limits of a scan.
        Raises BadInput if it cannot be decoded."""
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
        """Cut the model's inputs as a scan does; without boxes there are none. With `level`, a
        leaning head is turned upright."""
        person = Person(self.face, self.body, self.roll)
        return cut(self.pixels(), [person, *self.neighbours], size, use, level)[0]


class Size(NamedTuple):
    width: int
    height: int


def size_of(name: str, source: Path | bytes) -> Size:
    """Return the size of the upright picture, from its header if possible. Raises BadInput if it
    is not a picture."""
    try:
        with storage.open_file(source) if isinstance(source, Path) else BytesIO(source) as file:
            if (size := _header_size(file)) is not None:
                return size
    except REFUSED:
        pass  # decoding it below reports the problem
    height, width = Sample(name, source, Label()).pixels().shape[:2]
    return Size(width, height)


def _header_size(file: IO[bytes]) -> Size | None:
    """Return the size from the header of a JPEG, or of a PNG without an orientation; None for other
    files, which have to be decoded."""
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
    """Return the box of the whole picture."""
    return Box(0, 0, size.width, size.height)
