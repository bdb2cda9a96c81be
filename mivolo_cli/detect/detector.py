"""Shared by all detectors: the protocol, box clean-up, batches of equal shape, several GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import boxes as arithmetic
from ..records import Boxes, Detections, Image, Photo, Pixels
from ..runtime.pool import ResourcePool

YOLO_SUFFIXES = (".pt", ".onnx", ".torchscript", ".engine", "_openvino_model")
MOST = 8
"""Maximum number of photos in a batch of a large network."""
T = TypeVar("T")


class Detector(Protocol):
    """Detects persons and faces in photos.

    `sha256` identifies the weights or boxes. A detector works best with `batch` photos at once,
    called from `streams` threads. Problems are logged as warnings.
    """

    name: str
    sha256: str
    batch: int
    streams: int

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Return one result per photo, in order; it does not depend on the other photos."""

    def way_up(self, pixels: Pixels) -> int:
        """Return the number of counter-clockwise quarter turns after which faces in a picture
        (height, width, 3) score best; 0 if none are found in any orientation."""


class SharedDetector:
    """One detector on several GPUs: photos go to an idle one. `streams` is the number of GPUs."""

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

    def way_up(self, pixels: Pixels) -> int:
        """See Detector.way_up."""
        with self._pool.one() as detector:
            return detector.way_up(pixels)


def by_shape(images: Sequence[Image], find: Callable[[list[Pixels]], list[T]]) -> list[T]:
    """Call `find` with batches of photos of equal shape, at most MOST each, and return the results
    in the order of the photos."""
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
    points: ArrayLike | None = None,
) -> Detections:
    """Clean up boxes (n, 4) xyxy in pixels and scores (n,), or None without scores, for a photo of
    this size.

    Boxes are clipped to the photo, scores to 0 to 1, and both are sorted best first, with unknown
    (NaN) scores last. Boxes that are not finite or have no area left are dropped. `points`
    (faces, 5, 2) are sorted with their faces, but not clipped: they may lie outside the photo.
    Raises ValueError if the numbers of boxes and of scores or points differ.
    """
    bodies, body_scores, _ = _clean(persons, person_scores, width, height)
    boxes, scores, kept = _clean(faces, face_scores, width, height)
    count = np.asarray(faces, np.float32).reshape(-1, 4).shape[0]
    all_points = (
        np.full((count, 5, 2), np.nan, np.float32)
        if points is None
        else np.asarray(points, np.float32)
    )
    if len(all_points) != count:
        raise ValueError(f"{count} faces came with points of {len(all_points)}")
    return Detections(bodies, body_scores, boxes, scores, points=all_points.reshape(-1, 5, 2)[kept])


def way_up_by_faces(detector: Detector, pixels: Pixels) -> int:
    """Implement Detector.way_up for any detector, from all faces that it detects."""
    images = [Image(Photo("", f"{way}"), turned(pixels, way)) for way in range(4)]
    return best_way_up([found.face_scores for found in detector.detect(images)])


def best_way_up(scores: Sequence[NDArray[np.float32]]) -> int:
    """Return the orientation (0 to 3) with the largest sum of face scores; 0 if there are no
    faces."""
    return int(np.argmax([np.nan_to_num(found, nan=1.0).sum() for found in scores]))


def turned(pixels: Pixels, quarters: int) -> Pixels:
    """Rotate pixels (height, width, 3) by this many quarter turns counter-clockwise."""
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters % 4 else pixels


def without_small_faces(found: Detections, min_face: float) -> Detections:
    """Drop faces whose longer side is shorter than `min_face` pixels of the photo."""
    kept = arithmetic.longer_side(found.faces) >= min_face
    return replace(
        found,
        faces=found.faces[kept],
        face_scores=found.face_scores[kept],
        points=found.points[kept],
        pairable=None if found.pairable is None else found.pairable[:, kept],
    )


def _clean(
    found: ArrayLike, scored: ArrayLike | None, width: int, height: int
) -> tuple[Boxes, NDArray[np.float32], NDArray[np.intp]]:
    """Return the cleaned boxes and scores, and the original index of each."""
    boxes = np.asarray(found, np.float32).reshape(-1, 4)
    scores = (
        np.full(len(boxes), np.nan, np.float32)
        if scored is None
        else np.asarray(scored, np.float32).reshape(-1)
    )
    if len(scores) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes came with {len(scores)} scores")
    finite = np.isfinite(boxes).all(axis=1)
    clipped = arithmetic.clip(boxes, width, height)
    kept = np.flatnonzero(finite & (clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return clipped[kept], scores[kept].clip(0, 1), kept
