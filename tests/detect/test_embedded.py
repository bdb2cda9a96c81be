"""Tests of the embedded detector: the networks give the golden boxes, and several passes find
everybody once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.heads import points_of
from helpers.photos import assets

from mivolo_cli import boxes as arithmetic
from mivolo_cli.boxes import roll
from mivolo_cli.detect import deim, faces, yunet
from mivolo_cli.detect.deim import PERSON, Deim, Objects
from mivolo_cli.detect.detector import turned
from mivolo_cli.detect.embedded import (
    EmbeddedDetector,
    real_persons,
    without_parts_of_animals,
)
from mivolo_cli.detect.faces import FaceFinder, can_belong
from mivolo_cli.detect.load import open_detector
from mivolo_cli.detect.resize import Scaled, resize
from mivolo_cli.detect.yunet import Faces, YuNet
from mivolo_cli.errors import WeightsError
from mivolo_cli.model.registry import folder
from mivolo_cli.pipeline.pair import pair
from mivolo_cli.pipeline.stages import Detected, detect_people
from mivolo_cli.pipeline.turning import turned_person
from mivolo_cli.records import Box, Boxes, Detections, Image, Person, Photo, Pixels
from mivolo_cli.runtime import openvino_engine

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "detections.json").read_text())
NOBODY = np.zeros((0, 4), np.float32)
BLACK = np.zeros((600, 800, 3), np.uint8)
"""The network sees it in detail at a scale of 1."""


def read(name: str) -> Pixels:
    bgr = cv2.imread(str(assets() / name))
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1])


@pytest.fixture(scope="module")
def photos() -> dict[str, Pixels]:
    return {name: read(name) for name in GOLDEN}


@pytest.fixture(scope="module")
def detector() -> EmbeddedDetector:
    opened = open_detector("embedded")
    assert isinstance(opened, EmbeddedDetector) and opened.name == "embedded"
    return opened


def image(pixels: Pixels) -> Image:
    return Image(Photo("/", "a.jpg"), np.ascontiguousarray(pixels))


def array(*boxes: tuple[float, ...]) -> Boxes:
    return np.array(boxes, np.float32).reshape(-1, 4)


def faces_of(*found: tuple[float, ...], degrees: float = 0) -> Faces:
    """Faces of x1, y1, x2, y2 and score, whose heads lean by so much."""
    return Faces(
        array(*(face[:4] for face in found)),
        np.array([face[4] for face in found], np.float32),
        points_of(*[degrees] * len(found)),
    )


class Scripted(YuNet):
    """Answers from a script: what it finds in detail, and then what it finds around a place."""

    def __init__(
        self, detail: Faces, around: Callable[[tuple[float, float]], Faces] = lambda _: faces_of()
    ) -> None:
        self.detail, self.around = detail, around
        self.asked: list[tuple[float, float, float, float]] = []

    def find(self, pixels: Pixels, scale: float) -> Faces:
        return self.detail if scale == 1 else faces_of()

    def find_around(
        self, pixels: Pixels, centre: tuple[float, float], side: float, degrees: float = 0
    ) -> Faces:
        self.asked.append((*centre, side, degrees))
        return self.around(centre)


def find(
    network: Scripted, persons: Boxes = NOBODY, *animals: tuple[float, ...], **limits: float
) -> Faces:
    return FaceFinder(network, **limits).find(Scaled.of(BLACK, 1.0), persons, objects(*animals))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_networks_find_the_golden_faces_and_persons(
    name: str, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    golden = np.array(GOLDEN[name]["faces"])
    found = detector.faces.find(photos[name], 0.5)
    found = found[found.scores > 0.6]
    assert (
        np.abs(found.boxes - golden[:, :4]).max() < 0.1
        and np.abs(found.scores - golden[:, 4]).max() < 0.005
    )
    assert np.abs(found.points.reshape(-1, 10) - golden[:, 5:]).max() < 0.1
    golden = np.array(GOLDEN[name]["persons"])
    objects = Objects.merge(
        [
            detector.persons._find_in(
                Scaled.of(photos[name], 1.0), (0, 0, *photos[name].shape[1::-1])
            )
        ]
    ).persons(0.6)
    assert (
        np.abs(objects.boxes - golden[:, :4]).max() < 1
        and np.abs(objects.scores - golden[:, 4]).max() < 0.005
    )


@pytest.mark.parametrize(("name", "people", "with_face"), [("bus.jpg", 4, 2), ("zidane.jpg", 2, 2)])
def test_on_the_demo_photos_everybody_is_found_once(
    name: str, people: int, with_face: int, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    (found,) = detector.detect([image(photos[name])])
    paired = pair(found)
    assert len(paired) == people
    assert (
        sum(person.face is not None and person.body is not None for person in paired) == with_face
    )
    assert found.points.shape == (with_face, 5, 2) and np.isfinite(found.points).all()


def test_points_are_the_eyes_the_nose_and_the_mouth_from_the_persons_right(
    photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    (found,) = detector.detect([image(photos["bus.jpg"])])
    for (x1, y1, x2, y2), points in zip(found.faces, found.points, strict=True):
        assert ((points > (x1, y1 - 10)) & (points < (x2, y2))).all()
        right_eye, left_eye, nose, right_mouth, left_mouth = points
        assert right_eye[0] < left_eye[0] and right_mouth[0] < left_mouth[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])


def assert_all_found(found: Detections, original: Detections, shift: tuple[float, float]) -> None:
    moved = np.tile(np.array(shift, np.float32), 2)
    for now, before in ((found.persons, original.persons), (found.faces, original.faces)):
        overlaps = arithmetic.iou(before + moved, now)
        assert (overlaps.max(axis=1, initial=0) > 0.5).all()


@pytest.mark.parametrize("place", [0, 0.37, 1])
@pytest.mark.parametrize("times", [(5, 1), (1, 5), (1, 12)])
def test_people_are_found_on_a_far_higher_or_wider_canvas(
    times: tuple[int, int], place: float, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    pixels = photos["zidane.jpg"]
    height, width = pixels.shape[:2]
    canvas = np.full((height * times[0], width * times[1], 3), 128, np.uint8)
    y, x = int((canvas.shape[0] - height) * place), int((canvas.shape[1] - width) * place)
    canvas[y : y + height, x : x + width] = pixels
    original, found = detector.detect([image(pixels), image(canvas)])
    assert_all_found(found, original, (x, y))


def test_small_faces_in_a_crowd_are_found(
    photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    street = cv2.resize(photos["bus.jpg"], (270, 360), interpolation=cv2.INTER_AREA)
    crowd = np.ascontiguousarray(np.tile(street, (2, 3, 1)))
    found = detector.detect([image(crowd)])[0].faces
    places = array(*((x, y, x, y) for x in (0, 270, 540) for y in (0, 360)))
    golden = faces_of(*(tuple(face[:5]) for face in GOLDEN["bus.jpg"]["faces"]))
    once = golden.boxes / 3
    expected = (once + places[:, None]).reshape(-1, 4).astype(np.float32)
    overlaps = arithmetic.iou(found, expected)
    assert overlaps.shape == (12, 12), "two faces in each of the six streets, and nothing else"
    assert (overlaps.max(axis=0) > 0.4).all() and (overlaps.max(axis=1) > 0.4).all()


@pytest.mark.parametrize("upscaled", [1, 5])
def test_a_face_that_fills_the_photo_is_found_whole(
    upscaled: int, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    for x1, y1, x2, y2, *_ in GOLDEN["zidane.jpg"]["faces"]:
        chip = photos["zidane.jpg"][int(y1) : int(y2), int(x1) : int(x2)].repeat(upscaled, axis=0)
        (found,) = detector.detect([image(chip.repeat(upscaled, axis=1))])
        assert len(found.faces) == 1
        assert arithmetic.area(found.faces)[0] > 0.5 * chip.shape[0] * chip.shape[1] * upscaled


@pytest.mark.parametrize("degrees", [-50, -35, 35])
def test_heads_that_lean_are_found_with_their_roll(
    degrees: float, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    x1, y1, x2, y2, _, *points = GOLDEN["zidane.jpg"]["faces"][0]
    centre, upright = (
        ((x1 + x2) / 2, (y1 + y2) / 2),
        roll(np.array(points, np.float32).reshape(1, 5, 2))[0],
    )
    turn = cv2.getRotationMatrix2D(centre, -degrees, 1)
    leaning = cv2.warpAffine(photos["zidane.jpg"], turn, (1280, 720), borderValue=(128, 128, 128))
    (found,) = detector.detect([image(leaning)])
    nearest = np.hypot(*(arithmetic.centre(found.faces) - centre).T).argmin()
    assert np.abs(arithmetic.centre(found.faces)[nearest] - centre).max() < 50
    assert roll(found.points)[nearest] == pytest.approx(upright + degrees, abs=17)


def people_of(pixels: Pixels, detector: EmbeddedDetector, any_way_up: bool = True) -> list[Person]:
    """Who a scan finds, as the photo is stored."""
    (found,) = detect_people([image(pixels)], detector, 112, any_way_up=any_way_up)
    assert isinstance(found, Detected)
    return found.people


def assert_near(found: Box | None, expected: Box | None, pixels: float) -> None:
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert np.abs(np.subtract(found.corners, expected.corners)).max() < pixels


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("name", GOLDEN)
def test_photos_that_lie_have_the_same_people(
    name: str, quarters: int, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    """The photo was turned before it was stored."""
    pixels = photos[name]
    height, width = pixels.shape[:2]
    stored = turned(pixels, quarters)
    assert detector.way_up(stored) == 4 - quarters
    expected = [
        turned_person(person, quarters, width, height) for person in people_of(pixels, detector)
    ]
    found = people_of(stored, detector)
    assert len(found) == len(expected)
    for person, right in zip(found, expected, strict=True):
        assert_near(person.face, right.face, 3)
        assert_near(person.body, right.body, 3)
        assert (person.roll is None) == (right.roll is None)
        if person.roll is not None and right.roll is not None:
            assert person.roll == pytest.approx(right.roll, abs=3)


def test_photos_that_are_upright_or_without_faces_are_left_as_they_are(
    photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    assert [detector.way_up(pixels) for pixels in photos.values()] == [0, 0]
    assert detector.way_up(BLACK) == 0


@pytest.mark.parametrize(("score", "doubtful"), [(0.8, True), (0.9, False)])
def test_a_photo_without_a_sure_face_is_doubtful(
    score: float, doubtful: bool, detector: EmbeddedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lie on its side."""
    some = faces_of((10, 10, 90, 100, score), (200, 10, 290, 100, 0.6))
    monkeypatch.setattr(FaceFinder, "find", lambda *_: some)
    (found,) = detector.detect([image(BLACK)])
    assert len(found.faces) == 2 and found.doubtful is doubtful


@pytest.mark.parametrize(("score", "judged"), [(0.49, False), (0.5, True)])
def test_a_doubtful_person_without_a_face_is_found_but_not_judged(
    score: float, judged: bool, detector: EmbeddedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = objects((100, 100, 200, 400, score, PERSON))
    monkeypatch.setattr(Deim, "find", lambda *_: some)
    (found,) = detector.detect([image(np.zeros((500, 300, 3), np.uint8))])
    assert [person.judged for person in pair(found)] == [judged]


@pytest.mark.parametrize("precision", ["auto", "bf16"])
@pytest.mark.parametrize(("supported", "overlap"), [(True, 0.9), (False, 0.9999)])
def test_bf16_finds_the_same_people_and_gives_way_to_fp32(
    precision: str,
    supported: bool,
    overlap: float,
    photos: dict[str, Pixels],
    detector: EmbeddedDetector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not supported:
        monkeypatch.setattr(openvino_engine, "is_supported", lambda *_: False)
    faster = open_detector("embedded", precision=precision)
    for pixels in photos.values():
        (plain,), (fast,) = (found.detect([image(pixels)]) for found in (detector, faster))
        for expected, boxes in ((plain.persons, fast.persons), (plain.faces, fast.faces)):
            assert len(boxes) == len(expected)
            assert (arithmetic.iou(expected, boxes).max(axis=1) > overlap).all()


def test_photos_keep_their_order_and_do_not_depend_on_one_another(
    photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    images = [image(photos[name]) for name in ("zidane.jpg", "bus.jpg")]
    together = detector.detect(images)
    for alone, found in zip((detector.detect([one])[0] for one in images), together, strict=True):
        assert np.array_equal(alone.persons, found.persons) and np.array_equal(
            alone.faces, found.faces
        )
    assert [len(found.persons) for found in together] == [2, 4]
    assert detector.detect([]) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 2), (700, 900)])
def test_pictures_of_nothing_hold_no_one(
    shape: tuple[int, int], detector: EmbeddedDetector
) -> None:
    for pixels in (np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 255, np.uint8)):
        (found,) = detector.detect([image(pixels)])
        assert len(found.persons) == len(found.faces) == 0


def test_thresholds_of_scores_can_be_chosen(photos: dict[str, Pixels]) -> None:
    pixels = image(photos["zidane.jpg"])
    strict = open_detector("embedded", face_score=0.99, person_score=0.75).detect([pixels])[0]
    assert len(strict.faces) == 0 and len(strict.persons) == 1
    (usual,) = open_detector("embedded").detect([pixels])
    assert len(usual.faces) == len(usual.persons) == 2


def test_a_sure_face_is_accepted_at_once() -> None:
    network = Scripted(faces_of((100, 100, 180, 200, 0.9)))
    assert find(network).boxes.tolist() == [[100, 100, 180, 200]] and network.asked == []


def test_a_face_in_doubt_must_be_found_again_in_its_place() -> None:
    doubtful = faces_of(
        (100, 100, 180, 200, 0.74), (300, 100, 380, 200, 0.74), (500, 100, 580, 200, 0.74)
    )
    again = {
        140: faces_of((100, 102, 180, 202, 0.9)),
        340: faces_of(),
        540: faces_of((550, 180, 630, 280, 0.95)),
    }
    network = Scripted(doubtful, lambda centre: again[int(centre[0])])
    found = find(network)
    assert found.boxes.tolist() == [[100, 100, 180, 200]] and found.scores[0] == pytest.approx(0.82)
    sides = (0, -faces.FAR, faces.FAR)
    assert network.asked == [
        (140, 150, 200, 0),
        *((x, 150, 200, degrees) for x in (340, 540) for degrees in sides),
    ], "a head may lean so far that it is found only in a turned square"


def test_a_head_that_leans_is_judged_after_levelling() -> None:
    leaning = faces_of((100, 100, 180, 200, 0.5), degrees=25)
    network = Scripted(leaning, lambda centre: faces_of((100, 100, 180, 200, 0.9), degrees=50))
    found = find(network)
    assert found.scores.tolist() == [np.float32(0.9)] and roll(found.points)[0] == pytest.approx(50)
    assert [asked[3] for asked in network.asked] == pytest.approx([25, 50]), (
        "levelled once more, as it leans further"
    )


def test_a_face_inside_an_animal_is_nobodys_unless_it_is_a_persons() -> None:
    muzzle, dog, sure = (
        (100, 100, 180, 200),
        (50, 50, 400, 400, 0.5, 16),
        (50, 50, 400, 400, 0.7, 16),
    )
    network = Scripted(faces_of((*muzzle, 0.9)), lambda centre: faces_of((*muzzle, 0.6)))
    assert len(find(network, NOBODY, dog)) == 0
    assert {asked[:3] for asked in network.asked} == {(140, 150, 200)}
    assert len(find(network, array((60, 80, 240, 500)), dog)) == 1
    network = Scripted(faces_of((*muzzle, 0.9)), lambda _: faces_of((*muzzle, 0.9)))
    assert len(find(network, NOBODY, dog)) == 1 and len(find(network, NOBODY, sure)) == 0


def test_the_head_of_a_person_without_a_face_is_searched() -> None:
    person = array((100, 100, 160, 300))
    network = Scripted(
        faces_of(), lambda centre: faces_of((120, 105, 144, 135, 0.9), (120, 260, 144, 290, 0.9))
    )
    assert find(network, person).boxes.tolist() == [[120, 105, 144, 135]], (
        "no face lies at the feet"
    )
    assert network.asked == [(130, 150, pytest.approx(120), 0)]


def test_the_best_face_of_a_person_who_lacks_one_needs_less() -> None:
    person, best, other = array((60, 80, 240, 500)), (90, 100, 140, 160, 0.76), (150, 100, 200, 160)
    again = {115: faces_of(best), 175: faces_of((*other, 0.75))}
    network = Scripted(faces_of(best, (*other, 0.75)), lambda centre: again[int(centre[0])])
    assert find(network, person).boxes.tolist() == [list(best[:4])]
    assert len(find(network)) == 0, "nobody is expected there"
    sure = (150, 100, 200, 160, 0.95)
    network = Scripted(faces_of(best, sure), lambda centre: again[int(centre[0])])
    assert find(network, person).boxes.tolist() == [list(sure[:4])], "the person has a face"


def test_small_faces_need_less_unless_they_are_tiny_beside_others() -> None:
    small, large = (10, 10, 24, 26, 0.55), (300, 100, 420, 250, 0.95)
    same = {17: faces_of((10, 10, 24, 26, 0.55))}
    assert len(find(Scripted(faces_of(small), lambda centre: same[int(centre[0])]))) == 1
    assert len(find(Scripted(faces_of(small, large), lambda centre: same[int(centre[0])]))) == 1


def test_of_a_huge_face_the_overview_shows_the_whole_and_the_detail_pieces() -> None:
    pieces, whole = (
        faces_of((100, 100, 250, 250, 0.9), (400, 400, 480, 480, 0.8)),
        faces_of((60, 50, 480, 590, 0.7)),
    )
    elsewhere = faces_of((700, 10, 760, 80, 0.9))
    merged = faces.merge_scales(Faces.merge([pieces, elsewhere]), whole, 1)
    assert merged.boxes.tolist() == [[700, 10, 760, 80], [60, 50, 480, 590]]


def test_photos_that_are_not_elongated_are_searched_in_detail_with_as_many_pixels() -> None:
    for height, width in ((600, 800), (1200, 1600), (3000, 4000), (900, 600)):
        assert faces.detail_scale(height, width) ** 2 * height * width == pytest.approx(
            faces.DETAIL_PIXELS
        )
    assert faces.detail_scale(500, 5000) * 500 == pytest.approx(faces.DETAIL_SIDE)
    assert faces.detail_scale(60, 80) == faces.MAX_SCALE
    assert faces.detail_scale(10, 10**6) ** 2 * 10**7 <= faces.MAX_PIXELS * 1.001


def test_a_face_can_be_that_of_a_body_of_its_size_that_has_it_above() -> None:
    body = array((100, 100, 200, 400))
    head, feet, beside, tiny, wide = (
        (130, 110, 170, 150), (130, 340, 170, 380), (205, 110, 245, 150),
        (145, 120, 155, 130), (80, 100, 220, 240),
    )  # fmt: skip
    assert can_belong(body, array(head, feet, beside, tiny, wide)).tolist() == [
        [True, False, False, False, False]
    ]
    assert can_belong(body, NOBODY).shape == (1, 0) and can_belong(NOBODY, array(head)).shape == (
        0,
        1,
    )


def objects(*found: tuple[float, ...]) -> Objects:
    """Of x1, y1, x2, y2, score and label."""
    labels = np.array([thing[5] for thing in found], np.int64)
    return Objects(
        array(*(thing[:4] for thing in found)),
        np.array([thing[4] for thing in found], np.float32),
        labels,
    )


def test_a_body_is_no_second_person_where_it_covers_the_body_of_a_face() -> None:
    judged, around, part = (
        (100, 100, 200, 400, 0.9, 0),
        (90, 90, 300, 420, 0.5, 0),
        (100, 200, 200, 400, 0.5, 0),
    )
    beside, small = (210, 100, 300, 400, 0.5, 0), (110, 300, 140, 380, 0.5, 0)
    persons, face = objects(judged, around, part, beside, small), array((130, 110, 170, 150))
    left = real_persons(persons, face, objects())
    assert left.boxes.tolist() == [list(box[:4]) for box in (judged, beside, small)]
    assert len(real_persons(persons, NOBODY, objects())) == 5


@pytest.mark.parametrize(("score", "left"), [(0.45, 0), (0.3, 1)])
def test_a_person_without_a_face_is_the_animal_in_its_place(score: float, left: int) -> None:
    person, dog = (
        objects((100, 100, 200, 400, 0.5, PERSON)),
        objects((100, 100, 200, 410, score, 16)),
    )
    assert len(real_persons(person, NOBODY, dog)) == left
    assert len(real_persons(person, array((130, 110, 170, 150)), dog)) == 1


@pytest.mark.parametrize(
    ("person", "animal", "left"), [(0.4, 0.7, 0), (0.5, 0.7, 1), (0.4, 0.5, 1)]
)
def test_a_weak_person_inside_a_sure_animal_is_a_part_of_it(
    person: float, animal: float, left: int
) -> None:
    chest = objects((200, 10, 340, 300, person, PERSON))
    dog = objects((200, 40, 500, 320, animal, 16))
    beside = objects((500, 10, 640, 300, person, PERSON))
    assert len(without_parts_of_animals(chest, dog)) == left
    assert len(without_parts_of_animals(beside, dog)) == 1


def test_an_animal_and_a_person_may_be_in_one_place() -> None:
    found = Objects.merge(
        [
            objects((0, 0, 10, 10, 0.5, PERSON), (0, 0, 10, 10, 0.7, 16)),
            objects((0, 0, 10, 9, 0.6, PERSON)),
        ]
    )
    assert found.scores.tolist() == [np.float32(0.7), np.float32(0.6)]
    assert found.persons(0.5).scores.tolist() == [
        np.float32(0.6)
    ] and found.animals.labels.tolist() == [16]


def test_windows_cover_an_elongated_photo_and_overlap() -> None:
    assert deim.windows(600, 800) == [(0, 0, 800, 600)] and deim.windows(600, 1200) == [
        (0, 0, 1200, 600)
    ]
    for height, width in ((100, 1001), (1001, 100), (1, 900), (20, 20_000)):
        found = deim.windows(height, width)
        long = 0 if width > height else 1
        assert (
            found[0][:2] == (0, 0)
            and found[-1][2:] == (width, height)
            and len(found) <= deim.MAX_WINDOWS
        )
        for first, second in zip(found, found[1:], strict=False):
            assert first[long] < second[long] < first[2 + long], "each begins in the one before"


def test_halves_overlap() -> None:
    assert deim.halves(300, 1000) == [(0, 0, 600, 300), (400, 0, 1000, 300)]
    assert deim.halves(1000, 300) == [(0, 0, 300, 600), (0, 400, 300, 1000)]


def test_who_is_cut_off_by_a_window_does_not_count() -> None:
    boxes = array((500, 50, 650, 290), (0, 50, 650, 290), (500, 50, 799, 290), (790, 50, 900, 290))
    assert deim._is_cut(boxes, (400, 0, 800, 300), 1000, 300).tolist() == [False, True, True, True]
    assert deim._is_cut(array((0, 0, 1000, 300)), (0, 0, 1000, 300), 1000, 300).tolist() == [False]


def test_both_halves_are_searched_where_three_persons_are_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[deim.Window] = []

    def find_in(self: Deim, pixels: Pixels, window: deim.Window) -> Objects:
        seen.append(window)
        return objects(*((x, 0, x + 80, 150, 0.5, PERSON) for x in places))

    monkeypatch.setattr(Deim, "_find_in", find_in)
    places: tuple[int, ...] = (0, 200)
    Deim().find(Scaled.of(BLACK, 1.0))
    assert len(seen) == 1
    places = (0, 200, 400)
    Deim().find(Scaled.of(BLACK, 1.0))
    assert len(seen) == 1 + 3


@pytest.mark.parametrize("degrees", [0, -40, 40])
def test_what_is_found_in_a_turned_square_is_mapped_back(
    degrees: float, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    for x1, y1, x2, y2, _, *points in GOLDEN["zidane.jpg"]["faces"][:1]:
        centre, side = ((x1 + x2) / 2, (y1 + y2) / 2), y2 - y1
        found = detector.faces.find_around(photos["zidane.jpg"], centre, 2 * side, degrees)
        assert np.abs(arithmetic.centre(found.boxes)[0] - centre).max() < 0.2 * side
        assert (
            np.abs(found.points[0].mean(axis=0) - np.reshape(points, (5, 2)).mean(axis=0)).max()
            < 0.15 * side
        )


def test_a_square_may_reach_out_of_the_photo(detector: EmbeddedDetector) -> None:
    for centre in ((0, 0), (799, 599), (-20, 300)):
        assert len(detector.faces.find_around(BLACK, centre, 100)) == 0


@pytest.mark.parametrize("shape", [(1500, 2000), (1001, 1333), (301, 300), (200, 199), (50, 900)])
def test_making_pictures_smaller_by_halves_averages_as_well(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    smooth = cv2.resize(
        rng.integers(60, 196, (6, 8, 3), np.uint8), shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    pixels = (smooth + rng.normal(0, 20, (*shape, 3))).clip(0, 255).astype(np.uint8)
    plain = cv2.resize(pixels, (80, 60), interpolation=cv2.INTER_AREA).astype(int)
    scale = 75 / max(shape)
    small = Scaled.of(pixels, scale).small
    area = cv2.resize(pixels, small.shape[1::-1], interpolation=cv2.INTER_AREA).astype(int)
    skipped = cv2.resize(pixels, small.shape[1::-1], interpolation=cv2.INTER_NEAREST).astype(int)
    far = np.abs(skipped - area).mean()
    assert np.abs(small.astype(int) - area).mean() < far / 2
    halved = resize(pixels, 80, 60).astype(int)
    skipping = cv2.resize(pixels, (80, 60), interpolation=cv2.INTER_NEAREST).astype(int)
    assert (
        halved.shape == (60, 80, 3)
        and np.abs(halved - plain).mean() < 2 < np.abs(skipping - plain).mean() / 5
    )


def test_the_hash_tells_the_files_apart(tmp_path: Path, detector: EmbeddedDetector) -> None:
    for file in (deim.FILE, yunet.FILE):
        shutil.copy(folder() / file, tmp_path / file)
    with open(tmp_path / yunet.FILE, "ab") as opened:
        opened.write(b"\x0a\x00")  # an empty name more: another file, the same network
    assert EmbeddedDetector(tmp_path).sha256 != detector.sha256


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=deim.FILE):
        EmbeddedDetector(tmp_path)


@pytest.mark.parametrize(
    ("face", "belongs"),
    [
        ((40, 90, 160, 210), True),  # a close-up: hair and a hat above, hardly any body below
        ((80, 260, 120, 300), False),  # at the knees
        ((40, 290, 160, 299), False),
        ((95, 5, 105, 15), False),  # tiny
        ((0, 0, 300, 300), False),  # wider than the body
    ],
)
def test_a_face_belongs_to_a_body_below_it(face: tuple[float, ...], belongs: bool) -> None:
    assert can_belong(array((0, 0, 200, 300)), array(face)).tolist() == [[belongs]]
