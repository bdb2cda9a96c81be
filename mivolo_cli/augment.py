"""Training inputs: what inference would cut out of photos that show these faces and bodies.

The data has no picture of a face and its body together. A face's body is therefore either the head and shoulders around
the face, with the face blackened as inference does it, or somebody else's body of the same gender and age range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from .crops import Crops, letterbox
from .datasets import Sample
from .errors import BadInput
from .records import Pixels

KINDS = ("face", "face+bust", "face+body", "body", "bust")
"""face alone; face with head and shoulders; face with another's body; body alone; head and shoulders alone."""
SHARES = {"face": 0.5, "face+bust": 0.06, "face+body": 0.1, "body": 0.3, "bust": 0.04}
"""How often each kind is drawn, where a recipe does not say."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a picture may be changed at full strength; angles in degrees, the rest in parts of the whole."""

    shift: float = 0.06
    zoom: float = 0.22
    tilt: float = 12.0
    light: float = 0.3
    saturation: float = 0.4
    grey: float = 0.05
    erase: float = 0.2
    blur: float = 0.15
    head_blackened: float = 0.35
    neighbour: float = 0.15


def face_input(pixels: Pixels, size: int, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """A face as a detector would have boxed it: moved, zoomed and tilted a little; (size, size, 3) uint8."""
    view = _view(pixels, rng, how.shift * strength, how.zoom * strength * rng.random(), how.tilt * strength, size)
    return _light(_spoil(view, rng, how, strength), rng, how, strength)


def bust_input(pixels: Pixels, size: int, rng: Generator, how: Augmentation, strength: float, hide: bool) -> Pixels:
    """The head and shoulders of a close-up; `hide` blackens the face in it, as for a person whose face was found."""
    pixels = pixels.copy()
    if hide:
        height, width = pixels.shape[:2]
        side = rng.uniform(0.5, 0.74)
        left = rng.uniform(0.3, 0.7) * (1 - side)
        top = rng.uniform(0.3, 0.8) * (1 - side)
        pixels[int(top * height) : int((top + side) * height), int(left * width) : int((left + side) * width)] = 0
    view = _view(pixels, rng, how.shift * strength, 0.0, how.tilt * strength / 2, size)
    return _light(view, rng, how, strength)


def body_input(
    pixels: Pixels, size: int, rng: Generator, how: Augmentation, strength: float, head_blackened: float
) -> Pixels:
    """A standing body as inference cuts it; `head_blackened` is the probability that its face was found."""
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
    view = _view(pixels, rng, how.shift * strength, 0.1 * strength * rng.random(), how.tilt * strength / 3, size)
    return _light(_spoil(view, rng, how, strength), rng, how, strength)


def _view(pixels: Pixels, rng: Generator, shift: float, zoom: float, tilt: float, size: int) -> Pixels:
    """A box near the whole picture, held inside it, turned by up to `tilt` degrees, mirrored or not, letterboxed."""
    height, width = pixels.shape[:2]
    edges = np.array([0.0, 0.0, 1.0, 1.0]) + rng.normal(0, shift, 4) + np.array([zoom, zoom, -zoom, -zoom]) / 2
    x1, y1, x2, y2 = np.clip(edges, 0, 1) * (width, height, width, height)
    angle = rng.uniform(-tilt, tilt)
    if abs(angle) > 1:
        turn = cv2.getRotationMatrix2D(((x1 + x2) / 2, (y1 + y2) / 2), angle, 1.0)
        pixels = cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    box = pixels[int(y1) : max(int(y2), int(y1) + 8), int(x1) : max(int(x2), int(x1) + 8)]
    return letterbox(box[:, ::-1] if rng.random() < 0.5 else box, size)


def _spoil(view: Pixels, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """Small faces come out soft, and something may stand before them."""
    size = len(view)
    if rng.random() < how.blur * strength:
        small = int(size * rng.uniform(0.25, 0.7))
        view = cv2.resize(cv2.resize(view, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if rng.random() < how.erase * strength:
        height, width = (int(size * rng.uniform(0.1, 0.35)) for _ in range(2))
        y, x = rng.integers(0, size - height), rng.integers(0, size - width)
        view = view.copy()
        view[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return view


def _light(view: Pixels, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """Brightness, contrast and saturation; black stays black, since it means that nothing is there."""
    gain = 1 + how.light * strength * rng.uniform(-1, 1)
    gamma = 1 + how.light * strength * rng.uniform(-1, 1)
    table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    view = cv2.LUT(view, table)
    if rng.random() < how.grey * strength:
        return cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    amount = 1 + how.saturation * strength * rng.uniform(-1, 1)
    grey = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(view, amount, grey, 1 - amount, 0)


class Mixer:
    """Draws training examples of every kind from labelled faces and bodies, decoded once and kept in memory."""

    def __init__(self, samples: Sequence[Sample], shares: dict[str, float], how: Augmentation, size: int) -> None:
        self.faces = [sample for sample in samples if sample.crop == "face"]
        self.bodies = [sample for sample in samples if sample.crop == "body"]
        self.how, self.size = how, size
        self.pixels = {id(sample): sample.pixels() for sample in samples}
        drawable = {kind: shares.get(kind, 0.0) for kind in KINDS if self._can_draw(kind)}
        total = sum(drawable.values())
        if total == 0:
            raise BadInput(
                "the recipe has no share for the kind of pictures in the training data",
                hint="label pictures as face or body in the column crop, and set shares for them",
            )
        self.kinds = list(drawable)
        self.shares = [share / total for share in drawable.values()]

    def _can_draw(self, kind: str) -> bool:
        return bool(self.faces or kind == "body") and bool(self.bodies or kind not in ("face+body", "body"))

    def epoch_length(self) -> int:
        """Examples in an epoch: every face once on average."""
        with_face = sum(share for kind, share in zip(self.kinds, self.shares, strict=True) if kind != "body")
        return round(len(self.faces) / with_face) if with_face else len(self.bodies)

    def draw(self, rng: Generator, strength: float) -> tuple[Crops, Sample]:
        """One example and the sample that carries its labels."""
        kind = self.kinds[rng.choice(len(self.kinds), p=self.shares)]
        pool = self.bodies if kind == "body" else self.faces
        sample = pool[rng.integers(len(pool))]
        pixels, how, size = self.pixels[id(sample)], self.how, self.size
        face = body = None
        if kind.startswith("face"):
            face = face_input(pixels, size, rng, how, strength)
        if kind == "body":
            body = body_input(pixels, size, rng, how, strength, how.head_blackened)
        elif kind.endswith("bust"):
            body = bust_input(pixels, size, rng, how, strength, hide=face is not None)
        elif kind == "face+body":
            body = self._partner(sample, rng, strength)
        return Crops(face, body), sample

    def _partner(self, face: Sample, rng: Generator, strength: float) -> Pixels | None:
        """Somebody's body of the same gender and age range; None when a few tries find none."""
        for index in rng.integers(len(self.bodies), size=12):
            body = self.bodies[index]
            if body.gender == face.gender and body.age_low <= face.age_low < body.age_high + 1:
                return body_input(self.pixels[id(body)], self.size, rng, self.how, strength, 0.8)
        return None
