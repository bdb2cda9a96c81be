"""Write the graph templates of the embedded models (see templates.py): `make templates`.

Every weight is replaced by a unique number before the model is converted. The numbers then show
where in the graph each weight is used.
"""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import torch

from ..atomic import replacing
from ..errors import MivoloError
from ..model import checkpoint
from ..model.architecture import Backbone, FromPixels
from ..model.spec import ModelSpec
from ..version import __version__
from .graph_cache import example_of
from .mixed_precision import mark
from .openvino_engine import import_openvino
from .templates import ABOUT, COUNTER, OTHERS, XML, TemplateInfo, place_of

if TYPE_CHECKING:
    import openvino

MODELS = ("mivolo-xs",)
FIRST, LAST = (int(np.float32(2.0**power).view(np.uint32)) for power in (-40, -39))
"""Bit patterns of the numbers that replace weights, counting up from the first."""
ALIGNED = 64
FIRST_PARTS = ("conv_stem", "bn1", "blocks.0", "blocks.1")
"""Parts of a backbone that stay in fp32. Without blocks.1, bf16 moves ages of bodies by 0.39 years
on average; with it by 0.12, as with the whole backbone."""


def write_template(module: FromPixels, spec: ModelSpec, place: Path) -> None:
    """Write the template of a model's variant. The module's weights are overwritten.

    Raises MivoloError if the graph does not contain all weights unchanged.
    """
    openvino = import_openvino()
    shapes = _number_weights(module)
    about = TemplateInfo(
        *(spec.variant, spec.in_chans, spec.num_classes, spec.input_size, shapes),
        f"mivolo {__version__}, openvino {openvino.__version__}, torch {torch.__version__}",
    )
    graph = _unfused(module, spec)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, XML)
        openvino.save_model(graph, file, compress_to_fp16=False)
        tree = ElementTree.parse(file)
        mark(tree, partial(_is_first, _first_parts(module)))
        others = _place_constants(tree, file.with_suffix(".bin").read_bytes(), about.weights)
    xml = ElementTree.tostring(tree.getroot())
    _write(place, {XML: xml, OTHERS: others, ABOUT: json.dumps(asdict(about)).encode()})


def _first_parts(module: FromPixels) -> tuple[str, ...]:
    """Return the names of the backbones' parts that do not tolerate rounding."""
    backbones = [name for name, part in module.named_modules() if isinstance(part, Backbone)]
    return tuple(f"__module.{name}.{part}" for name in backbones for part in FIRST_PARTS)


def _is_first(parts: Sequence[str], layer: str) -> bool:
    """Whether a layer belongs to one of these parts of the module."""
    return any(layer.startswith((f"{part}.", f"{part}/")) for part in parts)


def _number_weights(module: FromPixels) -> dict[str, list[int]]:
    """Replace all weights by numbers from FIRST on; return their shapes in order of their names."""
    shapes, following = {}, FIRST
    for name, weight in sorted(module.model.state_dict().items()):
        if not name.endswith(COUNTER):
            numbers = np.arange(following, following + weight.numel(), dtype=np.uint32)
            weight.copy_(torch.from_numpy(numbers.view(np.float32)).view(weight.shape))
            shapes[name] = list(weight.shape)
            following += weight.numel()
    if following > LAST:
        raise MivoloError("the model has too many weights for a template")
    return shapes


def _unfused(module: FromPixels, spec: ModelSpec) -> openvino.Model:
    """Convert like graph_cache.convert, but without fusing layers, which would change weights.
    Constant parts are folded."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    from openvino.passes import ConstantFolding, Manager

    example, shapes = example_of(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes that become constants
        traced = TorchScriptPythonDecoder(module, example_input=example)
    frontend = FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(traced))
    graph.reshape(dict(zip(graph.inputs, shapes, strict=True)))
    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(graph)
    return graph


def _place_constants(tree: ElementTree.ElementTree[Any], stored: bytes, weights: int) -> bytes:
    """Point the constants to the stored weights, or to the bytes after them, which are returned."""
    others, seen = bytearray(), np.zeros(weights, bool)
    for data in tree.iterfind("layers/layer[@type='Const']/data"):
        offset, size = int(data.attrib["offset"]), int(data.attrib["size"])
        constant = stored[offset : offset + size]
        first = _first_weight(constant, weights)
        if first is None:
            data.set("offset", str(4 * weights + len(others)))
            others += constant + bytes(-size % ALIGNED)
        else:
            data.set("offset", str(4 * first))
            seen[first : first + size // 4] = True
    if not seen.all():
        raise MivoloError(f"{(~seen).sum()} weights are not found in the graph as they are stored")
    return bytes(others)


def _first_weight(constant: bytes, weights: int) -> int | None:
    """Return the index of a constant's first weight; None if it does not consist of weights."""
    if len(constant) % 4 or not constant:
        return None
    places = np.frombuffer(constant, np.uint32).astype(np.int64) - FIRST
    expected = np.arange(places[0], places[0] + len(places))
    inside = places[0] >= 0 and expected[-1] < weights
    return int(places[0]) if inside and np.array_equal(places, expected) else None


def _write(place: Path, parts: dict[str, bytes]) -> None:
    """Write a template file. The output is reproducible: equal parts give equal files."""
    with replacing(place) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as template:
        for name, part in parts.items():
            template.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    for name in MODELS:
        model, spec = checkpoint.load(name)
        write_template(FromPixels(model).eval(), spec, place_of(spec.variant))


if __name__ == "__main__":
    main()
