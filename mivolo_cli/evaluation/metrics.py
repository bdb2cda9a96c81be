"""Metrics and their uncertainty. All metrics but `gender_ece` are means over people, so one
bootstrap serves them all."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.labels import OLDEST, Label
from ..records import Prediction

logger = logging.getLogger(__name__)
TOLERANCE = 1e-6
BANDS = ((0, 4), (5, 14), (15, 29), (30, 44), (45, 64), (65, 122))
"""Ages in completed years, both ends included."""
ECE_BINS = 10
NARROW_GAP = 3.0
"""Maximum distance in years at which an age outside a range may still belong to it."""
RESAMPLES = 1000
CONFIDENCE = 0.95
Range = tuple[float, float]
"""The lowest and the highest age, in completed years."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A person's label and prediction (None: no prediction); `face_side` is the longer side of the
    face in pixels, None if unknown."""

    label: Label
    prediction: Prediction | None
    face_side: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over `count` people, and its 95 % interval (None if not requested or `count` is 1)."""

    value: float
    count: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics for a group of people; a figure is None if no label allows it.

    `mae` and `bias` (mean signed error, prediction - truth) are in years; `cs` is the cumulative
    score CS@L, the share of people with an age error of at most L years. `gender` is the share of
    correct genders, and `gender_ece` the expected calibration error of their scores (Guo et al.,
    2017), the mean difference between score and share correct. For people of whom only a range is
    known, `in_range` is the share of ages within it, and `one_off` within it or a neighbouring one.
    For calibrated intervals, `coverage` is the share that contains the true age or overlaps the
    true range, and `width` is their mean width in years.
    """

    people: int
    answered: int
    mae: Figure | None
    cs: Figure | None
    bias: Figure | None
    gender: Figure | None
    gender_ece: Figure | None
    in_range: Figure | None
    one_off: Figure | None
    coverage: Figure | None
    width: Figure | None


def score(
    outcomes: Sequence[Outcome],
    level: float = 5.0,
    resamples: int = RESAMPLES,
    ranges: Sequence[Range] | None = None,
) -> Score:
    """Compute all metrics for these people; CS is at `level` years. `resamples` 0 disables the
    intervals.

    `ranges` are the age ranges that the data distinguishes (default: those of these people).
    """
    known = [(o.label, o.prediction) for o in outcomes if o.prediction is not None]
    aged = [(label, p.age) for label, p in known if p.age is not None]
    errors = np.array([age - label.age for label, age in aged if label.age is not None])
    hits = [p.gender == label.gender for label, p in known if None not in (label.gender, p.gender)]
    ranged = [(label, age) for label, age in aged if label.is_range]
    missed = _missed_ranges(ranged, ranges or age_ranges(outcomes))
    bounds = [
        (p.age_low, p.age_high, label)
        for label, p in known
        if p.age_low is not None and p.age_high is not None
    ]

    def figure(values: Iterable[float] | NDArray[np.float64]) -> Figure | None:
        return _figure(np.asarray(list(values), np.float64), resamples)

    return Score(
        people=len(outcomes),
        answered=len(known),
        mae=figure(np.abs(errors)),
        cs=figure(np.abs(errors) <= level + TOLERANCE),
        bias=figure(errors),
        gender=figure(hits),
        gender_ece=_calibration_error(known),
        in_range=figure(missed == 0),
        one_off=figure(missed <= 1),
        coverage=figure(
            _overlaps(low, high, label) for low, high, label in bounds if label.age_low is not None
        ),
        width=figure(high - low for low, high, _ in bounds),
    )


def answers(predictions: Sequence[Prediction | None]) -> list[Prediction | None]:
    """Replace predictions that contain non-finite numbers with None, and log their number."""
    if lost := sum(not _is_finite(prediction) for prediction in predictions):
        logger.warning(
            f"{lost} of {len(predictions)} people are counted as not answered: the "
            "model's output is not a finite number"
        )
    return [prediction if _is_finite(prediction) else None for prediction in predictions]


def _is_finite(prediction: Prediction | None) -> bool:
    if prediction is None:
        return True
    numbers = (prediction.age, prediction.gender_score, prediction.age_low, prediction.age_high)
    return all(number is None or math.isfinite(number) for number in numbers)


def age_ranges(outcomes: Sequence[Outcome]) -> list[Range]:
    """Return the age ranges that the labels distinguish, youngest first."""
    labels = [outcome.label for outcome in outcomes if outcome.label.is_range]
    return sorted(
        {
            (a.age_low, a.age_high)
            for a in labels
            if a.age_low is not None and a.age_high is not None
        }
    )


def groups(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    """Group the people by inputs used, by gender, and by age: ("used", "face") -> people."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    ways: tuple[tuple[str, Callable[[Outcome], str | None]], ...] = (
        ("used", lambda o: None if o.prediction is None else o.prediction.used),
        ("gender", lambda o: o.label.gender),
        ("age", lambda o: age_group(o.label)),
    )
    for by, name_of in ways:
        parts: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            name = name_of(outcome)
            if name is not None:
                parts.setdefault(name, []).append(outcome)
        found |= {(by, name): parts[name] for name in sorted(parts, key=_sort_key)}
    return found


def age_group(label: Label) -> str | None:
    """Return the band of a known age, or the label's own range; None if the age is unknown."""
    if label.age_low is None or label.age_high is None:
        return None
    if label.is_range:
        return _span(label.age_low, label.age_high)
    return next(_span(low, high) for low, high in BANDS if label.age_low < high + 1)


def _span(low: float, high: float) -> str:
    return f"{low:g}+" if high >= OLDEST else f"{low:g}-{high:g}"


def _sort_key(name: str) -> tuple[float, str]:
    digits = name.rstrip("+").split("-")[0]
    return (float(digits) if digits.replace(".", "").isdigit() else -1.0), name


def _figure(values: NDArray[np.float64], resamples: int) -> Figure | None:
    if not values.size:
        return None
    from scipy.stats import bootstrap  # slow to import, and scans do not need it

    mean, count = float(values.mean()), values.size
    if not resamples or count == 1:
        return Figure(mean, count)
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, 10_000_000 // count),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Figure(mean, count, float(found.low), float(found.high))


def _calibration_error(known: Sequence[tuple[Label, Prediction]]) -> Figure | None:
    """Return the ECE over ECE_BINS equal bins of scores from 0.5 to 1; not a mean over people, so
    without an interval."""
    pairs = [
        (p.gender_score, p.gender == label.gender)
        for label, p in known
        if label.gender is not None and p.gender_score is not None
    ]
    if not pairs:
        return None
    scores, right = np.array(pairs, np.float64).T
    bins = np.minimum(((scores - 0.5) * 2 * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [abs((right - scores)[bins == place].sum()) for place in range(ECE_BINS)]
    return Figure(float(sum(gaps) / len(pairs)), len(pairs))


def _missed_ranges(
    known: Sequence[tuple[Label, float]], ranges: Sequence[Range]
) -> NDArray[np.int64]:
    """Return how many ranges each age is away from its own: 0 inside, 1 in a neighbour, ...

    An age in a narrow gap between ranges belongs to the nearer one, as is usual for data sets that
    omit years; in a wide gap it belongs to none.
    """
    if not known:
        return np.zeros(0, np.int64)
    lows, highs = np.array(ranges).T
    ages = np.array([age for _, age in known])[:, None]
    highs = np.where(highs >= OLDEST, np.inf, highs)  # open at the top
    ends = np.nextafter(highs + 1, 0)  # a completed year lasts until the next begins
    beyond = np.maximum(lows - ages, 0) + np.maximum(ages - ends, 0)
    place: dict[tuple[float | None, float | None], int] = {
        pair: index for index, pair in enumerate(ranges)
    }
    own = np.array([place[label.age_low, label.age_high] for label, _ in known])
    away = np.abs(beyond.argmin(axis=1) - own)
    missed = beyond[np.arange(len(own)), own]
    return np.where(missed == 0, 0, np.where(missed > NARROW_GAP, np.maximum(away, 1), away))


def _overlaps(low: float, high: float, label: Label) -> bool:
    """Whether an interval contains the true age, or overlaps the true range."""
    assert label.age_low is not None and label.age_high is not None
    end = label.age_high + (
        1 - TOLERANCE if label.is_range else TOLERANCE
    )  # a completed year ends before the next
    return low <= end and high >= label.age_low - TOLERANCE
