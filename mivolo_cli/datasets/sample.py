"""One labelled person on a picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageOps

from ..errors import BadInput, PhotoError
from ..photos import decode
from ..photos.rgb import to_rgb
from ..pipeline.crops import Crops, cut
from ..records import Box, Person, Photo, Pixels, Use
from .labels import Label

Shows = Literal["face", "body", "photo"]
"""What a picture shows where no boxes are given: a face or a body filling it, or a whole photo with
people in it."""
TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""
ORIENTATION = 0x0112


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
        """The upright picture, (height, width, 3) uint8 RGB. Raises BadInput where it cannot be
        decoded."""
        try:
            if isinstance(self.source, Path):
                return decode.decode(Photo(str(self.source.parent), self.source.name)).pixels
            with PIL.Image.open(io.BytesIO(self.source)) as picture:
                return np.asarray(to_rgb(PIL.ImageOps.exif_transpose(picture)))
        except (OSError, SyntaxError, ValueError, PhotoError) as error:
            raise BadInput(f"the labelled picture {self.name} cannot be read: {error}") from error

    def crops(self, size: int, use: Use = "both", level: bool = False) -> Crops:
        """The model's inputs, cut as a scan cuts them: none where no box is known. With `level`,
        a head that leans is turned upright."""
        person = Person(self.face, self.body, self.roll)
        return cut(self.pixels(), [person, *self.neighbours], size, use, level)[0]


class Size(NamedTuple):
    width: int
    height: int


def size_of(name: str, source: Path | bytes) -> Size:
    """Of the upright picture, from its first bytes where that is enough. Raises BadInput for what
    is no picture."""
    try:
        with PIL.Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as picture:
            width, height = picture.size
            return (
                Size(height, width)
                if picture.getexif().get(ORIENTATION) in TURNED
                else Size(width, height)
            )
    except (OSError, SyntaxError, ValueError):  # a format that photos knows better, or none at all
        height, width = Sample(name, source, Label()).pixels().shape[:2]
        return Size(width, height)


def whole(size: Size) -> Box:
    """The box of the whole picture."""
    return Box(0, 0, size.width, size.height)
