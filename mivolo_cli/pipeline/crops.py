"""Crop a person's two model inputs, following the published inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import boxes
from ..records import Box, Boxes, Person, Pixels, Use

MIN_OVERLAP = 1e-6
"""Minimum IoU for blackening a neighbour."""
SNAP = 0.3
"""A blackened area within this distance of the crop's border, as a share of the crop's side, is
extended to the border."""
MIN_BODY_SIDE = 50
MIN_BODY_SHARE = 0.4
"""A body is rejected if a smaller share of its values than this remains non-zero."""
MIN_ROLL = 2.0
"""Heads that lean by fewer degrees are not levelled, because the landmarks of detectors are no more
accurate."""


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """A person's inputs, each (size, size, 3) uint8 RGB, or None if unusable. `face_side` is the
    longer side of the face in pixels of the picture that it was cut from, None if unknown."""

    face: Pixels | None
    body: Pixels | None
    face_side: float | None = None

    @property
    def used(self) -> str | None:
        """The inputs by name as in the result table: face+body, face or body; None if there is no
        input."""
        names = [name for name in ("face", "body") if getattr(self, name) is not None]
        return "+".join(names) or None


def cut(
    pixels: Pixels,
    people: Sequence[Person],
    size: int,
    use: Use = "both",
    level: bool = False,
) -> list[Crops]:
    """Crop the inputs of all people in one photo, in order.

    `pixels` is (height, width, 3) uint8. `people` must be everyone detected, because neighbours are
    blackened in body crops. With `level`, leaning heads are turned upright.
    """
    height, width = pixels.shape[:2]
    faces = [whole_pixels(person.face, width, height) for person in people]
    bodies = [whole_pixels(person.body, width, height) for person in people]
    found = []
    for i, (face, body) in enumerate(zip(faces, bodies, strict=True)):
        roll = (people[i].roll or 0.0) if level else 0.0
        face_crop = None if face is None or use == "body" else cut_face(pixels, face, size, roll)
        others = bodies[:i] + bodies[i + 1 :]
        body_crop = (
            None
            if body is None or use == "face" or not people[i].judged
            else cut_body(pixels, body, stacked(others), stacked(faces), size)
        )
        side = None if face is None else float((face[2:] - face[:2]).max())
        found.append(Crops(face_crop, body_crop, side))
    return found


def stack(crops: Sequence[Crops], size: int) -> tuple[Pixels, NDArray[np.bool_]]:
    """Return a batch (n, size, size, 6) uint8, with the face in channels 0-2 and the body in 3-5,
    and a mask (n, 2) of the inputs present.

    Missing inputs are black.
    """
    batch = np.zeros((len(crops), size, size, 6), np.uint8)
    for row, crop in zip(batch, crops, strict=True):
        if crop.face is not None:
            row[..., :3] = crop.face
        if crop.body is not None:
            row[..., 3:] = crop.body
    present = np.array([(crop.face is not None, crop.body is not None) for crop in crops], bool)
    return batch, present.reshape(len(crops), 2)


def cut_face(pixels: Pixels, box: Boxes, size: int, roll: float = 0.0) -> Pixels | None:
    """Crop exactly the face's box (4,); None if it is empty.

    If the head leans clockwise by `roll` degrees, the box is turned with it about its centre.
    """
    crop = inside(pixels, box)
    if crop.size and abs(roll) >= MIN_ROLL:
        crop = turned_inside(pixels, box, roll)
    return letterbox(crop, size) if crop.size else None


def cut_body(pixels: Pixels, box: Boxes, persons: Boxes, faces: Boxes, size: int) -> Pixels | None:
    """Crop the body's box (4,) with other persons (n, 4) and all faces (m, 4) blackened; None if it
    is rejected."""
    x1, y1, x2, y2 = box
    if min(x2 - x1, y2 - y1) < MIN_BODY_SIDE:
        return None
    crop = blackened_body(pixels, box, persons, faces)
    return None if crop is None else letterbox(crop, size)


def blackened_body(pixels: Pixels, box: Boxes, persons: Boxes, faces: Boxes) -> Pixels | None:
    """Return the crop that `cut_body` scales, at its own size, however small; None if too little of
    the body remains visible."""
    crop = inside(pixels, box).copy()
    for person in _meeting(persons, box):
        _blacken(crop, _snap(person - np.tile(box[:2], 2), crop.shape[1], crop.shape[0]))
    for face in _meeting(faces, box):
        _blacken(crop, face - np.tile(box[:2], 2))
    return crop if np.count_nonzero(crop) >= max(1, MIN_BODY_SHARE * crop.size) else None


def letterbox(picture: Pixels, size: int) -> Pixels:
    """Scale to fit into (size, size, 3), centred on black, with the bilinear filter of the
    published models."""
    height, width = picture.shape[:2]
    ratio = min(size / height, size / width)
    fitted = max(1, round(width * ratio)), max(1, round(height * ratio))
    if (width, height) != fitted:
        picture = cv2.resize(picture, fitted, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((size, size, 3), np.uint8)
    left, top = (round((size - side) / 2 - 0.1) for side in fitted)
    canvas[top : top + fitted[1], left : left + fitted[0]] = picture
    return canvas


def whole_pixels(box: Box | None, width: int, height: int) -> Boxes | None:
    """Return the box (4,) truncated to integers and clipped to [0, width - 1] x [0, height - 1]."""
    if box is None:
        return None
    return boxes.clip(np.trunc(np.array(box.corners, np.float32)), width - 1, height - 1)


def stacked(boxes_or_none: Sequence[Boxes | None]) -> Boxes:
    """Stack the boxes (4,) that are not None into (n, 4)."""
    present = [box for box in boxes_or_none if box is not None]
    return np.array(present, np.float32).reshape(-1, 4)


def inside(pixels: Pixels, box: Boxes) -> Pixels:
    """Return a view of the pixels in the box (4,)."""
    x1, y1, x2, y2 = box.astype(int)
    return pixels[y1:y2, x1:x2]


def turned_inside(pixels: Pixels, box: Boxes, degrees: float) -> Pixels:
    """Crop a box (4,) that is turned clockwise about its centre, and turn the crop back; black
    outside the picture."""
    x1, y1, x2, y2 = (float(side) for side in box)
    width, height = x2 - x1, y2 - y1
    reach = (width + height) / 2  # at least half the box's diagonal
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    part = pixels[top : int(y + reach) + 2, left : int(x + reach) + 2]
    turn = cv2.getRotationMatrix2D((x - left - 0.5, y - top - 0.5), degrees, 1.0)
    turn[:, 2] += (width - 1) / 2 - (x - left - 0.5), (height - 1) / 2 - (y - top - 0.5)
    return np.asarray(cv2.warpAffine(part, turn, (round(width), round(height))), np.uint8)


def _meeting(others: Boxes, box: Boxes) -> Boxes:
    return others[boxes.iou(others, box[None])[:, 0] >= MIN_OVERLAP]


def _snap(box: Boxes, width: int, height: int) -> Boxes:
    x1, y1, x2, y2 = boxes.clip(box, width, height)
    return np.array(
        [
            0 if x1 < SNAP * width else x1,
            0 if y1 < SNAP * height else y1,
            width if width - x2 < SNAP * width else x2,
            height if height - y2 < SNAP * height else y2,
        ],
        np.float32,
    )


def _blacken(crop: Pixels, box: Boxes) -> None:
    x1, y1, x2, y2 = boxes.clip(box, crop.shape[1], crop.shape[0]).astype(int)
    crop[y1:y2, x1:x2] = 0
