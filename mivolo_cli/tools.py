"""What a scan works with: the model and the detector of its options, opened here or on another machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import auto, weights

if TYPE_CHECKING:
    from .detect import Detector
    from .engines import Engine
    from .predict import Predictor
    from .scan import ScanOptions


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
    device = auto.choose_device(options.device, options.engine)
    chosen = auto.choose_model(options.model, device.name).name
    predictor, engine = open_predictor(options)
    notes = [f"device cpu: {device.reason}"] if device.name == "cpu" and options.device not in ("auto", "cpu") else []
    notes += [f"model {chosen}: {weights.get(chosen).licence}"] if chosen in weights.known() else []
    sha256 = weights.sha256(weights.model_file(chosen))
    return Tools(predictor, engine, open_detector(options), sha256, notes)


def open_predictor(options: ScanOptions) -> tuple[Predictor, Engine]:
    """The model of these options, and the engine that it runs on. Raises BadInput or WeightsError."""
    from .engines import PaddedEngine
    from .predict import Predictor
    from .ready import open_model

    device = auto.choose_device(options.device, options.engine).name
    chosen = auto.choose_model(options.model, device).name
    engine, spec = open_model(chosen, device, options.precision, options.engine)
    return Predictor(PaddedEngine(engine), spec, options.batch_size, options.flip), engine


def open_detector(options: ScanOptions) -> Detector:
    """The detector of these options. Raises BadInput or WeightsError."""
    from . import detect

    device = auto.choose_device(options.device, options.engine).name
    finder = auto.choose_detector(options.detector, options.boxes, device).name
    return detect.open_detector(finder, boxes=options.boxes, device=device)


def least_side(options: ScanOptions, tools: Tools) -> int:
    """How small photos may be read; boxes that are given mean all the pixels."""
    from . import pipeline

    return pipeline.LEAST if options.reduced and tools.detector.name != "given" else 0
