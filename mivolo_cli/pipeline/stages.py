"""Stages of a scan, shared by all ways of running one. Pixels are freed after cropping.

walk -> Photo -> decode -> Image | Failure -> detect_people -> Detected | Failure
-> predict -> Result | Failure
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from threading import Lock

import cv2

from ..detect.detector import Detector, best_way_up, turned, without_small_faces
from ..photos.limits import HELD
from ..records import Detections, Failure, Image, Person, Photo, Prediction, Result, Use
from ..runtime.processes import require_own_process
from ..threads import in_order
from . import turning
from .crops import MIN_BODY_SIDE, Crops, cut
from .pair import pair
from .predict import Predictor

Decode = Callable[[Photo], Image | Failure]
MIN_SIZE = 1600, 416
"""Minimum longer and shorter side in pixels of photos decoded at reduced size: no detector's input
is larger, but DEIMv2 also stretches the shorter side."""
NO_ANSWER = "no_answer", "the model's output is not a finite number"
MAX_WAITING = 1024
"""Maximum number of photos waiting for a batch of people to fill up."""


@dataclass(frozen=True, slots=True)
class Detected:
    """A photo with its people from left to right, and the model inputs of each."""

    photo: Photo
    width: int
    height: int
    taken_at: datetime | None
    people: list[Person]
    crops: list[Crops]


def detect_people(
    images: Iterable[Image | Failure],
    detector: Detector,
    size: int,
    use: Use = "both",
    decode: Decode | None = None,
    *,
    level: bool = False,
    any_way_up: bool = False,
    min_face: float = 0.0,
) -> Iterator[Detected | Failure]:
    """Detect, pair and crop the people of each photo, in order, in the detector's streams, one
    batch ahead. `size` is the side of the model's inputs in pixels.

    Photos decoded at a size too small for their people are decoded at full size with `decode`, and
    detected again if the detector benefits; if this fails, the photo fails. `level` turns leaning
    heads upright. `any_way_up` tries other orientations for photos without a sure face, and uses
    them if faces score better. Faces smaller than `min_face` pixels of the photo are skipped.
    Raises MivoloError in a process that was forked after the detector was opened.
    """
    require_own_process()
    batches = _batches(iter(images), detector.batch)
    inputs = _Inputs(size, use, level, any_way_up, min_face)
    detect = partial(_detect_batch, detector=detector, inputs=inputs, decode=decode)
    with ThreadPoolExecutor(detector.streams, thread_name_prefix="detect") as pool:
        for found in in_order(pool, detect, batches, detector.streams + 1):
            yield from found


def _batches(images: Iterator[Image | Failure], count: int) -> Iterator[list[Image | Failure]]:
    """Yield batches of up to `count` images; fewer if they are large, because waiting images hold
    memory that the next one may need. No image is held here while the next one is requested."""
    while batch := list(_held(images, count)):
        yield batch
        del batch


def _held(images: Iterator[Image | Failure], count: int) -> Iterator[Image | Failure]:
    held = 0
    while count and held < HELD // 2 and (image := next(images, None)) is not None:
        count -= 1
        held += image.pixels.nbytes if isinstance(image, Image) else 0
        yield image
        del image


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Settings of the model's inputs; see detect_people."""

    size: int
    use: Use
    level: bool
    any_way_up: bool
    min_face: float


class _OpenCvThreads:
    """Restricts OpenCV to the calling thread while any block runs in any thread: its own threads
    would only wait for the streams' cores. This makes scans 10 % faster.

    The number of threads is a process-wide setting. The first block saves it, and the last one
    restores it.
    """

    def __init__(self) -> None:
        self._lock, self._blocks, self._threads = Lock(), 0, 0

    @contextmanager
    def one(self) -> Iterator[None]:
        with self._lock:
            if self._blocks == 0:
                self._threads = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if self._blocks == 0:
                    cv2.setNumThreads(self._threads)


_opencv_threads = _OpenCvThreads()


def _detect_batch(
    images: list[Image | Failure], detector: Detector, inputs: _Inputs, decode: Decode | None
) -> list[Detected | Failure]:
    with _opencv_threads.one():
        paired = list(_pair_all(images, detector, inputs))
        if decode is not None:
            paired = _with_enough_pixels(paired, detector, inputs, decode)
        return [one if isinstance(one, Failure) else one.with_crops(inputs) for one in paired]


@dataclass(frozen=True, slots=True, eq=False)
class _Paired:
    """People located on an image, after this many quarter turns counter-clockwise.

    `upscaled` means that the detector could have used more pixels.
    """

    image: Image
    people: list[Person]
    upscaled: bool
    quarters: int = 0

    def is_too_small(self, inputs: _Inputs) -> bool:
        """Return whether the photo was reduced too much, for the detector or for the model's
        inputs."""
        large = all(_is_large(person, inputs) for person in self.people)
        return self.image.original_size is not None and (self.upscaled or not large)

    def with_crops(self, inputs: _Inputs) -> Detected:
        image = self.image
        pixels = turned(image.pixels, self.quarters)
        crops = cut(pixels, self.people, inputs.size, inputs.use, inputs.level)
        people = self.in_photo()
        return Detected(image.photo, image.width, image.height, image.taken_at, people, crops)

    def in_photo(self) -> list[Person]:
        """Return the people in pixels of the full-size photo, without the quarter turns."""
        height, width = self.image.pixels.shape[:2]
        people = [turning.turned_back(one, self.quarters, width, height) for one in self.people]
        if self.image.original_size is None:
            return people
        x, y = self.image.width / width, self.image.height / height
        return [person.scaled(x, y) for person in people]


def _pair_all(
    images: Sequence[Image | Failure], detector: Detector, inputs: _Inputs
) -> Iterator[_Paired | Failure]:
    plain = [replace(image, original_size=None) for image in images if isinstance(image, Image)]
    found = iter(detector.detect(plain))
    for image in images:
        if isinstance(image, Failure):
            yield image
            continue
        detections, quarters = next(found), 0
        if inputs.any_way_up and (detections.doubtful or not len(detections.faces)):
            detections, quarters = _best_way_up(image, detections, detector)
        reduced = max(image.pixels.shape[:2]) / max(image.width, image.height)
        detections = without_small_faces(detections, inputs.min_face * reduced)
        yield _Paired(image, pair(detections), detections.upscaled, quarters)


def _best_way_up(image: Image, upright: Detections, detector: Detector) -> tuple[Detections, int]:
    """Return the detections on the image as it is, or, if faces score better then, after a number
    of quarter turns counter-clockwise, which is also returned."""
    quarters = detector.way_up(image.pixels)
    if quarters:
        (found,) = detector.detect([Image(image.photo, turned(image.pixels, quarters))])
        if best_way_up([upright.face_scores, found.face_scores]):
            return found, quarters
    return upright, 0


def _with_enough_pixels(
    paired: Sequence[_Paired | Failure], detector: Detector, inputs: _Inputs, decode: Decode
) -> list[_Paired | Failure]:
    """Decode photos that were reduced too much at full size. Detection is repeated only where more
    pixels may help; otherwise, the people are kept."""
    small = [one for one in paired if isinstance(one, _Paired) and one.is_too_small(inputs)]
    if not small:
        return [*paired]
    with ThreadPoolExecutor(len(small)) as pool:
        whole = list(pool.map(decode, [one.image.photo for one in small]))
    same = [_same_people(one, image) for one, image in zip(small, whole, strict=True)]
    unknown = [image for image, kept in zip(whole, same, strict=True) if kept is None]
    again = _pair_all(unknown, detector, inputs)
    larger = iter([next(again) if kept is None else kept for kept in same])
    return [next(larger) if one in small else one for one in paired]


def _same_people(small: _Paired, whole: Image | Failure) -> _Paired | None:
    """Return the people of the reduced photo on the full-size one; None if they must be detected
    again, because more pixels help the detector or the file has changed."""
    if isinstance(whole, Failure) or small.upscaled:
        return None
    before, size = small.image, (whole.width, whole.height)
    if whole.photo != before.photo or size != (before.width, before.height):
        return None
    people = [turning.turned_person(one, small.quarters, *size) for one in small.in_photo()]
    return _Paired(whole, people, False, small.quarters)


def _is_large(person: Person, inputs: _Inputs) -> bool:
    """Return whether this person's crops are downscaled for the model, and large enough not to be
    rejected."""
    face = None if inputs.use == "body" else person.face
    body = None if inputs.use == "face" else person.body
    sides = [(box.x2 - box.x1, box.y2 - box.y1) for box in (face, body) if box is not None]
    return all(max(side) >= inputs.size and min(side) >= MIN_BODY_SIDE for side in sides)


def on_pixels(
    image: Image, people: Sequence[tuple[Person, Prediction | None]]
) -> list[tuple[Person, Prediction | None]]:
    """Scale the people of a photo to pixels of the decoded image."""
    height, width = image.pixels.shape[:2]
    x, y = width / image.width, height / image.height
    return [(person.scaled(x, y), prediction) for person, prediction in people]


def predict(
    detected: Iterable[Detected | Failure], predictor: Predictor
) -> Iterator[Result | Failure]:
    """Predict in batches that span photos, and yield photos in order as soon as all their people
    are predicted.

    While further photos are requested, as many batches as the predictor has streams are running.
    """
    waiting: deque[Detected | Failure] = deque()
    crops: deque[Crops] = deque()
    under_way: deque[Future[list[Prediction | None]]] = deque()
    answers: deque[Prediction | None] = deque()
    with ThreadPoolExecutor(max(1, predictor.streams), thread_name_prefix="predict") as pool:
        for one in detected:
            waiting.append(one)
            crops.extend([] if isinstance(one, Failure) else one.crops)
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
    waiting: deque[Detected | Failure], answers: deque[Prediction | None]
) -> Iterator[Result | Failure]:
    """Remove and yield the leading photos whose people have all been predicted."""
    while waiting:
        first = waiting[0]
        if isinstance(first, Detected) and len(first.people) > len(answers):
            return
        waiting.popleft()
        if isinstance(first, Failure):
            yield first
        else:
            yield _result(first, [answers.popleft() for _ in first.people])


def _result(photo: Detected, answers: Sequence[Prediction | None]) -> Result | Failure:
    ages = [answer.age for answer in answers if answer is not None and answer.age is not None]
    if not all(map(math.isfinite, ages)):
        return Failure(photo.photo, *NO_ANSWER)
    people = list(zip(photo.people, answers, strict=True))
    return Result(photo.photo, photo.width, photo.height, photo.taken_at, people)
