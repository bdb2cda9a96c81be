"""The model and detector selected by the options, opened on this machine or another."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..model import registry
from ..runtime.processes import require_own_process
from . import defaults
from .options import InferenceOptions

if TYPE_CHECKING:
    from ..detect.detector import Detector
    from ..model.spec import ModelSpec
    from ..photos.opening import MinSize
    from ..records import Failure, Photo
    from ..runtime.engines import Engine
    from ..runtime.graph_cache import Int8Samples
    from .predict import Predictor


LEVELS = ("auto", "on", "off")


@dataclass(frozen=True, slots=True)
class Components:
    """Model and detector for turning photos into predictions. Photos may be decoded at reduced size
    while their sides keep `min_size` pixels; None means full size. `level` turns tilted heads
    upright for the model."""

    predictor: Predictor
    engine: Engine
    detector: Detector
    model_sha256: str
    min_size: MinSize | None
    level: bool


def open_components(
    options: InferenceOptions, samples: Iterable[Photo | Failure] = ()
) -> Components:
    """Open the model and the detector of these options.

    `samples` are photos of people for int8 calibration if the options name none. Raises BadInput or
    WeightsError.
    """
    from .stages import MIN_SIZE

    require_own_process()
    chosen = defaults.resolve(options)
    detector = _open_detector(chosen)
    predictor, engine = _open_predictor(chosen, detector, samples)
    sha256 = registry.sha256(registry.model_file(chosen.model))
    # The boxes of a table are in pixels of the full-size photo.
    whole = options.full_resolution or detector.name == "given"
    min_size = None if whole else MIN_SIZE
    level = is_levelled(chosen, predictor.spec)
    return Components(predictor, engine, detector, sha256, min_size, level)


def is_levelled(options: InferenceOptions, spec: ModelSpec) -> bool:
    """Return whether these options turn heads upright for a model. Raises BadInput for an unknown
    value."""
    if options.level not in LEVELS:
        raise BadInput(f"--level cannot be {options.level!r}", hint=f"use {', '.join(LEVELS)}")
    return spec.level if options.level == "auto" else options.level == "on"


def open_predictor(options: InferenceOptions) -> Predictor:
    """Open only the model of these options. Raises BadInput or WeightsError."""
    require_own_process()
    return _open_predictor(defaults.resolve(options))[0]


def open_detector(options: InferenceOptions) -> Detector:
    """Open only the detector of these options. Raises BadInput or WeightsError."""
    require_own_process()
    return _open_detector(defaults.resolve(options))


def _open_detector(chosen: InferenceOptions) -> Detector:
    from ..detect import load
    from ..detect.detector import SharedDetector

    detector = load.open_detector(
        chosen.detector,
        boxes=chosen.boxes,
        device=chosen.device,
        engine=chosen.engine,
        precision=chosen.precision,
        face_score=chosen.min_face_score,
        person_score=chosen.min_person_score,
    )
    # A detector for a single thread is shared between the threads of several calls.
    return SharedDetector([detector]) if detector.streams == 1 else detector


def _open_predictor(
    chosen: InferenceOptions,
    detector: Detector | None = None,
    samples: Iterable[Photo | Failure] = (),
) -> tuple[Predictor, Engine]:
    """Return predictor and engine; the detector finds the people for int8 calibration."""
    from ..runtime.device import each_gpu
    from ..runtime.engines import PaddedEngine
    from ..runtime.load import open_model
    from .predict import Predictor

    device = chosen.device
    precision = defaults.choose_precision(chosen.precision, chosen.model, chosen.engine).name
    people = _int8_samples(chosen, detector, samples) if precision == "int8" else None
    engine, spec = open_model(
        chosen.model, device, precision, chosen.engine, chosen.compile, people
    )
    streams = 0 if device == "cpu" else len(each_gpu(device))
    padded = PaddedEngine(engine)
    predictor = Predictor(padded, spec, chosen.batch_size, doubt_of(chosen, spec), streams)
    return predictor, engine


def doubt_of(options: InferenceOptions, spec: ModelSpec) -> float:
    """Return the gender score below which people are also predicted mirrored. Unless requested,
    this is 0 for third-party models that do not want heads levelled, so that they predict as in
    their own inference."""
    from .predict import DOUBTFUL

    if options.flip is None:
        return DOUBTFUL if spec.level else 0.0
    return math.inf if options.flip else 0.0


def _int8_samples(
    chosen: InferenceOptions, detector: Detector | None, samples: Iterable[Photo | Failure]
) -> Int8Samples:
    from . import int8_samples

    how = detector or _open_detector(chosen), chosen.use, chosen.workers, chosen.limits
    if chosen.int8_samples is None:
        return int8_samples.from_photos(samples, *how)
    return int8_samples.from_folder(chosen.int8_samples, *how)
