"""Scores of genders are made the probabilities that they are right."""

from __future__ import annotations

import numpy as np
import pytest

from mivolo_cli.datasets.labels import Label
from mivolo_cli.evaluation.gender_scale import fit
from mivolo_cli.evaluation.metrics import Outcome
from mivolo_cli.records import Prediction


def people(count: int, age: float, overconfident: float, used: str = "face") -> list[Outcome]:
    """Scores whose logits are so many times too large."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        true = abs(rng.normal(0, 2))
        gender = "male" if rng.random() < 1 / (1 + np.exp(-true)) else "female"
        score = float(1 / (1 + np.exp(-true * overconfident)))
        found.append(Outcome(Label(age, age, gender), Prediction(age, "male", score, used)))
    return found


def test_scores_that_are_too_sure_are_lowered() -> None:
    scale = fit(people(3000, 30, 2.0))["face"]
    assert scale.at(30) == pytest.approx(0.5, abs=0.06)


def test_children_have_a_scale_of_their_own() -> None:
    scale = fit(people(2000, 5, 4.0) + people(2000, 40, 1.0))["face"]
    assert scale.at(5) == pytest.approx(0.25, abs=0.05)
    assert scale.at(40) == pytest.approx(1.0, abs=0.1)
    assert scale.at(5) < scale.at(12) < scale.at(40)


def test_few_children_are_scaled_as_everybody_is() -> None:
    scale = fit(people(20, 5, 4.0) + people(2000, 40, 1.0))["face"]
    assert scale.at(5) == pytest.approx(1.0, abs=0.1)


def test_inputs_with_few_people_are_not_scaled() -> None:
    found = fit(people(200, 30, 1.0) + people(99, 30, 1.0, "body"))
    assert found.keys() == {"face"}
    unknown = [Outcome(Label(30, 30), None), Outcome(Label(30, 30), people(1, 3, 1)[0].prediction)]
    assert fit(unknown * 200) == {}
