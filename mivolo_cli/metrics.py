"""How far predictions are from labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .records import Prediction

TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Score:
    """MAE in years, CS@5 (the share of people whose age is off by at most five years) and gender accuracy.

    A figure is None where no label allows it; `aged` and `gendered` say how many people stand behind each, `refused`
    how many got no prediction.
    """

    people: int
    refused: int
    aged: int
    gendered: int
    mae: float | None
    cs5: float | None
    gender_accuracy: float | None


def score(
    predictions: Sequence[Prediction | None], ages: Sequence[float | None], genders: Sequence[str | None]
) -> Score:
    """Compare predictions with the labels of the same people, in the same order; None is no prediction or no label."""
    known = [(p, age, gender) for p, age, gender in zip(predictions, ages, genders, strict=True) if p is not None]
    errors = [abs(p.age - age) for p, age, _ in known if age is not None]
    hits = [p.gender == gender for p, _, gender in known if gender is not None and p.gender is not None]
    return Score(
        people=len(predictions),
        refused=len(predictions) - len(known),
        aged=len(errors),
        gendered=len(hits),
        mae=float(np.mean(errors)) if errors else None,
        cs5=float(np.mean(np.array(errors) <= 5 + TOLERANCE)) if errors else None,
        gender_accuracy=float(np.mean(hits)) if hits else None,
    )
