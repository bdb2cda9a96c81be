"""People on photos that are turned by quarters."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.heads import points_of

from mivolo_cli import boxes
from mivolo_cli.pipeline.turning import turned_back, turned_person
from mivolo_cli.records import Box, Person, Pixels

WIDTH, HEIGHT = 60, 40
FACE, BODY = Box(5, 3, 17, 11, 0.75), Box(4, 2, 30, 39, 0.5)
PEOPLE = [Person(FACE, BODY, 20.0), Person(FACE, None), Person(None, BODY), Person(FACE, BODY)]
QUARTERS = range(-4, 8)


def marked(box: Box) -> Pixels:
    """A picture that is white in the box alone."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x1, y1, x2, y2 = map(int, box.corners)
    pixels[y1:y2, x1:x2] = 255
    return pixels


def box_of_the_mark(pixels: Pixels) -> tuple[float, ...]:
    rows, columns = np.nonzero(pixels[..., 0])
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("quarters", QUARTERS)
def test_boxes_are_turned_as_numpy_turns_pixels(quarters: int) -> None:
    turned = turned_person(PEOPLE[0], quarters, WIDTH, HEIGHT)
    for box, before in ((turned.face, FACE), (turned.body, BODY)):
        assert box is not None and box.score == before.score
        assert box.corners == box_of_the_mark(np.rot90(marked(before), quarters))


@pytest.mark.parametrize("quarters", QUARTERS)
def test_rolls_are_turned_as_the_eyes_are(quarters: int) -> None:
    """A head leans by 20 degrees; its points are moved as numpy moves pixels."""
    points = points_of(20.0, centre=(30, 20), reach=12)[0].round().astype(int)
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for mark, (x, y) in enumerate(points, start=1):
        pixels[y, x] = mark
    rolls = []
    for some in (pixels, np.rot90(pixels, quarters)):
        moved = [np.argwhere(some == mark)[0][::-1] for mark in range(1, 6)]
        rolls.append(float(boxes.roll(np.array([moved], np.float32))[0]))
    before, after = rolls
    assert before == pytest.approx(20, abs=5)
    turned = turned_person(Person(FACE, None, before), quarters, WIDTH, HEIGHT)
    assert turned.roll == pytest.approx(after, abs=1e-4)


@pytest.mark.parametrize("quarters", QUARTERS)
@pytest.mark.parametrize("person", [*PEOPLE, Person(None, BODY, judged=False)])
def test_turning_back_is_the_inverse(person: Person, quarters: int) -> None:
    turned = turned_person(person, quarters, WIDTH, HEIGHT)
    assert turned_back(turned, quarters, WIDTH, HEIGHT) == person
    assert (turned == person) == (quarters % 4 == 0)


@pytest.mark.parametrize(
    ("roll", "quarters", "expected"), [(20, 1, -70), (-100, 1, 170), (170, 2, -10), (100, 3, -170)]
)
def test_rolls_stay_within_half_a_turn(roll: float, quarters: int, expected: float) -> None:
    assert turned_person(Person(FACE, None, roll), quarters, WIDTH, HEIGHT).roll == expected
