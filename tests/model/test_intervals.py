"""Intervals around an age, and what a model file may say of them."""

from __future__ import annotations

from typing import Any

import pytest

from mivolo_cli.model.intervals import Band, Intervals


def test_nobody_is_younger_than_nothing() -> None:
    fitted = Intervals({"face": Band([0.0, 10.0], [-5.0, -5.0], [3.0, 3.0])})
    assert fitted.around(2, "face") == (0, 5) and fitted.around(8, "face") == (3, 11)


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
