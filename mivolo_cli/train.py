"""Train a MiVOLO model on labelled faces and bodies."""

from __future__ import annotations

import csv
import math
import os
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from timm.layers import set_fused_attn
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from . import checkpoint
from .augment import KINDS, SHARES, Augmentation, Mixer
from .crops import Crops, stack
from .datasets import MAX_AGE, Sample, read_samples
from .engines import TorchEngine
from .errors import BadInput
from .metrics import Score, score
from .model import FromPixels, MiVOLO, create_model
from .predict import GENDERS, Predictor

AHEAD = 4
"""Batches made in advance while the model learns from one."""
CHECKPOINT_SECONDS = 180
LOG = "log.csv"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the result of a training; recipes in weights/recipes are TOML files with these names."""

    variant: str = "mivolo_xs"
    epochs: int = 12
    batch_size: int = 64
    seed: int = 1
    muon_lr: float = 1.2e-2
    adamw_lr: float = 1.5e-3
    weight_decay: float = 0.02
    warmup_steps: int = 100
    average: float = 0.998
    clip_norm: float = 3.0
    drop_path: float = 0.05
    age_weight: float = 2.0
    age_beta: float = 0.06
    range_weight: float = 0.3
    gender_weight: float = 0.5
    label_smoothing: float = 0.05
    ramp: float = 0.33
    body_from_face: bool = False
    """Begin with the face's stem for bodies too: far fewer labelled bodies than faces are to be had."""
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError("epochs and batch_size must be at least 1")
        if not self.shares.keys() <= set(KINDS) or any(share < 0 for share in self.shares.values()):
            raise ValueError(f"shares are numbers from 0 on for {', '.join(KINDS)}")


def read_recipe(file: Path | None = None, epochs: int | None = None) -> Recipe:
    """The recipe of a file, or the defaults; `epochs` replaces its own. Raises BadInput for what is not a recipe."""
    try:
        values = {} if file is None else tomllib.loads(file.read_text("utf-8"))
        values["augmentation"] = Augmentation(**values.get("augmentation", {}))
        recipe = Recipe(**values)
    except (OSError, ValueError, TypeError) as error:
        names = ", ".join(known.name for known in fields(Recipe))
        raise BadInput(f"cannot use the recipe {file}: {error}", hint=f"a recipe may set {names}") from error
    return recipe if epochs is None else replace(recipe, epochs=epochs)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """`init` is a model by name or path to start from; `resume` goes on from `out`'s last checkpoint."""

    data: Sequence[Path]
    out: Path
    recipe: Recipe = Recipe()
    validation: Sequence[Path] = ()
    device: str = "cpu"
    init: str | None = None
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """`pixels` (n, s, s, 6) uint8, `present` (n, 2) bool; ages in years as ranges, `gender` -1 where unknown."""

    pixels: Tensor
    present: Tensor
    age_low: Tensor
    age_high: Tensor
    gender: Tensor

    @staticmethod
    def of(examples: Sequence[tuple[Crops, Sample]], size: int) -> Batch:
        crops, samples = zip(*examples, strict=True)
        pixels, present = stack(crops, size)
        return Batch(
            torch.from_numpy(pixels),
            torch.from_numpy(present),
            torch.tensor([sample.age_low for sample in samples], dtype=torch.float32),
            torch.tensor([sample.age_high for sample in samples], dtype=torch.float32),
            torch.tensor([-1 if sample.gender is None else GENDERS.index(sample.gender) for sample in samples]),
        )

    def to(self, device: str) -> Batch:
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))


def batches(mixer: Mixer, recipe: Recipe, steps: range, total: int) -> Iterator[Batch]:
    """The batches of these steps, made ahead in the background; each depends on the seed and its step alone."""

    def make(step: int) -> Batch:
        rng = np.random.default_rng((recipe.seed, step))
        strength = min(1.0, step / max(1.0, recipe.ramp * total))
        return Batch.of([mixer.draw(rng, strength) for _ in range(recipe.batch_size)], mixer.size)

    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[Batch]] = [pool.submit(make, step) for step in steps[:AHEAD]]
        for step in steps:
            if step + AHEAD in steps:
                waiting.append(pool.submit(make, step + AHEAD))
            yield waiting.pop(0).result()


def loss(outputs: Tensor, batch: Batch, spec: checkpoint.ModelSpec, recipe: Recipe) -> tuple[Tensor, dict[str, Tensor]]:
    """Smooth L1 on the distance of the age from its known range, and cross-entropy on gender: the sum, and each."""
    span = spec.max_age - spec.min_age
    age = outputs[:, -1] * span + spec.avg_age
    miss = (batch.age_low - age).clamp(min=0) + (age - batch.age_high).clamp(min=0)
    exact = batch.age_low == batch.age_high
    weight = torch.where(exact, 1.0, recipe.range_weight)
    age_loss = functional.smooth_l1_loss(miss / span, torch.zeros_like(miss), beta=recipe.age_beta, reduction="none")
    parts = {"age": (weight * age_loss).mean(), "mae": miss[exact].mean()}
    if spec.num_classes == 3:
        gender_loss = functional.cross_entropy(
            outputs[:, :2], batch.gender, ignore_index=-1, label_smoothing=recipe.label_smoothing, reduction="sum"
        )
        parts["gender"] = gender_loss / (batch.gender >= 0).sum().clamp(min=1)
    return recipe.age_weight * parts["age"] + recipe.gender_weight * parts.get("gender", 0.0), parts


class Trainer:
    """A model in training, with all that a checkpoint must hold to go on exactly."""

    def __init__(self, recipe: Recipe, steps: int, device: str, init: str | None, mean_age: float) -> None:
        torch.manual_seed(recipe.seed)
        set_fused_attn(False)  # going back through PyTorch's fused attention is slow on a CPU
        self.recipe, self.steps, self.device, self.step = recipe, steps, device, 0
        model = create_model(recipe.variant, drop_path=recipe.drop_path)
        self.spec = checkpoint.ModelSpec.of(model, recipe.variant, min_age=0.0, max_age=MAX_AGE)
        if init is not None:
            begin_with(model, init, recipe.variant)
        else:  # from anywhere else, the first steps would only learn the mean, and unlearn the features for it
            start_at(model, (mean_age - self.spec.avg_age) / (self.spec.max_age - self.spec.min_age))
        if recipe.body_from_face:
            model.patch_embed.conv2.load_state_dict(model.patch_embed.conv1.state_dict())
            model.patch_embed.proj2.load_state_dict(model.patch_embed.proj1.state_dict())
        self.model = FromPixels(model).to(device).to(memory_format=torch.channels_last)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True)
        self.optimizers = optimizers(self.model, recipe)
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate) for optimizer in self.optimizers
        ]

    @property
    def averaged(self) -> MiVOLO:
        model = self.average.module.model
        assert isinstance(model, MiVOLO)
        return model

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then a cosine down to 1 %, as a factor."""
        warm = min(1.0, (step + 1) / max(1, self.recipe.warmup_steps))
        return warm * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, step / self.steps))) / 2)

    def learn(self, batch: Batch) -> dict[str, Tensor]:
        """One step; returns the parts of the loss."""
        batch = batch.to(self.device)
        self.model.train()
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            outputs = self.model(batch.pixels, batch.present)
        total, parts = loss(outputs.float(), batch, self.spec, self.recipe)
        total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        for optimizer, scheduler in zip(self.optimizers, self.schedulers, strict=True):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            scheduler.step()
        self.average.update_parameters(self.model)
        self.step += 1
        return {name: part.detach() for name, part in parts.items()}

    def stateful(self) -> dict[str, Any]:
        return {"model": self.model, "average": self.average} | {
            f"{kind}{index}": part
            for kind, parts in (("optimizer", self.optimizers), ("scheduler", self.schedulers))
            for index, part in enumerate(parts)
        }

    def save(self, file: Path) -> None:
        """Written beside and renamed, so that a killed run keeps its last checkpoint."""
        state = {name: part.state_dict() for name, part in self.stateful().items()}
        beside = file.with_suffix(".part")
        torch.save(state | {"step": self.step, "steps": self.steps, "random": torch.get_rng_state()}, beside)
        os.replace(beside, file)

    def restore(self, file: Path) -> None:
        state = torch.load(file, map_location=self.device, weights_only=True)
        if state["steps"] != self.steps:
            raise BadInput(f"{file} is of a run of {state['steps']} steps, not {self.steps}", hint="use its recipe")
        for name, part in self.stateful().items():
            part.load_state_dict(state[name])
        self.step = state["step"]
        torch.set_rng_state(state["random"].cpu())


def begin_with(model: MiVOLO, init: str, variant: str) -> None:
    """Give a new model the weights of another. Raises BadInput where they do not fit."""
    try:
        model.load_state_dict(checkpoint.load(init)[0].state_dict())
    except RuntimeError as error:
        raise BadInput(f"the model {init} is no {variant}", hint="use a recipe with the model's variant") from error


def start_at(model: MiVOLO, value: float) -> None:
    """Make a new model answer this normalised age to everything."""
    with torch.no_grad():
        model.head.bias[-1] = value


def optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for everything else."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.adamw_lr, weight_decay=recipe.weight_decay),
    ]


def validate(trainer: Trainer, samples: Sequence[Sample], inputs: Sequence[Crops]) -> Score:
    """How well the averaged model does on untouched pictures; `inputs` are those of the samples."""
    engine = TorchEngine(trainer.average.module, trainer.device, "bf16")
    found = Predictor(engine, trainer.spec, batch_size=64).predict(inputs)
    return score(found, [sample.age for sample in samples], [sample.gender for sample in samples])


def train(options: TrainOptions, report: Callable[[dict[str, Any]], None] = lambda row: None) -> Path:
    """Train and write `model.safetensors`, `log.csv` and `last.pt` (to resume from) into `options.out`.

    `report` gets a row of figures now and then. Returns the model's file; raises BadInput for unusable data.
    """
    recipe, last = options.recipe, options.out / "last.pt"
    if last.exists() and not options.resume:
        raise BadInput(
            f"{options.out} holds a training already", hint="add --resume to go on, or choose another folder"
        )
    samples = read_samples(options.data)
    if not samples:
        raise BadInput("the training data is empty", hint="give Parquet files with at least one row")
    size = checkpoint.ModelSpec.of(create_model(recipe.variant), recipe.variant, 0.0, MAX_AGE).input_size
    mixer = Mixer(samples, recipe.shares, recipe.augmentation, size)
    epoch = max(1, mixer.epoch_length() // recipe.batch_size)
    mean_age = float(np.mean([(sample.age_low + sample.age_high) / 2 for sample in samples]))
    trainer = Trainer(recipe, epoch * recipe.epochs, options.device, options.init, mean_age)
    options.out.mkdir(parents=True, exist_ok=True)
    if last.exists():
        trainer.restore(last)
    _run(trainer, mixer, epoch, _validation(options, size), options.out, report)
    trainer.save(last)
    model = options.out / "model.safetensors"
    checkpoint.save(trainer.averaged, trainer.spec, model)
    return model


def _validation(options: TrainOptions, size: int) -> list[tuple[str, list[Sample], list[Crops]]]:
    sets = [(file.stem, read_samples([file])) for file in options.validation]
    return [(name, samples, [sample.crops(size) for sample in samples]) for name, samples in sets]


def _run(trainer: Trainer, mixer: Mixer, epoch: int, validation: list, out: Path, report: Callable) -> None:
    saved = since = monotonic()
    sums: dict[str, Any] = {}
    for batch in batches(mixer, trainer.recipe, range(trainer.step, trainer.steps), trainer.steps):
        for name, part in trainer.learn(batch).items():
            sums[name] = sums.get(name, 0.0) + part / 50
        if trainer.step % 50 == 0:
            pace = 50 * len(batch.pixels) / (monotonic() - since)
            row = {"step": trainer.step, "of": trainer.steps, "epoch": round(trainer.step / epoch, 2), "pace": pace}
            report(row | {name: float(value) for name, value in sums.items()})
            since, sums = monotonic(), {}
        if monotonic() - saved > CHECKPOINT_SECONDS:
            trainer.save(out / "last.pt")
            saved = monotonic()
        if trainer.step % (2 * epoch) == 0 or trainer.step == trainer.steps:
            for name, samples, inputs in validation:
                row = {"epoch": trainer.step // epoch, "data": name} | asdict(validate(trainer, samples, inputs))
                _log(out / LOG, row)
                report(row)


def _log(file: Path, row: dict[str, Any]) -> None:
    new = not file.exists()
    with file.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
