"""A labelled person's face and body, each stored with a margin so that crops can vary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ..datasets import Sample
from ..pipeline import crops
from ..records import Boxes, Pixels

MARGIN = 0.3
"""Margin kept around a box, as a fraction of its longer side."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """`pixels` (height, width, 3) uint8 RGB show the box (4,) float32 and its surroundings.

    `roll` is the clockwise lean of the head in degrees. `own_face` (4,) is the person's own face
    on a body, None if it was not found.
    """

    pixels: Pixels
    box: Boxes
    roll: float = 0.0
    own_face: Boxes | None = None


class Parts(NamedTuple):
    """A person's face and body; None if missing."""

    face: Part | None
    body: Part | None

    @property
    def bytes(self) -> int:
        return sum(part.pixels.nbytes for part in self if part is not None)


def parts_of(sample: Sample, size: int) -> Parts:
    """Cut both parts as inference would, no larger than a model of this input size can use. Other
    people are blackened out of the body; the person's own face is not.

    Raises BadInput if the picture cannot be read.
    """
    pixels = sample.pixels()
    height, width = pixels.shape[:2]
    face, body = (crops.whole_pixels(box, width, height) for box in (sample.face, sample.body))
    return Parts(
        None if face is None else _part(pixels, face, size, sample.roll or 0.0),
        None if body is None else _body(pixels, sample, body, face, size),
    )


def bust(face: Part) -> Part:
    """Return a whole face picture as the body that belongs to the face."""
    height, width = face.pixels.shape[:2]
    return Part(face.pixels, np.array((0, 0, width, height), np.float32), 0.0, face.box)


def _body(
    pixels: Pixels, sample: Sample, box: Boxes, own_face: Boxes | None, size: int
) -> Part | None:
    """Return the body; None if inference would refuse it even with its own face visible."""
    height, width = pixels.shape[:2]
    bodies, faces = (
        crops.stacked([crops.whole_pixels(getattr(p, kind), width, height) for p in others])
        for kind, others in (("body", sample.neighbours), ("face", sample.neighbours))
    )
    blackened = crops.blackened_body(pixels, box, bodies, faces)
    if blackened is None:
        return None
    pixels = pixels.copy()
    x1, y1, x2, y2 = box.astype(int)
    pixels[y1:y2, x1:x2] = blackened
    return _part(pixels, box, size, 0.0, own_face)


def _part(
    pixels: Pixels, box: Boxes, size: int, roll: float, own_face: Boxes | None = None
) -> Part | None:
    if (box[2:] <= box[:2]).any():
        return None
    height, width = pixels.shape[:2]
    longer = float((box[2:] - box[:2]).max())
    x1, y1 = np.maximum(np.floor(box[:2] - MARGIN * longer), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:] + MARGIN * longer), (width, height)).astype(int)
    kept, origin = pixels[y1:y2, x1:x2], np.tile(np.array((x1, y1), np.float32), 2)
    ratio = min(1.0, 2 * size / longer)
    if ratio < 1:
        kept = cv2.resize(kept, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    own = None if own_face is None else (own_face - origin) * ratio
    return Part(kept.copy(), (box - origin) * ratio, roll, own)
