"""Draw training examples: the crops that inference would make of photos of labelled people.

People with face and body are used as they are, with one of the two omitted, or from the body only
with the face still visible, as if no detector had found it. A face may also be combined with
another person's body of the same gender and age range.
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
"""face alone; a face with its own body; that body alone, with the face visible in it; all that a
picture of a face shows, as the body, with or without the face; the body of somebody of whom no face
is known; a face with another's body."""
SHARES = {
    "face": 0.4,
    "pair": 0.2,
    "faceless": 0.1,
    "bust": 0.1,
    "body": 0.14,
    "face+body": 0.06,
}
"""How often each kind is drawn, where a recipe does not say; the data may lack some, so they need
not sum to 1."""
ALONE = {"face": ("face",), "body": ("body", "faceless", "bust")}
"""The kinds for a model that reads one input only."""
MEMORY = 4_000_000_000
"""Bytes of decoded pictures that are kept; what goes beyond is decoded again each time it is
drawn."""


class Mixer:
    """Draws from data sets of labelled people, each as often as the power `balance` of its size
    says: 1 by size, 0 all alike. Pictures are decoded once and kept."""

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
        self.pools = self._pools([self._seen(samples) for samples in data])
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
        """From memory, as far as that reaches."""
        found = self.kept.get(id(sample))
        if found is None:
            found = parts_of(sample, self.size)
            if self.bytes < MEMORY:
                self.kept[id(sample)] = found
                self.bytes += found.bytes
        return found

    def epoch_length(self) -> int:
        """Examples in an epoch: every face once on average, or every body where there are no
        faces."""
        drawn = dict(zip(self.kinds, self.shares, strict=True))
        with_face = sum(share for kind, share in drawn.items() if kind != "body")
        return round(len(self.faces) / with_face) if with_face else len(self.bodies)

    def draw(self, rng: Generator, strength: float) -> tuple[Crops, Label]:
        """One example and what is known about it."""
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
        """With the face in one half of the cases, where the model reads faces."""
        with_face = "face" in self.inputs and rng.random() < 0.5
        hidden = with_face or bool(rng.random() < self.how.hidden)
        body = self._body(bust(face), rng, strength, hidden)
        if not with_face:
            return Crops(None, body)
        return Crops(face_input(face, self.size, rng, self.how, strength), body)

    def _body(self, part: Part, rng: Generator, strength: float, hidden: bool) -> Pixels:
        return body_input(part, self.size, rng, self.how, strength, hidden)

    def _seen(self, samples: Sequence[Sample]) -> list[tuple[Sample, frozenset[str]]]:
        """Those of whom something can be seen, and what: face, body."""
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
        """The people to draw each kind from, by data set."""

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
        """Somebody's body of the same gender and age range, however rare they are; None if nobody
        fits."""
        if face not in self.fitting:
            self.fitting[face] = [body for body in self.bodies if fits(face, body.label)]
        bodies = self.fitting[face]
        part = self.parts(bodies[int(rng.integers(len(bodies)))]).body if bodies else None
        return None if part is None else self._body(part, rng, strength, True)

    def _refuse_unused(self, drawable: dict[str, float]) -> None:
        """A data set of which no kind with a share would ever draw anybody must not be passed over
        in silence."""
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
