"""Fit how sure a model may be of a gender, by scaling of its logits.

Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), apart for each set of inputs
that the model saw, and for children.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..model.intervals import GenderScale
from .metrics import Outcome

CHILD, GROWN = 10.0, 15.0
"""Predicted ages up to which people are children, and from which they are none, in years."""
FEWEST = 100
"""Below this many people with the same inputs, scores stay as the model tells them."""
SMALLEST, LARGEST = 0.1, 5.0
"""Factors that are tried."""


def fit(outcomes: Sequence[Outcome]) -> dict[str, GenderScale]:
    """By the inputs used, from people whose gender is known and whose scores are not scaled yet."""
    found: dict[str, list[tuple[float, float]]] = {}
    for o in outcomes:
        p = o.prediction
        if p is None or None in (o.label.gender, p.gender_score, p.age):
            continue
        assert p.gender_score is not None and p.age is not None
        right = 1 if p.gender == o.label.gender else -1
        found.setdefault(p.used, []).append((p.age, right * _logit(p.gender_score)))
    return {used: _fit(np.array(pairs)) for used, pairs in found.items() if len(pairs) >= FEWEST}


def _fit(pairs: NDArray[np.float64]) -> GenderScale:
    ages, margins = pairs.T
    middle = (CHILD + GROWN) / 2
    groups = margins[ages < middle], margins[ages >= middle]
    both = _factor(margins)
    factors = [_factor(some) if len(some) >= FEWEST else both for some in groups]
    return GenderScale([CHILD, GROWN], factors)


def _factor(margins: NDArray[np.float64]) -> float:
    """That which makes what is true most likely."""
    found = minimize_scalar(
        lambda factor: np.logaddexp(0, -factor * margins).mean(),
        bounds=(SMALLEST, LARGEST),
        method="bounded",
    )
    return round(float(found.x), 3)


def _logit(score: float) -> float:
    score = min(score, 1 - 1e-9)
    return float(np.log(score / (1 - score)))
