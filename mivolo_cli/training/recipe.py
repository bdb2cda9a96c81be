"""Recipes: the settings that determine the result of a training, stored as TOML files with the
field names of `Recipe`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import BadInput
from ..model.architecture import Fusion
from ..model.spec import ModelSpec
from .augment import Augmentation
from .mixer import KINDS, SHARES

CHOICES = {
    "inputs": ("face+body", "face", "body"),
    "fusion": ("attention", "concatenation"),
    "optimizer": ("muon", "adamw"),
    "age_loss": ("mse", "smooth_l1"),
    "lds": ("none", "gaussian", "triangular", "laplace"),
    "monitor": ("mae", "gender"),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of the model, the training schedule, the loss and the data.

    With `level`, heads are turned upright for training, and inference does the same.

    The loss is `age_weight` times the age loss, plus the cross-entropy of gender. `age_beta` is
    where smooth L1 changes from quadratic to linear, relative to the span of ages. People of whom
    only a range is known have the weight `range_weight` and their own `range_beta`. Their loss is
    zero only `range_margin` years inside the range (or at its middle, if nearer), so that
    predictions do not settle between two ranges; `range_power` weights ranges by their inverse
    frequency to that power. `lds` weights ages by label distribution smoothing (Yang et al.,
    "Delving into Deep Imbalanced Regression", 2021), with a kernel of width `lds_width` and scale
    `lds_sigma`, both in years, and the power `lds_power` (1: the inverse of the smoothed frequency,
    0.5: of its square root).

    `muon_lr` is the learning rate of matrices if the optimizer is Muon, `adamw_lr` of all other
    parameters. `patience` stops the training after this many validations without a better
    `monitor`, and keeps the best model (0: never). `ramp` is the fraction of the steps in which
    augmentation grows to full strength. `shares` sets how often each kind of example is drawn; data
    sets are drawn in proportion to their size to the power `balance`. `pseudo_gender` is the
    minimum score at which people without a known gender get the gender that the initial model
    predicts from their face (0: never). Pretrained backbones (`train --backbones`) learn at
    `backbone_lr` times the rate of the rest. Their first `frozen_stages` stages are frozen, and
    with them all their normalisation statistics.
    """

    variant: str = "mivolo_xs"
    inputs: Literal["face+body", "face", "body"] = "face+body"
    fusion: Fusion = "attention"
    gender: bool = True
    level: bool = True

    epochs: int = 12
    batch_size: int = 64
    accumulate: int = 1
    seed: int = 1
    optimizer: Literal["muon", "adamw"] = "muon"
    muon_lr: float = 1.2e-2
    adamw_lr: float = 1.5e-3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    average: float = 0.998
    clip_norm: float = 3.0
    drop_path: float = 0.05
    validate_every: int = 2
    patience: int = 0
    monitor: Literal["mae", "gender"] = "mae"

    age_loss: Literal["mse", "smooth_l1"] = "smooth_l1"
    age_weight: float = 4.0
    age_beta: float = 0.06
    range_weight: float = 0.3
    range_beta: float = 0.06
    range_margin: float = 0.0
    range_power: float = 0.0
    lds: Literal["none", "gaussian", "triangular", "laplace"] = "none"
    lds_width: int = 5
    lds_sigma: float = 2.0
    lds_power: float = 0.5
    label_smoothing: float = 0.05

    ramp: float = 0.33
    backbone_lr: float = 1.0
    frozen_stages: int = 0
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    balance: float = 1.0
    pseudo_gender: float = 0.0
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "validate_every", "lds_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(allowed)}"
                )
        if self.batch_size % self.accumulate:
            raise ValueError("batch_size must be a multiple of accumulate")
        if not self.shares.keys() <= set(KINDS) or any(share < 0 for share in self.shares.values()):
            raise ValueError(f"shares are numbers of at least 0 for {', '.join(KINDS)}")

    @property
    def in_chans(self) -> int:
        return 6 if self.inputs == "face+body" else 3

    @property
    def num_classes(self) -> int:
        return 3 if self.gender else 1


FINE_TUNING = {
    "epochs": 4,
    "muon_lr": 1e-3,
    "adamw_lr": 1.5e-4,
    "warmup_steps": 100,
    "backbone_lr": 0.3,
    "frozen_stages": 2,
    "ramp": 0.0,
}
"""Steps small enough for a trained model to keep what it has learned."""


def fine_tuning(spec: ModelSpec) -> dict[str, Any]:
    """Return the recipe fields for fine-tuning a model of this kind."""
    kind = {"variant": spec.variant, "inputs": spec.inputs, "level": spec.level}
    return FINE_TUNING | kind | {"gender": spec.num_classes == 3}


def read_recipe(file: Path | None = None, init: ModelSpec | None = None, **changes: Any) -> Recipe:
    """Return the recipe from a file, or the defaults (for fine-tuning, if `init` is given), with
    all changes that are not None.

    Raises BadInput for an invalid recipe.
    """
    try:
        if file is None:
            values = {} if init is None else fine_tuning(init)
        else:
            values = tomllib.loads(file.read_text("utf-8"))
        values["augmentation"] = Augmentation(**values.get("augmentation", {}))
        return replace(
            Recipe(**values),
            **{name: value for name, value in changes.items() if value is not None},
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        names = ", ".join(known.name for known in fields(Recipe))
        raise BadInput(
            f"cannot use the recipe {file or ''}: {error}", hint=f"a recipe may set {names}"
        ) from error
