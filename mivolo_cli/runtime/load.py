"""Load a model by name: choose the engine, and its fallback."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from .device import each_gpu
from .engines import Engine, FallbackEngine, MultiGpuEngine, choose_engine
from .graph_cache import Int8Samples, NotConverted, open_converted
from .torch_engine import TorchEngine

if TYPE_CHECKING:
    from ..model.architecture import FromPixels
    from ..model.spec import ModelSpec

logger = logging.getLogger(__name__)


def open_model(
    name: str,
    device: str,
    precision: str = "fp32",
    engine: str = "auto",
    compiled: bool = False,
    int8_samples: Int8Samples | None = None,
) -> tuple[Engine, ModelSpec]:
    """Load a model by name or file; return its engine and spec. PyTorch runs what OpenVINO cannot
    convert or fails to run.

    `device` is a PyTorch device or several GPUs (see device.each_gpu). `int8_samples` is used for
    int8 if the model has not been calibrated. Raises BadInput and WeightsError.
    """
    if choose_engine(engine, device, precision) == "openvino":
        try:
            opened, spec = open_converted(name, precision, partial(load, name), int8_samples)
            return FallbackEngine(opened, partial(_in_pytorch, name, opened.precision)), spec
        except NotConverted as error:
            logger.warning(f"{error}: it runs in PyTorch instead, with the same results")
    module, spec = load(name)
    gpus = [TorchEngine(module, gpu, _exact(precision), compiled) for gpu in each_gpu(device)]
    return gpus[0] if len(gpus) == 1 else MultiGpuEngine(gpus), spec


def load(name: str) -> tuple[FromPixels, ModelSpec]:
    """Load a model's module, from pixels to outputs, and its spec."""
    from ..model import checkpoint
    from ..model.architecture import FromPixels

    model, spec = checkpoint.load(name)
    return FromPixels(model).eval(), spec


def _in_pytorch(name: str, precision: str) -> Engine:
    return TorchEngine(load(name)[0], "cpu", _exact(precision))


def _exact(precision: str) -> str:
    """Return the precision for PyTorch, where int8 is not supported."""
    return "fp32" if precision == "int8" else precision
