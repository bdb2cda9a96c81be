"""Measure a model, or the results of a scan, on labelled data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import checkpoint, sinks
from .datasets import Sample, read_samples
from .engines import TorchEngine, choose_device
from .errors import BadInput
from .metrics import Score, score
from .model import FromPixels
from .predict import Predictor
from .records import Prediction

CHUNK = 512
"""Pictures decoded at a time."""


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """`predictions` is a result table of a scan over the labelled pictures; without it the model is run on them."""

    data: Sequence[Path]
    predictions: Path | None = None
    model: str = "mivolo-xs"
    device: str = "auto"
    precision: str = "fp32"
    batch_size: int = 64


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one file of labelled data; `crop` is what its pictures show."""

    data: str
    crop: str
    score: Score


def evaluate(options: EvalOptions, report: Callable[[int], None] = lambda done: None) -> list[Evaluation]:
    """One evaluation a file and kind of picture. Raises BadInput for data or results that cannot be used.

    `report` gets the number of pictures done now and then.
    """
    predict = _from_table(options.predictions) if options.predictions else _from_model(options, report)
    sets = [(file, read_samples([file])) for file in options.data]
    return [
        _evaluate(file, crop, [sample for sample in samples if sample.crop == crop], predict)
        for file, samples in sets
        for crop in ("face", "body")
        if any(sample.crop == crop for sample in samples)
    ]


Predict = Callable[[Sequence[Sample]], list[Prediction | None]]


def _evaluate(file: Path, crop: str, samples: Sequence[Sample], predict: Predict) -> Evaluation:
    found = predict(samples)
    ages, genders = [sample.age for sample in samples], [sample.gender for sample in samples]
    return Evaluation(file.name, crop, score(found, ages, genders))


def _from_model(options: EvalOptions, report: Callable[[int], None]) -> Predict:
    """Each whole picture as a face or a body, cut as a scan cuts."""
    model, spec = checkpoint.load(options.model)
    engine = TorchEngine(FromPixels(model), choose_device(options.device)[0], options.precision)
    predictor = Predictor(engine, spec, options.batch_size)

    def predict(samples: Sequence[Sample]) -> list[Prediction | None]:
        found: list[Prediction | None] = []
        for start in range(0, len(samples), CHUNK):
            found += predictor.predict([sample.crops(spec.input_size) for sample in samples[start : start + CHUNK]])
            report(len(found))
        return found

    return predict


def _from_table(file: Path) -> Predict:
    """From each picture the person with the largest face, or body, as the picture shows one or the other."""
    by_path: dict[str, list[dict[str, Any]]] = {}
    for row in sinks.read_table(file).to_pylist():
        by_path.setdefault(row["path"], []).append(row)
    paths: dict[str, list[str]] = {}
    for path in by_path:
        paths.setdefault(PurePosixPath(path).name, []).append(path)

    def people(sample: Sample) -> list[dict[str, Any]]:
        """By the whole path, or else by the file's name where only one picture has it."""
        same_name = paths.get(PurePosixPath(sample.name).name, [])
        return by_path.get(sample.name) or (by_path[same_name[0]] if len(same_name) == 1 else [])

    def predict(samples: Sequence[Sample]) -> list[Prediction | None]:
        found = [people(sample) for sample in samples]
        if not any(found):
            raise BadInput(
                f"{file} has none of the labelled pictures",
                hint="scan the pictures under the names that the labels have in image.path",
            )
        return [_largest(rows, sample.crop) for rows, sample in zip(found, samples, strict=True)]

    return predict


def _largest(people: Sequence[dict[str, Any]], crop: str) -> Prediction | None:
    """The prediction for the person whose face or body is largest; None where that one has none."""
    seen = [row for row in people if row[f"{crop}_x1"] is not None]
    if not seen:
        return None
    row = max(seen, key=lambda row: _side(row, crop, "x") * _side(row, crop, "y"))
    if row["age"] is None:
        return None
    return Prediction(row["age"], row["gender"], row["gender_score"], row["used"])


def _side(row: dict[str, Any], crop: str, axis: str) -> float:
    return row[f"{crop}_{axis}2"] - row[f"{crop}_{axis}1"]
