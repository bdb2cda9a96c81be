"""Training inputs: what inference would cut out of photos that show these faces and bodies.

People of whom the data shows face and body come as they are, or with one of the two left out. Where
it has only pictures of one or the other, a face's body is the head and shoulders around it, with
the face blackened as inference does it, or somebody else's body of the same gender and age range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from ..datasets.labels import Label
from ..datasets.pairs import fits
from ..datasets.sample import Sample
from ..errors import BadInput
from ..pipeline.crops import Crops, blackened_body, inside, letterbox, stacked, whole_pixels
from ..records import Pixels

KINDS = ("face", "face+bust", "face+body", "body", "bust", "pair")
"""face alone; face with head and shoulders; face with another's body; body alone; head and
shoulders alone; a face with its own body."""
SHARES = {"face": 0.5, "face+bust": 0.06, "face+body": 0.1, "body": 0.3, "bust": 0.04, "pair": 0.3}
"""How often each kind is drawn, where a recipe does not say; the data may lack some, so they need
not sum to 1."""
ALONE = {"face": ("face",), "body": ("body", "bust")}
"""The kinds for a model that reads one input only."""
MEMORY = 6_000_000_000
"""Bytes of decoded pictures that are kept; what goes beyond is decoded again each time it is
drawn."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a picture may be changed at full strength; angles in degrees, the rest in parts of
    the whole."""

    shift: float = 0.06
    zoom: float = 0.22
    tilt: float = 12.0
    light: float = 0.3
    saturation: float = 0.4
    grey: float = 0.05
    erase: float = 0.2
    blur: float = 0.15
    sharp: float = 0.0
    head_blackened: float = 0.35
    neighbour: float = 0.15


def face_input(
    pixels: Pixels, size: int, rng: Generator, how: Augmentation, strength: float
) -> Pixels:
    """A face as a detector would have boxed it: moved, zoomed and tilted a little; (size, size, 3)
    uint8."""
    view = _view(
        pixels,
        rng,
        how.shift * strength,
        how.zoom * strength * rng.random(),
        how.tilt * strength,
        size,
    )
    return _light(_spoil(view, rng, how, strength), rng, how, strength)


def bust_input(
    pixels: Pixels, size: int, rng: Generator, how: Augmentation, strength: float, hide: bool
) -> Pixels:
    """The head and shoulders of a close-up; `hide` blackens the face in it, as for a person whose
    face was found."""
    pixels = pixels.copy()
    if hide:
        height, width = pixels.shape[:2]
        side = rng.uniform(0.5, 0.74)
        left = rng.uniform(0.3, 0.7) * (1 - side)
        top = rng.uniform(0.3, 0.8) * (1 - side)
        pixels[
            int(top * height) : int((top + side) * height),
            int(left * width) : int((left + side) * width),
        ] = 0
    view = _view(pixels, rng, how.shift * strength, 0.0, how.tilt * strength / 2, size)
    return _light(view, rng, how, strength)


def body_input(
    pixels: Pixels,
    size: int,
    rng: Generator,
    how: Augmentation,
    strength: float,
    head_blackened: float,
) -> Pixels:
    """A standing body as inference cuts it; `head_blackened` is the probability that its face was
    found."""
    height, width = pixels.shape[:2]
    pixels = pixels.copy()
    if rng.random() < head_blackened:
        side = rng.uniform(0.08, 0.13) * height
        x = width * rng.uniform(0.42, 0.58) - side / 2
        y = height * rng.uniform(0.02, 0.07)
        pixels[int(y) : int(y + side * 1.2), max(0, int(x)) : int(x + side)] = 0
    if rng.random() < how.neighbour * strength:
        reach = int(width * rng.uniform(0.1, 0.3))
        top = int(height * rng.uniform(0, 0.6))
        pixels[top:, slice(0, reach) if rng.random() < 0.5 else slice(width - reach, width)] = 0
    view = _view(
        pixels,
        rng,
        how.shift * strength,
        0.1 * strength * rng.random(),
        how.tilt * strength / 3,
        size,
    )
    return _light(_spoil(view, rng, how, strength), rng, how, strength)


def _view(
    pixels: Pixels, rng: Generator, shift: float, zoom: float, tilt: float, size: int
) -> Pixels:
    """A box near the whole picture, held inside it, turned by up to `tilt` degrees, mirrored or
    not, letterboxed."""
    height, width = pixels.shape[:2]
    edges = (
        np.array([0.0, 0.0, 1.0, 1.0])
        + rng.normal(0, shift, 4)
        + np.array([zoom, zoom, -zoom, -zoom]) / 2
    )
    x1, y1, x2, y2 = np.clip(edges, 0, 1) * (width, height, width, height)
    angle = rng.uniform(-tilt, tilt)
    if abs(angle) > 1:
        turn = cv2.getRotationMatrix2D(((x1 + x2) / 2, (y1 + y2) / 2), angle, 1.0)
        pixels = cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    box = pixels[int(y1) : max(int(y2), int(y1) + 8), int(x1) : max(int(x2), int(x1) + 8)]
    return letterbox(box[:, ::-1] if rng.random() < 0.5 else box, size)


def _spoil(view: Pixels, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """Small faces come out soft and those of large photos sharp, and something may stand before
    them."""
    size, chance = len(view), rng.random()
    if chance < how.blur * strength:
        small = int(size * rng.uniform(0.25, 0.7))
        view = cv2.resize(
            cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA), (size, size)
        )
    elif chance < (how.blur + how.sharp) * strength:
        amount = rng.uniform(0.3, 2.0)
        view = cv2.addWeighted(view, 1 + amount, cv2.GaussianBlur(view, (0, 0), 1.0), -amount, 0)
    if rng.random() < how.erase * strength:
        height, width = (int(size * rng.uniform(0.1, 0.35)) for _ in range(2))
        y, x = rng.integers(0, size - height), rng.integers(0, size - width)
        view = view.copy()
        view[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return view


def _light(view: Pixels, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """Brightness, contrast and saturation; black stays black, since it means that nothing is
    there."""
    gain = 1 + how.light * strength * rng.uniform(-1, 1)
    gamma = 1 + how.light * strength * rng.uniform(-1, 1)
    table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    view = cv2.LUT(view, table)
    if rng.random() < how.grey * strength:
        return cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    amount = 1 + how.saturation * strength * rng.uniform(-1, 1)
    grey = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(view, amount, grey, 1 - amount, 0)


class Parts(NamedTuple):
    """A sample's face and body in their own size, (height, width, 3) uint8 RGB; None where there is
    none."""

    face: Pixels | None
    body: Pixels | None

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for part in self if part is not None)


def parts_of(sample: Sample, size: int) -> Parts:
    """Cut out of the picture as inference does it, and no larger than a model of this input size
    can use.

    Raises BadInput where the picture cannot be read.
    """
    pixels = sample.pixels()
    height, width = pixels.shape[:2]
    face, body = (whole_pixels(box, width, height) for box in (sample.face, sample.body))
    bodies, faces = (
        stacked([whole_pixels(box, width, height) for box in found])
        for found in (
            [p.body for p in sample.neighbours],
            [sample.face, *(p.face for p in sample.neighbours)],
        )
    )
    return Parts(
        None if face is None else _reduced(inside(pixels, face), 2 * size),
        None if body is None else _reduced(blackened_body(pixels, body, bodies, faces), 2 * size),
    )


def _reduced(picture: Pixels | None, longest: int) -> Pixels | None:
    if picture is None or not picture.size:
        return None
    ratio = longest / max(picture.shape[:2])
    if ratio >= 1:
        return picture.copy()
    return cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)


class Mixer:
    """Draws training examples of every kind from labelled people, whose pictures are decoded once
    and kept."""

    def __init__(
        self,
        samples: Sequence[Sample],
        shares: dict[str, float],
        how: Augmentation,
        size: int,
        inputs: str = "face+body",
    ) -> None:
        self.how, self.size = how, size
        self.kept: dict[int, Parts] = {}
        self.fitting: dict[Label, list[Sample]] = {}
        self.bytes = 0
        self._refuse_photos(samples)
        there = [
            (part.face is not None, part.body is not None) for part in map(self.parts, samples)
        ]
        self._refuse_empty(
            [sample for sample, seen in zip(samples, there, strict=True) if not any(seen)]
        )
        self.faces = [sample for sample, (face, _) in zip(samples, there, strict=True) if face]
        self.bodies = [sample for sample, (_, body) in zip(samples, there, strict=True) if body]
        self.pairs = [sample for sample, seen in zip(samples, there, strict=True) if all(seen)]
        allowed = ALONE.get(inputs, KINDS)
        drawable = {
            kind: shares.get(kind, 0.0) for kind in allowed if shares.get(kind) and self._pool(kind)
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
        pool = self._pool(kind)
        sample = pool[int(rng.integers(len(pool)))]
        parts, how, size = self.parts(sample), self.how, self.size
        face = body = None
        if kind in ("face", "face+bust", "face+body", "pair") and parts.face is not None:
            face = face_input(parts.face, size, rng, how, strength)
        if kind in ("body", "pair") and parts.body is not None:
            hidden = 0.0 if sample.face is not None else how.head_blackened
            body = body_input(parts.body, size, rng, how, strength, hidden)
        elif kind in ("bust", "face+bust") and parts.face is not None:
            body = bust_input(parts.face, size, rng, how, strength, hide=face is not None)
        elif kind == "face+body":
            body = self._partner(sample.label, rng, strength)
        return Crops(face, body), sample.label

    def _pool(self, kind: str) -> Sequence[Sample]:
        if kind == "face+body" and not self.bodies:
            return ()
        return {"body": self.bodies, "pair": self.pairs}.get(kind, self.faces)

    def _partner(self, face: Label, rng: Generator, strength: float) -> Pixels | None:
        """Somebody's body of the same gender and age range, however rare they are; None where
        nobody fits."""
        if face not in self.fitting:
            self.fitting[face] = [body for body in self.bodies if fits(face, body.label)]
        bodies = self.fitting[face]
        pixels = self.parts(bodies[int(rng.integers(len(bodies)))]).body if bodies else None
        return (
            None if pixels is None else body_input(pixels, self.size, rng, self.how, strength, 0.8)
        )

    def _refuse_photos(self, samples: Sequence[Sample]) -> None:
        if any(sample.shows == "photo" for sample in samples):
            raise BadInput(
                "training needs to know where the people are on whole photos",
                hint=(
                    "scan them, and train on a table with the boxes; or "
                    "say what they show with --pictures"
                ),
            )

    def _refuse_empty(self, empty: Sequence[Sample]) -> None:
        if empty:
            raise BadInput(
                (
                    f"{len(empty)} labelled people cannot be seen on their "
                    f"pictures, the first on {empty[0].name}"
                ),
                hint="leave out boxes that are empty, and bodies that others cover",
            )

    def _refuse_unused(self, drawable: dict[str, float]) -> None:
        """Data that no kind with a share would ever draw must not be passed over in silence."""
        uses = {"face": {"face", "face+bust", "face+body", "bust"}, "body": {"body", "face+body"}}
        alone = {"face": self.faces, "body": self.bodies}
        for name, kinds in uses.items():
            left_out = [sample for sample in alone[name] if sample.shows == name]
            if left_out and not kinds & drawable.keys():
                raise BadInput(
                    (
                        f"the recipe has no share for the {len(left_out)} pictures "
                        f"of {name} alone in the training data"
                    ),
                    hint=(
                        f"leave these pictures out, or set a share for {' or '.join(sorted(kinds))}"
                    ),
                )
        if not drawable:
            raise BadInput(
                "the recipe has no share for the kind of pictures in the training data",
                hint=f"set shares for {', '.join(KINDS)}",
            )
