"""Where people are in the stored frame, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
from helpers.photos import TO_STORED
from helpers.tagging import FACE, row
from hypothesis import given, settings
from hypothesis import strategies as st

from mivolo_cli.metadata.regions import Area, Region, number, people, stored_area

sides = st.integers(min_value=8, max_value=60)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), sides, sides, st.data())
def test_the_area_covers_the_box_on_the_stored_picture(
    orientation: int, w: int, h: int, data: st.DataObject
) -> None:
    """The box is painted on an upright picture, which Pillow then turns as a camera would store
    it."""
    x1, x2 = sorted(data.draw(st.lists(st.integers(0, w), min_size=2, max_size=2, unique=True)))
    y1, y2 = sorted(data.draw(st.lists(st.integers(0, h), min_size=2, max_size=2, unique=True)))
    upright = np.zeros((h, w), np.uint8)
    upright[y1:y2, x1:x2] = 255
    picture = PIL.Image.fromarray(upright)
    stored = picture.transpose(TO_STORED[orientation]) if orientation in TO_STORED else picture
    area = stored_area((x1, y1, x2, y2), (w, h), orientation)
    assert area is not None
    left, top, width, height = area.corner
    wide, high = stored.size
    found = (left * wide, top * high, (left + width) * wide, (top + height) * high)
    assert found == pytest.approx(stored.getbbox(), abs=1e-6)


def test_boxes_are_cut_to_the_picture() -> None:
    assert stored_area((-10, -10, 40, 32), (80, 64), 1) == Area(0.25, 0.25, 0.5, 0.5)
    assert stored_area((90, 10, 99, 20), (80, 64), 1) is None
    assert stored_area((10, 10, 10, 20), (80, 64), 1) is None


@pytest.mark.parametrize(
    "orientation, size", [(1, (80, 64)), (3, (80, 64)), (6, (64, 80)), (8, (64, 80))]
)
def test_the_size_is_that_of_the_stored_picture(orientation: int, size: tuple[int, int]) -> None:
    assert people([row()], orientation).size == size


def test_only_people_with_an_age_and_a_face_are_regions() -> None:
    body: dict[str, Any] = dict.fromkeys(("face_x1", "face_y1", "face_x2", "face_y2")) | {
        "body_x1": 0.0, "body_y1": 0.0, "body_x2": 40.0, "body_y2": 64.0,
    }  # fmt: skip
    rows = [row(), row(person=1, age=None), row(person=2, **body)]
    assert [region.kind for region in people(rows, 1).regions] == ["Face"]
    assert [region.kind for region in people(rows, 1, bodies=True).regions] == ["Face", ""]
    assert people(rows, 1).regions[0].area == stored_area(FACE, (80, 64), 1)


@pytest.mark.parametrize(
    "values, text",
    [
        ({}, "looks about 33"),
        ({"age_low": 28.2, "age_high": 41.0}, "looks about 33 (28 to 41)"),
        ({"gender": "male"}, "looks about 33, male"),
        ({"gender": "female", "gender_score": 0.974}, "looks about 33, female (97 %)"),
    ],
)
def test_the_summary_is_readable(values: dict[str, Any], text: str) -> None:
    assert Region(Area(0.5, 0.5, 0.1, 0.1), "Face", 33.4, **values).summary == text


@pytest.mark.parametrize(
    "age, decade", [(0.0, "0-9"), (9.99, "0-9"), (10.0, "10-19"), (104.0, "100-109")]
)
def test_ages_are_grouped_by_ten_in_keywords(age: float, decade: str) -> None:
    assert Region(Area(0.5, 0.5, 0.1, 0.1), "Face", age).keywords == [("age", decade)]


@pytest.mark.parametrize(
    "value, text", [(0.5, "0.5"), (1.0, "1"), (0.0, "0"), (1 / 3, "0.333333"), (100.0, "100")]
)
def test_numbers_are_short_and_never_in_powers(value: float, text: str) -> None:
    assert number(value) == text
