"""Graph templates: OpenVINO graphs shipped without weights, which are read from the model file.

A template fits every file of its variant in our format, so the embedded model and models trained
from it open without conversion and without PyTorch. It is a ZIP file with the graph (OpenVINO's
XML), the few constants that are not weights, and the names and shapes of the weights. Constants in
the XML are offsets into the weights, which are stored contiguously in fp32, in order of their
names.
"""

from __future__ import annotations

import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..errors import MivoloError
from ..model import registry
from ..model.spec import ModelSpec
from .openvino_engine import fuse, import_openvino

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)
SUFFIX = ".template"
XML, OTHERS, ABOUT = "graph.xml", "constants.bin", "about.json"
COUNTER = "num_batches_tracked"
"""Batch normalisation's counter of training steps; graphs do not use it."""
UNUSABLE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
)
UNUSABLE += (zipfile.BadZipFile, SafetensorError, MivoloError)
"""Raised for damaged or unsuitable templates and weights, and without OpenVINO."""


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """The model that a template is for, and the shapes of its weights in stored order. `made_with`
    is informative only."""

    variant: str
    in_chans: int
    num_classes: int
    input_size: int
    shapes: dict[str, list[int]]
    made_with: str

    @property
    def weights(self) -> int:
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def fits(self, spec: ModelSpec) -> bool:
        needed = self.variant, self.in_chans, self.num_classes, self.input_size
        return needed == (spec.variant, spec.in_chans, spec.num_classes, spec.input_size)


def place_of(variant: str) -> Path:
    """Return the path of a variant's template; it may not exist."""
    return registry.folder() / f"{variant}{SUFFIX}"


def open_template(weights: Path, fused: bool = False) -> tuple[openvino.Model, ModelSpec] | None:
    """Return the graph and spec of a model file, without conversion. None if no template fits or
    the file is invalid: converting it then reports why.

    Layers that do not tolerate rounding are marked in the template. `fused` gives the same graph as
    a conversion, for quantization. Otherwise OpenVINO fuses the layers when it compiles, which is
    faster.
    """
    try:
        with safe_open(weights, framework="np") as opened:
            spec = ModelSpec.from_metadata(opened.metadata() or {})
            with zipfile.ZipFile(place_of(spec.variant)) as template:
                about = TemplateInfo(**json.loads(template.read(ABOUT)))
                xml, others = template.read(XML), template.read(OTHERS)
            if not about.fits(spec):
                return None
            data = _data(opened, about, others)
        return _graph(xml, data, fused), spec
    except UNUSABLE as error:
        logger.debug(f"{weights} is opened without a template: {error!r}")
        return None


def _data(opened: Any, about: TemplateInfo, others: bytes) -> NDArray[np.uint8]:
    """Return all weights, followed by the other constants. Raises ValueError for unexpected or
    non-finite weights."""
    if {name for name in list(opened.keys()) if not name.endswith(COUNTER)} != set(about.shapes):
        raise ValueError("other weights")
    data = np.empty(4 * about.weights + len(others), np.uint8)
    data[4 * about.weights :] = np.frombuffer(others, np.uint8)
    row, start = data[: 4 * about.weights].view(np.float32), 0
    for name, shape in about.shapes.items():
        tensor = opened.get_tensor(name)
        if list(tensor.shape) != shape:
            raise ValueError(f"other weights: {name}")
        row[start : start + tensor.size] = tensor.ravel()
        start += tensor.size
    if not np.isfinite(row).all():
        raise ValueError("weights that are infinite or no numbers")
    return data


def _graph(xml: bytes, data: NDArray[np.uint8], fused: bool) -> openvino.Model:
    openvino = import_openvino()
    graph = openvino.Core().read_model(xml, openvino.Tensor(data))
    if fused:
        fuse(graph)
    return graph
