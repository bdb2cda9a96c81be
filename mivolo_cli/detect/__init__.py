"""Find persons and faces: one adapter a file behind one small protocol."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import boxes as arithmetic
from ..errors import BadInput
from ..model import registry as registered
from ..records import Boxes, Detections, Image, Pixels
from ..runtime.engines import each_gpu
from ..runtime.pool import ResourcePool

NAMES = ("embedded", "given", "yolo", "retinaface")
YOLO_SUFFIXES = (".pt", ".onnx", ".torchscript", ".engine", "_openvino_model")
RETINAFACE_SUFFIXES = (".pth",)
MOST = 8
"""Photos in a batch of a large network."""
T = TypeVar("T")


class Detector(Protocol):
    """Finds persons and faces in photos.

    `sha256` tells one set of weights or boxes from another. `notes` are lines for the user about
    how it works here; more may come while it works. It likes to be given `batch` photos at once, by
    as many threads as it has `streams`.
    """

    name: str
    sha256: str
    batch: int
    streams: int

    @property
    def notes(self) -> list[str]: ...

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One answer a photo, in order; a photo's answer does not depend on the photos beside
        it."""


def open_detector(
    name_or_path: str,
    *,
    boxes: Path | None = None,
    weights: Path | None = None,
    device: str = "cpu",
    engine: str = "auto",
    precision: str = "fp32",
    face_score: float | None = None,
    person_score: float | None = None,
    min_face: float | None = None,
) -> Detector:
    """The detector of this name, or the one that the weights of this name or at this path are for.

    `boxes` is the table of `given`; `weights` replaces the registered file of `yolo` and
    `retinaface`; `device` is PyTorch's name of it, or of several GPUs (see engines.each_gpu),
    `engine` is that of an age model; `precision` is for yolo in OpenVINO, which stays at fp32 for
    int8. `face_score` and `person_score` (0 to 1) and `min_face` (longer side in pixels of the
    photo) are what faces and persons must have, None: the detector's defaults; those of `given` are
    all taken. Raises BadInput or WeightsError, and no pickle is opened before it is known to be
    trusted.
    """
    limits = {"face_score": face_score, "person_score": person_score, "min_face": min_face}
    chosen: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    name = name_or_path
    if name not in NAMES:
        weights = _weights(name_or_path)
        name = _reader(weights)
    if name == "given":
        if boxes is None:
            raise BadInput(
                "the detector `given` needs a table of boxes",
                hint="add --boxes FILE (CSV or Parquet)",
            )
        from .given import GivenDetector

        return GivenDetector(boxes)
    if boxes is not None:
        raise BadInput(
            f"a table of boxes is no use to the detector {name!r}", hint="use --detector given"
        )
    if name == "embedded":
        from .embedded import EmbeddedDetector

        return EmbeddedDetector(**chosen)
    of_gpus: list[Detector] = [
        _open(name, weights, gpu, engine, precision, chosen) for gpu in each_gpu(device)
    ]
    return of_gpus[0] if len(of_gpus) == 1 else SharedDetector(of_gpus)


def _open(
    name: str,
    weights: Path | None,
    device: str,
    engine: str,
    precision: str,
    limits: dict[str, Any],
) -> Detector:
    if name == "yolo":
        from .yolo import YoloDetector

        return YoloDetector(weights, device, engine, precision, **limits)
    from .retinaface import RetinaFaceDetector

    return RetinaFaceDetector(weights, device, engine, **limits)


class SharedDetector:
    """The same detector on several GPUs: photos go to one that is idle, from as many threads as
    there are GPUs."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = detectors
        self._pool = ResourcePool(detectors)
        first = detectors[0]
        self.name, self.sha256, self.batch = first.name, first.sha256, first.batch
        self.streams = len(detectors)

    @property
    def notes(self) -> list[str]:
        return list(dict.fromkeys(note for detector in self._detectors for note in detector.notes))

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
    points: ArrayLike | None = None,
) -> Detections:
    """Anyone's boxes (n, 4) xyxy in pixels and scores (n,), made fit for a photo of this size; no
    scores: None.

    They are clipped to the photo and sorted, best first and unknown (NaN) scores last; boxes that
    are not finite or have no area left are dropped. `points` (faces, 5, 2) stay with their faces,
    and where they are: they may lie outside the photo. Raises ValueError where boxes and scores or
    points are not as many.
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


def without_small_faces(found: Detections, min_face: float) -> Detections:
    """The detections without faces whose longer side is below this, in pixels of the photo."""
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
    """Boxes and scores made fit, and the index that each of them had."""
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
    return clipped[kept], scores[kept], kept


def _weights(name_or_path: str) -> Path:
    """The file of a detector's weights. Raises BadInput where there is neither such a name nor such
    a file."""
    path = Path(name_or_path)
    if path.exists():
        return path
    entry = registered.known().get(name_or_path)
    if entry is not None and entry.kind == "detector" and not entry.embedded:
        return registered.find(name_or_path)
    if path.suffix or path.name != name_or_path:
        raise BadInput(
            f"there is no detector file {path}", hint="check the path, or use --detector embedded"
        )
    near = difflib.get_close_matches(name_or_path, NAMES, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"use {', '.join(NAMES)} or the path of a detector's weights"
    )
    raise BadInput(f"there is no detector {name_or_path!r}", hint=hint)


def _reader(weights: Path) -> str:
    """The detector that reads weights of this kind."""
    if weights.name.lower().endswith(YOLO_SUFFIXES):
        return "yolo"
    if weights.name.lower().endswith(RETINAFACE_SUFFIXES):
        return "retinaface"
    known = ", ".join((*YOLO_SUFFIXES, *RETINAFACE_SUFFIXES))
    raise BadInput(f"{weights} is not a detector", hint=f"the weights of detectors end in {known}")
