"""Calibrate the intervals and the gender scores of a model on labelled data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from ..datasets import DataOptions, Sample, read_dataset
from ..datasets.locate import locate
from ..datasets.pairs import CombinedPair, combine
from ..errors import BadInput
from ..model import checkpoint
from ..model.architecture import FromPixels
from ..model.intervals import GenderScale, Intervals
from ..model.spec import ModelSpec
from ..pipeline.components import open_detector
from ..pipeline.crops import Crops
from ..pipeline.options import InferenceOptions
from ..pipeline.predict import Predictor
from ..records import Box, Person
from ..runtime.device import choose_device
from ..runtime.torch_engine import TorchEngine
from . import conformal, gender_scale, metrics
from .metrics import Figure, Outcome

logger = logging.getLogger(__name__)
CHUNK = 256
"""People decoded at a time."""
SMALL_FACES = (24.0, 44.0)
"""Pixels of the faces on smaller copies of the pictures."""


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
    """Fit intervals and the scores of genders to all these people, and write the model with them to
    `out`.

    People are found on photos, and faces on pictures of faces, with the default detector. Each is
    seen as found, and by the face alone, by the body alone with the face visible in it, and
    smaller. Faces and bodies of the data are also combined to people of both inputs. Intervals are
    checked by halves: every second person with those that were fitted to the others. Inputs that
    the data does not have keep their calibration, which is logged. `on_progress` gets the number
    of people done. Raises BadInput for data that cannot be used.
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


def with_calibration(
    spec: ModelSpec, intervals: Intervals, gender_scales: Mapping[str, GenderScale]
) -> ModelSpec:
    """The spec with these for the inputs that they are for, and the former ones for all others."""
    former = {} if spec.intervals is None else dict(spec.intervals.bands)
    kept = sorted(former.keys() - intervals.bands.keys())
    if kept:
        logger.warning(f"the data has too few people for {' and '.join(kept)}: calibration kept")
    return replace(
        spec,
        intervals=replace(intervals, bands=former | dict(intervals.bands)),
        gender_scales=dict(spec.gender_scales) | dict(gender_scales),
    )


def outcomes_of(
    people: Sequence[Sample | CombinedPair],
    predictor: Predictor,
    on_progress: Callable[[int], None] = lambda done: None,
) -> list[list[Outcome]]:
    """What the predictor says of each person in each of the ways to see them."""
    found, size, level = [], predictor.spec.input_size, predictor.spec.level
    for start in range(0, len(people), CHUNK):
        some = people[start : start + CHUNK]
        views = [list(_views(person, size, level)) for person in some]
        answers = iter(predictor.predict([crops for each in views for crops in each]))
        found += [
            [Outcome(person.label, next(answers), crops.face_side) for crops in each]
            for person, each in zip(some, views, strict=True)
        ]
        on_progress(start + len(some))
    return found


def _views(person: Sample | CombinedPair, size: int, level: bool) -> Iterator[Crops]:
    """The person as found, and as might have been found."""
    if isinstance(person, CombinedPair):
        yield person.crops(size)
        return
    yield person.crops(size, level=level)
    if person.shows == "face+body":
        yield person.crops(size, "face", level)
        yield replace(person, face=None).crops(size)
    for side in SMALL_FACES:
        if person.face is not None and side < longer_side(person.face) / 2:
            yield _smaller(person, side).crops(size, level=level)


def _smaller(person: Sample, side: float) -> Sample:
    """The same person on a smaller picture, with a face of so many pixels."""
    assert person.face is not None
    ratio = side / longer_side(person.face)
    pixels = person.pixels()
    shown = cv2.resize(pixels, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".png", shown[..., ::-1])[1].tobytes()
    face, body = _scaled(person.face, ratio), _scaled(person.body, ratio)
    others = tuple(
        Person(_scaled(other.face, ratio), _scaled(other.body, ratio))
        for other in person.neighbours
    )
    return replace(person, source=coded, face=face, body=body, neighbours=others)


def _scaled(box: Box | None, ratio: float) -> Box | None:
    if box is None:
        return None
    return Box(box.x1 * ratio, box.y1 * ratio, box.x2 * ratio, box.y2 * ratio, box.score)


def longer_side(box: Box) -> float:
    """In pixels."""
    return max(box.x2 - box.x1, box.y2 - box.y1)


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
