"""Intervals hold the share of people that they say, and depend on the age and on what was seen."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from mivolo_cli.datasets.labels import Label
from mivolo_cli.evaluation.conformal import FEWEST, fit, signed_miss
from mivolo_cli.evaluation.metrics import Outcome, score
from mivolo_cli.model.intervals import UNDER, Intervals
from mivolo_cli.records import Prediction


def people(count: int, seed: int, used: str = "face") -> list[Outcome]:
    """Errors grow with age, and lean to one side."""
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 80, count)
    truth = np.maximum(predicted + rng.gamma(2, 1 + predicted / 20) - 1, 0)
    return [
        Outcome(Label(float(t), float(t)), Prediction(float(p), None, None, used))
        for t, p in zip(truth, predicted, strict=True)
    ]


def covered(outcomes: list[Outcome], fitted: Intervals) -> float:
    found = []
    for outcome in outcomes:
        assert outcome.prediction is not None and outcome.prediction.age is not None
        ends = fitted.around(outcome.prediction.age, outcome.prediction.used)
        assert ends is not None
        found.append(
            Outcome(outcome.label, replace(outcome.prediction, age_low=ends[0], age_high=ends[1]))
        )
    coverage = score(found, resamples=0).coverage
    assert coverage is not None
    return coverage.value


@pytest.mark.parametrize("coverage", [0.8, 0.5])
def test_other_people_are_covered_as_often_as_promised(coverage: float) -> None:
    fitted = fit(people(3000, 1), coverage)
    others = people(6000, 2)
    assert covered(others, fitted) == pytest.approx(coverage, abs=0.025)
    for low, high in ((0, 20), (20, 50), (50, 80)):
        part = [o for o in others if o.prediction and low <= (o.prediction.age or 0) < high]
        assert covered(part, fitted) == pytest.approx(coverage, abs=0.05), (low, high)


def test_intervals_are_wider_where_errors_are_larger() -> None:
    fitted = fit(people(3000, 1))
    (young, old) = (fitted.around(age, "face") for age in (10, 70))
    assert young is not None and old is not None and old[1] - old[0] > 1.5 * (young[1] - young[0])
    assert young[0] <= 10 + 1 and old[0] >= 0


def test_inputs_are_calibrated_apart_and_only_where_there_are_enough() -> None:
    narrow = [
        Outcome(Label(30, 30), Prediction(30 + i / 100, None, None, "body")) for i in range(100)
    ]
    few = people(FEWEST - 1, 4, "face+body")
    fitted = fit([*people(500, 3), *narrow, *few])
    assert set(fitted.bands) == {"face", "body"} and fitted.around(30, "face+body") is None
    face, body = fitted.around(30, "face"), fitted.around(30, "body")
    assert face is not None and body is not None and body[1] - body[0] < 2 < face[1] - face[0]


def test_a_known_range_counts_where_it_is_met() -> None:
    assert [signed_miss(age, Label(16, 30)) for age in (10, 16, 25, 30.5, 36)] == [6, 0, 0, 0, -5]
    assert [signed_miss(age, Label(30, 30)) for age in (28, 30, 31)] == [2, 0, -1]


RANGES = [(0, 15), (16, 30), (31, 45), (46, 60), (61, 116)]


def ranged(count: int) -> tuple[list[Outcome], list[float]]:
    """People of whom only a range is known to us, and their ages."""
    rng = np.random.default_rng(5)
    outcomes, ages = [], []
    for predicted in rng.uniform(10, 60, count):
        truth = min(max(0.0, predicted + rng.normal(0, 25)), 110)
        ends = next(ends for ends in RANGES if truth < ends[1] + 1)
        outcomes.append(Outcome(Label(*ends), Prediction(float(predicted), None, None, "body")))
        ages.append(truth)
    return outcomes, ages


def test_where_only_ranges_are_known_intervals_are_whole_ranges() -> None:
    outcomes, ages = ranged(4000)
    fitted = fit(outcomes[::2])
    share = covered(outcomes[1::2], fitted)
    assert 0.78 < share < 0.9, "a whole range more or less makes steps"
    held, starts = [], {float(low) for low, _ in RANGES}
    for outcome, truth in zip(outcomes[1::2], ages[1::2], strict=True):
        assert outcome.prediction is not None and outcome.prediction.age is not None
        low, high = fitted.around(outcome.prediction.age, "body") or (0.0, 0.0)
        assert low in starts and round(high + UNDER, 6) in starts | {117.0} and high - low > 14
        held.append(low <= truth <= high)
    assert np.mean(held) == share, "it is the true ages that they hold"


def test_known_ages_among_ranges_leave_intervals_as_narrow_as_they_are() -> None:
    outcomes, _ = ranged(500)
    fitted = fit([*outcomes, Outcome(Label(30, 30), Prediction(30, None, None, "body"))])
    assert fitted.bands["body"][0].edges == [] and fit(outcomes).bands["body"][0].edges == [
        0,
        16,
        31,
        46,
        61,
        117,
    ]
    overlapping = [Outcome(Label(10, 40), o.prediction) for o in outcomes[:1]]
    assert fit([*outcomes, *overlapping]).bands["body"][0].edges == []


def test_who_has_no_answer_or_no_age_calibrates_nothing() -> None:
    useless = [
        Outcome(Label(30, 30), None),
        Outcome(Label(None, None, "male"), Prediction(30, "male", 0.9, "face")),
    ]
    assert fit(useless * 100).bands == {}


def test_small_faces_are_calibrated_apart_where_there_are_enough() -> None:
    rng, outcomes = np.random.default_rng(0), []
    for side, error in ((20.0, 9.0), (100.0, 2.0)):
        for age in rng.uniform(20, 50, 300):
            told = Prediction(age + rng.normal(0, error), None, None, "face")
            outcomes.append(Outcome(Label(age, age), told, side))
    fitted = fit(outcomes)
    assert [band.min_face for band in fitted.bands["face"]] == [0, 64]
    widths = [
        high - low for low, high in (fitted.around(35, "face", s) or (0, 0) for s in (20, 90))
    ]
    assert widths[0] > 3 * widths[1]
    few = fit([*outcomes[:40], *outcomes[300:]]).bands["face"]
    assert [band.min_face for band in few] == [0], "forty small faces are too few"


def test_they_survive_a_model_file() -> None:
    fitted = fit(people(300, 6))
    assert Intervals.from_dict(json.loads(json.dumps(asdict(fitted)))) == fitted


def test_known_ages_count_more_than_ranges_for_faces() -> None:
    exact, (ranges, _) = people(400, 3), ranged(2000)
    faces = [Outcome(o.label, o.prediction and replace(o.prediction, used="face")) for o in ranges]
    assert fit([*exact, *faces]).bands["face"] == fit(exact).bands["face"]
    assert fit([*exact[:100], *faces]).bands["face"] != fit(exact[:100]).bands["face"], "too few"
