"""Box arithmetic, checked by hand-made examples."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from helpers.heads import points_of

from mivolo_cli import boxes as module
from mivolo_cli.boxes import area, clip, intersection, iou, nms, roll
from mivolo_cli.records import Boxes

SQUARE = [0.0, 0.0, 10.0, 10.0]


def boxes(*corners: list[float]) -> Boxes:
    return np.array(corners, np.float32).reshape(-1, 4)


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_area_of_boxes_with_and_without_an_inside() -> None:
    found = area(boxes([2, 3, 5, 7], [4, 4, 4, 9], [5, 5, 1, 1], [0.5, 0, 1, 1]))
    assert found.tolist() == [12, 0, 0, 0.5]


@pytest.mark.parametrize(
    "other, shared, share",
    [
        (SQUARE, 100, 1),
        ([5, 0, 15, 10], 50, 50 / 150),
        ([2, 2, 4, 4], 4, 4 / 100),
        ([10, 0, 20, 10], 0, 0),  # they touch
        ([10, 10, 20, 20], 0, 0),  # in one corner
        ([30, 30, 40, 40], 0, 0),
        ([-5, -5, 5, 5], 25, 25 / 175),
        ([5, 5, 5, 5], 0, 0),  # empty
        ([8, 8, 2, 2], 0, 0),  # inside out
    ],
)
def test_overlap_of_two_boxes(other: list[float], shared: float, share: float) -> None:
    a, b = boxes(SQUARE), boxes(other)
    assert intersection(a, b).tolist() == [[shared]]
    assert iou(a, b)[0, 0] == pytest.approx(share)
    assert iou(b, a)[0, 0] == pytest.approx(share)


def test_tables_have_a_row_for_each_of_the_first_and_a_column_for_each_of_the_second() -> None:
    a, b = boxes(SQUARE, [0, 0, 5, 10]), boxes([0, 0, 10, 5], SQUARE, [90, 90, 99, 99])
    assert intersection(a, b).tolist() == [[50, 100, 0], [25, 50, 0]]
    assert iou(a, b).shape == (2, 3)


def test_no_boxes_give_empty_tables() -> None:
    none = boxes()
    assert area(none).shape == (0,)
    assert iou(none, boxes(SQUARE)).shape == (0, 1)
    assert iou(boxes(SQUARE), none).shape == (1, 0)
    assert nms(none, np.zeros(0, np.float32), 0.5).tolist() == []


def test_two_empty_boxes_share_nothing_and_nobody_divides_by_zero() -> None:
    with np.errstate(all="raise"):
        assert iou(boxes([3, 3, 3, 3]), boxes([3, 3, 3, 3], [9, 9, 1, 1])).tolist() == [[0, 0]]


def test_huge_boxes_do_not_overflow() -> None:
    huge = boxes([-1e9, -1e9, 1e9, 1e9])
    with np.errstate(over="raise", invalid="raise"):
        assert iou(huge, huge)[0, 0] == 1
        assert iou(huge, boxes(SQUARE))[0, 0] < 1e-9


def test_clip_moves_corners_onto_the_border() -> None:
    found = clip(boxes([-10, -5, 320, 500], [3, 4, 5, 6], [700, 1, 800, 2]), 100, 200)
    assert found.tolist() == [[0, 0, 100, 200], [3, 4, 5, 6], [100, 1, 100, 2]]


def test_nms_keeps_the_best_of_those_that_overlap() -> None:
    found = boxes(SQUARE, [1, 0, 11, 10], [30, 30, 40, 40], [0, 1, 10, 11])
    kept = nms(found, np.array([0.7, 0.9, 0.1, 0.8], np.float32), 0.5)
    assert kept.tolist() == [1, 2]


def test_nms_lets_an_overlap_of_exactly_the_threshold_stay() -> None:
    found = boxes(SQUARE, [0, 0, 10, 5])
    scores = np.array([0.9, 0.8], np.float32)
    assert nms(found, scores, 0.5).tolist() == [0, 1]
    assert nms(found, scores, 0.49).tolist() == [0]


def test_nms_does_not_suppress_by_what_is_suppressed() -> None:
    chain = boxes([0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10])
    assert nms(chain, np.array([0.9, 0.8, 0.7], np.float32), 0.3).tolist() == [0, 2]


def test_equal_scores_are_taken_in_order() -> None:
    assert nms(boxes(SQUARE, SQUARE), np.array([0.5, 0.5], np.float32), 0.5).tolist() == [0]


@pytest.mark.parametrize("degrees", [0, 10, 45, 90, 135, 179, -10, -45, -90, -170])
@pytest.mark.parametrize("reach", [0.5, 10, 300])
def test_roll_is_by_how_much_a_head_leans_clockwise(reach: float, degrees: float) -> None:
    points = points_of(np.nan, degrees, centre=(50, 60), reach=reach)
    unknown, found = roll(points)
    assert np.isnan(unknown) and found == pytest.approx(degrees, abs=1e-2)


def test_the_persons_right_eye_is_on_the_left_of_an_upright_photo() -> None:
    """And nose and mouth are below the eyes."""
    upright = np.array([(10, 10), (20, 10), (15, 15), (11, 20), (19, 20)], np.float32)
    on_its_right_ear = np.array([(10, 20), (10, 10), (15, 15), (20, 19), (20, 11)], np.float32)
    found = roll(np.stack((upright, on_its_right_ear)))
    assert found.tolist() == pytest.approx([0, -90], abs=1e-4)


def test_the_roll_of_a_profile_follows_nose_and_mouth() -> None:
    """Its eyes are nearly in one place."""
    profile = np.array([(20, 11), (20, 10), (28, 16), (24, 22), (23, 22)], np.float32)
    assert abs(roll(profile[None])[0]) < 30


def test_no_faces_have_no_rolls() -> None:
    assert roll(np.zeros((0, 5, 2), np.float32)).shape == (0,)
