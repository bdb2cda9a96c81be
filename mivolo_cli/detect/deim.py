"""DEIMv2-femto: detects persons and animals in a whole photo or in parts of it."""

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
"""COCO's bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, and the teddy bear."""
PERSON_SCORE = 0.33
LOWEST_SCORE = 0.2
"""Candidates with lower scores are dropped at once."""
IOU = 0.5
"""Two boxes of persons that overlap by more are the same person. The network is said to need no
NMS, but here one false person in three goes by it, and hardly a true one."""
ELONGATED, WINDOW = 2.0, 1.5
"""A photo whose sides differ by more than the first is searched in windows whose sides differ by
the second."""
WINDOW_STEP = 1 / 3
"""From one window to the next, as a share of its longer side: whoever is no larger than the rest is
whole in one."""
MAX_WINDOWS = 30
CROWD_SCORE, SMALL_PERSON, CLOSER_FROM = 0.2, 0.25, 3
"""With this many persons below this share of the photo's longer side, closer passes over its two
halves pay."""
HALF = 0.6
"""Each half's share of the longer side: they overlap."""
EDGE = 0.01
"""A box that ends within this share of a window's longer side from an edge inside the photo is cut
off there."""

Window = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels of the photo."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Boxes (n, 4) in pixels of the photo, scores (n,), best first, and COCO's labels (n,)."""

    boxes: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, kept: NDArray[np.bool_] | NDArray[np.intp]) -> Objects:
        """Those of a mask or of indices."""
        return Objects(self.boxes[kept], self.scores[kept], self.labels[kept])

    @property
    def animals(self) -> Objects:
        return self[self.labels != PERSON]

    def persons(self, score: float) -> Objects:
        """The persons that score more."""
        return self[(self.labels == PERSON) & (self.scores > score)]

    @staticmethod
    def merge(parts: Sequence[Objects]) -> Objects:
        """The objects of several passes, each once, with the best score; an animal and a person may
        be in one place."""
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
    """Finds persons and animals; without a file, with the weights shipped with the package."""

    def __init__(self, file: Path | None = None, precision: str = "fp32") -> None:
        self.file = file or find(NAME)
        self._engine = OnnxEngine(self.file, precision=precision)

    def find(self, photo: Scaled) -> Objects:
        """Persons and animals in pixels (height, width, 3) RGB; where many persons are small, with
        closer passes."""
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
        """What a window shows, except what its edges cut off."""
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
    """The whole photo, or overlapping windows along the longer side of an elongated one."""
    short, long = sorted((height, width))
    if long <= ELONGATED * short:
        return [(0, 0, width, height)]
    length = max(math.ceil(WINDOW * short), math.ceil(long / (1 + WINDOW_STEP * (MAX_WINDOWS - 1))))
    count = 1 + math.ceil((long - length) / (WINDOW_STEP * length))
    return _along(height, width, np.linspace(0, long - length, count), length)


def halves(height: int, width: int) -> list[Window]:
    """Two overlapping parts of the photo along its longer side."""
    long = max(height, width)
    length = math.ceil(HALF * long)
    return _along(height, width, np.array((0, long - length)), length)


def _along(
    height: int, width: int, starts: NDArray[np.floating | np.integer], length: int
) -> list[Window]:
    """Windows of this length that start there on the longer side, and show all of the shorter
    one."""
    if width >= height:
        return [(start, 0, start + length, height) for start in starts.astype(int).tolist()]
    return [(0, start, width, start + length) for start in starts.astype(int).tolist()]


def _is_cut(boxes: Boxes, window: Window, width: int, height: int) -> NDArray[np.bool_]:
    """Which boxes (n, 4) end at an edge of the window inside a photo of this size: (n,)."""
    start, end = np.array(window[:2]), np.array(window[2:])
    near = EDGE * (end - start).max()
    first = (boxes[:, :2] < start + near) & (start > 0)
    last = (boxes[:, 2:] > end - near) & (end < (width, height))
    return np.asarray((first | last).any(axis=1))
