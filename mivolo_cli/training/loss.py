"""The training objective: batches and their loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from torch import Tensor
from torch.nn import functional

from ..datasets.labels import OLDEST, Label
from ..model.spec import ModelSpec
from ..pipeline.crops import Crops, stack
from ..pipeline.predict import GENDERS, channels
from .recipe import Recipe

SMALLEST_DENSITY = 1e-3
"""Lower bound relative to the mean density; it limits the weight of very rare ages."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`pixels` (n, s, s, channels) uint8, `present` (n, 2) bool; age ranges in years, `gender`
    (-1 if unknown), and the `weight` of each age or range."""

    pixels: Tensor
    present: Tensor
    age_low: Tensor
    age_high: Tensor
    gender: Tensor
    weight: Tensor

    @staticmethod
    def of(
        examples: Sequence[tuple[Crops, Label]],
        spec: ModelSpec,
        weights: Mapping[Label, float] | None = None,
    ) -> Batch:
        """Return the examples as a batch; `weights` are by label, 1 for missing labels."""
        crops, labels = zip(*examples, strict=True)
        pixels, present = stack(crops, spec.input_size)
        return Batch(
            torch.from_numpy(np.ascontiguousarray(channels(pixels, spec))),
            torch.from_numpy(present),
            torch.tensor([0.0 if label.age_low is None else label.age_low for label in labels]),
            torch.tensor(
                [OLDEST if label.age_high is None else label.age_high for label in labels]
            ),
            torch.tensor(
                [-1 if label.gender is None else GENDERS.index(label.gender) for label in labels]
            ),
            torch.tensor([(weights or {}).get(label, 1.0) for label in labels]),
        )

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def split(self, parts: int) -> Iterator[Batch]:
        """Split into equal parts, in order."""
        columns = [getattr(self, f.name).chunk(parts) for f in fields(self)]
        return (Batch(*part) for part in zip(*columns, strict=True))


def loss(
    outputs: Tensor, batch: Batch, spec: ModelSpec, recipe: Recipe
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the total loss and its parts: `age` and `gender` before `age_weight`, and `mae` in
    years.

    The age loss depends on the distance from the labelled range, relative to the span of ages.
    """
    span = spec.max_age - spec.min_age
    age = outputs[:, -1] * span + spec.avg_age
    margin = ((batch.age_high - batch.age_low) / 2).clamp(max=recipe.range_margin)
    miss = (batch.age_low + margin - age).clamp(min=0) + (age - batch.age_high + margin).clamp(
        min=0
    )
    exact = batch.age_low == batch.age_high
    parts = {
        "age": _age_loss(miss / span, batch, recipe).mean(),
        "mae": miss[exact].sum() / exact.sum().clamp(min=1),
    }
    if spec.num_classes == 3:
        gender = functional.cross_entropy(
            outputs[:, :2],
            batch.gender,
            ignore_index=-1,
            label_smoothing=recipe.label_smoothing,
            reduction="sum",
        )
        parts["gender"] = gender / (batch.gender >= 0).sum().clamp(min=1)
    return recipe.age_weight * parts["age"] + parts.get("gender", 0.0), parts


def age_weights(labels: Sequence[Label], recipe: Recipe) -> dict[Label, float]:
    """Return the weight of each label's age in the loss, with a mean of 1 over people of known age
    and a mean of 1 over people with ranges.

    Exact ages: a power of the inverse number of people of an age, smoothed over neighbouring ages
    (Yang et al. 2021, section 3.1). Ranges: a power of the inverse number of people in a range.
    """
    exact = [label for label in labels if label.age is not None]
    ranged = Counter((label.age_low, label.age_high) for label in labels if label.is_range)
    ages, sizes = (
        _smoothed_weights([int(label.age or 0) for label in exact], recipe),
        np.array([*ranged.values()], np.float64),
    )
    of_ranges = sizes**-recipe.range_power if sizes.size else sizes
    of_ranges /= np.average(of_ranges, weights=sizes) if sizes.size else 1.0
    by_range = dict(zip(ranged, of_ranges.tolist(), strict=True))
    return {label: ages[int(label.age)] for label in exact if label.age is not None and ages} | {
        label: by_range[label.age_low, label.age_high] for label in labels if label.is_range
    }


def _smoothed_weights(ages: Sequence[int], recipe: Recipe) -> list[float]:
    """Return the weights by age in whole years; empty without smoothing."""
    if recipe.lds == "none" or not ages:
        return []
    counts = np.bincount(ages, minlength=int(OLDEST) + 1).astype(np.float64)
    density = convolve1d(
        counts, kernel(recipe.lds, recipe.lds_width, recipe.lds_sigma), mode="constant"
    )
    weights = np.maximum(density, SMALLEST_DENSITY * density.mean()) ** -recipe.lds_power
    return list((weights / weights[ages].mean()).tolist())


def kernel(name: str, width: int, sigma: float) -> NDArray[np.float64]:
    """Return a kernel, (2 * (width // 2) + 1,), with its peak in the middle and a sum of 1."""
    distance = np.abs(np.arange(-(width // 2), width // 2 + 1, dtype=np.float64))
    shapes = {
        "gaussian": np.exp(-0.5 * (distance / sigma) ** 2),
        "laplace": np.exp(-distance / sigma),
        "triangular": width // 2 + 1 - distance,
    }
    return shapes[name] / shapes[name].sum()


def _age_loss(miss: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    exact = batch.age_low == batch.age_high
    weight = torch.where(exact, batch.weight, recipe.range_weight * batch.weight)
    if recipe.age_loss == "mse":
        return weight * miss**2
    none = torch.zeros_like(miss)
    of_ages, of_ranges = (
        functional.smooth_l1_loss(miss, none, beta=beta, reduction="none")
        for beta in (recipe.age_beta, recipe.range_beta)
    )
    return weight * torch.where(exact, of_ages, of_ranges)
