"""The stages of a scan. Every way of running one is made of these; pixels die after cropping.

walk -> Photo -> decode -> Image | Failure -> sight -> Sighting | Failure -> predict -> Result | Failure
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from .crops import Crops, cut
from .detect import Detector
from .pair import pair
from .predict import Predictor
from .records import Failure, Image, Person, Photo, Prediction, Result, Use

MAX_WAITING = 1024
"""Photos that wait at most for a batch of people to fill up."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A photo that has been looked at: its people from left to right, and each one's inputs for the model."""

    photo: Photo
    width: int
    height: int
    taken_at: datetime | None
    people: list[Person]
    crops: list[Crops]


def sight(
    images: Iterable[Image | Failure], detector: Detector, size: int, use: Use = "both", batch: int = 4
) -> Iterator[Sighting | Failure]:
    """Find, pair and cut out the people of each photo, in order; the detector sees `batch` photos at once."""
    waiting: list[Image | Failure] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == batch:
            yield from _sight(waiting, detector, size, use)
            waiting = []
    yield from _sight(waiting, detector, size, use)


def _sight(images: list[Image | Failure], detector: Detector, size: int, use: Use) -> Iterator[Sighting | Failure]:
    found = iter(detector.detect([image for image in images if isinstance(image, Image)]))
    for image in images:
        if isinstance(image, Failure):
            yield image
            continue
        people = pair(next(found))
        crops = cut(image.pixels, people, size, use)
        yield Sighting(image.photo, image.width, image.height, image.taken_at, people, crops)


def predict(sightings: Iterable[Sighting | Failure], predictor: Predictor) -> Iterator[Result | Failure]:
    """Predict in batches that cross photos, and hand the photos on in order as soon as all their people are known."""
    waiting: deque[Sighting | Failure] = deque()
    crops: deque[Crops] = deque()
    answers: deque[Prediction | None] = deque()
    for sighting in sightings:
        waiting.append(sighting)
        crops.extend([] if isinstance(sighting, Failure) else sighting.crops)
        while len(crops) >= predictor.batch_size or (crops and len(waiting) >= MAX_WAITING):
            batch = [crops.popleft() for _ in range(min(len(crops), predictor.batch_size))]
            answers.extend(predictor.predict(batch))
        yield from _complete(waiting, answers)
    answers.extend(predictor.predict(list(crops)))
    yield from _complete(waiting, answers)


def _complete(waiting: deque[Sighting | Failure], answers: deque[Prediction | None]) -> Iterator[Result | Failure]:
    """Take the photos off the front whose people have all been answered."""
    while waiting:
        first = waiting[0]
        if isinstance(first, Sighting) and len(first.people) > len(answers):
            return
        waiting.popleft()
        if isinstance(first, Failure):
            yield first
        else:
            people = [(person, answers.popleft()) for person in first.people]
            yield Result(first.photo, first.width, first.height, first.taken_at, people)
