"""The stages of a scan. Every way of running one is made of these; pixels die after cropping.

walk -> Photo -> decode -> Image | Failure -> sight -> Sighting | Failure -> predict -> Result | Failure
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from .crops import MIN_BODY_SIDE, Crops, cut
from .detect import Detector
from .pair import pair
from .predict import Predictor
from .records import Box, Failure, Image, Person, Photo, Prediction, Result, Use

LEAST = 1600
"""The longer side of photos that are reduced on reading: no detector looks at a photo as a whole with more pixels."""
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
    images: Iterable[Image | Failure],
    detector: Detector,
    size: int,
    use: Use = "both",
    batch: int = 4,
    decode: Callable[[Photo], Image | Failure] | None = None,
) -> Iterator[Sighting | Failure]:
    """Find, pair and cut out the people of each photo, in order; the detector sees `batch` photos at once.

    Photos that were reduced too much for what is on them are read whole with `decode`, and looked at again.
    """
    waiting: list[Image | Failure] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == batch:
            yield from _sight(waiting, detector, size, use, decode)
            waiting = []
    yield from _sight(waiting, detector, size, use, decode)


def _sight(
    images: list[Image | Failure],
    detector: Detector,
    size: int,
    use: Use,
    decode: Callable[[Photo], Image | Failure] | None,
) -> Iterator[Sighting | Failure]:
    first = list(_look(images, detector, size, use))
    blurred = [seen.photo for seen in first if isinstance(seen, Image)]
    if blurred and decode is not None:
        with ThreadPoolExecutor(len(blurred)) as pool:
            again = _look(list(pool.map(decode, blurred)), detector, size, use)
        first = [next(again) if isinstance(seen, Image) else seen for seen in first]
    yield from (seen for seen in first if not isinstance(seen, Image))


def _look(
    images: list[Image | Failure], detector: Detector, size: int, use: Use
) -> Iterator[Sighting | Failure | Image]:
    """What is on each photo; the photo itself where it was reduced too much to tell."""
    plain = [replace(image, whole=None) for image in images if isinstance(image, Image)]
    found = iter(detector.detect(plain))
    for image in images:
        if isinstance(image, Failure):
            yield image
            continue
        seen = next(found)
        people = pair(seen)
        if image.whole and (seen.enlarged or not all(map(partial(_is_large, size=size), people))):
            yield image
            continue
        crops = cut(image.pixels, people, size, use)
        people = [_in_photo(person, image) for person in people]
        yield Sighting(image.photo, image.width, image.height, image.taken_at, people, crops)


def _is_large(person: Person, size: int) -> bool:
    """Whether this person's crops are made smaller for the model anyway, and none is near to being refused."""
    sides = [(box.x2 - box.x1, box.y2 - box.y1) for box in (person.face, person.body) if box is not None]
    return all(max(side) >= size and min(side) >= MIN_BODY_SIDE for side in sides)


def _in_photo(person: Person, image: Image) -> Person:
    """The person, found on reduced pixels, in pixels of the photo."""
    height, width = image.pixels.shape[:2]
    if not image.whole:
        return person
    x, y = image.whole[0] / width, image.whole[1] / height
    face, body = (
        box and Box(box.x1 * x, box.y1 * y, box.x2 * x, box.y2 * y, box.score) for box in (person.face, person.body)
    )
    return Person(face, body)


def predict(sightings: Iterable[Sighting | Failure], predictor: Predictor) -> Iterator[Result | Failure]:
    """Predict in batches that cross photos, and hand the photos on in order as soon as all their people are known.

    As many batches as the predictor has lanes are under way while the next sightings are asked for.
    """
    waiting: deque[Sighting | Failure] = deque()
    crops: deque[Crops] = deque()
    under_way: deque[Future[list[Prediction | None]]] = deque()
    answers: deque[Prediction | None] = deque()
    with ThreadPoolExecutor(max(1, predictor.lanes), thread_name_prefix="predict") as pool:
        for sighting in sightings:
            waiting.append(sighting)
            crops.extend([] if isinstance(sighting, Failure) else sighting.crops)
            while len(crops) >= predictor.batch_size or (crops and len(waiting) >= MAX_WAITING):
                batch = [crops.popleft() for _ in range(min(len(crops), predictor.batch_size))]
                under_way.append(pool.submit(predictor.predict, batch))
            crowded = len(waiting) >= MAX_WAITING
            while under_way and (crowded or len(under_way) > predictor.lanes or under_way[0].done()):
                answers.extend(under_way.popleft().result())
            yield from _complete(waiting, answers)
        under_way.append(pool.submit(predictor.predict, list(crops)))
        for found in under_way:
            answers.extend(found.result())
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
