"""Tests of mivolo_cli.detect.embedded: the recipes' golden boxes, and the second looks that find
every face once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.photos import assets

from mivolo_cli import boxes as arithmetic
from mivolo_cli.detect import embedded
from mivolo_cli.detect.embedded import (
    FACE_FILE,
    PERSON_FILE,
    EmbeddedDetector,
    FaceFinder,
    Found,
    Square,
)
from mivolo_cli.detect.load import open_detector
from mivolo_cli.errors import WeightsError
from mivolo_cli.model.registry import folder
from mivolo_cli.pipeline.pair import pair
from mivolo_cli.records import Boxes, Image, Photo, Pixels

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "detections.json").read_text())
Script = Sequence[tuple[float, ...]]
NO_FACES: Found = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)


@pytest.fixture(scope="module")
def photos() -> dict[str, Pixels]:
    return {name: read(assets() / name) for name in GOLDEN}


def read(file: Path) -> Pixels:
    pixels = cv2.imread(str(file))
    assert pixels is not None
    return np.ascontiguousarray(pixels[..., ::-1])


@pytest.fixture(scope="module")
def detector() -> EmbeddedDetector:
    opened = open_detector("embedded")
    assert isinstance(opened, EmbeddedDetector) and opened.name == "embedded"
    return opened


def test_nothing_is_said_of_it(notes: list[str]) -> None:
    open_detector("embedded")
    assert notes == []


def image(pixels: Pixels) -> Image:
    return Image(Photo("/", "a.jpg"), np.ascontiguousarray(pixels))


def array(*boxes: tuple[float, ...]) -> Boxes:
    return np.array(boxes, np.float32).reshape(-1, 4)


class Scripted(FaceFinder):
    """Answers from a script: what the first look finds, and then what a look at a square does."""

    def __init__(self, first: Script, then: Callable[[Square], Script]) -> None:
        self.first, self.then = first, then
        self.squares: list[Square] = []

    def find(self, pixels: Pixels) -> Found:
        return array(*(face[:4] for face in self.first)), np.array(
            [face[4] for face in self.first], np.float32
        )

    def look(self, pixels: Pixels, square: Square, score: float) -> Found:
        self.squares.append(square)
        found = [face for face in self.then(square) if face[4] > score]
        return array(*(face[:4] for face in found)), np.array(
            [face[4] for face in found], np.float32
        )


@pytest.mark.parametrize("name", GOLDEN)
def test_the_recipes_give_the_golden_boxes(
    name: str, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    for find, kind in ((detector.persons.find, "persons"), (detector.faces.find, "faces")):
        golden = np.array(GOLDEN[name][kind])
        boxes, scores = find(photos[name])
        boxes = np.clip(boxes, 0, [GOLDEN[name]["width"], GOLDEN[name]["height"]] * 2)
        assert boxes.shape == golden[:, :4].shape
        assert np.abs(boxes - golden[:, :4]).max() < 2, (
            "another decoder moves them by a pixel or so"
        )
        assert np.abs(scores - golden[:, 4]).max() < 0.02


@pytest.mark.parametrize(("name", "people", "with_face"), [("bus.jpg", 4, 2), ("zidane.jpg", 2, 2)])
def test_the_demo_photos_hold_as_many_people_as_one_sees(
    name: str, people: int, with_face: int, photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    (found,) = detector.detect([image(photos[name])])
    paired = pair(found)
    assert len(paired) == people
    assert (
        sum(person.face is not None and person.body is not None for person in paired) == with_face
    )


def test_small_faces_in_a_crowd_are_found_in_the_second_look(
    photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    street = cv2.resize(photos["bus.jpg"], (540, 720), interpolation=cv2.INTER_AREA)
    crowd = np.ascontiguousarray(np.tile(street, (2, 2, 1)))
    assert len(detector.faces.find(crowd)[0]) == 0, "28 pixels are too few for the first look"
    found = detector.detect([image(crowd)])[0].faces
    places = array(*((x, y, x, y) for x in (0, 540) for y in (0, 720)))
    expected = np.array(GOLDEN["bus.jpg"]["faces"], np.float32)[:, :4] * (2 / 3) + places[:, None]
    overlaps = arithmetic.iou(found, expected.reshape(-1, 4))
    assert overlaps.shape == (8, 8), "two faces in each of the four streets, and nothing else"
    assert (overlaps.max(axis=0) > 0.3).all() and (overlaps.max(axis=1) > 0.3).all()


def test_a_face_that_fills_the_photo_is_found_whole(
    photos: dict[str, Pixels], detector: EmbeddedDetector
) -> None:
    for x1, y1, x2, y2, _ in GOLDEN["zidane.jpg"]["faces"]:
        chip = photos["zidane.jpg"][int(y1) : int(y2), int(x1) : int(x2)]
        (found,) = detector.detect([image(chip)])
        assert len(found.faces) == 1
        assert arithmetic.area(found.faces)[0] > 0.5 * chip.shape[0] * chip.shape[1]


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


def test_a_sure_face_of_moderate_size_needs_no_closer_look() -> None:
    finder = Scripted([(10, 10, 30, 30, 0.9)], lambda square: [])
    faces, scores = embedded.find_faces(finder, np.zeros((100, 100, 3), np.uint8), array())
    assert faces.tolist() == [[10, 10, 30, 30]] and len(scores) == 1 and finder.squares == []


def test_a_doubtful_face_must_be_found_again_and_gets_the_better_box() -> None:
    first = [(10, 10, 30, 30, 0.6), (60, 60, 80, 80, 0.7)]
    finder = Scripted(
        first,
        lambda square: [(12, 14, 30, 32, 0.8)] if square[0] < 30 else [(60, 60, 80, 80, 0.55)],
    )
    faces, scores = embedded.find_faces(finder, np.zeros((100, 100, 3), np.uint8), array())
    assert faces.tolist() == [[12, 14, 30, 32]] and scores.tolist() == [np.float32(0.8)]
    assert finder.squares[:2] == [(-10, -10, 60), (40, 40, 60)]


def test_a_closer_look_that_finds_another_face_proves_nothing() -> None:
    finder = Scripted([(10, 10, 30, 30, 0.6)], lambda square: [(40, 40, 60, 60, 0.9)])
    faces, _ = embedded.find_faces(finder, np.zeros((100, 100, 3), np.uint8), array())
    assert len(faces) == 0


def test_a_doubtful_face_that_a_look_at_a_person_has_found_is_not_looked_at_again() -> None:
    finder = Scripted([(110, 110, 140, 140, 0.6)], lambda square: [(112, 112, 138, 140, 0.9)])
    pixels, person = np.zeros((800, 800, 3), np.uint8), array((100, 100, 160, 300))
    faces, _ = embedded.find_faces(finder, pixels, person)
    assert faces.tolist() == [[112, 112, 138, 140]] and len(finder.squares) == 1
    finder = Scripted([(110, 110, 140, 140, 0.6)], lambda square: [])
    faces, _ = embedded.find_faces(finder, pixels, person)
    assert len(faces) == 0 and len(finder.squares) == 3, "of the person, of the face, with a margin"


@pytest.mark.parametrize("shape", [(1500, 2000), (1001, 1333), (301, 300), (200, 199), (50, 900)])
def test_making_pictures_smaller_by_halves_averages_as_well(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    smooth = cv2.resize(
        rng.integers(60, 196, (6, 8, 3), np.uint8), shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    pixels = (smooth + rng.normal(0, 20, (*shape, 3))).clip(0, 255).astype(np.uint8)
    plain = cv2.resize(pixels, (80, 60), interpolation=cv2.INTER_AREA).astype(int)
    halved = embedded._resize(pixels, 80, 60, 3).astype(int)
    skipping = cv2.resize(pixels, (80, 60), interpolation=cv2.INTER_NEAREST).astype(int)
    assert (
        halved.shape == (60, 80, 3)
        and np.abs(halved - plain).mean() < 2 < np.abs(skipping - plain).mean() / 5
    )


def test_a_large_face_is_replaced_by_what_the_margin_shows() -> None:
    pieces = [(5, 5, 90, 70, 0.9), (10, 60, 80, 99, 0.95)]
    finder = Scripted(pieces, lambda square: [(0, 2, 98, 99, 0.8), (3, 3, 9, 9, 0.99)])
    faces, _ = embedded.find_faces(finder, np.zeros((100, 100, 3), np.uint8), array())
    assert faces.tolist() == [[0, 2, 98, 99]]
    assert finder.squares == [(-30, -30, 160)]


def test_a_middling_face_that_is_a_piece_of_a_larger_one_gives_way_though_it_scores_better() -> (
    None
):
    finder = Scripted(
        [(20, 40, 70, 90, 0.9), (0, 0, 8, 8, 0.8)], lambda square: [(10, 10, 95, 95, 0.78)]
    )
    faces, _ = embedded.find_faces(finder, np.zeros((100, 100, 3), np.uint8), array())
    assert sorted(faces.tolist()) == [[0, 0, 8, 8], [10, 10, 95, 95]]


def test_a_middling_face_that_is_whole_stays() -> None:
    finder = Scripted([(20, 40, 70, 90, 0.9)], lambda square: [])
    faces, _ = embedded.find_faces(finder, np.zeros((100, 100, 3), np.uint8), array())
    assert faces.tolist() == [[20, 40, 70, 90]]


def test_a_second_look_takes_only_what_can_be_the_persons_face() -> None:
    person = array((100, 100, 200, 400))[0]
    own, beside, below, wide = (
        (130, 110, 170, 150),
        (205, 110, 245, 150),
        (130, 300, 170, 340),
        (90, 105, 210, 220),
    )
    finder = Scripted([], lambda square: [(*box, 0.9) for box in (own, beside, below, wide)])
    faces, _ = embedded.look_at_person(finder, np.zeros((800, 800, 3), np.uint8), person)
    assert faces.tolist() == [list(own)]
    ((left, top, side),) = finder.squares
    assert left < 100 and top < 100 and left + side > 200 and 250 < top + side < 300


def test_a_person_that_fills_the_photo_is_not_looked_at_twice() -> None:
    finder = Scripted([], lambda square: [(130, 110, 170, 150, 0.9)])
    faces, _ = embedded.look_at_person(
        finder, np.zeros((400, 300, 3), np.uint8), array((0, 0, 300, 400))[0]
    )
    assert len(faces) == 0 and finder.squares == []


def test_merging_leaves_each_face_once() -> None:
    boxes = array((0, 0, 10, 10), (1, 1, 11, 11), (2, 2, 6, 6), (50, 50, 60, 60), (9, 0, 19, 10))
    faces, scores = embedded.merge(boxes, np.array([0.7, 0.9, 0.8, 0.6, 0.65], np.float32))
    assert faces.tolist() == [[1, 1, 11, 11], [9, 0, 19, 10], [50, 50, 60, 60]]
    assert scores.tolist() == [np.float32(score) for score in (0.9, 0.65, 0.6)]
    assert embedded.merge(*NO_FACES)[0].shape == (0, 4)


def test_a_window_shows_the_square_and_maps_back(detector: EmbeddedDetector) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[10:20, 30:40] = 255
    window, scale, corner = embedded._window(pixels, (20, -10, 64))
    assert window.shape == (256, 256, 3) and scale.tolist() == [4, 4]
    rows, columns = np.nonzero(window[..., 0] > 0)
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert ((seen - np.tile(corner, 2)) / 4).tolist() == [30, 10, 40, 20]
    assert (window[:40] == -1).all(), "what lies above the photo is black"


def test_the_hash_tells_the_files_apart(tmp_path: Path, detector: EmbeddedDetector) -> None:
    for file in (PERSON_FILE, FACE_FILE):
        shutil.copy(folder() / file, tmp_path / file)
    with open(tmp_path / FACE_FILE, "ab") as faces:
        faces.write(b"\x0a\x00")  # an empty name more: another file, the same network
    assert EmbeddedDetector(tmp_path).sha256 != detector.sha256


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=PERSON_FILE):
        EmbeddedDetector(tmp_path)
