"""The stages of a scan. Every way of running one is made of these; pixels die after cropping.

walk -> Photo -> decode -> Image | Failure -> sight -> Sighting | Failure -> predict -> Result |
Failure
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

import cv2

from ..detect import Detector
from ..records import Box, Failure, Image, Person, Photo, Prediction, Result, Use
from .crops import MIN_BODY_SIDE, Crops, cut
from .pair import pair
from .predict import Predictor

MIN_SIZE = 1600, 416
"""The longer and the shorter side of photos that are reduced on reading: no detector looks at a
photo as a whole with more pixels, but NanoDet stretches the shorter side, too."""
MAX_WAITING = 1024
"""Photos that wait at most for a batch of people to fill up."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A photo that has been looked at: its people from left to right, and each one's inputs for the
    model."""

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
    decode: Callable[[Photo], Image | Failure] | None = None,
) -> Iterator[Sighting | Failure]:
    """Find, pair and cut out the people of each photo, in order, in the detector's streams, one
    batch ahead of them.

    Photos that were reduced too much for who is on them are read whole with `decode`, and looked at
    again where the detector can then see more; one that can no longer be read fails.
    """
    source = iter(images)
    under_way: deque[Future[list[Sighting | Failure]]] = deque()
    with (
        _opencv_on_one_core(),
        ThreadPoolExecutor(detector.streams, thread_name_prefix="sight") as pool,
    ):
        while batch := list(islice(source, detector.batch)):
            under_way.append(pool.submit(_sight, batch, detector, size, use, decode))
            if len(under_way) > detector.streams:
                yield from under_way.popleft().result()
        for found in under_way:
            yield from found.result()


@contextmanager
def _opencv_on_one_core() -> Iterator[None]:
    """Threads of OpenCV's own would only wait for the streams' cores: without them a scan does a
    tenth more photos."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _sight(
    images: list[Image | Failure],
    detector: Detector,
    size: int,
    use: Use,
    decode: Callable[[Photo], Image | Failure] | None,
) -> list[Sighting | Failure]:
    looks = list(_look(images, detector))
    if decode is not None:
        looks = _sharpen(looks, detector, size, use, decode)
    return [look if isinstance(look, Failure) else look.sighting(size, use) for look in looks]


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Who is where on the pixels of an image; `upscaled` says that a detector would have made use
    of more pixels."""

    image: Image
    people: list[Person]
    upscaled: bool

    def is_blurred(self, size: int, use: Use) -> bool:
        """Whether the photo was reduced too much: for the detector, or for the model's inputs of
        this size."""
        large = all(_is_large(person, size, use) for person in self.people)
        return self.image.original_size is not None and (self.upscaled or not large)

    def sighting(self, size: int, use: Use) -> Sighting:
        image = self.image
        crops = cut(image.pixels, self.people, size, use)
        return Sighting(
            image.photo, image.width, image.height, image.taken_at, self.in_photo(), crops
        )

    def in_photo(self) -> list[Person]:
        """The people in pixels of the whole photo."""
        height, width = self.image.pixels.shape[:2]
        x, y = self.image.width / width, self.image.height / height
        return (
            self.people
            if self.image.original_size is None
            else [_scaled(person, x, y) for person in self.people]
        )


def _look(images: Sequence[Image | Failure], detector: Detector) -> Iterator[_Look | Failure]:
    plain = [replace(image, original_size=None) for image in images if isinstance(image, Image)]
    found = iter(detector.detect(plain))
    for image in images:
        if isinstance(image, Failure):
            yield image
        else:
            seen = next(found)
            yield _Look(image, pair(seen), seen.upscaled)


def _sharpen(
    looks: Sequence[_Look | Failure],
    detector: Detector,
    size: int,
    use: Use,
    decode: Callable[[Photo], Image | Failure],
) -> list[_Look | Failure]:
    """With blurred photos read whole, and looked at again where the detector can then see more."""
    blurred = [look for look in looks if isinstance(look, _Look) and look.is_blurred(size, use)]
    if not blurred:
        return [*looks]
    with ThreadPoolExecutor(len(blurred)) as pool:
        whole = list(pool.map(decode, [look.image.photo for look in blurred]))
    same = [_same_people(look, image) for look, image in zip(blurred, whole, strict=True)]
    again = _look(
        [image for image, kept in zip(whole, same, strict=True) if kept is None], detector
    )
    sharp = iter([next(again) if kept is None else kept for kept in same])
    return [next(sharp) if look in blurred else look for look in looks]


def _same_people(look: _Look, whole: Image | Failure) -> _Look | None:
    """The people of a look on the whole photo; None where it has to be looked at again."""
    seen = look.image
    same = isinstance(whole, Image) and (whole.photo, whole.width, whole.height) == (
        seen.photo,
        seen.width,
        seen.height,
    )
    return (
        _Look(whole, look.in_photo(), False)
        if isinstance(whole, Image) and same and not look.upscaled
        else None
    )


def _is_large(person: Person, size: int, use: Use) -> bool:
    """Whether this person's crops are made smaller for the model anyway, and none is near to being
    refused."""
    boxes = (None if use == "body" else person.face, None if use == "face" else person.body)
    sides = [(box.x2 - box.x1, box.y2 - box.y1) for box in boxes if box is not None]
    return all(max(side) >= size and min(side) >= MIN_BODY_SIDE for side in sides)


def _scaled(person: Person, x: float, y: float) -> Person:
    face, body = (
        box and Box(box.x1 * x, box.y1 * y, box.x2 * x, box.y2 * y, box.score)
        for box in (person.face, person.body)
    )
    return Person(face, body)


def predict(
    sightings: Iterable[Sighting | Failure], predictor: Predictor
) -> Iterator[Result | Failure]:
    """Predict in batches that cross photos, and hand the photos on in order as soon as all their
    people are known.

    As many batches as the predictor has streams are under way while the next sightings are asked
    for.
    """
    waiting: deque[Sighting | Failure] = deque()
    crops: deque[Crops] = deque()
    under_way: deque[Future[list[Prediction | None]]] = deque()
    answers: deque[Prediction | None] = deque()
    with ThreadPoolExecutor(max(1, predictor.streams), thread_name_prefix="predict") as pool:
        for sighting in sightings:
            waiting.append(sighting)
            crops.extend([] if isinstance(sighting, Failure) else sighting.crops)
            while len(crops) >= predictor.batch_size or (crops and len(waiting) >= MAX_WAITING):
                batch = [crops.popleft() for _ in range(min(len(crops), predictor.batch_size))]
                under_way.append(pool.submit(predictor.predict, batch))
            crowded = len(waiting) >= MAX_WAITING
            while under_way and (
                crowded or len(under_way) > predictor.streams or under_way[0].done()
            ):
                answers.extend(under_way.popleft().result())
            yield from _complete(waiting, answers)
        under_way.append(pool.submit(predictor.predict, list(crops)))
        for found in under_way:
            answers.extend(found.result())
        yield from _complete(waiting, answers)


def _complete(
    waiting: deque[Sighting | Failure], answers: deque[Prediction | None]
) -> Iterator[Result | Failure]:
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
