"""Predict ages and genders for batches of people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..model.intervals import WIDEST
from ..model.spec import ModelSpec
from ..records import Pixels, Prediction
from ..runtime.processes import require_own_process
from .crops import Crops, stack

GENDERS = ("male", "female")
"""Order of the model's first two outputs."""
DOUBTFUL = 0.8
"""Gender score below which a second, mirrored prediction is worthwhile: it corrects as many genders
as mirroring everyone, at a fifth of the cost."""


class AgeEngine(Protocol):
    """Runs a model on a device: uint8 batch (n, s, s, channels) and mask (n, 2) of the inputs
    present -> (n, outputs)."""

    def run(self, batch: Pixels, present: NDArray[np.bool_], /) -> NDArray[np.float32]: ...


class Predictor:
    """A model on an engine. For people whose gender scores less than `doubt`, predictions of the
    image and its mirror image are averaged: 0 means nobody, infinity everyone.

    `streams` is the number of batches that may run while the next people are detected: one per GPU,
    and none on a CPU, because the detector needs its cores.
    """

    def __init__(
        self,
        engine: AgeEngine,
        spec: ModelSpec,
        batch_size: int = 32,
        doubt: float = 0.0,
        streams: int = 0,
    ) -> None:
        self.engine, self.spec, self.batch_size, self.doubt, self.streams = (
            engine,
            spec,
            batch_size,
            doubt,
            streams,
        )

    def predict(self, crops: Sequence[Crops]) -> list[Prediction | None]:
        """Return one prediction per person, in order; None for a person without an input for this
        model. Raises MivoloError in a process that was forked after the model was opened."""
        require_own_process()
        seen = [self._readable(crop) for crop in crops]
        usable = [crop for crop in seen if crop.used is not None]
        answers = iter([p for batch in self._batches(usable) for p in self._predict_batch(batch)])
        return [None if crop.used is None else next(answers) for crop in seen]

    def _batches(self, crops: Sequence[Crops]) -> Iterator[Sequence[Crops]]:
        return (
            crops[start : start + self.batch_size]
            for start in range(0, len(crops), self.batch_size)
        )

    def _readable(self, crop: Crops) -> Crops:
        """Drop the inputs that a single-input model does not accept."""
        inputs = self.spec.inputs.split("+")
        face, body = (getattr(crop, name) if name in inputs else None for name in ("face", "body"))
        return Crops(face, body, crop.face_side)

    def _predict_batch(self, crops: Sequence[Crops]) -> list[Prediction]:
        pixels, present = stack(crops, self.spec.input_size)
        pixels = channels(pixels, self.spec)
        outputs = self.engine.run(np.ascontiguousarray(pixels), present)
        found = predictions(outputs, self.spec, crops)
        again = [row for row, answer in enumerate(found) if self._doubtful(answer)]
        if not again:
            return found
        mirrored = np.ascontiguousarray(pixels[again][:, :, ::-1])
        outputs[again] = (outputs[again] + self.engine.run(mirrored, present[again])) / 2
        return predictions(outputs, self.spec, crops)

    def _doubtful(self, answer: Prediction) -> bool:
        return (1.0 if answer.gender_score is None else answer.gender_score) < self.doubt


def channels(pixels: Pixels, spec: ModelSpec) -> Pixels:
    """Select the channels that the model reads from a batch (n, s, s, 6)."""
    if spec.in_chans == 6:
        return pixels
    return pixels[..., 3:] if spec.inputs == "body" else pixels[..., :3]


def predictions(
    outputs: NDArray[np.float32], spec: ModelSpec, crops: Sequence[Crops]
) -> list[Prediction]:
    """Convert the model's outputs (n, 1 or 3) to predictions of the people in these crops. If any
    output of a person is not finite, the age is NaN."""
    outputs = np.where(np.isfinite(outputs).all(axis=1, keepdims=True), outputs, np.float32("nan"))
    ages = [float(age) for age in spec.years(outputs[:, -1])]
    return [
        _prediction(age, row[:-1], spec, crop)
        for age, row, crop in zip(ages, outputs.astype(np.float64), crops, strict=True)
    ]


def _prediction(
    age: float, logits: NDArray[np.float64], spec: ModelSpec, crop: Crops
) -> Prediction:
    """`logits` are the genders' (2,), or empty. If the body alone says too little about age, only
    the interval is given."""
    used = crop.used or ""
    low, high = _ends(spec, age, crop)
    gender, score = _gender(logits, spec, used, age) if logits.size else (None, None)
    unknown = used == "body" and low is not None and high is not None and high - low > WIDEST
    return Prediction(None if unknown else age, gender, score, used, low, high)


def _gender(
    logits: NDArray[np.float64], spec: ModelSpec, used: str, age: float
) -> tuple[str, float]:
    scale = spec.gender_scales.get(used)
    distance = abs(float(logits[0] - logits[1])) * (1.0 if scale is None else scale.at(age))
    return GENDERS[int(logits.argmax())], 1 / (1 + math.exp(-distance))  # softmax of the larger


def _ends(spec: ModelSpec, age: float, crop: Crops) -> tuple[float | None, float | None]:
    """Return the ends of the interval, clipped to the model's age range."""
    if spec.intervals is None:
        return None, None
    found = spec.intervals.around(age, crop.used or "", crop.face_side)
    if found is None:
        return None, None
    low, high = (min(max(end, 0.0), spec.max_age) for end in found)
    return low, high
