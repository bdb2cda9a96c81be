"""What the model sees of a person, by the rules of the published inference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mivolo_cli.model.architecture import MEAN, STD
from mivolo_cli.pipeline.crops import (
    MIN_ROLL,
    Crops,
    cut,
    cut_face,
    letterbox,
    stack,
    whole_pixels,
)
from mivolo_cli.pipeline.pair import pair
from mivolo_cli.records import Box, Detections, Person, Pixels, Use

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "crops.json").read_text("utf-8"))
WHITE = np.full((300, 400, 3), 255, np.uint8)


def picture(seed: int, height: int, width: int, cell: int) -> Pixels:
    small = np.random.default_rng(seed).integers(
        1, 256, (height // cell, width // cell, 3), np.uint8
    )
    return np.kron(small, np.ones((cell, cell, 1), np.uint8))


def detections(case: dict[str, Any]) -> Detections:
    persons, faces = (
        np.array(case[kind], np.float32).reshape(-1, 4) for kind in ("persons", "faces")
    )
    return Detections(
        persons, np.ones(len(persons), np.float32), faces, np.ones(len(faces), np.float32)
    )


def golden_row(case: dict[str, Any], person: Person) -> dict[str, Any]:
    def index(box: Box | None, corners: list[Any]) -> int | None:
        return (
            None if box is None else np.array(corners, np.float32).tolist().index(list(box.corners))
        )

    who = index(person.face, case["faces"]), index(person.body, case["persons"])
    return next(row for row in case["rows"] if (row["face"], row["body"]) == who)


def assert_input_equals(crop: Pixels | None, row: dict[str, Any], kind: str, size: int) -> None:
    pixels = np.zeros((size, size, 3), np.uint8) if crop is None else crop
    seen = ((pixels / 255 - MEAN) / STD).transpose(2, 0, 1)
    step = size // 16
    assert seen.mean() == pytest.approx(row[f"{kind}_mean"], abs=1e-3)
    np.testing.assert_allclose(seen[:, 3::step, 5::step].ravel(), row[f"{kind}_grid"], atol=1e-3)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed {case['image']['seed']}")
def test_inputs_are_those_of_the_published_inference(case: dict[str, Any]) -> None:
    size = case["input_size"]
    people = pair(detections(case))
    for person, crops in zip(people, cut(picture(**case["image"]), people, size), strict=True):
        row = golden_row(case, person)
        if not row["usable"]:
            assert crops.used is None
            continue
        assert (crops.face is not None, crops.body is not None) == (
            row["face_used"],
            row["body_used"],
        )
        assert_input_equals(crops.face, row, "face", size)
        assert_input_equals(crops.body, row, "body", size)


def body_of(*people: Person, pixels: Pixels = WHITE, size: int = 100) -> Pixels | None:
    return cut(pixels, people, size)[0].body


def black_share(crop: Pixels | None) -> float:
    assert crop is not None
    return float((crop == 0).all(axis=2).mean())


def test_a_face_is_cut_without_a_margin() -> None:
    pixels = WHITE.copy()
    pixels[50:90, 100:140] = (10, 20, 30)
    (crops,) = cut(pixels, [Person(Box(100, 50, 140, 90), None)], 40)
    assert crops.face is not None and (crops.face == (10, 20, 30)).all()
    assert crops.body is None and crops.used == "face"


def test_nobody_is_blackened_out_of_a_face() -> None:
    neighbour = Person(Box(110, 60, 130, 80), Box(120, 50, 200, 300))
    (crops, _) = cut(WHITE, [Person(Box(100, 50, 140, 90), None), neighbour], 40)
    assert crops.face is not None and crops.face.min() == 255


def test_the_own_face_is_blackened_out_of_the_body() -> None:
    crop = body_of(Person(Box(140, 20, 160, 40), Box(100, 0, 200, 100)))
    assert crop is not None
    assert crop[20:40, 40:60].max() == 0
    assert black_share(crop) == pytest.approx(0.04)


def test_a_face_without_a_body_is_blackened_out_of_others_bodies() -> None:
    crop = body_of(Person(None, Box(100, 0, 200, 100)), Person(Box(140, 20, 160, 40), None))
    assert black_share(crop) == pytest.approx(0.04)


def test_a_neighbour_far_from_the_border_is_blackened_as_it_is() -> None:
    crop = body_of(Person(None, Box(100, 0, 200, 100)), Person(None, Box(135, 35, 165, 65)))
    assert crop is not None and crop[35:65, 35:65].max() == 0
    assert black_share(crop) == pytest.approx(0.09)


@pytest.mark.parametrize(
    "inset, blackened",
    [(29, 30), (30, 0), (31, 0)],
    ids=["nearer than 30 %", "at 30 %", "beyond 30 %"],
)
def test_a_neighbour_snaps_to_the_border_of_the_body_that_it_nearly_reaches(
    inset: int, blackened: int
) -> None:
    crop = body_of(Person(None, Box(100, 0, 200, 100)), Person(None, Box(100 + inset, 40, 165, 60)))
    assert crop is not None
    assert (crop[50, :30] == 0).all() == (blackened == 30)
    assert (crop[50, 65:] == 255).all()


def test_faces_do_not_snap() -> None:
    crop = body_of(Person(None, Box(100, 0, 200, 100)), Person(Box(105, 40, 125, 60), None))
    assert crop is not None and crop[50, :5].min() == 255 and crop[50, 5:25].max() == 0


def test_a_neighbour_that_only_touches_is_left_alone() -> None:
    assert (
        black_share(
            body_of(Person(None, Box(100, 0, 200, 100)), Person(None, Box(200, 0, 300, 100)))
        )
        == 0
    )


@pytest.mark.parametrize(
    "width, height, is_used", [(50, 50, True), (49, 80, False), (80, 49, False)]
)
def test_a_body_has_at_least_50_pixels_a_side(width: int, height: int, is_used: bool) -> None:
    assert (body_of(Person(None, Box(10, 10, 10 + width, 10 + height))) is not None) is is_used


@pytest.mark.parametrize("width, is_used", [(60, True), (61, False)])
def test_a_body_keeps_at_least_four_tenths_of_its_values(width: int, is_used: bool) -> None:
    face = Box(100, 0, 100 + width, 100)
    assert (body_of(Person(face, Box(100, 0, 200, 100))) is not None) is is_used


def test_boxes_are_cut_to_whole_pixels_inside_the_picture() -> None:
    found = whole_pixels(Box(-7.5, 10.9, 500, 299.9), 400, 300)
    assert found is not None and found.tolist() == [0, 10, 399, 299]
    assert whole_pixels(None, 400, 300) is None


def test_an_empty_or_inverted_face_is_not_used() -> None:
    for box in ([5, 5, 5, 9], [9, 9, 5, 5], [600, 5, 700, 9]):
        assert cut_face(WHITE, np.array(box, np.float32), 40) is None


@pytest.mark.parametrize("use, used", [("both", "face+body"), ("face", "face"), ("body", "body")])
def test_one_kind_of_input_may_be_left_out(use: Use, used: str) -> None:
    (crops,) = cut(WHITE, [Person(Box(140, 20, 160, 40), Box(100, 0, 200, 100))], 40, use)
    assert crops.used == used


def test_the_model_does_not_see_who_is_not_judged() -> None:
    doubtful = Person(None, Box(100, 0, 200, 100), judged=False)
    assert [crops.used for crops in cut(WHITE, [doubtful, doubtful.scaled(2, 2)], 40)] == [None] * 2


def test_a_face_is_blackened_even_when_only_bodies_are_used() -> None:
    (crops,) = cut(WHITE, [Person(Box(140, 20, 160, 40), Box(100, 0, 200, 100))], 100, "body")
    assert black_share(crops.body) == pytest.approx(0.04)


def leaning(pixels: Pixels, box: Box, degrees: float) -> Pixels:
    """The picture turned clockwise about the centre of a box."""
    centre = (box.x1 + box.x2 - 1) / 2, (box.y1 + box.y2 - 1) / 2
    turn = cv2.getRotationMatrix2D(centre, -degrees, 1)
    turned = cv2.warpAffine(pixels, turn, pixels.shape[1::-1], flags=cv2.INTER_CUBIC)
    return np.asarray(turned, np.uint8)


def smooth(seed: int, height: int, width: int) -> Pixels:
    cells = picture(seed, height // 20, width // 20, 1)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def face_of(pixels: Pixels, person: Person, level: bool) -> Pixels:
    (crops,) = cut(pixels, [person], 100, level=level)
    assert crops.face is not None
    return crops.face


@pytest.mark.parametrize("box", [Box(140, 160, 260, 280), Box(150, 120, 250, 270)])
@pytest.mark.parametrize("degrees", [35, 170, -35, -90])
def test_a_leaning_face_is_levelled_to_nearly_the_upright_crop(degrees: float, box: Box) -> None:
    pixels = smooth(3, 400, 400)
    upright = face_of(pixels, Person(box, None), False).astype(int)
    leans = leaning(pixels, box, degrees)
    person = Person(box, None, float(degrees))
    levelled, plain = (face_of(leans, person, level) for level in (True, False))
    assert np.abs(levelled - upright).mean() < 2 < np.abs(plain - upright).mean() / 5


def test_a_face_is_cut_as_it_is_unless_it_shall_be_levelled_and_leans() -> None:
    pixels, box = picture(4, 300, 400, 10), Box(100, 50, 160, 130)
    plain = face_of(pixels, Person(box, None), False)
    for roll, level in ((35.0, False), (None, True), (0.99 * MIN_ROLL, True), (-1.9, True)):
        np.testing.assert_array_equal(face_of(pixels, Person(box, None, roll), level), plain)
    assert (face_of(pixels, Person(box, None, MIN_ROLL), True) != plain).any()


def test_what_is_outside_of_the_photo_is_black_in_a_levelled_face() -> None:
    crop = face_of(WHITE, Person(Box(0, 0, 100, 100), None, 45.0), True)
    corners = [crop[y, x].tolist() for y in (0, -1) for x in (0, -1)]
    black, white = [0] * 3, [255] * 3
    assert corners == [black, white, black, white], "the left side is turned out of the photo"
    assert crop[50, 50].tolist() == white
    crop = face_of(WHITE, Person(Box(299, 199, 399, 299), None, 45.0), True)
    corners = [crop[y, x].tolist() for y in (0, -1) for x in (0, -1)]
    assert corners == [white, black, white, black]


def test_bodies_are_not_levelled() -> None:
    pixels = picture(5, 300, 400, 10)
    person = Person(Box(140, 20, 160, 40), Box(100, 0, 200, 100), 35.0)
    levelled, plain = (cut(pixels, [person], 100, level=level)[0] for level in (True, False))
    assert levelled.body is not None and plain.body is not None
    np.testing.assert_array_equal(levelled.body, plain.body)


def test_the_photo_is_not_changed() -> None:
    pixels = picture(1, 300, 400, 20)
    before = pixels.copy()
    cut(
        pixels,
        [
            Person(Box(140, 20, 160, 40), Box(100, 0, 200, 100), 35.0),
            Person(None, Box(150, 0, 250, 200)),
        ],
        40,
        level=True,
    )
    np.testing.assert_array_equal(pixels, before)


def test_letterbox_centres_on_black() -> None:
    found = letterbox(np.full((10, 20, 3), 9, np.uint8), 40)
    assert found[10:30].min() == 9 and found[:10].max() == 0 and found[30:].max() == 0
    tall = letterbox(np.full((20, 10, 3), 9, np.uint8), 40)
    assert tall[:, 10:30].min() == 9 and tall[:, :10].max() == 0 and tall[:, 30:].max() == 0


def test_letterbox_leaves_a_picture_of_the_right_size_alone_and_a_line_visible() -> None:
    pixels = picture(2, 40, 40, 4)
    np.testing.assert_array_equal(letterbox(pixels, 40), pixels)
    assert letterbox(np.full((1, 1000, 3), 9, np.uint8), 40).any()


def test_a_batch_has_the_face_first_and_black_where_nothing_is() -> None:
    face, body = np.full((8, 8, 3), 1, np.uint8), np.full((8, 8, 3), 2, np.uint8)
    batch, present = stack([Crops(face, body), Crops(None, body), Crops(face, None)], 8)
    assert batch.shape == (3, 8, 8, 6) and batch.dtype == np.uint8
    assert batch[:, 0, 0].tolist() == [[1, 1, 1, 2, 2, 2], [0, 0, 0, 2, 2, 2], [1, 1, 1, 0, 0, 0]]
    assert present.tolist() == [[True, True], [False, True], [True, False]]


def test_an_empty_batch_has_its_shape() -> None:
    batch, present = stack([], 8)
    assert batch.shape == (0, 8, 8, 6) and present.shape == (0, 2)
