"""How intervals are applied to predicted ages, and kept in a model's file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from mivolo_cli.model.intervals import UNDER, Band, Intervals

PLAIN = Band([0.0, 10.0], [-5.0, -5.0], [3.0, 4.0])
RANGES = Band([0.0, 80.0], [-6.0, -6.0], [6.0, 6.0], [0.0, 16.0, 31.0, 117.0])


def test_nobody_is_younger_than_nothing() -> None:
    fitted = Intervals({"face": Band([0.0, 10.0], [-5.0, -5.0], [3.0, 3.0])})
    assert fitted.around(2, "face") == (0, 5) and fitted.around(8, "face") == (3, 11)


def test_between_the_ages_of_a_band_its_ends_are_interpolated() -> None:
    assert PLAIN.around(7.5) == (2.5, 11.25)
    assert PLAIN.around(60) == (55, 64), "beyond them, the nearest one counts"


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (8, (0, 16 - UNDER)),
        (12, (0, 31 - UNDER)),
        (23, (16, 31 - UNDER)),
        (22, (16, 31 - UNDER)),
        (25, (16, 117 - UNDER)),
        (115, (31, 121)),
    ],
)
def test_where_only_ranges_are_known_an_interval_is_whole_ranges(
    age: float, expected: tuple[float, float]
) -> None:
    assert RANGES.around(age) == pytest.approx(expected)


def test_inputs_that_were_not_calibrated_have_no_interval() -> None:
    fitted = Intervals({"face": PLAIN})
    assert fitted.around(30, "face") is not None and fitted.around(30, "body") is None


def test_they_survive_a_model_file() -> None:
    fitted = Intervals({"face": PLAIN, "face+body": RANGES}, 0.9)
    assert Intervals.from_dict(json.loads(json.dumps(asdict(fitted)))) == fitted


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"bands": {"face": {}}, "coverage": 0.8},
        {"bands": {"face": {"ages": [], "below": [], "above": []}}, "coverage": 0.8},
        {"bands": {"face": {"ages": [1], "below": [1, 2], "above": [1]}}, "coverage": 0.8},
        {"bands": {"face": {"ages": [1], "below": ["nan"], "above": [1]}}, "coverage": 0.8},
        {
            "bands": {"face": {"ages": [1], "below": [1], "above": [1], "edges": [3, 2]}},
            "coverage": 0.8,
        },
        {
            "bands": {"face": {"ages": [1], "below": [1], "above": [1], "edges": ["inf"]}},
            "coverage": 0.8,
        },
        {"bands": [], "coverage": 0.8},
    ],
)
def test_other_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Intervals.from_dict(values)
