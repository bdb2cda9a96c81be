"""Evaluate a model or scan results on labelled data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..datasets import DataOptions, Dataset, Problem, Sample, read_dataset
from ..datasets.locate import locate
from ..datasets.pairs import combine
from ..detect.detector import Detector
from ..errors import BadInput
from ..pipeline.components import is_levelled, open_detector, open_predictor
from ..pipeline.defaults import resolve
from ..pipeline.options import InferenceOptions
from ..records import Prediction
from . import metrics
from .match import Labelled, Predict, from_table
from .metrics import Outcome, Score, score

CHUNK = 512
"""Pictures decoded at a time."""


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """`predictions` is a result table of a scan over the labelled pictures, used instead of running
    the model; `compare` is another one to evaluate alongside. `level` is the L of CS@L, in years.
    `combine` also combines faces and bodies of the data into people with both inputs. `limit` is
    the maximum number of people per file, evenly spaced. `resamples` 0 disables the bootstrap."""

    data: Sequence[Path]
    predictions: Path | None = None
    compare: Path | None = None
    inference: InferenceOptions = InferenceOptions()
    level: float = 5.0
    combine: bool = False
    limit: int | None = None
    resamples: int = metrics.RESAMPLES
    reading: DataOptions = DataOptions()


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """The score of a group of people: `by` is used, gender or age, and `name` is their common
    value."""

    by: str
    name: str
    score: Score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The scores for one kind of picture in one file; `source` is the evaluated model or table."""

    data: str
    shows: str
    source: str
    score: Score
    groups: list[ScoredGroup]
    outcomes: list[Outcome] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the individual outcomes."""
        return {key: value for key, value in asdict(self).items() if key != "outcomes"}


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Evaluations in the order of the data, and the rows that were skipped."""

    evaluations: list[Evaluation]
    problems: list[Problem]


def evaluate(
    options: EvalOptions, on_progress: Callable[[int], None] = lambda done: None
) -> EvalReport:
    """Evaluate each file, kind of picture and source separately. Raises BadInput for unusable data
    or results.

    `on_progress` is called periodically with the number of pictures done.
    """
    sets = [_limited(read_dataset(place, options.reading), options.limit) for place in options.data]
    sources = dict(_sources(options, on_progress))
    found = [
        _evaluate(name, predict, data, shows, people, options)
        for data, shows, people in _kinds(sets, options)
        for name, predict in sources.items()
    ]
    return EvalReport(found, [problem for data in sets for problem in data.problems])


def _limited(data: Dataset, limit: int | None) -> Dataset:
    if limit is None or len(data.samples) <= limit:
        return data
    return replace(
        data, samples=[data.samples[place * len(data.samples) // limit] for place in range(limit)]
    )


def _sources(
    options: EvalOptions, on_progress: Callable[[int], None]
) -> Iterable[tuple[str, Predict]]:
    if options.combine and (options.predictions or options.compare):
        raise BadInput(
            "combined pairs do not appear in any scan", hint="omit --predictions and --compare"
        )
    if options.predictions:
        yield options.predictions.name, from_table(options.predictions)
    else:
        chosen = resolve(options.inference)
        yield chosen.model, from_model(chosen, on_progress)
    if options.compare:
        yield options.compare.name, from_table(options.compare)


def _kinds(
    sets: Sequence[Dataset], options: EvalOptions
) -> Iterable[tuple[str, str, Sequence[Labelled]]]:
    for data in sets:
        for shows in ("face+body", "face", "body", "photo"):
            people = [sample for sample in data.samples if sample.shows == shows]
            if people:
                yield data.name, shows, people
    if options.combine:
        pairs = combine([sample for data in sets for sample in data.samples])
        if not pairs:
            raise BadInput(
                "no face in the data fits a body",
                hint="--combine needs faces with ages, and bodies with age ranges",
            )
        yield "combined pairs", "face+body", pairs
        yield "their faces alone", "face", [pair.face for pair in pairs]


def _evaluate(
    source: str,
    predict: Predict,
    data: str,
    shows: str,
    people: Sequence[Labelled],
    options: EvalOptions,
) -> Evaluation:
    outcomes = [
        Outcome(person.label, found) for person, found in zip(people, predict(people), strict=True)
    ]
    ranges = metrics.age_ranges(outcomes)

    def scored(some: Sequence[Outcome]) -> Score:
        return score(some, options.level, options.resamples, ranges)

    groups = [
        ScoredGroup(by, name, scored(part)) for (by, name), part in metrics.groups(outcomes).items()
    ]
    return Evaluation(data, shows, source, scored(outcomes), groups, outcomes)


def from_model(options: InferenceOptions, on_progress: Callable[[int], None]) -> Predict:
    """Return a function that predicts as a scan would, with the labelled boxes, or with detected
    ones for photos without boxes."""
    predictor = open_predictor(options)
    size, detectors = predictor.spec.input_size, list[Detector]()
    level = is_levelled(options, predictor.spec)

    def located(some: Sequence[Labelled]) -> Sequence[Labelled]:
        """Locate the people in photos."""
        samples = [person for person in some if isinstance(person, Sample)]
        if not any(sample.shows == "photo" for sample in samples):
            return some
        if not detectors:
            detectors.append(open_detector(options))
        return locate(samples, detectors[0], shows=("photo",))

    def predict(people: Sequence[Labelled]) -> list[Prediction | None]:
        found: list[Prediction | None] = []
        for start in range(0, len(people), CHUNK):
            some = located(people[start : start + CHUNK])
            found += predictor.predict([p.crops(size, options.use, level) for p in some])
            on_progress(len(found))
        return metrics.answers(found)

    return predict
