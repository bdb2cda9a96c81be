"""Collect people for int8 calibration from photos, cropped as in a scan."""

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
"""Maximum number of photos, spread over the collection."""
PEOPLE = 8
"""People per batch."""
T = TypeVar("T")


def from_photos(
    found: Iterable[Photo | Failure],
    detector: Detector,
    use: Use,
    workers: int,
    limits: Limits | None = None,
) -> Int8Samples:
    """Use the people in these photos; only the first calibration of a model on this machine
    counts."""
    return Int8Samples(
        "", lambda spec: _batches(_spread(found), detector, spec, use, workers, limits)
    )


def from_folder(
    folder: Path, detector: Detector, use: Use, workers: int, limits: Limits | None = None
) -> Int8Samples:
    """Use the people in the photos of this folder; the calibration is reused while the photos are
    unchanged. Raises BadInput if there are none."""
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
    """Yield all people as an engine would receive them."""
    recorder = _Recorder(spec.num_classes)
    with closing(decode.decode_all(chosen, workers, limits=limits)) as images:
        seen = stages.detect_people(images, detector, spec.input_size, use, level=spec.level)
        for _ in stages.predict(seen, Predictor(recorder, spec, PEOPLE)):
            yield from recorder.taken()


class _Recorder:
    """Stands in for an engine to record its inputs; its outputs are zeros."""

    def __init__(self, outputs: int) -> None:
        self._outputs = outputs
        self._batches: list[tuple[Pixels, NDArray[np.bool_]]] = []

    def run(self, batch: Pixels, present: NDArray[np.bool_], /) -> NDArray[np.float32]:
        self._batches.append((batch, present))
        return np.zeros((len(batch), self._outputs), np.float32)

    def taken(self) -> list[tuple[Pixels, NDArray[np.bool_]]]:
        """Return the inputs recorded since the last call."""
        taken, self._batches = self._batches, []
        return taken


def _spread(items: Iterable[T], most: int = PHOTOS) -> list[T]:
    """Return up to `most` items, evenly spread: every one, every second, every fourth ..."""
    kept: list[T] = []
    step = 1
    for number, item in enumerate(items):
        if number % step == 0:
            kept.append(item)
        if len(kept) > most:
            kept, step = kept[::2], 2 * step
    return kept
