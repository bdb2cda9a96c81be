"""Store and apply prediction intervals for ages. `evaluation.conformal` fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COVERAGE = 0.8
WIDEST = 25.0
"""Years: where the interval of a person seen from the body only is wider, there is no age."""
UNDER = 0.01
"""Years that the end of a range of completed years lies before the next one begins."""


@dataclass(frozen=True, slots=True)
class Band:
    """For some inputs: at these predicted ages, how many years below (negative) and above the truth
    may lie.

    It is for faces of at least `min_face` pixels, if there is a face. `edges` are where the ranges
    of age begin, and the last one ends, if nothing else was known of the people behind it. An
    interval then consists of whole ranges, since nobody knows where in them the truth lies.
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
    """`bands` by the inputs used (face+body, face, body), those for small faces first; inputs that
    were not calibrated have none."""

    bands: Mapping[str, Sequence[Band]]
    coverage: float = COVERAGE

    def around(
        self, age: float, used: str, face: float | None = None
    ) -> tuple[float, float] | None:
        """The interval for a predicted age in years, of a person whose face has this many pixels
        (its longer side on the photo; None: unknown); None if these inputs were not calibrated."""
        bands = self.bands.get(used, ())
        fitting = [band for band in bands if face is None or band.min_face <= face]
        return fitting[-1].around(age) if fitting else None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Intervals:
        """Raises ValueError, KeyError or TypeError for what `asdict` did not make."""
        bands = {
            str(used): [
                Band.from_dict(band) for band in (found if isinstance(found, list) else [found])
            ]
            for used, found in values["bands"].items()
        }
        return cls(bands, float(values["coverage"]))


@dataclass(frozen=True, slots=True)
class GenderScale:
    """What the distance of the two logits is multiplied with, so that the gender's score is the
    probability that it is right: `factors` at predicted `ages`, in years."""

    ages: list[float]
    factors: list[float]

    def at(self, age: float) -> float:
        return float(np.interp(age, self.ages, self.factors))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GenderScale:
        """Raises ValueError, KeyError or TypeError for what `asdict` did not make."""
        ages, factors = ([float(value) for value in values[name]] for name in ("ages", "factors"))
        if len(ages) != len(factors) or not ages or ages != sorted(ages):
            raise ValueError("a gender scale has as many factors as ages, and these ascend")
        if not np.isfinite([*ages, *factors]).all() or min(factors) <= 0:
            raise ValueError("the factors of a gender scale must be finite and above 0")
        return cls(ages, factors)
