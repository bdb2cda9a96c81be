"""Resolve `auto` for device, model, detector and engine, with reasons."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import WeightsError
from ..model import registry
from ..runtime import device as devices
from ..runtime.engines import AUTO, choose_engine
from .options import InferenceOptions

logger = logging.getLogger(__name__)
EMBEDDED_MODEL = "mivolo-xs"
MODELS = ("mivolo-v2", "mivolo-d1-imdb")
"""Published models, the most accurate first."""
PUBLISHED = "published"
"""Name for both the model and the detector of MiVOLO's authors."""
PUBLISHED_MODEL, YOLO = registry.PUBLISHED


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and why, as text for the user."""

    name: str
    reason: str


def resolve(options: InferenceOptions) -> InferenceOptions:
    """Replace `auto` in all options except `level`, `precision` and `memory` by values that work on
    this machine.

    Logs the model's licence, and a warning if a requested GPU is not used. Raises BadInput.
    """
    device = choose_device(options.device, options.engine, several=True)
    model = choose_model(options.model, device.name).name
    detector = options.detector
    if (options.model, detector, options.boxes) == (PUBLISHED, "auto", None):
        detector = PUBLISHED
    if options.device not in ("auto", device.name):
        logger.warning(f"device {device.name}: {device.reason}")
    if model in registry.known():
        logger.info(f"model {model}: {registry.get(model).licence}")
    elif (terms := registry.terms(Path(model))) != registry.OWN_LICENCE:
        logger.info(f"model {model}: {terms}")
    return replace(
        options,
        device=device.name,
        model=model,
        detector=choose_detector(detector, options.boxes, device.name).name,
        engine=choose_engine(options.engine, device.name, options.precision),
    )


def choose_device(wanted: str, engine: str = "auto", several: bool = False) -> Choice:
    """See device.choose_device; with OpenVINO, `auto` is the CPU."""
    if wanted == "auto" and engine == "openvino":
        return Choice("cpu", "OpenVINO works there")
    return Choice(*devices.choose_device(wanted, several))


def choose_model(wanted: str, device: str) -> Choice:
    """Choose the most accurate model available on a GPU, and the small embedded one on a CPU.
    Raises WeightsError if the published model is requested but not available."""
    if wanted == PUBLISHED:
        return Choice(_here(PUBLISHED_MODEL), "the published model, as asked")
    if wanted != "auto":
        return Choice(wanted, "as asked")
    here = [name for name in MODELS if _is_here(name)]
    if not here:
        return Choice(
            EMBEDDED_MODEL, "it ships with the package, and no published model has been downloaded"
        )
    if device == "cpu":
        return Choice(
            EMBEDDED_MODEL,
            f"it is fast on a CPU; --model {here[0]} is more accurate and much slower",
        )
    return Choice(here[0], "it is the most accurate model available, and there is a GPU for it")


def choose_detector(wanted: str, boxes: Path | None, device: str) -> Choice:
    """Choose the user's boxes if given; else, on a GPU, the published YOLO if available; else the
    embedded detectors. Raises WeightsError if the published detector is requested but not
    available."""
    if wanted == PUBLISHED:
        _here(YOLO)
        return Choice("yolo", "the published detector, as asked")
    if wanted != "auto":
        return Choice(wanted, "as asked")
    if boxes is not None:
        return Choice("given", "boxes were given")
    if device != "cpu" and _is_here(YOLO):
        return Choice("yolo", "the published detector is available, and there is a GPU for it")
    return Choice("embedded", "it ships with the package and is fast on a CPU")


def choose_precision(
    wanted: str = AUTO, model: str = EMBEDDED_MODEL, engine: str = "auto"
) -> Choice:
    """Choose the precision of a model: bf16 for the embedded one in OpenVINO if the processor
    supports that, else fp32. The embedded detectors follow the same rule."""
    from ..runtime.openvino_engine import import_openvino, is_supported

    if wanted != AUTO:
        return Choice(wanted, "as asked")
    if model != EMBEDDED_MODEL or engine == "torch":
        return Choice("fp32", "only the embedded model in OpenVINO is known to tolerate less")
    try:
        supported = is_supported(import_openvino().Core(), "bf16")
    except ImportError:
        return Choice("fp32", "OpenVINO is not installed")
    if supported:
        return Choice("bf16", "this processor supports it, and results are as good")
    return Choice("fp32", "this processor does not support bf16")


def _here(name: str) -> str:
    if not _is_here(name):
        raise WeightsError(
            f"the published weights {name!r} have not been downloaded yet",
            hint="mivolo weights fetch published",
        )
    return name


def _is_here(name: str) -> bool:
    return registry.locate(registry.get(name)) is not None
