"""What a scan works with: the model and the detector of its options, opened here or on another
machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model import registry
from . import defaults

if TYPE_CHECKING:
    from ..detect import Detector
    from ..photos.decode import MinSize
    from ..runtime.engines import Engine
    from ..runtime.graph_cache import Int8Samples
    from ..scan.run import ScanOptions
    from .predict import Predictor


@dataclass(frozen=True, slots=True)
class Tools:
    """What a scan works with, opened once; `notes` are lines that the user should read."""

    predictor: Predictor
    engine: Engine
    detector: Detector
    model_sha256: str
    notes: list[str]


def open_tools(options: ScanOptions) -> Tools:
    """The model and the detector of these options. Raises BadInput or WeightsError."""
    device = _device(options)
    chosen = defaults.choose_model(options.model, device.name).name
    detector = open_detector(options)
    predictor, engine = open_predictor(options, detector)
    notes = (
        [f"device cpu: {device.reason}"]
        if device.name == "cpu" and options.device not in ("auto", "cpu")
        else []
    )
    notes += (
        [f"model {chosen}: {registry.get(chosen).licence}"] if chosen in registry.known() else []
    )
    sha256 = registry.sha256(registry.model_file(chosen))
    return Tools(predictor, engine, detector, sha256, notes)


def open_predictor(
    options: ScanOptions, detector: Detector | None = None
) -> tuple[Predictor, Engine]:
    """The model of these options, and the engine that it runs on; the detector finds people to
    calibrate int8 with.

    Raises BadInput or WeightsError.
    """
    from ..runtime.engines import PaddedEngine, each_gpu
    from ..runtime.load import open_model
    from .predict import Predictor

    device, precision = _device(options).name, options.precision
    chosen = defaults.choose_model(options.model, device).name
    calibration = (
        _calibration(options, detector or open_detector(options)) if precision == "int8" else None
    )
    engine, spec = open_model(
        chosen, device, precision, options.engine, options.compile, calibration
    )
    streams = 0 if device == "cpu" else len(each_gpu(device))
    return Predictor(PaddedEngine(engine), spec, options.batch_size, options.flip, streams), engine


def open_detector(options: ScanOptions) -> Detector:
    """The detector of these options. Raises BadInput or WeightsError."""
    from .. import detect

    device = _device(options).name
    finder = defaults.choose_detector(options.detector, options.boxes, device).name
    return detect.open_detector(
        finder,
        boxes=options.boxes,
        device=device,
        engine=options.engine,
        precision=options.precision,
    )


def _device(options: ScanOptions) -> defaults.Choice:
    return defaults.choose_device(options.device, options.engine, several=True)


def _calibration(options: ScanOptions, detector: Detector) -> Int8Samples:
    """Who calibrates int8."""
    from ..photos import walk
    from ..scan import selection
    from . import int8_samples

    if options.int8_samples is not None:
        return int8_samples.from_folder(
            options.int8_samples, detector, options.use, options.workers
        )
    found = walk.opened(selection.listed(options))
    return int8_samples.from_photos(found, detector, options.use, options.workers)


def min_size(options: ScanOptions, tools: Tools) -> MinSize | None:
    """How small photos may be read; boxes that are given mean all the pixels."""
    from . import stages

    return None if options.full_resolution or tools.detector.name == "given" else stages.MIN_SIZE
