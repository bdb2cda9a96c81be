"""Train a MiVOLO model on labelled faces and bodies."""

from __future__ import annotations

import copy
import csv
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from ..datasets import DataOptions, Dataset, Sample, read_dataset
from ..datasets.labels import OLDEST
from ..datasets.locate import locate
from ..errors import BadInput
from ..evaluation import conformal, gender_scale
from ..evaluation.metrics import Outcome, Score, score
from ..evaluation.views import outcomes_of, with_calibration
from ..model import checkpoint
from ..model.architecture import FromPixels
from ..model.variants import parse_variant
from ..pipeline.components import open_detector
from ..pipeline.crops import Crops
from ..pipeline.options import InferenceOptions
from ..pipeline.predict import Predictor
from ..runtime.torch_engine import TorchEngine
from .batches import batches
from .loss import age_weights
from .mixer import Mixer
from .recipe import Recipe
from .trainer import Trainer

CHECKPOINT_SECONDS = 180
REPORT_STEPS = 50
LOG, STEPS, LAST, BEST, MODEL, PEOPLE = (
    "log.csv",
    "steps.csv",
    "last.pt",
    "best.safetensors",
    "model.safetensors",
    "people.parquet",
)
Report = Callable[[dict[str, Any]], None]
OnProgress = Callable[[str, int, int], None]
"""Called with the current activity, the amount done, and the total."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """`init` is a model to start from, by name or path; `backbones` is a file of backbones only.
    `resume` resumes from the last checkpoint in `out`. `detector` finds people in photos, and
    faces in face pictures."""

    data: Sequence[Path]
    out: Path
    recipe: Recipe = Recipe()
    validation: Sequence[Path] = ()
    device: str = "cpu"
    init: str | None = None
    backbones: Path | None = None
    resume: bool = False
    tensorboard: bool = False
    detector: str = "auto"
    reading: DataOptions = DataOptions()


@dataclass(frozen=True, slots=True)
class Validation:
    """Labelled people to validate on, with their inputs cut as in a scan."""

    name: str
    samples: list[Sample]
    inputs: list[Crops]


def train(
    options: TrainOptions,
    report: Report = lambda row: None,
    on_progress: OnProgress = lambda verb, done, total: None,
) -> Path:
    """Train and write to `options.out`: `model.safetensors`, `log.csv` (validations), `steps.csv`
    (training progress) and `last.pt` (to resume from).

    The model's intervals are calibrated on the validation data. `report` is called periodically
    with a row of figures. If `on_progress` raises KeyboardInterrupt, a checkpoint is written first.
    Returns the model's file; raises BadInput for unusable data.
    """
    recipe, last = options.recipe, options.out / LAST
    if last.exists() and not options.resume:
        raise BadInput(
            f"{options.out} already contains a training",
            hint="add --resume to continue, or choose another folder",
        )
    if recipe.patience and not options.validation:
        raise BadInput(
            "patience needs validation data to judge by",
            hint="add --validation, or set patience = 0",
        )
    if options.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise BadInput("the package tensorboard is not installed", hint="pip install tensorboard")
    size = parse_variant(recipe.variant)[1]
    data, measured = _located(options, on_progress)
    if recipe.pseudo_gender:
        data = [with_pseudo_genders(some, options) for some in data]
    samples = [sample for some in data for sample in some.samples]
    mixer = Mixer(
        [some.samples for some in data],
        recipe.shares,
        recipe.augmentation,
        size,
        recipe.inputs,
        recipe.balance,
        partial(on_progress, "read the pictures"),
    )
    validations = [_validation(some, size, recipe.level) for some in measured]
    steps = _epoch(mixer, recipe) * recipe.epochs
    trainer = Trainer(
        recipe, steps, options.device, options.init, _mean_age(samples), options.backbones
    )
    if last.exists():
        trainer.restore(last)
    weights = age_weights([s.label for s in samples], recipe)
    log = TrainingLog(options, _epoch(mixer, recipe), report, on_progress)
    try:
        _run(trainer, mixer, weights, validations, log)
    finally:
        log.close()
    trainer.save(last)
    return _finish(trainer, validations, options)


def validate(trainer: Trainer, validation: Validation) -> Score:
    """Score the averaged model on pictures without augmentation."""
    return score(_outcomes(trainer, validation), resamples=0)


def _outcomes(trainer: Trainer, validation: Validation) -> list[Outcome]:
    found = _predictor(trainer).predict(validation.inputs)
    return [Outcome(sample.label, p) for sample, p in zip(validation.samples, found, strict=True)]


def _predictor(trainer: Trainer) -> Predictor:
    engine = TorchEngine(copy.deepcopy(trainer.average.module), trainer.device, "bf16")
    return Predictor(engine, trainer.spec, batch_size=64)


def _located(options: TrainOptions, on_progress: OnProgress) -> tuple[list[Dataset], list[Dataset]]:
    """Return the training and validation data, with people located in the pictures."""
    data = [read_dataset(place, options.reading) for place in options.data]
    measured = [read_dataset(place, options.reading) for place in options.validation]
    detector = open_detector(InferenceOptions(detector=options.detector))
    options.out.mkdir(parents=True, exist_ok=True)

    def found(some: Dataset) -> Dataset:
        report = partial(_report, on_progress, f"find the people of {some.name}", len(some.samples))
        return replace(some, samples=locate(some.samples, detector, options.out / PEOPLE, report))

    return [found(some) for some in data], [found(some) for some in measured]


def _report(on_progress: OnProgress, verb: str, total: int, done: int) -> None:
    on_progress(verb, done, total)


def with_pseudo_genders(data: Dataset, options: TrainOptions) -> Dataset:
    """Fill in unknown genders where the initial model is confident enough (Lee, "Pseudo-Label",
    2013). Raises BadInput without an initial model."""
    if options.init is None:
        raise BadInput(
            "pseudo_gender needs a model for its estimates", hint="add --init, or set it to 0"
        )
    unknown = [s for s in data.samples if s.label.gender is None and s.face is not None]
    model, spec = checkpoint.load(options.init)
    predictor = Predictor(TorchEngine(FromPixels(model), options.device, "bf16"), spec, 64)
    inputs = [sample.crops(spec.input_size, "face", spec.level) for sample in unknown]
    genders = {
        id(sample): found.gender
        for sample, found in zip(unknown, predictor.predict(inputs), strict=True)
        if found is not None and (found.gender_score or 0) >= options.recipe.pseudo_gender
    }
    samples = [
        replace(s, label=replace(s.label, gender=genders.get(id(s), s.label.gender)))
        for s in data.samples
    ]
    return replace(data, samples=samples)


def _validation(data: Dataset, size: int, level: bool) -> Validation:
    inputs = [sample.crops(size, level=level) for sample in data.samples]
    return Validation(data.name, data.samples, inputs)


def _mean_age(samples: Sequence[Sample]) -> float:
    labels = [sample.label for sample in samples]
    middles = [
        (a.age_low + a.age_high) / 2
        for a in labels
        if a.age_low is not None and a.age_high is not None
    ]
    return float(np.mean(middles)) if middles else OLDEST / 2


def _epoch(mixer: Mixer, recipe: Recipe) -> int:
    """Return the number of steps in an epoch."""
    return max(1, mixer.epoch_length() // recipe.batch_size)


def _run(
    trainer: Trainer,
    mixer: Mixer,
    weights: Any,
    validations: Sequence[Validation],
    log: TrainingLog,
) -> None:
    every, saved = trainer.recipe.validate_every * log.epoch, monotonic()
    for batch in batches(mixer, trainer, weights):
        if trainer.is_exhausted:
            break
        parts = trainer.learn(batch)
        try:
            log.learned(parts, trainer)
        except KeyboardInterrupt:  # between two steps, so that resuming is exact
            trainer.save(log.out / LAST)
            raise
        if trainer.step % every == 0 or trainer.step == trainer.steps:
            _record(trainer, {v.name: validate(trainer, v) for v in validations}, log)
        if monotonic() - saved > CHECKPOINT_SECONDS:
            trainer.save(log.out / LAST)
            saved = monotonic()


def _record(trainer: Trainer, scores: dict[str, Score], log: TrainingLog) -> None:
    """Log the scores; with `patience`, also save the model if it is the best so far."""
    log.validated(scores, trainer)
    figures = [
        figure for s in scores.values() if (figure := _monitored(s, trainer.recipe)) is not None
    ]
    if trainer.recipe.patience and figures and trainer.is_better(figures[0]):
        checkpoint.save(trainer.averaged, trainer.spec, log.out / BEST, "fp32")


def _monitored(scored: Score, recipe: Recipe) -> float | None:
    """Return the monitored figure (lower is better), None if it was not measured."""
    if recipe.monitor == "mae":
        return None if scored.mae is None else scored.mae.value
    return None if scored.gender is None else 1 - scored.gender.value


def _finish(trainer: Trainer, validations: Sequence[Validation], options: TrainOptions) -> Path:
    """Write the model with intervals: with `patience` the best one, otherwise the last."""
    best, file = options.out / BEST, options.out / MODEL
    if trainer.recipe.patience and best.exists():
        trainer.averaged.load_state_dict(checkpoint.load(best)[0].state_dict())
    people = [sample for v in validations for sample in v.samples]
    outcomes = [o for views in outcomes_of(people, _predictor(trainer)) for o in views]
    fitted = conformal.fit(outcomes)
    spec = trainer.spec
    if fitted.bands:
        spec = with_calibration(spec, fitted, gender_scale.fit(outcomes))
    checkpoint.save(trainer.averaged, spec, file)
    best.unlink(missing_ok=True)
    return file


class TrainingLog:
    """Reports the training to the caller, to CSV files and, if requested, to TensorBoard."""

    def __init__(
        self, options: TrainOptions, epoch: int, report: Report, on_progress: OnProgress
    ) -> None:
        self.out, self.epoch, self.report, self.on_progress = (
            options.out,
            epoch,
            report,
            on_progress,
        )
        self.sums: dict[str, float] = {}
        self.steps, self.since = 0, monotonic()
        self.board: Any = None
        if options.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(options.out / "tensorboard"))

    def learned(self, parts: dict[str, Any], trainer: Trainer) -> None:
        for name, part in parts.items():
            self.sums[name] = self.sums.get(name, 0.0) + part
        self.steps += 1
        self.on_progress("train", trainer.step, trainer.steps)
        if trainer.step % REPORT_STEPS == 0 or trainer.step == trainer.steps:
            pace = self.steps * trainer.recipe.batch_size / (monotonic() - self.since)
            row = {
                "step": trainer.step,
                "of": trainer.steps,
                "epoch": round(trainer.step / self.epoch, 2),
                "pace": pace,
            }
            means = {name: float(value) / self.steps for name, value in self.sums.items()}
            self._write(row | means, "training", STEPS)
            self.steps, self.since, self.sums = 0, monotonic(), {}

    def validated(self, scores: dict[str, Score], trainer: Trainer) -> None:
        for name, found in scores.items():
            figures = {
                key: getattr(found, key)
                for key in ("mae", "cs", "bias", "gender", "in_range", "one_off")
            }
            row = {
                "step": trainer.step,
                "epoch": trainer.step // self.epoch,
                "data": name,
                "people": found.people,
            }
            values = {
                key: None if figure is None else figure.value for key, figure in figures.items()
            }
            self._write(row | {"answered": found.answered} | values, name, LOG)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()

    def _write(self, row: dict[str, Any], group: str, file: str) -> None:
        self.report(row)
        _append(self.out / file, row)
        for name, value in row.items():
            if self.board is not None and isinstance(value, float) and name != "epoch":
                self.board.add_scalar(f"{group}/{name}", value, row["step"])


def _append(file: Path, row: dict[str, Any]) -> None:
    new = not file.exists()
    with file.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
