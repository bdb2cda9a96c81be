"""How far predictions are from labels, by hand-made examples."""

from __future__ import annotations

import pytest

from mivolo_cli.metrics import Score, score
from mivolo_cli.records import Prediction


def says(age: float, gender: str | None = "male") -> Prediction:
    return Prediction(age, gender, None if gender is None else 0.9, "face")


def test_the_three_figures_and_who_stands_behind_them() -> None:
    found = score(
        [says(30), says(40, "female"), says(50), None],
        [33.0, 40.0, None, 20.0],
        ["male", "male", "male", "female"],
    )
    assert found == Score(
        people=4,
        refused=1,
        aged=2,
        gendered=3,
        mae=1.5,
        cs5=1.0,
        gender_accuracy=pytest.approx(2 / 3),
    )


@pytest.mark.parametrize("miss, counts", [(0, 1), (5, 1), (-5, 1), (5.0000001, 1), (5.01, 0), (-6, 0)])
def test_five_years_off_still_count(miss: float, counts: int) -> None:
    assert score([says(40 + miss)], [40.0], [None]).cs5 == counts


def test_five_years_that_float32_makes_a_little_more_count() -> None:
    assert score([says(25.1)], [20.1], [None]).cs5 == 1


def test_people_without_labels_are_no_hits_and_no_misses() -> None:
    found = score([says(30), says(30, None)], [None, None], [None, "male"])
    assert (found.mae, found.cs5, found.gender_accuracy) == (None, None, None)
    assert (found.people, found.refused, found.aged, found.gendered) == (2, 0, 0, 0)


def test_nobody_at_all() -> None:
    assert score([], [], []) == Score(0, 0, 0, 0, None, None, None)
    assert score([None], [30.0], ["male"]) == Score(1, 1, 0, 0, None, None, None)


def test_lists_of_other_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError):
        score([says(30)], [30.0, 31.0], ["male"])
