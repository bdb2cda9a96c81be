"""Draw training examples: the crops that inference would make of photos of labelled people.

People with face and body are used with both, with one omitted, or with only the body and the face
visible in it, as if undetected. A face may also be combined with another person's body of the same
gender and age range.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from ..datasets.labels import Label
from ..datasets.pairs import fits
from ..datasets.sample import Sample
from ..errors import BadInput
from ..pipeline.crops import Crops
from ..records import Pixels
from .augment import Augmentation, body_input, face_input
from .parts import Part, Parts, bust, parts_of

logger = logging.getLogger(__name__)
KINDS = ("face", "pair", "faceless", "bust", "body", "face+body")
"""face: a face alone; pair: a face with its own body; faceless: that body alone, with the face
visible in it; bust: a whole face picture as the body, with or without the face; body: the body of a
person without a known face; face+body: a face with another person's body."""
SHARES = {
    "face": 0.4,
    "pair": 0.2,
    "faceless": 0.1,
    "bust": 0.1,
    "body": 0.14,
    "face+body": 0.06,
}
"""Default share of each kind. The shares need not sum to 1, since data may lack some kinds."""
ALONE = {"face": ("face",), "body": ("body", "faceless", "bust")}
"""The kinds for models with a single input."""
MEMORY = 4_000_000_000
"""Bytes of decoded pictures to keep; any others are decoded again each time they are drawn."""


class Mixer:
    """Draws from data sets of labelled people, each in proportion to its size to the power
    `balance` (1: by size, 0: equally). Pictures are decoded once and kept."""

    def __init__(
        self,
        data: Sequence[Sequence[Sample]],
        shares: dict[str, float],
        how: Augmentation,
        size: int,
        inputs: str = "face+body",
        balance: float = 1.0,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self.how, self.size, self.inputs, self.balance = how, size, inputs, balance
        self.kept: dict[int, Parts] = {}
        self.fitting: dict[Label, list[Sample]] = {}
        self.bytes = 0
        self.on_progress, self._read = on_progress, 0
        self._total = sum(len(samples) for samples in data)
        self.pools = self._pools([self._visible(samples) for samples in data])
        self.faces, self.bodies = (
            [sample for samples in self.pools[kind] for sample in samples]
            for kind in ("face", "body")
        )
        allowed = ALONE.get(inputs, KINDS)
        drawable = {
            kind: shares.get(kind, 0.0) for kind in allowed if shares.get(kind) and self.pools[kind]
        }
        self._refuse_unused(drawable)
        self.kinds = list(drawable)
        self.shares = [share / sum(drawable.values()) for share in drawable.values()]

    def parts(self, sample: Sample) -> Parts:
        """Return the sample's parts, from memory if they are cached."""
        found = self.kept.get(id(sample))
        if found is None:
            found = parts_of(sample, self.size)
            if self.bytes < MEMORY:
                self.kept[id(sample)] = found
                self.bytes += found.bytes
        return found

    def epoch_length(self) -> int:
        """Return the number of examples in an epoch: each face once on average, or each body if
        there are no faces."""
        drawn = dict(zip(self.kinds, self.shares, strict=True))
        with_face = sum(share for kind, share in drawn.items() if kind != "body")
        return round(len(self.faces) / with_face) if with_face else len(self.bodies)

    def draw(self, rng: Generator, strength: float) -> tuple[Crops, Label]:
        """Draw one example and its label."""
        kind = self.kinds[rng.choice(len(self.kinds), p=self.shares)]
        pools = self.pools[kind]
        sizes = np.array([len(samples) for samples in pools]) ** self.balance
        samples = pools[rng.choice(len(pools), p=sizes / sizes.sum())]
        sample = samples[int(rng.integers(len(samples)))]
        parts = self.parts(sample)
        face = body = None
        if kind in ("face", "pair", "face+body") and parts.face is not None:
            face = face_input(parts.face, self.size, rng, self.how, strength)
        if kind in ("pair", "faceless", "body") and parts.body is not None:
            hidden = kind == "pair" or bool(rng.random() < self.how.hidden)
            body = self._body(parts.body, rng, strength, hidden)
        elif kind == "bust" and parts.face is not None:
            return self._bust(parts.face, rng, strength), sample.label
        elif kind == "face+body":
            body = self._partner(sample.label, rng, strength)
        return Crops(face, body), sample.label

    def _bust(self, face: Part, rng: Generator, strength: float) -> Crops:
        """Return a bust, half of the time with the face if the model uses faces."""
        with_face = "face" in self.inputs and rng.random() < 0.5
        hidden = with_face or bool(rng.random() < self.how.hidden)
        body = self._body(bust(face), rng, strength, hidden)
        if not with_face:
            return Crops(None, body)
        return Crops(face_input(face, self.size, rng, self.how, strength), body)

    def _body(self, part: Part, rng: Generator, strength: float, hidden: bool) -> Pixels:
        return body_input(part, self.size, rng, self.how, strength, hidden)

    def _visible(self, samples: Sequence[Sample]) -> list[tuple[Sample, frozenset[str]]]:
        """Return the samples with a visible face or body, and which of them are visible."""
        found = []
        for sample in samples:
            parts = self.parts(sample)._asdict()
            found.append((sample, frozenset(name for name, part in parts.items() if part)))
            self._read += 1
            self.on_progress(self._read, self._total)
        unseen = [sample for sample, kinds in found if not kinds]
        if unseen:
            logger.warning(
                f"{len(unseen)} of {len(samples)} labelled people were not found in their "
                f"pictures, for example {unseen[0].name}: skipped"
            )
        return [(sample, kinds) for sample, kinds in found if kinds]

    def _pools(
        self, data: Sequence[Sequence[tuple[Sample, frozenset[str]]]]
    ) -> dict[str, list[list[Sample]]]:
        """Return the samples to draw each kind from, by data set."""

        def those(wanted: Callable[[frozenset[str]], bool]) -> list[list[Sample]]:
            found = [[sample for sample, kinds in people if wanted(kinds)] for people in data]
            return [samples for samples in found if samples]

        faces, pairs = those(lambda kinds: "face" in kinds), those(lambda kinds: len(kinds) == 2)
        bodies = those(lambda kinds: kinds == {"body"})
        return {
            "face": faces,
            "pair": pairs,
            "faceless": pairs,
            "bust": those(lambda kinds: kinds == {"face"}),
            "body": bodies,
            "face+body": faces if bodies else [],
        }

    def _partner(self, face: Label, rng: Generator, strength: float) -> Pixels | None:
        """Draw another person's body of the same gender and age range, however rare; None if there
        is none."""
        if face not in self.fitting:
            self.fitting[face] = [body for body in self.bodies if fits(face, body.label)]
        bodies = self.fitting[face]
        part = self.parts(bodies[int(rng.integers(len(bodies)))]).body if bodies else None
        return None if part is None else self._body(part, rng, strength, True)

    def _refuse_unused(self, drawable: dict[str, float]) -> None:
        """Raise BadInput if a data set would be ignored because none of its kinds has a share."""
        drawn = {id(s) for kind in drawable for samples in self.pools[kind] for s in samples}
        drawn |= {id(s) for s in self.bodies if "face+body" in drawable}
        for samples in (*self.pools["face"], *self.pools["body"]):
            if not any(id(sample) in drawn for sample in samples):
                raise BadInput(
                    f"the recipe has no share for {len(samples)} of the labelled people, for "
                    f"example {samples[0].name}",
                    hint=f"remove them, or set shares for {', '.join(KINDS)}",
                )
        if not drawable:
            raise BadInput(
                "there are no labelled people to train on", hint="give pictures that show some"
            )
