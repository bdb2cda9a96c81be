"""The detector that needs nothing: NanoDet finds persons, BlazeFace finds faces, both shipped with
the program.

BlazeFace sees a photo at 256 pixels and misses small faces. So it looks again, closer, at each
person's upper part; what it is not sure of, it must find again in a closer look; and a face that
fills the photo gets a black margin.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import boxes as arithmetic
from ..model.registry import find, sha256
from ..records import Boxes, Detections, Image, Pixels
from ..runtime.openvino_engine import OnnxEngine
from .detector import detections

PERSON_NAME = "nanodet-g-coco-416"
PERSON_FILE = f"{PERSON_NAME}.onnx"
PERSON_SIZE = 416
PERSON_STRIDES = (8, 16, 32)
PERSON_CLASS = 0
"""Person among the 80 COCO classes."""
BINS = np.arange(11, dtype=np.float32)
"""A side's distance is the mean of these, weighted by NanoDet, in strides."""
BGR_MEAN = (103.53, 116.28, 123.675)
BGR_SCALE = (1 / 57.375, 1 / 57.12, 1 / 58.395)
"""What one over the standard deviation is; the mean is subtracted first."""
PERSON_SCORE = 0.35
PERSON_IOU = 0.6
"""Both as NanoDet was published."""
PERSON_HALVED = 3
"""From so many times the input's sides on a photo is halved first, in a third of the time: the
boxes move by less than if each pixel were one grey level off."""

FACE_NAME = "blazeface-back-256"
FACE_FILE = f"{FACE_NAME}.onnx"
FACE_SIZE = 256
FACE_ANCHORS = ((16, 2), (32, 6))
"""Stride and anchors a cell of the two feature maps."""
FACE_SCORE = 0.5
FACE_IOU = 0.3
"""Both as BlazeFace was published."""
FACE_HALVED = 6
"""The same for BlazeFace, whose boxes move more easily."""

SURE_SCORE = 0.75
"""Faces below this in the first look are looked at again: backs of heads and folds of clothes get
0.5 to 0.75."""
CLOSER_SCORE = 0.65
CLOSER_REACH = 3.0
"""A closer look at a face is a square of so many times its longer side, and must score this: of
small faces that the first look doubted 98 % do, of folds of clothes 3 %."""
SAME_FACE = 0.1
"""IoU of a face with what a closer look finds: the first look misplaces small faces by half their
size."""
LARGE_FACE = 0.6
"""The first look cuts a face short that takes more than this of the photo's longer side."""
CLOSE_UP = 0.4
"""From this share on it may be a piece of a larger face: of 29 such faces in 2,352 close-ups, 20
were."""
MARGIN_REACH = 1.6
"""Such a face, or one not found at all, is looked for with so many times the longer side: 30 % of
black a side."""
MARGIN_FACE = 0.4
"""That look is believed only in faces of at least this share of the photo's longer side."""
UPPER_PART = 0.5
"""The head of a standing person is looked for in this share of the height, and at least in a square
of the width."""
UPPER_REACH = 1.2
"""That square is made larger by this: hair and a tilted head stand out of NanoDet's box."""
WORTHWHILE = 1.3
"""An upper part that would be upscaled by less than this shows nothing that the first look did
not."""
CONTAINED = 0.6
"""A face with this share of its area inside another is the same face."""

Square = tuple[float, float, float]
"""Left, top and side in pixels of the photo; it may reach out of it."""
Found = tuple[Boxes, NDArray[np.float32]]
"""Boxes (n, 4) in pixels of the photo and scores (n,), best first."""


class Finder(Protocol):
    """What finds faces: see FaceFinder."""

    def find(self, pixels: Pixels) -> Found: ...

    def look(self, pixels: Pixels, square: Square, score: float) -> Found: ...


class PersonFinder:
    """NanoDet on a whole photo; without a file, the one shipped with the program."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or find(PERSON_NAME)
        self._engine = OnnxEngine(self.file)
        self._normal = cv2.dnn.Image2BlobParams()
        self._normal.swapRB, self._normal.mean, self._normal.scalefactor = True, BGR_MEAN, BGR_SCALE

    def find(self, pixels: Pixels) -> Found:
        """The persons in pixels (height, width, 3) RGB."""
        stretched = _resize(pixels, PERSON_SIZE, PERSON_SIZE, PERSON_HALVED)
        outputs = self._engine.run(cv2.dnn.blobFromImageWithParams(stretched, self._normal))
        by_shape = {output.shape[1:]: output[0] for output in outputs}
        boxes, scores = zip(
            *(_decode_persons(by_shape, stride) for stride in PERSON_STRIDES), strict=True
        )
        height, width = pixels.shape[:2]
        scale = np.array((width, height, width, height), np.float32) / np.float32(PERSON_SIZE)
        return _best(
            np.concatenate(boxes) * scale, np.concatenate(scores), PERSON_SCORE, PERSON_IOU
        )


class FaceFinder:
    """BlazeFace on a square of a photo; without a file, the one shipped with the program."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or find(FACE_NAME)
        self._engine = OnnxEngine(self.file)
        self._anchors = np.concatenate([_anchors(*grid) for grid in FACE_ANCHORS])  # 896, 2

    def find(self, pixels: Pixels) -> Found:
        """The faces in pixels (height, width, 3) RGB, seen as a whole."""
        return self.look(pixels, _around(pixels, 1.0), FACE_SCORE)

    def look(self, pixels: Pixels, square: Square, score: float) -> Found:
        """The faces that score more than this in a square of the pixels; what lies outside of them
        is black."""
        window, scale, corner = _window(pixels, square)
        outputs = {output.shape[1:]: output[0] for output in self._engine.run(window[None])}
        counts = [cells * (FACE_SIZE // stride) ** 2 for stride, cells in FACE_ANCHORS]
        found = np.concatenate([outputs[count, 16] for count in counts])[:, :4]
        logits = np.concatenate([outputs[count, 1] for count in counts])[:, 0]
        centres = (self._anchors + found[:, :2] - corner) / scale
        boxes = np.concatenate(
            (centres - found[:, 2:] / scale / 2, centres + found[:, 2:] / scale / 2), axis=1
        )
        inside = ((centres > 0) & (centres < pixels.shape[1::-1])).all(axis=1)
        scores = inside / (1 + np.exp(-np.clip(logits, -50, 50)))
        return _best(boxes, scores.astype(np.float32), score, FACE_IOU)


class EmbeddedDetector:
    """Persons and faces with the two files shipped with the program, or with those of the same
    names in a folder."""

    name, batch = "embedded", 1

    def __init__(self, place: Path | None = None) -> None:
        self.persons = PersonFinder(place and place / PERSON_FILE)
        self.faces = FaceFinder(place and place / FACE_FILE)
        files = sha256(self.persons.file) + sha256(self.faces.file)
        self.sha256 = hashlib.sha256(files.encode()).hexdigest()
        self.streams = os.cpu_count() or 1

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """See Detector.detect. One call computes on one core."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Detections:
        persons, person_scores = self.persons.find(image.pixels)
        finder = _Watched(self.faces)
        faces, face_scores = find_faces(finder, image.pixels, persons)
        found = detections(persons, person_scores, faces, face_scores, image.width, image.height)
        return replace(found, upscaled=finder.closest < FACE_SIZE)


class _Watched:
    """A finder of faces that knows the side of its closest look at one photo."""

    def __init__(self, finder: FaceFinder) -> None:
        self._finder = finder
        self.closest = math.inf

    def find(self, pixels: Pixels) -> Found:
        return self._finder.find(pixels)

    def look(self, pixels: Pixels, square: Square, score: float) -> Found:
        self.closest = min(self.closest, square[2])
        return self._finder.look(pixels, square, score)


def find_faces(finder: Finder, pixels: Pixels, persons: Boxes) -> Found:
    """Every face once: of the whole photo, of the persons' upper parts, and of closer looks at the
    doubtful ones."""
    faces, scores = finder.find(pixels)
    shares = _sides(faces) / max(pixels.shape[:2])
    large = shares > LARGE_FACE
    sure = scores >= SURE_SCORE
    seen = [look_at_person(finder, pixels, person) for person in persons]
    again = [
        face
        for face in faces[~sure & ~large]
        if not any(_are_same(closer, face).any() for closer, _ in seen)
    ]
    seen += [look_at_face(finder, pixels, face) for face in again]
    seen += [(faces[sure & ~large], scores[sure & ~large])]
    if (shares > CLOSE_UP).any() or not any(len(boxes) for boxes, _ in seen):
        whole = look_with_margin(finder, pixels)
        seen = [*(_without_pieces(found, whole[0]) for found in seen), whole]
    return merge(
        np.concatenate([boxes for boxes, _ in seen]), np.concatenate([scores for _, scores in seen])
    )


def look_at_person(finder: Finder, pixels: Pixels, person: Boxes) -> Found:
    """The faces in a person's (4,) upper part that can be this person's: centred in it, and not
    wider."""
    x1, y1, x2, y2 = person.tolist()
    side = max(x2 - x1, UPPER_PART * (y2 - y1))
    reach = UPPER_REACH * side
    if WORTHWHILE * reach > max(pixels.shape[:2]):
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    faces, scores = finder.look(
        pixels, ((x1 + x2 - reach) / 2, y1 - (reach - side) / 2, reach), CLOSER_SCORE
    )
    x, y = ((faces[:, :2] + faces[:, 2:]) / 2).T
    own = (
        (x > x1)
        & (x < x2)
        & (y > y1)
        & (y < (y1 + y2) / 2)
        & (faces[:, 2] - faces[:, 0] <= x2 - x1)
    )
    return faces[own], scores[own]


def look_at_face(finder: Finder, pixels: Pixels, face: Boxes) -> Found:
    """What a closer look makes of a face (4,): the same face, found better, or nothing."""
    x, y = (face[:2] + face[2:]) / 2
    side = CLOSER_REACH * float(_sides(face[None])[0])
    faces, scores = finder.look(
        pixels, (float(x) - side / 2, float(y) - side / 2, side), CLOSER_SCORE
    )
    same = _are_same(faces, face)
    return faces[same], scores[same]


def _are_same(faces: Boxes, face: Boxes) -> NDArray[np.bool_]:
    """Which of the faces (n, 4) of a closer look are this one (4,) of the first look."""
    return arithmetic.iou(faces, face[None])[:, 0] > SAME_FACE


def look_with_margin(finder: Finder, pixels: Pixels) -> Found:
    """The faces that fill a good part of the photo, seen with black around it."""
    faces, scores = finder.look(pixels, _around(pixels, MARGIN_REACH), FACE_SCORE)
    large = _sides(faces) >= MARGIN_FACE * max(pixels.shape[:2])
    return faces[large], scores[large]


def _without_pieces(found: Found, whole: Boxes) -> Found:
    """Those of the faces that are no pieces of the whole ones (n, 4)."""
    boxes, scores = found
    inside = arithmetic.intersection(boxes, whole) > CONTAINED * arithmetic.area(boxes)[:, None]
    pieces = inside.any(axis=1)
    return boxes[~pieces], scores[~pieces]


def merge(faces: Boxes, scores: NDArray[np.float32]) -> Found:
    """Leave each face once, with its best box: those that overlap or lie inside one another are the
    same."""
    kept = arithmetic.nms(faces, scores, FACE_IOU)
    faces, scores = faces[kept], scores[kept]
    smaller = np.minimum.outer(arithmetic.area(faces), arithmetic.area(faces))
    inside = arithmetic.intersection(faces, faces) > CONTAINED * smaller
    better = np.tril(inside, k=-1).any(axis=1)  # boxes are sorted: only a better one stands before
    return faces[~better], scores[~better]


def _best(boxes: Boxes, scores: NDArray[np.float32], score: float, iou: float) -> Found:
    passed = scores > score
    boxes, scores = boxes[passed], scores[passed]
    kept = arithmetic.nms(boxes, scores, iou)
    return boxes[kept], scores[kept]


def _decode_persons(outputs: dict[tuple[int, ...], NDArray[np.float32]], stride: int) -> Found:
    """One stride's boxes (n * n, 4) in pixels of the input, unsorted, and their scores."""
    n = PERSON_SIZE // stride
    weights = np.exp(outputs[n * n, 4 * len(BINS)].reshape(-1, 4, len(BINS)))
    distances = stride * (weights @ BINS) / weights.sum(axis=2)
    cells = _anchors(stride, 1, PERSON_SIZE)
    boxes = np.concatenate((cells - distances[:, :2], cells + distances[:, 2:]), axis=1)
    return boxes, outputs[n * n, 80][:, PERSON_CLASS]


def _anchors(stride: int, copies: int, size: int = FACE_SIZE) -> NDArray[np.float32]:
    """The centres x, y of a grid's cells, row by row, each so many times."""
    centres = (np.arange(size // stride, dtype=np.float32) + 0.5) * stride
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.repeat(np.stack((x.ravel(), y.ravel()), axis=1), copies, axis=0)


def _around(pixels: Pixels, reach: float) -> Square:
    """The square around the photo's centre, of so many times its longer side."""
    height, width = pixels.shape[:2]
    side = reach * max(height, width)
    return (width - side) / 2, (height - side) / 2, side


def _window(
    pixels: Pixels, square: Square
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """BlazeFace's input (s, s, 3) of the square; a photo's point (x, y) lies in it at (x, y) *
    scale + corner."""
    left, top, side = square
    height, width = pixels.shape[:2]
    x1, y1 = min(max(0, round(left)), width - 1), min(max(0, round(top)), height - 1)
    x2, y2 = (
        min(max(x1 + 1, round(left + side)), width),
        min(max(y1 + 1, round(top + side)), height),
    )
    ratio = FACE_SIZE / side
    fitted = np.clip(np.round(np.array((x2 - x1, y2 - y1)) * ratio), 1, FACE_SIZE).astype(int)
    place = np.clip(((x1 - left) * ratio, (y1 - top) * ratio), 0, FACE_SIZE - fitted).astype(int)
    canvas = np.zeros((FACE_SIZE, FACE_SIZE, 3), np.uint8)
    part = _resize(pixels[y1:y2, x1:x2], fitted[0], fitted[1], FACE_HALVED)
    canvas[place[1] : place[1] + fitted[1], place[0] : place[0] + fitted[0]] = part
    scale = fitted / np.array((x2 - x1, y2 - y1))
    corner = place - scale * (x1, y1)
    return (
        canvas.astype(np.float32) / 127.5 - 1,
        scale.astype(np.float32),
        corner.astype(np.float32),
    )


def _resize(pixels: Pixels, width: int, height: int, halved: float) -> Pixels:
    """Averages where it shrinks: a plain bilinear filter skips pixels and moves the boxes by
    several.

    What shrinks by more than `halved` is halved first.
    """
    while pixels.shape[0] >= halved * height and pixels.shape[1] >= halved * width:
        half_height, half_width = pixels.shape[0] // 2, pixels.shape[1] // 2
        even = pixels[: 2 * half_height, : 2 * half_width]
        pixels = np.asarray(
            cv2.resize(even, (half_width, half_height), interpolation=cv2.INTER_AREA), np.uint8
        )
    shrinks = pixels.shape[0] > height or pixels.shape[1] > width
    filter_ = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=filter_), np.uint8)


def _sides(boxes: Boxes) -> NDArray[np.float32]:
    """The longer side of each box: (n, 4) -> (n,)."""
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
