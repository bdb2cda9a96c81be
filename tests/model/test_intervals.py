"""How intervals are applied to predicted ages, and kept in a model's file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from mivolo_cli.model.intervals import UNDER, Band, GenderScale, Intervals

PLAIN = Band([0.0, 10.0], [-5.0, -5.0], [3.0, 4.0])
SURE = Band([0.0], [-1.0], [1.0], min_face=64)
RANGES = Band([0.0, 80.0], [-6.0, -6.0], [6.0, 6.0], [0.0, 16.0, 31.0, 117.0])


def test_nobody_is_younger_than_nothing() -> None:
    fitted = Intervals({"face": [Band([0.0, 10.0], [-5.0, -5.0], [3.0, 3.0])]})
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
    fitted = Intervals({"face": [PLAIN]})
    assert fitted.around(30, "face") is not None and fitted.around(30, "body") is None


@pytest.mark.parametrize(
    ("face", "expected"), [(None, (29, 31)), (63, (25, 34)), (64, (29, 31)), (500, (29, 31))]
)
def test_small_faces_have_wider_intervals(
    face: float | None, expected: tuple[float, float]
) -> None:
    fitted = Intervals({"face": [Band([0.0], [-5.0], [4.0]), SURE]})
    assert fitted.around(30, "face", face) == expected


def test_files_of_before_have_one_band_for_all_sizes() -> None:
    values = {"bands": {"face": asdict(PLAIN)}, "coverage": 0.8}
    assert Intervals.from_dict(values) == Intervals({"face": [PLAIN]})


def test_a_gender_scale_is_interpolated_over_ages() -> None:
    scale = GenderScale([10.0, 15.0], [0.5, 1.5])
    assert [scale.at(age) for age in (3, 12.5, 80)] == [0.5, 1.0, 1.5]
    assert GenderScale.from_dict(json.loads(json.dumps(asdict(scale)))) == scale


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"ages": [], "factors": []},
        {"ages": [1.0], "factors": [1.0, 2.0]},
        {"ages": [2.0, 1.0], "factors": [1.0, 2.0]},
        {"ages": [1.0], "factors": [0.0]},
        {"ages": [1.0], "factors": [float("nan")]},
    ],
)
def test_what_is_no_gender_scale_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        GenderScale.from_dict(values)


def test_they_survive_a_model_file() -> None:
    fitted = Intervals({"face": [PLAIN, SURE], "face+body": [RANGES]}, 0.9)
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
