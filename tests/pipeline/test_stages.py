"""The stages between decoding and the table, with a detector and a predictor that only count."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.heads import points_of
from helpers.photos import draw_scene
from numpy.typing import NDArray

from mivolo_cli.detect.detector import detections, turned, way_up_by_faces
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline import stages
from mivolo_cli.pipeline.predict import Predictor
from mivolo_cli.pipeline.stages import Decode, Detected, detect_people, predict
from mivolo_cli.records import Detections, Failure, Image, Photo, Pixels, Result, rows

SIZE = 32
SPEC = ModelSpec(f"mivolo_xs_{SIZE}", 6, 3, SIZE, 0.0, 255.0, 0.0, "fake")


class Faces:
    """A detector that sees as many faces as the photo's name says, from left to right."""

    name, sha256 = "fake", "0" * 64

    def __init__(self, batch: int = 1, streams: int = 1) -> None:
        self.batch, self.streams = batch, streams
        self.calls: list[list[str]] = []

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self.calls.append([image.photo.path for image in images])
        return [self._detect(image) for image in images]

    def way_up(self, pixels: Pixels) -> int:
        return 0

    def _detect(self, image: Image) -> Detections:
        faces = [(10 * i, 0, 10 * i + 8, 8) for i in range(int(image.photo.path.partition("-")[2]))]
        return detections([], None, faces, None, image.width, image.height)


class Brightness:
    """An engine that answers with the brightness of the face, and keeps the sizes of its
    batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, batch: Pixels, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        self.batches.append(len(batch))
        answers = np.zeros((len(batch), 3), np.float32)
        answers[:, 2] = batch[:, SIZE // 2, SIZE // 2, 0] / 255
        return answers


def image(number: int, faces: int) -> Image:
    """Each face is as bright as 10 times the photo's number, plus its place."""
    pixels = np.zeros((8, 10 * max(faces, 1), 3), np.uint8)
    for place in range(faces):
        pixels[:, 10 * place : 10 * place + 10] = 10 * number + place
    return Image(Photo("/photos", f"{number}-{faces}"), pixels)


def failure(number: int) -> Failure:
    return Failure(Photo("/photos", f"{number}-x"), "empty", "the file is empty")


def run(
    images: Iterable[Image | Failure], batch_size: int
) -> tuple[list[Result | Failure], Faces, Brightness]:
    detector, engine = Faces(batch=4), Brightness()
    predictor = Predictor(engine, SPEC, batch_size)
    return list(predict(detect_people(images, detector, SIZE), predictor)), detector, engine


def ages(results: Iterable[Result | Failure]) -> list[list[int] | None]:
    return [
        None
        if isinstance(result, Failure)
        else [round(p.age) if p and p.age is not None else -1 for _, p in result.people]
        for result in results
    ]


MIXED: list[Image | Failure] = [
    image(0, 0), image(1, 3), failure(2), image(3, 1), image(4, 0),
    image(5, 5), failure(6), image(7, 2), image(8, 0),
]  # fmt: skip
MIXED_AGES = [[], [10, 11, 12], None, [30], [], [50, 51, 52, 53, 54], None, [70, 71], []]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 11, 32])
def test_photos_keep_their_order_and_people_their_answers(batch_size: int) -> None:
    results, _, _ = run(MIXED, batch_size)
    assert ages(results) == MIXED_AGES


def test_failures_pass_unchanged_in_their_place() -> None:
    results, detector, _ = run(MIXED, 4)
    assert [(i, result) for i, result in enumerate(results) if isinstance(result, Failure)] == [
        (2, failure(2)),
        (6, failure(6)),
    ]
    assert not any(name.endswith("x") for call in detector.calls for name in call)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_photo_with_an_answer_that_is_no_number_fails_alone(value: float) -> None:
    class Overflowing(Brightness):
        def run(self, batch: Pixels, present: NDArray[np.bool_]) -> NDArray[np.float32]:
            answers = super().run(batch, present)
            answers[answers[:, 2] * 255 == 11] = value
            return answers

    predictor = Predictor(Overflowing(), SPEC, 2)
    results = list(predict(detect_people(MIXED, Faces(), SIZE), predictor))
    assert ages(results) == [None if found == [10, 11, 12] else found for found in MIXED_AGES]
    failure = results[1]
    assert isinstance(failure, Failure) and failure.code == "no_answer"
    (row,) = rows(failure)
    assert (row["status"], row["age"]) == ("error", None)


def test_nothing_in_nothing_out() -> None:
    results, _, engine = run([], 4)
    assert results == []
    assert engine.batches == []
    assert ages(run([failure(1), failure(2)], 4)[0]) == [None, None]


@pytest.mark.parametrize(
    ("batch_size", "batches"), [(4, [4, 4, 3]), (11, [11]), (3, [3, 3, 3, 2]), (32, [11])]
)
def test_batches_cross_photos_and_only_the_last_is_not_full(
    batch_size: int, batches: list[int]
) -> None:
    _, _, engine = run(MIXED, batch_size)
    assert engine.batches == batches


def test_the_detector_sees_photos_in_batches_with_failures_counting_among_them() -> None:
    _, detector, _ = run(MIXED, 32)
    assert detector.calls == [["0-0", "1-3", "3-1"], ["4-0", "5-5", "7-2"], ["8-0"]]
    detector = Faces(batch=3)
    assert len(list(detect_people([image(n, 1) for n in range(7)], detector, SIZE))) == 7
    assert [len(call) for call in detector.calls] == [3, 3, 1]


def test_what_is_detected_knows_the_photo_but_not_its_pixels() -> None:
    (seen,) = detect_people([image(3, 2)], Faces(), SIZE)
    assert isinstance(seen, Detected)
    assert (seen.photo.path, seen.width, seen.height, len(seen.people), len(seen.crops)) == (
        "3-2",
        20,
        8,
        2,
        2,
    )
    assert not hasattr(seen, "pixels")


def test_use_body_leaves_a_face_alone_without_a_crop() -> None:
    (seen,) = detect_people([image(3, 1)], Faces(), SIZE, use="body")
    assert isinstance(seen, Detected)
    assert [crop.used for crop in seen.crops] == [None]
    (result,) = predict([seen], Predictor(Brightness(), SPEC))
    assert isinstance(result, Result)
    assert [prediction for _, prediction in result.people] == [None]


def test_photos_come_out_as_soon_as_their_people_are_known() -> None:
    asked = 0

    def counted() -> Iterator[Image]:
        nonlocal asked
        for number in range(12):
            asked += 1
            yield image(number, 1)

    results = predict(
        detect_people(counted(), Faces(), SIZE), Predictor(Brightness(), SPEC, batch_size=3)
    )
    next(results)
    assert asked == 4, "one is with the detector meanwhile"


def test_no_more_than_the_limit_of_photos_wait_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "MAX_WAITING", 5)
    engine, waiting, most = Brightness(), 0, 0
    photos = [image(n, 1 if n % 4 == 0 else 0) if n % 3 else failure(n) for n in range(1, 25)]

    def counted() -> Iterator[Detected | Failure]:
        nonlocal waiting, most
        for found in detect_people(photos, Faces(), SIZE):
            waiting += 1
            most = max(most, waiting)
            yield found

    results = []
    for result in predict(counted(), Predictor(engine, SPEC, batch_size=32)):
        waiting -= 1
        results.append(result)
    assert most == 5
    assert len(engine.batches) > 1
    assert [result.photo for result in results] == [photo.photo for photo in photos]


def test_photos_without_people_do_not_wait_at_all() -> None:
    engine = Brightness()
    results = predict(
        detect_people([image(1, 0), image(2, 1)], Faces(), SIZE), Predictor(engine, SPEC)
    )
    assert ages([next(results)]) == [[]]
    assert engine.batches == []


class Half(Faces):
    """Sees one face as large as the pixels less a tenth on each side, and enlarges what has less
    than 60 pixels."""

    def _detect(self, image: Image) -> Detections:
        height, width = image.pixels.shape[:2]
        face = (width / 10, height / 10, width * 0.9, height * 0.9)
        found = detections([], None, [face], None, image.width, image.height)
        return replace(found, upscaled=width < 60)


def reduced(side: int) -> Image:
    return Image(
        Photo("/photos", f"{side}"),
        np.full((side, side, 3), side, np.uint8),
        original_size=(4 * side, 4 * side + 2),
    )


def test_boxes_of_a_reduced_photo_are_those_of_the_photo() -> None:
    (seen,) = detect_people([reduced(100)], Half(), SIZE)
    assert isinstance(seen, Detected) and (seen.width, seen.height) == (400, 402)
    assert seen.people[0].face is not None
    assert seen.people[0].face.corners == pytest.approx((40, 40.2, 360, 361.8), abs=1e-3)
    assert seen.crops[0].face is not None and seen.crops[0].face.mean() == 100


def test_photos_reduced_too_much_are_read_whole_and_given_to_the_detector_again() -> None:
    asked: list[str] = []

    def whole(photo: Photo) -> Image | Failure:
        asked.append(photo.path)
        side = 4 * int(photo.path)
        return (
            Failure(photo, "changed", "gone")
            if side == 80
            else Image(photo, np.full((side, side, 3), 9, np.uint8))
        )

    photos: list[Image | Failure] = [
        *map(reduced, (100, 59)),
        failure(1),
        *map(reduced, (20, 62, 63)),
    ]
    seen = list(detect_people(photos, Half(), SIZE, decode=whole))
    assert [one.photo.path for one in seen] == ["100", "59", "1-x", "20", "62", "63"]
    assert sorted(asked) == ["20", "59", "62"], "upscaled, upscaled, and a face of 49.6 pixels"
    assert (
        isinstance(seen[1], Detected)
        and seen[1].crops[0].face is not None
        and seen[1].crops[0].face.max() == 9
    )
    assert isinstance(seen[3], Failure)


def test_a_photo_whose_people_are_too_small_is_read_whole_and_not_detected_again() -> None:
    asked: list[int] = []

    class Counting(Half):
        def detect(self, images: Sequence[Image]) -> list[Detections]:
            asked.append(len(images))
            return super().detect(images)

    def whole(photo: Photo) -> Image:
        return Image(photo, np.full((402, 400, 3), 9, np.uint8))

    (seen,) = detect_people([reduced(100)], Counting(), 81, decode=whole)
    assert asked == [1] and isinstance(seen, Detected) and (seen.width, seen.height) == (400, 402)
    assert seen.people[0].face is not None and seen.crops[0].face is not None
    assert seen.people[0].face.corners == pytest.approx((40, 40.2, 360, 361.8), abs=1e-3)
    assert seen.crops[0].face.max() == 9, "cut out of the whole photo"


def test_a_face_smaller_than_the_models_input_needs_all_pixels() -> None:
    asked: list[Photo] = []

    def whole(photo: Photo) -> Image:
        asked.append(photo)
        return Image(photo, np.zeros((400, 400, 3), np.uint8))

    assert len(list(detect_people([reduced(100)], Half(), 81, decode=whole))) == len(asked) == 1
    assert len(list(detect_people([reduced(100)], Half(), 80, decode=whole))) == len(asked) == 1


# --- the smallest face ---


def sides(images: Iterable[Image], min_face: float, decode: Decode | None = None) -> list[float]:
    """The longer sides of the faces that stay."""
    seen = detect_people(images, Half(), SIZE, decode=decode, min_face=min_face)
    people = [person for one in seen if isinstance(one, Detected) for person in one.people]
    return [face.y2 - face.y1 for face in (person.face for person in people) if face is not None]


def test_the_smallest_face_is_in_pixels_of_the_photo() -> None:
    plain = Image(Photo("/photos", "plain"), np.zeros((100, 100, 3), np.uint8))
    assert sides([plain], 79.9) == pytest.approx([80], abs=1e-3) and sides([plain], 80.1) == []
    expected = pytest.approx([321.6], abs=1e-3)
    assert sides([reduced(100)], 321.5) == expected and sides([reduced(100)], 321.7) == []


def test_the_smallest_face_is_the_same_on_a_photo_that_is_read_whole() -> None:
    def whole(photo: Photo) -> Image:
        return Image(photo, np.zeros((202, 200, 3), np.uint8))

    expected = pytest.approx([161.6], abs=1e-3)
    assert (
        sides([reduced(50)], 161.5, whole) == expected and sides([reduced(50)], 161.7, whole) == []
    )


# --- photos that lie on their side or upside down ---

PLACE = 12, 8, 52, 48
"""The face on an upright photo of 80 x 64 pixels."""
ROLL = 10.0
YELLOW = 250, 250, 0
LYING = [(1, 100.0), (2, -170.0), (3, -80.0)]
"""By how many quarter turns counter-clockwise a photo is upright again, and its face's roll."""


class Upright(Faces):
    """Finds the face and the body on pixels that are upright, which it sees by the red quarter."""

    def __init__(self, enlarged_below: int = 0) -> None:
        super().__init__()
        self.asked: list[tuple[int, ...]] = []
        self.enlarged_below = enlarged_below

    def way_up(self, pixels: Pixels) -> int:
        self.asked.append(pixels.shape)
        return way_up_by_faces(self, pixels)

    def _detect(self, image: Image) -> Detections:
        height, width = image.pixels.shape[:2]
        scale = width / 80
        body = (0, 0, width, height)
        found = detections([body], [0.9], [], [], width, height)
        if image.pixels[1, 1].tolist() == [200, 60, 50] and width > height:
            points = points_of(ROLL, centre=(32 * scale, 28 * scale), reach=9 * scale)
            boxes = [[scale * side for side in PLACE]]
            found = detections([body], [0.9], boxes, [0.8], width, height, points)
        return replace(found, upscaled=width < self.enlarged_below)


def upright_photo(scale: int = 1) -> Pixels:
    """The scene with a yellow face, whose left half is darker."""
    pixels = draw_scene()
    x1, y1, x2, y2 = PLACE
    pixels[y1:y2, x1:x2] = YELLOW
    pixels[y1:y2, x1 : (x1 + x2) // 2] = 200, 200, 0
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def lying(quarters: int, scale: int = 1) -> Image:
    return Image(Photo("/photos", f"{quarters}"), turned(upright_photo(scale), -quarters))


def place_of_the_face(pixels: Pixels) -> tuple[float, ...]:
    rows, columns = np.nonzero((pixels[..., 2] == 0) & (pixels[..., 1] >= 200))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def only(
    image: Image, detector: Upright, decode: Decode | None = None, **settings: Any
) -> Detected:
    (seen,) = detect_people([image], detector, SIZE, decode=decode, **settings)
    assert isinstance(seen, Detected)
    return seen


def assert_upright(seen: Detected, scale: int = 1) -> None:
    """The crops are those of the upright photo."""
    whole = Image(Photo("/photos", "0"), upright_photo(scale))
    (expected,) = only(whole, Upright()).crops
    (crops,) = seen.crops
    assert crops.face is not None and crops.body is not None
    assert expected.face is not None and expected.body is not None
    np.testing.assert_array_equal(crops.face, expected.face)
    np.testing.assert_array_equal(crops.body, expected.body)


@pytest.mark.parametrize(("quarters", "roll"), LYING)
def test_people_on_a_photo_that_lies_are_found_and_stay_where_they_are(
    quarters: int, roll: float
) -> None:
    image = lying(quarters)
    seen = only(image, Upright(), any_way_up=True)
    height, width = image.pixels.shape[:2]
    assert (seen.width, seen.height) == (width, height)
    (person,) = seen.people
    assert person.face is not None and person.body is not None
    assert person.face.corners == place_of_the_face(image.pixels)
    assert person.face.score == pytest.approx(0.8)
    assert person.body.corners == (0, 0, width, height)
    assert person.roll == pytest.approx(roll, abs=1e-3)
    assert_upright(seen)


@pytest.mark.parametrize(("quarters", "roll"), LYING)
@pytest.mark.parametrize("enlarged_below", [0, 100], ids=["small people", "enlarged"])
def test_a_photo_that_lies_and_was_reduced_is_read_whole(
    enlarged_below: int, quarters: int, roll: float
) -> None:
    """For the detector if it enlarged the photo, or else only for the crops."""
    whole = lying(quarters, 2)
    small = replace(lying(quarters), original_size=(whole.width, whole.height))
    detector, size = Upright(enlarged_below), 41
    (seen,) = detect_people([small], detector, size, decode=lambda photo: whole, any_way_up=True)
    assert isinstance(seen, Detected) and (seen.width, seen.height) == (whole.width, whole.height)
    again = [whole.pixels.shape] if enlarged_below else []
    assert detector.asked == [small.pixels.shape, *again]
    (person,) = seen.people
    assert person.face is not None and person.roll == pytest.approx(roll, abs=1e-3)
    assert person.face.corners == place_of_the_face(whole.pixels)
    (expected,) = detect_people([lying(0, 2)], Upright(), size)
    assert isinstance(expected, Detected)
    for crop, right in zip(seen.crops, expected.crops, strict=True):
        assert crop.face is not None and right.face is not None
        np.testing.assert_array_equal(crop.face, right.face)


@pytest.mark.parametrize(("quarters", "roll"), LYING)
def test_a_photo_that_lies_and_was_reduced_enough_stays_reduced(quarters: int, roll: float) -> None:
    def whole(photo: Photo) -> Image:
        raise AssertionError("nobody on it is too small")

    large = lying(quarters, 4)
    small = replace(lying(quarters, 2), original_size=(large.width, large.height))
    seen = only(small, Upright(), whole, any_way_up=True)
    (person,) = seen.people
    assert (seen.width, seen.height) == (large.width, large.height)
    assert person.face is not None and person.roll == pytest.approx(roll, abs=1e-3)
    assert person.face.corners == place_of_the_face(large.pixels)
    assert_upright(seen, 2)


def test_the_way_up_is_not_asked_where_a_face_is_upright_or_nobody_wants_to_know() -> None:
    cases: list[tuple[Image, dict[str, Any]]] = [
        (lying(0), {"any_way_up": True}),
        (lying(1), {"any_way_up": False}),
        (lying(1), {}),
    ]
    for image, settings in cases:
        detector = Upright()
        seen = only(image, detector, **settings)
        assert detector.asked == [] and len(detector.calls) == 1
        assert [person.face is not None for person in seen.people] == [image.photo.path == "0"]


def test_a_photo_without_faces_in_any_way_stays_as_it_is() -> None:
    class Sideways(Upright):
        """Is wrong about the way up."""

        def way_up(self, pixels: Pixels) -> int:
            self.asked.append(pixels.shape)
            return 1

    image = Image(Photo("/photos", "0"), np.full((64, 80, 3), (9, 9, 200), np.uint8))
    plain = only(image, Upright())
    for detector in (Upright(), Sideways()):
        seen = only(image, detector, any_way_up=True)
        assert seen.people == plain.people and detector.asked == [(64, 80, 3)]
        assert [crops.face for crops in seen.crops] == [None]


class Mistaken(Upright):
    """Also finds a face on the photo of other ways up, with this score."""

    def __init__(self, score: float, doubtful: bool) -> None:
        super().__init__()
        self.score, self.doubtful = score, doubtful

    def _detect(self, image: Image) -> Detections:
        found = super()._detect(image)
        if len(found.faces):
            return found
        box, size = [[1, 2, 30, 40]], (image.width, image.height)
        found = detections([], None, box, [self.score], *size)
        return replace(found, doubtful=self.doubtful)


@pytest.mark.parametrize(
    ("score", "doubtful", "is_asked", "is_turned"),
    [(0.7, True, True, True), (0.7, False, False, False), (0.9, True, True, False)],
    ids=["worse faces", "sure faces", "better faces"],
)
def test_a_photo_of_doubtful_faces_is_turned_where_it_shows_better_ones(
    score: float, doubtful: bool, is_asked: bool, is_turned: bool
) -> None:
    image, detector = lying(1), Mistaken(score, doubtful)
    (person,) = only(image, detector, any_way_up=True).people
    assert len(detector.asked) == is_asked and person.face is not None
    place = place_of_the_face(image.pixels) if is_turned else (1, 2, 30, 40)
    assert person.face.corners == place


def test_heads_are_levelled_on_a_photo_that_lies() -> None:
    """By the roll on the turned photo."""
    crops = [
        only(image, Upright(), any_way_up=True, level=level).crops[0].face
        for image, level in ((lying(0), True), (lying(3), True), (lying(0), False))
    ]
    upright, turned_face, plain = crops
    assert upright is not None and turned_face is not None and plain is not None
    np.testing.assert_array_equal(turned_face, upright)
    assert (upright != plain).any()


# --- streams ---


def test_batches_are_under_way_while_the_next_people_are_found() -> None:
    """The engine answers only once the photos behind its batch have been asked for."""
    asked: list[int] = []
    further = threading.Event()

    class Waiting(Brightness):
        def run(self, batch: Pixels, present: NDArray[np.bool_]) -> NDArray[np.float32]:
            assert further.wait(10), "nothing was found beside it"
            return super().run(batch, present)

    def counted() -> Iterator[Image]:
        for number in range(6):
            asked.append(number)
            if number == 4:
                further.set()
            yield image(number, 1)

    predictor = Predictor(Waiting(), SPEC, batch_size=2, streams=2)
    assert ages(predict(detect_people(counted(), Faces(), SIZE), predictor)) == [
        [10 * n] for n in range(6)
    ]


@pytest.mark.parametrize("streams", [1, 3])
def test_streams_change_no_answer(streams: int) -> None:
    predictor = Predictor(Brightness(), SPEC, 3, streams=streams)
    assert ages(predict(detect_people(MIXED, Faces(2, streams), SIZE), predictor)) == MIXED_AGES


def test_photos_are_detected_in_as_many_streams_as_the_detector_has() -> None:
    together = threading.Barrier(3)

    class Together(Faces):
        def detect(self, images: Sequence[Image]) -> list[Detections]:
            together.wait(10)
            return super().detect(images)

    seen = detect_people([image(number, 1) for number in range(6)], Together(streams=3), SIZE)
    assert [found.photo.path for found in seen] == [f"{number}-1" for number in range(6)]


@pytest.fixture
def three_threads() -> Iterator[None]:
    """OpenCV has three threads, on any machine."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_opencv_keeps_to_one_core_while_the_streams_work_and_gets_back_its_own(
    three_threads: None,
) -> None:
    seen: list[int] = []

    class Asking(Faces):
        def detect(self, images: Sequence[Image]) -> list[Detections]:
            seen.append(cv2.getNumThreads())
            return super().detect(images)

    list(detect_people([image(1, 1), image(2, 1)], Asking(), SIZE))
    assert (seen, cv2.getNumThreads()) == ([1, 1], 3)


def threads_at_rest() -> int:
    """OpenCV's threads once the batches that are under way have been done, or after 5 seconds."""
    end = time.monotonic() + 5
    while cv2.getNumThreads() == 1 and time.monotonic() < end:
        time.sleep(0.01)
    return cv2.getNumThreads()


def test_opencv_has_its_own_threads_between_photos_of_scans_that_are_interleaved(
    three_threads: None,
) -> None:
    first, second = (
        detect_people([image(number, 1) for number in range(6)], Faces(), SIZE) for _ in range(2)
    )
    for stream in (first, second, first, second):
        next(stream)
        assert threads_at_rest() == 3
    assert isinstance(first, Generator)
    first.close()
    assert threads_at_rest() == 3
    next(second)
    assert threads_at_rest() == 3
    assert len(list(second)) == 3
    assert cv2.getNumThreads() == 3


def test_opencv_gets_back_its_threads_only_when_the_last_of_two_scans_rests(
    three_threads: None,
) -> None:
    """One photo is held up in its detector, while another scan begins and ends."""
    here, go_on, seen = threading.Event(), threading.Event(), []

    class HeldUp(Faces):
        def detect(self, images: Sequence[Image]) -> list[Detections]:
            here.set()
            assert go_on.wait(10)
            seen.append(cv2.getNumThreads())
            return super().detect(images)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(list, detect_people([image(1, 1)], HeldUp(), SIZE))
        assert here.wait(10)
        assert len(list(detect_people([image(2, 1)], Faces(), SIZE))) == 1
        while_held_up = cv2.getNumThreads()
        go_on.set()
        assert len(slow.result()) == 1
    assert (while_held_up, seen, cv2.getNumThreads()) == (1, [1], 3)


def test_opencv_gets_back_its_threads_from_a_detector_that_raises(three_threads: None) -> None:
    class Broken(Faces):
        def detect(self, images: Sequence[Image]) -> list[Detections]:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(detect_people([image(1, 1)], Broken(), SIZE))
    assert cv2.getNumThreads() == 3


def test_a_detector_that_raises_in_a_stream_stops_the_run() -> None:
    class Broken(Faces):
        def detect(self, images: Sequence[Image]) -> list[Detections]:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(detect_people(MIXED, Broken(2, 2), SIZE))


def test_an_engine_that_raises_in_a_stream_stops_the_run() -> None:
    class Broken(Brightness):
        def run(self, batch: Pixels, present: NDArray[np.bool_]) -> NDArray[np.float32]:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(predict(detect_people(MIXED, Faces(), SIZE), Predictor(Broken(), SPEC, 2, streams=2)))
