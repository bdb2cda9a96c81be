"""A model's inputs and the meaning of its outputs, without the model itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from .intervals import GenderScale, Intervals
from .variants import SIZES, VARIANT

METADATA_KEY = "mivolo"
MAX_AGE = 300
"""Upper limit of a model's `max_age`, in years."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's inputs and the meaning of its outputs, stored in the header of our files.

    `inputs` is face+body for six channels, face or body for three. Ages are in years. `level` means
    that heads must be turned upright, as in training.
    """

    variant: str
    in_chans: int
    num_classes: int
    input_size: int
    min_age: float
    max_age: float
    avg_age: float
    name: str
    inputs: str = "face+body"
    level: bool = False
    intervals: Intervals | None = None
    gender_scales: Mapping[str, GenderScale] = field(default_factory=dict)
    """By the inputs used (face+body, face, body); without one, scores are not scaled."""
    card: Mapping[str, str] = field(default_factory=dict)
    """Notes on the training, for people."""

    def __post_init__(self) -> None:
        match = VARIANT.fullmatch(self.variant)
        if (
            match is None
            or int(match["input_size"] or SIZES[match["size"]].input_size) != self.input_size
        ):
            raise WeightsError(
                f"{self.name}: the variant {self.variant!r} does not take {self.input_size} pixels"
            )
        allowed = {3: ("face", "body"), 6: ("face+body",)}
        if self.inputs not in allowed.get(self.in_chans, ()) or self.num_classes not in (1, 3):
            raise WeightsError(
                f"{self.name}: {self.in_chans} channels, the inputs {self.inputs!r} and "
                f"{self.num_classes} outputs are inconsistent"
            )
        if (
            not all(map(math.isfinite, (self.min_age, self.avg_age, self.max_age)))
            or not self.min_age < self.max_age <= MAX_AGE
            or self.max_age <= 0
        ):
            raise WeightsError(
                f"{self.name}: ages cannot range from {self.min_age} to {self.max_age}"
            )

    def years(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert the model's age outputs to years, from 0 to `max_age`; ages below `min_age` are
        allowed, as in the published inference. Non-finite outputs become NaN."""
        with np.errstate(over="ignore", invalid="ignore"):
            ages = outputs * (self.max_age - self.min_age) + self.avg_age
        inside: NDArray[np.float32] = np.clip(ages, 0, self.max_age)
        return np.where(np.isfinite(outputs), inside, np.float32(np.nan))

    def to_metadata(self) -> dict[str, str]:
        """Return metadata for the header of a safetensors file."""
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> ModelSpec:
        """Read what `to_metadata` wrote; fields of later versions are ignored. Raises WeightsError
        for anything else."""
        try:
            values = json.loads(str(metadata[METADATA_KEY]))
            return cls(
                variant=str(values["variant"]),
                in_chans=int(values["in_chans"]),
                num_classes=int(values["num_classes"]),
                input_size=int(values["input_size"]),
                min_age=float(values["min_age"]),
                max_age=float(values["max_age"]),
                avg_age=float(values["avg_age"]),
                name=str(values["name"]),
                inputs=str(values["inputs"]),
                level=bool(values.get("level", False)),
                intervals=None
                if values.get("intervals") is None
                else Intervals.from_dict(values["intervals"]),
                gender_scales={
                    str(used): GenderScale.from_dict(scale)
                    for used, scale in values.get("gender_scales", {}).items()
                },
                card={str(key): str(note) for key, note in values.get("card", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise WeightsError(f"the model's own description cannot be read: {error!r}") from error
