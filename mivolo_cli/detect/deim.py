"""DEIMv2-femto: person and animal detection in a whole photo or in parts of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import boxes as arithmetic
from ..model.registry import find
from ..records import Boxes
from ..runtime.openvino_engine import OnnxEngine
from .resize import Scaled

NAME = "deimv2-femto-416"
FILE = f"{NAME}.onnx"
SIZE = 416
PERSON = 0
ANIMALS = (*range(14, 24), 77)
"""COCO labels of bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe and teddy
bear."""
PERSON_SCORE = 0.33
LOWEST_SCORE = 0.2
"""Candidates that score lower are discarded."""
IOU = 0.5
"""Person boxes with a higher IoU are merged. The network is published as NMS-free, but here NMS
removes one in three false persons and hardly any true ones."""
ELONGATED, WINDOW = 2.0, 1.5
"""Photos with an aspect ratio above ELONGATED are searched in windows with the aspect ratio
WINDOW."""
WINDOW_STEP = 1 / 3
"""Offset between windows, as a share of their longer side: anyone no larger than the overlap is
completely inside one window."""
MAX_WINDOWS = 30
CROWD_SCORE, SMALL_PERSON, CLOSER_FROM = 0.2, 0.2, 3
"""With at least CLOSER_FROM persons smaller than SMALL_PERSON, as a share of the photo's longer
side, closer passes over its two halves are worthwhile."""
HALF = 0.6
"""Length of each half as a share of the longer side; the halves overlap."""
EDGE = 0.01
"""A box within this share of a window's longer side from a window edge inside the photo is treated
as cut off."""

Window = tuple[int, int, int, int]
"""x1, y1, x2, y2 in integer pixels of the photo."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Boxes (n, 4) in pixels of the photo, scores (n,) and COCO labels (n,), best first."""

    boxes: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Objects:
        """Return the objects selected by a mask or by indices."""
        return Objects(self.boxes[kept], self.scores[kept], self.labels[kept])

    @property
    def animals(self) -> Objects:
        return self[self.labels != PERSON]

    def persons(self, score: float) -> Objects:
        """Return the persons that score above a threshold."""
        return self[(self.labels == PERSON) & (self.scores > score)]

    @staticmethod
    def merge(parts: Sequence[Objects]) -> Objects:
        """Merge the objects of several passes, keeping the best score of duplicates. Animals and
        persons do not suppress each other."""
        boxes = np.concatenate([part.boxes for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        labels = np.concatenate([part.labels for part in parts])
        groups = [np.flatnonzero(labels == PERSON), np.flatnonzero(labels != PERSON)]
        kept = np.concatenate(
            [group[arithmetic.nms(boxes[group], scores[group], IOU)] for group in groups]
        )
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        return Objects(boxes[kept], scores[kept], labels[kept])


class Deim:
    """Person and animal detector; uses the weights shipped with the package unless given a file."""

    def __init__(self, file: Path | None = None, precision: str = "fp32") -> None:
        self.file = file or find(NAME)
        self._engine = OnnxEngine(self.file, precision=precision)

    def find(self, photo: Scaled) -> Objects:
        """Detect persons and animals in pixels (height, width, 3) RGB, with closer passes where
        many persons are small."""
        height, width = photo.pixels.shape[:2]
        parts = [self._find_in(photo, window) for window in windows(height, width)]
        found = Objects.merge(parts)
        persons = found.persons(CROWD_SCORE).boxes
        small = arithmetic.longer_side(persons) < SMALL_PERSON * max(height, width)
        if len(parts) == 1 and small.sum() >= CLOSER_FROM:
            found = Objects.merge(
                [found, *(self._find_in(photo, half) for half in halves(height, width))]
            )
        return found

    def _find_in(self, photo: Scaled, window: Window) -> Objects:
        """Detect objects in a window, except those that its edges cut off."""
        x1, y1, x2, y2 = window
        height, width = photo.pixels.shape[:2]
        part = cv2.dnn.blobFromImage(photo.part(window, SIZE, SIZE), 1 / 255)
        labels, boxes, scores = self._engine.run(part, np.array([[x2 - x1, y2 - y1]]))
        found = Objects(
            boxes[0] + np.array((x1, y1, x1, y1), np.float32), scores[0], labels[0].astype(np.int64)
        )
        wanted = np.isin(found.labels, (PERSON, *ANIMALS)) & (found.scores > LOWEST_SCORE)
        return found[wanted & ~_is_cut(found.boxes, window, width, height)]


def windows(height: int, width: int) -> list[Window]:
    """Return the whole photo, or overlapping windows along the longer side if it is elongated."""
    short, long = sorted((height, width))
    if long <= ELONGATED * short:
        return [(0, 0, width, height)]
    length = max(math.ceil(WINDOW * short), math.ceil(long / (1 + WINDOW_STEP * (MAX_WINDOWS - 1))))
    count = 1 + math.ceil((long - length) / (WINDOW_STEP * length))
    return _along(height, width, np.linspace(0, long - length, count), length)


def halves(height: int, width: int) -> list[Window]:
    """Return two overlapping parts of the photo along its longer side."""
    long = max(height, width)
    length = math.ceil(HALF * long)
    return _along(height, width, np.array((0, long - length)), length)


def _along(
    height: int, width: int, starts: NDArray[np.floating | np.integer], length: int
) -> list[Window]:
    """Return windows of a given length at these offsets on the longer side; each spans the full
    shorter side."""
    if width >= height:
        return [(start, 0, start + length, height) for start in starts.astype(int).tolist()]
    return [(0, start, width, start + length) for start in starts.astype(int).tolist()]


def _is_cut(boxes: Boxes, window: Window, width: int, height: int) -> NDArray[np.bool_]:
    """Return a mask (n,) of the boxes (n, 4) that end at a window edge inside a photo of this
    size."""
    start, end = np.array(window[:2]), np.array(window[2:])
    near = EDGE * (end - start).max()
    first = (boxes[:, :2] < start + near) & (start > 0)
    last = (boxes[:, 2:] > end - near) & (end < (width, height))
    return np.asarray((first | last).any(axis=1))
