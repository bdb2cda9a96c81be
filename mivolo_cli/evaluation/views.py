"""Present labelled people in all the ways a scan may see them, for calibration."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import cv2

from ..datasets import Sample
from ..datasets.pairs import CombinedPair
from ..model.intervals import GenderScale, Intervals
from ..model.spec import ModelSpec
from ..pipeline.crops import Crops
from ..pipeline.predict import Predictor
from ..records import Person
from . import metrics
from .metrics import Outcome

logger = logging.getLogger(__name__)
CHUNK = 256
"""People decoded at a time."""
SMALL_FACES = (24.0, 44.0)
"""Face sizes, in pixels, in downscaled copies of the pictures."""


def with_calibration(
    spec: ModelSpec, intervals: Intervals, gender_scales: Mapping[str, GenderScale]
) -> ModelSpec:
    """Return the spec with these calibrations; inputs that they lack keep their former ones."""
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
    """Return the outcomes of each person, one for each view."""
    found, size, level = [], predictor.spec.input_size, predictor.spec.level
    for start in range(0, len(people), CHUNK):
        some = people[start : start + CHUNK]
        views = [list(_views(person, size, level)) for person in some]
        answers = iter(metrics.answers(predictor.predict([c for each in views for c in each])))
        found += [
            [Outcome(person.label, next(answers), crops.face_side) for crops in each]
            for person, each in zip(some, views, strict=True)
        ]
        on_progress(start + len(some))
    return found


def _views(person: Sample | CombinedPair, size: int, level: bool) -> Iterator[Crops]:
    """Yield the person's inputs as found, and as they might have been found."""
    if isinstance(person, CombinedPair):
        yield person.crops(size)
        return
    yield person.crops(size, level=level)
    if person.shows == "face+body":
        yield person.crops(size, "face", level)
        yield replace(person, face=None).crops(size)
    for side in SMALL_FACES:
        if person.face is not None and side < person.face.longer_side / 2:
            yield _downscaled(person, side).crops(size, level=level)


def _downscaled(person: Sample, side: float) -> Sample:
    """Return the person in a downscaled picture, with a face of this many pixels."""
    assert person.face is not None
    ratio = side / person.face.longer_side
    pixels = person.pixels()
    shown = cv2.resize(pixels, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".png", shown[..., ::-1])[1].tobytes()
    own, *others = (
        one.scaled(ratio, ratio) for one in (Person(person.face, person.body), *person.neighbours)
    )
    return replace(person, source=coded, face=own.face, body=own.body, neighbours=tuple(others))
