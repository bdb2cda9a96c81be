"""Calibrate gender scores by scaling the logits.

Source: Guo et al., "On Calibration of Modern Neural Networks" (2017); fitted separately for each
set of inputs that the model saw, and for children.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..model.intervals import GenderScale
from .metrics import Outcome

CHILD, GROWN = 10.0, 15.0
"""Predicted ages, in years, up to which people are children, and from which they are not."""
FEWEST = 100
"""Minimum number of people with the same inputs; with fewer, scores are not scaled."""
SMALLEST, LARGEST = 0.1, 5.0
"""Bounds of the factors."""


def fit(outcomes: Sequence[Outcome]) -> dict[str, GenderScale]:
    """Fit scales by the inputs used, on people of known gender with unscaled scores."""
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
    """Return the maximum-likelihood factor."""
    found = minimize_scalar(
        lambda factor: np.logaddexp(0, -factor * margins).mean(),
        bounds=(SMALLEST, LARGEST),
        method="bounded",
    )
    return round(float(found.x), 3)


def _logit(score: float) -> float:
    score = min(score, 1 - 1e-9)
    return float(np.log(score / (1 - score)))
