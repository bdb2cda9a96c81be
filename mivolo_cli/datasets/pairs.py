"""Combine faces and bodies into people, for data without pictures that show both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..pipeline.crops import Crops
from ..records import Use
from .labels import Label
from .sample import Sample

SMALLEST = 224
"""Input size for checking whether a body is accepted; the result does not depend on it."""


@dataclass(frozen=True, slots=True)
class CombinedPair:
    """A face with its label, and another person's body of the same gender and age range.

    Choosing the body by the face's label leaks the label: metrics on such pairs show whether a
    matching body does harm, not how much a real one helps.
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
        """See Sample.crops; `level` has no effect, since the roll of these heads is unknown."""
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
    """Pair each face of known age with a random matching body that the crop rules accept; drop
    faces without one."""
    rng = np.random.default_rng(seed)
    bodies = [s for s in samples if s.shows == "body" and s.crops(SMALLEST).body is not None]
    found = []
    for face in (s for s in samples if s.shows == "face"):
        fitting = [body for body in bodies if fits(face.label, body.label)]
        if fitting:
            found.append(CombinedPair(face, fitting[rng.integers(len(fitting))]))
    return found
