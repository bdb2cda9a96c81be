"""People for int8 calibration, taken from photos as a scan sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..detect.detector import Detector
from ..errors import BadInput
from ..model.spec import ModelSpec
from ..photos import decode, walk
from ..photos.limits import Limits
from ..records import Failure, Photo, Pixels, Use
from ..runtime.graph_cache import Int8Samples
from ..runtime.quantize import Batches
from . import stages
from .predict import Predictor

PHOTOS = 300
"""Photos at most, from all over the collection."""
PEOPLE = 8
"""In a batch."""
T = TypeVar("T")


def from_photos(
    found: Iterable[Photo | Failure],
    detector: Detector,
    use: Use,
    workers: int,
    limits: Limits | None = None,
) -> Int8Samples:
    """By the people in these photos, whichever are the first to calibrate this model."""
    return Int8Samples(
        "", lambda spec: _batches(_spread(found), detector, spec, use, workers, limits)
    )


def from_folder(
    folder: Path, detector: Detector, use: Use, workers: int, limits: Limits | None = None
) -> Int8Samples:
    """By the people in the photos of this folder, while these stay the same. Raises BadInput if
    there are none."""
    walk.check_paths([folder])
    chosen = [photo for photo in _spread(walk.walk([folder])) if isinstance(photo, Photo)]
    if not chosen:
        raise BadInput(
            f"there are no photos in {folder}",
            hint="give --int8-samples a folder of photos of people",
        )
    facts = [f"{photo.path} {photo.bytes} {photo.mtime_ns}" for photo in chosen]
    key = hashlib.sha256(
        "\n".join([use, detector.sha256, *facts]).encode("utf-8", "surrogateescape")
    ).hexdigest()[:16]
    return Int8Samples(key, lambda spec: _batches(chosen, detector, spec, use, workers, limits))


def _batches(
    chosen: Iterable[Photo | Failure],
    detector: Detector,
    spec: ModelSpec,
    use: Use,
    workers: int,
    limits: Limits | None,
) -> Batches:
    """All people as an engine would get them."""
    recorder = _Recorder(spec.num_classes)
    with closing(decode.decode_all(chosen, workers, limits=limits)) as images:
        seen = stages.detect_people(images, detector, spec.input_size, use, level=spec.level)
        for _ in stages.predict(seen, Predictor(recorder, spec, PEOPLE)):
            yield from recorder.taken()


class _Recorder:
    """In the place of an engine: it keeps what it is given, and answers nothing of use."""

    def __init__(self, outputs: int) -> None:
        self._outputs = outputs
        self._batches: list[tuple[Pixels, NDArray[np.bool_]]] = []

    def run(self, batch: Pixels, present: NDArray[np.bool_], /) -> NDArray[np.float32]:
        self._batches.append((batch, present))
        return np.zeros((len(batch), self._outputs), np.float32)

    def taken(self) -> list[tuple[Pixels, NDArray[np.bool_]]]:
        """What was given since it was asked last."""
        taken, self._batches = self._batches, []
        return taken


def _spread(items: Iterable[T], most: int = PHOTOS) -> list[T]:
    """Of any number of items up to `most`, evenly spread: every one, every second, every fourth
    ..."""
    kept: list[T] = []
    step = 1
    for number, item in enumerate(items):
        if number % step == 0:
            kept.append(item)
        if len(kept) > most:
            kept, step = kept[::2], 2 * step
    return kept
