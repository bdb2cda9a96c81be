"""Intervals around predicted ages that hold a stated share of the true ones: how they are kept, and
applied. `evaluation.conformal` fits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COVERAGE = 0.8
UNDER = 0.01
"""Years that the end of a range of completed years lies before the next one begins."""


@dataclass(frozen=True, slots=True)
class Band:
    """For some inputs: at these predicted ages, how many years below (negative) and above the truth
    may lie.

    `edges` are where the ranges of age begin, and the last one ends, if nothing else was known of
    the people behind it. An interval then consists of whole ranges, since nobody knows where in
    them the truth lies.
    """

    ages: list[float]
    below: list[float]
    above: list[float]
    edges: list[float] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Band:
        columns = [[float(value) for value in values[name]] for name in ("ages", "below", "above")]
        edges = [float(value) for value in values.get("edges", [])]
        if not columns[0] or len(set(map(len, columns))) != 1 or not np.isfinite(columns).all():
            raise ValueError("the columns of an interval band must be equally long and finite")
        if edges != sorted(edges) or not np.isfinite(edges).all():
            raise ValueError("the edges of an interval band must be finite, and ascend")
        ages, below, above = columns
        return cls(ages, below, above, edges)

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
    """`bands` by the inputs used (face+body, face, body); inputs that were not calibrated have
    none."""

    bands: Mapping[str, Band]
    coverage: float = COVERAGE

    def around(self, age: float, used: str) -> tuple[float, float] | None:
        """The interval for a predicted age in years; None where these inputs were not
        calibrated."""
        band = self.bands.get(used)
        return None if band is None else band.around(age)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Intervals:
        """Raises ValueError, KeyError or TypeError for what `asdict` did not make."""
        bands = {str(used): Band.from_dict(band) for used, band in values["bands"].items()}
        return cls(bands, float(values["coverage"]))
