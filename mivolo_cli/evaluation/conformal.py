"""Fit intervals around predicted ages that contain a given share of the true ones.

Localised split conformal prediction: quantiles of the signed errors on calibration data, weighted
by how close their predicted ages are to the one in question, separately for each set of inputs that
the model saw. Sources: Lei et al., "Distribution-Free Predictive Inference for Regression"
(2018); Guan, "Localized Conformal Prediction" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..datasets.labels import Label
from ..model.intervals import COVERAGE, Band, Intervals
from .metrics import Outcome

BANDWIDTH = 4.0
"""Standard deviation of the normal kernel that weights errors, in years of predicted age."""
ENOUGH = 200
"""Minimum number of people behind each quantile; with fewer, the bandwidth grows. Quantiles allow
for one more person with an arbitrary error, which makes intervals too wide if people are few."""
FEWEST = 60
"""Minimum number of people with the same inputs; with fewer, these inputs get no intervals."""
STEP = 2.0
"""Years between the ages at which quantiles are stored; values in between are interpolated."""


FACE_SIDES = (0.0, 32.0, 64.0)
"""Lower bounds, in pixels, of the face sizes calibrated separately if there are enough faces."""


def fit(outcomes: Sequence[Outcome], coverage: float = COVERAGE) -> Intervals:
    """Calibrate on people of known age or age range, separately for each set of inputs and each
    face size with enough people."""
    found: dict[str, dict[float, list[tuple[Label, float]]]] = {}
    for o in outcomes:
        if o.prediction is None or o.prediction.age is None or o.label.age_low is None:
            continue
        sizes = found.setdefault(o.prediction.used, {})
        sizes.setdefault(_size_class(o.face_side), []).append((o.label, o.prediction.age))
    for used, sizes in found.items():
        if "face" in used:  # for bodies alone, most data has only ranges
            found[used] = {size: _exact_if_enough(people) for size, people in sizes.items()}
    bands = {used: _bands(sizes, coverage) for used, sizes in sorted(found.items())}
    return Intervals({used: some for used, some in bands.items() if some}, coverage)


def _size_class(face_side: float | None) -> float:
    """Return the lower bound in FACE_SIDES for this face; faces of unknown size count as large."""
    return max(side for side in FACE_SIDES if face_side is None or side <= face_side)


def _bands(sizes: dict[float, list[tuple[Label, float]]], coverage: float) -> list[Band]:
    """Return a band for each size with enough people; the first also applies to smaller faces."""
    enough = [size for size in sorted(sizes) if len(sizes[size]) >= FEWEST]
    bands = [replace(_fit(sizes[size], coverage), min_face=size) for size in enough]
    return [replace(bands[0], min_face=0.0), *bands[1:]] if bands else []


def _exact_if_enough(people: list[tuple[Label, float]]) -> list[tuple[Label, float]]:
    """Return the people of known age if there are enough, else all: for the others, the error of a
    prediction within their range is unknown."""
    exact = [person for person in people if not person[0].is_range]
    return exact if len(exact) >= ENOUGH else people


def signed_miss(age: float, label: Label) -> float:
    """Return the years from the predicted age to the true one, or to the nearest age in the true
    range (0 within it)."""
    assert label.age_low is not None and label.age_high is not None
    end = label.age_high + (1 if label.is_range else 0)
    return max(label.age_low - age, 0.0) + min(end - age, 0.0)


def _fit(people: Sequence[tuple[Label, float]], coverage: float) -> Band:
    pairs = np.array([(age, signed_miss(age, label)) for label, age in people])
    predicted, misses = pairs[np.argsort(pairs[:, 1])].T
    ages = np.arange(predicted.min(), predicted.max() + STEP, STEP)
    below, above = [], []
    for age in ages:
        weights = _weights(predicted - age)
        low, high = _offsets(misses, weights, coverage)
        below.append(low)
        above.append(high)
    edges = _edges([label for label, _ in people])
    return Band(
        ages.round(2).tolist(), np.round(below, 2).tolist(), np.round(above, 2).tolist(), edges
    )


def _edges(labels: Sequence[Label]) -> list[float]:
    """Return the starts of the ranges and the end of the last; empty if any age is known or ranges
    overlap."""
    ranges = sorted(
        {(label.age_low or 0.0, (label.age_high or 0.0) + 1) for label in labels if label.is_range}
    )
    apart = all(end <= start for (_, end), (start, _) in pairwise(ranges))
    return (
        [*(low for low, _ in ranges), ranges[-1][1]]
        if apart and all(label.is_range for label in labels)
        else []
    )


def _offsets(
    ascending: NDArray[np.float64], weights: NDArray[np.float64], coverage: float
) -> tuple[float, float]:
    """Return quantiles that exclude half of the rest at each end; what one end does not use because
    of ties, the other may."""
    rest, total = 1 - coverage, weights.sum()

    def lower(tail: float) -> float:
        return -_upper_quantile(-ascending[::-1], weights[::-1], 1 - tail)

    def upper(tail: float) -> float:
        return _upper_quantile(ascending, weights, 1 - tail)

    beyond_low = float(weights[ascending < lower(rest / 2)].sum() / total)
    beyond_high = float(weights[ascending > upper(rest / 2)].sum() / total)
    return lower(rest - min(beyond_high, rest / 2)), upper(rest - min(beyond_low, rest / 2))


def _weights(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normal weights, wide enough for ENOUGH people; their sum is the effective number."""
    bandwidth = BANDWIDTH
    while True:
        weights = np.exp(-0.5 * (distance / bandwidth) ** 2)
        effective = weights.sum() ** 2 / (weights**2).sum() if weights.sum() > 0 else 0.0
        if effective >= min(ENOUGH, 0.9 * len(distance)):
            return weights * (effective / weights.sum())
        bandwidth *= 1.25


def _upper_quantile(
    ascending: NDArray[np.float64], weights: NDArray[np.float64], level: float
) -> float:
    """Return the smallest value with at least this share of people up to it, counting one more
    person with an arbitrary value."""
    needed = level * (weights.sum() + 1)
    return float(ascending[min(int(np.searchsorted(weights.cumsum(), needed)), len(ascending) - 1)])
