"""Intervals around predicted ages that hold a stated share of the true ones.

Split conformal prediction, localised: the quantiles of the signed errors on calibration data, weighted by how near
their predicted ages are to the one at hand, and apart for each set of inputs that the model saw. Sources: Lei et al.,
"Distribution-Free Predictive Inference for Regression" (2018); Guan, "Localized Conformal Prediction" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .labels import Label
from .metrics import Outcome

COVERAGE = 0.8
BANDWIDTH = 4.0
"""Years of predicted age within which errors count for each other, as the deviation of a normal curve."""
ENOUGH = 200
"""People that should stand behind each quantile; where there are fewer, the bandwidth grows. The quantiles allow for
one more person, who may be anywhere: with few people that makes the intervals too wide."""
FEWEST = 60
"""Below so many people with the same inputs there are no intervals for them."""
STEP = 2.0
"""Years between the ages at which the quantiles are kept; between them they are interpolated."""


@dataclass(frozen=True, slots=True)
class Band:
    """For some inputs: at these predicted ages, how many years below (negative) and above the truth may lie."""

    ages: list[float]
    below: list[float]
    above: list[float]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Band:
        columns = [[float(value) for value in values[name]] for name in ("ages", "below", "above")]
        if not columns[0] or len(set(map(len, columns))) != 1 or not np.isfinite(columns).all():
            raise ValueError("the columns of an interval band must be equally long and finite")
        return cls(*columns)

    def around(self, age: float) -> tuple[float, float]:
        low, high = (float(np.interp(age, self.ages, offsets)) for offsets in (self.below, self.above))
        return max(0.0, age + low), max(0.0, age + high)


@dataclass(frozen=True, slots=True)
class Intervals:
    """`bands` by the inputs used (face+body, face, body); inputs that were not calibrated have none."""

    bands: Mapping[str, Band]
    coverage: float = COVERAGE

    def around(self, age: float, used: str) -> tuple[float, float] | None:
        """The interval for a predicted age in years; None where these inputs were not calibrated."""
        band = self.bands.get(used)
        return None if band is None else band.around(age)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Intervals:
        """Raises ValueError, KeyError or TypeError for what `asdict` did not make."""
        bands = {str(used): Band.from_dict(band) for used, band in values["bands"].items()}
        return cls(bands, float(values["coverage"]))


def fit(outcomes: Sequence[Outcome], coverage: float = COVERAGE) -> Intervals:
    """Calibrate on people whose age, or range of ages, is known, apart for each kind of inputs with enough people."""
    found: dict[str, list[tuple[float, float]]] = {}
    for outcome in outcomes:
        if outcome.prediction is not None and outcome.label.age_low is not None:
            miss = signed_miss(outcome.prediction.age, outcome.label)
            found.setdefault(outcome.prediction.used, []).append((outcome.prediction.age, miss))
    bands = {used: _fit(np.array(pairs), coverage) for used, pairs in sorted(found.items()) if len(pairs) >= FEWEST}
    return Intervals(bands, coverage)


def signed_miss(age: float, label: Label) -> float:
    """Years from the predicted age to the true one, or to the nearest age in the true range: 0 within it."""
    assert label.age_low is not None and label.age_high is not None
    end = label.age_high + (1 if label.is_range else 0)
    return max(label.age_low - age, 0.0) + min(end - age, 0.0)


def _fit(pairs: NDArray[np.float64], coverage: float) -> Band:
    predicted, misses = pairs[np.argsort(pairs[:, 1])].T
    ages = np.arange(predicted.min(), predicted.max() + STEP, STEP)
    tail = (1 - coverage) / 2
    below, above = [], []
    for age in ages:
        weights = _weights(predicted - age)
        below.append(-_upper_quantile(-misses[::-1], weights[::-1], 1 - tail))
        above.append(_upper_quantile(misses, weights, 1 - tail))
    return Band(ages.round(2).tolist(), np.round(below, 2).tolist(), np.round(above, 2).tolist())


def _weights(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal weights, wide enough that ENOUGH people count; they sum to that number of people."""
    bandwidth = BANDWIDTH
    while True:
        weights = np.exp(-0.5 * (distance / bandwidth) ** 2)
        effective = weights.sum() ** 2 / (weights**2).sum() if weights.sum() > 0 else 0.0
        if effective >= min(ENOUGH, 0.9 * len(distance)):
            return weights * (effective / weights.sum())
        bandwidth *= 1.25


def _upper_quantile(ascending: NDArray[np.float64], weights: NDArray[np.float64], level: float) -> float:
    """The smallest value with at least this share below it, counting one more person, who may be anywhere."""
    needed = level * (weights.sum() + 1)
    return float(ascending[min(int(np.searchsorted(weights.cumsum(), needed)), len(ascending) - 1)])
