"""Calibrate a model's intervals and gender scores on labelled data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..datasets import DataOptions, read_dataset
from ..datasets.locate import locate
from ..datasets.pairs import combine
from ..errors import BadInput
from ..model import checkpoint
from ..model.architecture import FromPixels
from ..model.intervals import Intervals
from ..pipeline.components import open_detector
from ..pipeline.options import InferenceOptions
from ..pipeline.predict import Predictor
from ..runtime.device import choose_device
from ..runtime.torch_engine import TorchEngine
from . import conformal, gender_scale, metrics
from .metrics import Figure, Outcome
from .views import outcomes_of, with_calibration


@dataclass(frozen=True, slots=True)
class CalibrateOptions:
    """`data` are people not used in training; `out` is the file for the calibrated model."""

    model: str
    data: Sequence[Path]
    out: Path
    device: str = "auto"
    reading: DataOptions = DataOptions()


@dataclass(frozen=True, slots=True)
class Check:
    """Interval coverage and width on people not used to fit the intervals, by inputs `used`."""

    used: str
    coverage: Figure
    width: Figure


def calibrate(
    options: CalibrateOptions, on_progress: Callable[[int], None] = lambda done: None
) -> list[Check]:
    """Fit intervals and gender scores to all these people, and write the calibrated model to `out`.

    The default detector finds people in photos, and faces in face pictures. Each person is seen as
    found, from the face alone, from the body alone with the face visible, and downscaled. Faces and
    bodies of the data are also combined into people with both inputs. Intervals are checked by
    two-fold cross-validation over every second person. Inputs missing from the data keep their
    calibration, which is logged. `on_progress` is called with the number of people done. Raises
    BadInput for unusable data.
    """
    model, spec = checkpoint.load(options.model)
    plain = replace(spec, intervals=None, gender_scales={})
    engine = TorchEngine(FromPixels(model), choose_device(options.device)[0])
    sets = [read_dataset(place, options.reading).samples for place in options.data]
    detector = open_detector(InferenceOptions())
    people = [sample for samples in sets for sample in locate(samples, detector)]
    found = outcomes_of(
        [*people, *combine([sample for samples in sets for sample in samples])],
        Predictor(engine, plain, 64),
        on_progress,
    )
    outcomes = [outcome for views in found for outcome in views]
    fitted = conformal.fit(outcomes)
    if not fitted.bands:
        raise BadInput(
            f"{len(people)} labelled people are too few to calibrate on",
            hint=f"give at least {2 * conformal.ENOUGH} whose age is known, or a range of ages",
        )
    checkpoint.save(model, with_calibration(spec, fitted, gender_scale.fit(outcomes)), options.out)
    return _check(found, fitted.bands.keys())


def _check(people: Sequence[Sequence[Outcome]], calibrated: Collection[str]) -> list[Check]:
    halves = [
        [o for views in half for o in views if o.prediction and o.prediction.used in calibrated]
        for half in (people[::2], people[1::2])
    ]
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
    prediction = outcome.prediction
    assert prediction is not None and prediction.age is not None
    ends = fitted.around(prediction.age, prediction.used, outcome.face_side) or (None, None)
    return replace(outcome, prediction=replace(prediction, age_low=ends[0], age_high=ends[1]))
