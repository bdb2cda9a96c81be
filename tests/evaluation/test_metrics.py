"""How far predictions are from labels, by hand-made examples."""

from __future__ import annotations

import numpy as np
import pytest

from mivolo_cli.datasets.labels import OLDEST, Label
from mivolo_cli.evaluation.metrics import Figure, Outcome, age_group, groups, score
from mivolo_cli.records import Prediction


def says(
    age: float,
    gender: str | None = "male",
    used: str = "face",
    low: float | None = None,
    high: float | None = None,
) -> Prediction:
    return Prediction(age, gender, None if gender is None else 0.9, used, low, high)


def person(
    age: float | None, prediction: Prediction | None, gender: str | None = "male"
) -> Outcome:
    return Outcome(Label(age, age, gender), prediction)


def figure(found: Figure | None) -> tuple[float, int]:
    assert found is not None
    return found.value, found.count


def value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


def test_the_figures_and_how_many_stand_behind_them() -> None:
    found = score(
        [
            person(33, says(30)),
            person(40, says(41, "female")),
            person(None, says(50)),
            person(20, None, "female"),
        ]
    )
    assert (found.people, found.answered) == (4, 3)
    assert figure(found.mae) == (2, 2)
    assert figure(found.cs) == (1, 2)
    assert figure(found.bias) == (-1, 2)
    assert figure(found.gender) == (pytest.approx(2 / 3), 3)
    assert (found.in_range, found.one_off, found.coverage, found.width) == (None, None, None, None)


@pytest.mark.parametrize(
    "miss, counts", [(0, 1), (5, 1), (-5, 1), (5.0000001, 1), (5.01, 0), (-6, 0)]
)
def test_five_years_off_still_count(miss: float, counts: int) -> None:
    assert value(score([person(40, says(40 + miss))]).cs) == counts


def test_five_years_that_float32_makes_a_little_more_count() -> None:
    assert value(score([person(20.1, says(25.1))]).cs) == 1


@pytest.mark.parametrize("level, counts", [(2, 0), (3, 1), (10, 1)])
def test_the_level_of_cs_may_be_chosen(level: float, counts: int) -> None:
    assert value(score([person(40, says(43))], level=level).cs) == counts


def test_people_without_labels_are_no_hits_and_no_misses() -> None:
    found = score([person(None, says(30), None), person(None, says(30, None))])
    assert (found.mae, found.cs, found.bias, found.gender) == (None,) * 4
    assert (found.people, found.answered) == (2, 2)


def test_nobody_at_all() -> None:
    assert score([]).mae is None and score([]).people == 0
    assert score([person(30, None)]).answered == 0


RANGES = [(0, 15), (16, 30), (31, 45), (46, 60), (61, OLDEST)]


@pytest.mark.parametrize(
    "age, low, in_range, one_off",
    [
        (20, 16, 1, 1),
        (15.9, 0, 1, 1),  # fifteen is a completed year
        (16, 0, 0, 1),
        (30.99, 16, 1, 1),
        (31, 16, 0, 1),
        (46, 16, 0, 0),
        (90, 61, 1, 1),
        (130, 61, 1, 1),
        (59, 61, 0, 1),
        (20, 61, 0, 0),
    ],
)
def test_ranges_are_of_completed_years(age: float, low: int, in_range: int, one_off: int) -> None:
    ends = next(ends for ends in RANGES if ends[0] == low)
    found = score([Outcome(Label(*ends), says(age))], ranges=RANGES)
    assert (value(found.in_range), value(found.one_off)) == (in_range, one_off)
    assert found.mae is None


def test_an_age_in_a_narrow_gap_belongs_to_the_nearer_range() -> None:
    adience = [(0, 2), (4, 6), (8, 13)]
    for age, right in ((3.2, (0, 2)), (3.8, (4, 6)), (7.4, (4, 6))):
        hits = [
            value(score([Outcome(Label(*ends), says(age))], ranges=adience).in_range)
            for ends in adience
        ]
        assert [ends for ends, hit in zip(adience, hits, strict=True) if hit] == [right]


def test_the_ranges_are_those_of_the_labels_unless_told() -> None:
    people = [Outcome(Label(*ends), says(20)) for ends in RANGES]
    assert value(score(people).in_range) == 1 / 5 and value(score(people).one_off) == 3 / 5


@pytest.mark.parametrize(
    "label, low, high, holds",
    [
        (Label(30, 30), 25, 35, 1),
        (Label(30, 30), 30, 35, 1),
        (Label(30, 30), 31, 35, 0),
        (Label(16, 30), 28, 40, 1),
        (Label(16, 30), 30.5, 40, 1),
        (Label(16, 30), 31.5, 40, 0),
        (Label(16, 30), 5, 15, 0),
    ],
)
def test_an_interval_holds_an_age_or_meets_a_range(
    label: Label, low: float, high: float, holds: int
) -> None:
    found = score([Outcome(label, says(33, low=low, high=high))])
    assert value(found.coverage) == holds and value(found.width) == high - low


def test_the_bootstrap_holds_the_mean_and_repeats() -> None:
    errors = np.random.default_rng(3).normal(0, 8, 400)
    people = [person(40, says(40 + error)) for error in errors]
    found = score(people)
    assert found == score(people)
    assert found.mae is not None and found.mae.low is not None and found.mae.high is not None
    assert found.mae.low < found.mae.value < found.mae.high
    expected = 1.96 * np.abs(errors).std() / 20
    assert found.mae.high - found.mae.low == pytest.approx(2 * expected, rel=0.15)
    assert score(people, resamples=0).mae == Figure(found.mae.value, 400)


def test_one_person_has_no_interval() -> None:
    assert score([person(30, says(33))]).mae == Figure(3, 1)


def test_groups_by_inputs_gender_and_age() -> None:
    people = [
        person(3, says(3)),
        person(70, says(3, used="body"), "female"),
        person(14.5, None),
        Outcome(Label(16, 30, None), says(3)),
        Outcome(Label(), None),
    ]
    found = {name: len(part) for name, part in groups(people).items()}
    assert found == {
        ("used", "body"): 1,
        ("used", "face"): 2,
        ("gender", "female"): 1,
        ("gender", "male"): 2,
        ("age", "0-4"): 1,
        ("age", "5-14"): 1,
        ("age", "16-30"): 1,
        ("age", "65+"): 1,
    }
    assert [name for by, name in found if by == "age"] == ["0-4", "5-14", "16-30", "65+"]


@pytest.mark.parametrize(
    "low, high, name",
    [(4.9, 4.9, "0-4"), (5, 5, "5-14"), (116, 116, "65+"), (61, OLDEST, "61+"), (None, None, None)],
)
def test_the_band_of_an_age(low: float | None, high: float | None, name: str | None) -> None:
    assert age_group(Label(low, high)) == name


def test_an_age_in_a_wide_gap_between_ranges_is_in_none_of_them() -> None:
    labels = [Label(16, 30), Label(60, 80)]
    found = score([Outcome(label, says(35)) for label in labels], resamples=0)
    assert value(found.in_range) == 0 and value(found.one_off) == 1


def test_who_has_an_interval_only_counts_for_intervals_and_gender() -> None:
    told = Prediction(None, "male", 0.9, "body", 20, 50)
    found = score([person(30, told), person(60, told), person(30, says(34))])
    assert figure(found.mae) == (4, 1) and figure(found.gender) == (1, 3)
    assert figure(found.coverage) == (0.5, 2) and found.answered == 3


def test_scores_that_are_as_often_right_as_they_say_have_no_calibration_error() -> None:
    def ece(right: int, wrong: int) -> float | None:
        people = [person(30, says(30)) for _ in range(right)]
        people += [person(30, says(30), "female") for _ in range(wrong)]
        return value(score(people, resamples=0).gender_ece)

    assert ece(9, 1) == pytest.approx(0) and ece(6, 4) == pytest.approx(0.3)
    assert value(score([person(30, says(30), None)]).gender_ece) is None
