"""A model by its name, ready to answer: on which engine, and what becomes of it where that engine cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .converted import NotConverted, open_converted
from .engines import Engine, TorchEngine, choose_engine

if TYPE_CHECKING:
    from .model import FromPixels
    from .spec import ModelSpec


def open_model(name: str, device: str, precision: str = "fp32", engine: str = "auto") -> tuple[Engine, ModelSpec]:
    """The model of this name or file on an engine, and its spec. A converter that refuses it leaves it to PyTorch.

    `device` is PyTorch's name of it. Raises BadInput and WeightsError.
    """
    note = None
    if choose_engine(engine, device, precision) == "openvino":
        try:
            return open_converted(name, precision, lambda: load(name))
        except NotConverted as error:
            note = f"{error}: it works in PyTorch, with the same answers"
    module, spec = load(name)
    torch_engine = TorchEngine(module, device, precision)
    torch_engine.notes += [note] if note else []
    return torch_engine, spec


def load(name: str) -> tuple[FromPixels, ModelSpec]:
    """The module of this model from pixels to outputs, and its spec."""
    from . import checkpoint
    from .model import FromPixels

    model, spec = checkpoint.load(name)
    return FromPixels(model).eval(), spec
