"""Store and apply prediction intervals for ages. `evaluation.conformal` fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COVERAGE = 0.8
WIDEST = 25.0
"""Maximum interval width in years for people seen from the body only; beyond it, age is empty."""
UNDER = 0.01
"""Years between the end of a range of completed years and the start of the next one."""


@dataclass(frozen=True, slots=True)
class Band:
    """Interval ends for one kind of input: years `below` (negative) and `above` the predicted ages.

    Applies to faces of at least `min_face` pixels, if there is a face. `edges` are the starts of
    the age ranges and the end of the last one, if only ranges were known of the calibration people.
    Intervals then consist of whole ranges, since the position of the true age in them is unknown.
    """

    ages: list[float]
    below: list[float]
    above: list[float]
    edges: list[float] = field(default_factory=list)
    min_face: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Band:
        columns = [[float(value) for value in values[name]] for name in ("ages", "below", "above")]
        edges = [float(value) for value in values.get("edges", [])]
        if not columns[0] or len(set(map(len, columns))) != 1 or not np.isfinite(columns).all():
            raise ValueError("the columns of an interval band must be equally long and finite")
        if edges != sorted(edges) or not np.isfinite(edges).all():
            raise ValueError("the edges of an interval band must be finite, and ascend")
        ages, below, above = columns
        return cls(ages, below, above, edges, float(values.get("min_face", 0)))

    def around(self, age: float) -> tuple[float, float]:
        low, high = (
            max(0.0, age + float(np.interp(age, self.ages, offsets)))
            for offsets in (self.below, self.above)
        )
        first = max((edge for edge in self.edges if edge <= low), default=low)
        last = min((edge - UNDER for edge in self.edges if edge > high), default=high)
        return first, last


@dataclass(frozen=True, slots=True)
class Intervals:
    """`bands` by the inputs used (face+body, face, body), smallest faces first; uncalibrated inputs
    have none."""

    bands: Mapping[str, Sequence[Band]]
    coverage: float = COVERAGE

    def around(
        self, age: float, used: str, face: float | None = None
    ) -> tuple[float, float] | None:
        """Return the interval for a predicted age in years, None if these inputs were not
        calibrated. `face` is its longer side in the photo in pixels, None if unknown."""
        bands = self.bands.get(used, ())
        fitting = [band for band in bands if face is None or band.min_face <= face]
        return fitting[-1].around(age) if fitting else None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Intervals:
        """Read what `asdict` made. Raises ValueError, KeyError or TypeError for anything else."""
        bands = {
            str(used): [
                Band.from_dict(band) for band in (found if isinstance(found, list) else [found])
            ]
            for used, found in values["bands"].items()
        }
        return cls(bands, float(values["coverage"]))


@dataclass(frozen=True, slots=True)
class GenderScale:
    """Factors for the difference of the two logits that turn the gender score into the probability
    of being right: `factors` at predicted `ages`, in years."""

    ages: list[float]
    factors: list[float]

    def at(self, age: float) -> float:
        return float(np.interp(age, self.ages, self.factors))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GenderScale:
        """Read what `asdict` made. Raises ValueError, KeyError or TypeError for anything else."""
        ages, factors = ([float(value) for value in values[name]] for name in ("ages", "factors"))
        if len(ages) != len(factors) or not ages or ages != sorted(ages):
            raise ValueError("a gender scale has as many factors as ages, and these ascend")
        if not np.isfinite([*ages, *factors]).all() or min(factors) <= 0:
            raise ValueError("the factors of a gender scale must be finite and above 0")
        return cls(ages, factors)
