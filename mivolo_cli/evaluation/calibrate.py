"""Calibrate the intervals of a model on labelled data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..datasets import DataOptions, Sample, read_dataset
from ..datasets.pairs import CombinedPair, combine
from ..errors import BadInput
from ..model import checkpoint
from ..model.architecture import FromPixels
from ..model.intervals import Intervals
from ..pipeline.predict import Predictor
from ..runtime.device import choose_device
from ..runtime.torch_engine import TorchEngine
from . import conformal, metrics
from .metrics import Figure, Outcome


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """`data` are people whom the training has not seen; `out` is the file for the model with its
    intervals."""

    model: str
    data: Sequence[Path]
    out: Path
    device: str = "auto"
    reading: DataOptions = DataOptions()


@dataclass(frozen=True, slots=True)
class Check:
    """How intervals do on people who did not calibrate them, by the inputs used."""

    used: str
    coverage: Figure
    width: Figure


def calibrate(
    options: CalibrateOptions, on_progress: Callable[[int], None] = lambda done: None
) -> list[Check]:
    """Fit intervals to all these people, and write the model with them to `out`.

    They are checked by halves: every second person with intervals that were fitted to the others.
    Faces and bodies of the data are also combined to people of both inputs. `on_progress` gets the
    number of people done. Raises BadInput for data that cannot be used.
    """
    model, spec = checkpoint.load(options.model)
    sets = [read_dataset(place, options.reading).samples for place in options.data]
    people: list[Sample | CombinedPair] = [sample for samples in sets for sample in samples]
    if any(person.shows == "photo" for person in people):
        raise BadInput(
            "calibration needs pictures of a face or a body",
            hint="say which with --pictures face or body",
        )
    people += combine([sample for samples in sets for sample in samples])
    predictor = Predictor(
        TorchEngine(FromPixels(model), choose_device(options.device)[0]), spec, 64
    )
    outcomes = []
    for start in range(0, len(people), 512):
        some = people[start : start + 512]
        found = predictor.predict([person.crops(spec.input_size) for person in some])
        outcomes += [Outcome(person.label, p) for person, p in zip(some, found, strict=True)]
        on_progress(len(outcomes))
    fitted = conformal.fit(outcomes)
    if not fitted.bands:
        raise BadInput(
            f"{len(people)} labelled people are too few to calibrate on",
            hint=f"give at least {2 * conformal.ENOUGH} whose age is known, or a range of ages",
        )
    checkpoint.save(model, replace(spec, intervals=fitted), options.out)
    return _check(
        [o for o in outcomes if o.prediction is not None and o.prediction.used in fitted.bands]
    )


def _check(outcomes: Sequence[Outcome]) -> list[Check]:
    halves = outcomes[::2], outcomes[1::2]
    checked = [
        _around(o, fitted)
        for half, fitted in zip(halves, map(conformal.fit, halves[::-1]), strict=True)
        for o in half
    ]
    checks = []
    for (by, used), part in metrics.groups(checked).items():
        found = metrics.score(part)
        if by == "used" and found.coverage is not None and found.width is not None:
            checks.append(Check(used, found.coverage, found.width))
    return checks


def _around(outcome: Outcome, fitted: Intervals) -> Outcome:
    assert outcome.prediction is not None
    ends = fitted.around(outcome.prediction.age, outcome.prediction.used) or (None, None)
    return Outcome(outcome.label, replace(outcome.prediction, age_low=ends[0], age_high=ends[1]))
