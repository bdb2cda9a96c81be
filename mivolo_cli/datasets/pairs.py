"""Combine faces and bodies into people, for data without pictures of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..pipeline.crops import Crops
from ..records import Use
from .labels import Label
from .sample import Sample

SMALLEST = 224
"""The size at which a body is tried: whether it is refused does not depend on it."""


@dataclass(frozen=True, slots=True)
class CombinedPair:
    """A face with its label, and somebody else's body of the same gender and age range.

    The body was chosen by the face's own label, so it tells something of the label: figures on such
    pairs say whether a fitting body does harm, not how much a real one helps.
    """

    face: Sample
    body: Sample

    @property
    def name(self) -> str:
        return f"{self.face.name} + {self.body.name}"

    @property
    def label(self) -> Label:
        return self.face.label

    @property
    def shows(self) -> str:
        return "face+body"

    def crops(self, size: int, use: Use = "both", level: bool = False) -> Crops:
        """See Sample.crops; which way these heads lean is not known."""
        return Crops(
            None if use == "body" else self.face.crops(size).face,
            None if use == "face" else self.body.crops(size).body,
        )


def fits(face: Label, body: Label) -> bool:
    """Whether the known gender and age range of the body match the face's."""
    if None in (face.age, body.age_low, body.age_high) or face.gender is None:
        return False
    assert face.age is not None and body.age_low is not None and body.age_high is not None
    return face.gender == body.gender and body.age_low <= face.age < body.age_high + 1


def combine(samples: Sequence[Sample], seed: int = 0) -> list[CombinedPair]:
    """Each face of a known age with a random fitting body that the crop rules accept; faces without
    one are dropped."""
    rng = np.random.default_rng(seed)
    bodies = [s for s in samples if s.shows == "body" and s.crops(SMALLEST).body is not None]
    found = []
    for face in (s for s in samples if s.shows == "face"):
        fitting = [body for body in bodies if fits(face.label, body.label)]
        if fitting:
            found.append(CombinedPair(face, fitting[rng.integers(len(fitting))]))
    return found
