"""What all detectors share: the protocol, clean boxes, batches of one shape, several GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import boxes as arithmetic
from ..records import Boxes, Detections, Image, Pixels
from ..runtime.pool import ResourcePool

YOLO_SUFFIXES = (".pt", ".onnx", ".torchscript", ".engine", "_openvino_model")
MOST = 8
"""Photos in a batch of a large network."""
T = TypeVar("T")


class Detector(Protocol):
    """Finds persons and faces in photos.

    `sha256` tells one set of weights or boxes from another. It likes to be given `batch` photos at
    once, by as many threads as it has `streams`. Its troubles go to the log, as warnings.
    """

    name: str
    sha256: str
    batch: int
    streams: int

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One answer a photo, in order; a photo's answer does not depend on the photos beside
        it."""


class SharedDetector:
    """The same detector on several GPUs: photos go to one that is idle, from as many threads as
    there are GPUs."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = detectors
        self._pool = ResourcePool(detectors)
        first = detectors[0]
        self.name, self.sha256, self.batch = first.name, first.sha256, first.batch
        self.streams = len(detectors)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """See Detector.detect."""
        with self._pool.one() as detector:
            return detector.detect(images)


def by_shape(images: Sequence[Image], find: Callable[[list[Pixels]], list[T]]) -> list[T]:
    """What `find` says of each photo, in order; it is given photos of one shape at a time, and not
    too many."""
    found: dict[int, T] = {}
    places = sorted(range(len(images)), key=lambda place: images[place].pixels.shape)
    for _, group in groupby(places, key=lambda place: images[place].pixels.shape):
        same = list(group)
        for start in range(0, len(same), MOST):
            part = same[start : start + MOST]
            found |= zip(part, find([images[place].pixels for place in part]), strict=True)
    return [found[place] for place in range(len(images))]


def detections(
    persons: ArrayLike,
    person_scores: ArrayLike | None,
    faces: ArrayLike,
    face_scores: ArrayLike | None,
    width: int,
    height: int,
) -> Detections:
    """Anyone's boxes (n, 4) xyxy in pixels and scores (n,), made fit for a photo of this size; no
    scores: None.

    They are clipped to the photo and sorted, best first and unknown (NaN) scores last; boxes that
    are not finite or have no area left are dropped. Raises ValueError where boxes and scores are
    not as many.
    """
    return Detections(
        *_clean(persons, person_scores, width, height), *_clean(faces, face_scores, width, height)
    )


def _clean(
    found: ArrayLike, scored: ArrayLike | None, width: int, height: int
) -> tuple[Boxes, NDArray[np.float32]]:
    boxes = np.asarray(found, np.float32).reshape(-1, 4)
    scores = (
        np.full(len(boxes), np.nan, np.float32)
        if scored is None
        else np.asarray(scored, np.float32).reshape(-1)
    )
    if len(scores) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes came with {len(scores)} scores")
    finite = np.isfinite(boxes).all(axis=1)
    boxes, scores = arithmetic.clip(boxes[finite], width, height), scores[finite]
    left = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    boxes, scores = boxes[left], scores[left]
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]
