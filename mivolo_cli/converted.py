"""Age models as graphs of OpenVINO: converted once, and kept in the user's cache.

A folder of the cache holds one graph, what the model is, and the hashes of both files; it appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from . import __version__, weights
from .engines import OpenVinoEngine, first_line
from .errors import MivoloError
from .spec import ModelSpec

if TYPE_CHECKING:
    import openvino

    from .model import FromPixels

GRAPH, DATA, ABOUT = "graph.xml", "graph.bin", "about.json"
EXAMPLE = 2
"""People in the batch that is followed through the model; the graph then takes any number."""
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
Load = Callable[[], tuple["FromPixels", ModelSpec]]


class NotConverted(MivoloError):
    """OpenVINO is not here, or cannot take the model; PyTorch still can."""


def open_converted(name: str, precision: str, load: Load) -> tuple[Any, ModelSpec]:
    """The engine and spec of a model's graph from the cache, or from a new conversion of what `load` gives.

    Raises WeightsError for the file, NotConverted for all else.
    """
    file = weights.model_file(name)
    try:
        import openvino
    except ImportError as error:
        raise NotConverted("OpenVINO is not installed") from error
    label = name if name in weights.known() else weights.plain_name(file)
    place = _place(label, weights.sha256(file), openvino.__version__)
    kept = _kept(place, precision)
    if kept is not None:
        return kept
    module, spec = load()
    try:
        graph = convert(module, spec)
        engine = OpenVinoEngine(graph, precision)
    except _refusals() as error:
        raise NotConverted(f"OpenVINO cannot take the model ({first_line(error)})") from error
    try:
        _keep(graph, spec, place)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        engine.notes.append(f"the converted model cannot be kept in {place.parent} ({reason or first_line(error)})")
    return engine, spec


def convert(module: FromPixels, spec: ModelSpec) -> openvino.Model:
    """The model as a graph that takes batches of any size; it computes what the module computes."""
    import openvino
    import torch

    side, channels = spec.input_size, spec.in_chans
    pixels = torch.zeros((EXAMPLE, side, side, channels), dtype=torch.uint8)
    present = torch.ones((EXAMPLE, 2), dtype=torch.bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sizes which never change become constants
        return openvino.convert_model(
            module, example_input=(pixels, present), input=[[-1, side, side, channels], [-1, 2]]
        )


def folder() -> Path:
    """Where converted models are kept; it may not exist."""
    return Path(platformdirs.user_cache_dir("mivolo", appauthor=False)) / "converted"


def _place(label: str, sha256: str, openvino_version: str) -> Path:
    """Named by all that decides what a graph is; its weights, always in fp32, decide the input's shape."""
    name = re.sub(r"[^\w.-]", "_", label)[:40]
    versions = f"mivolo-{__version__}-openvino-{openvino_version.split('-')[0]}"
    return folder() / f"{name}-{sha256[:16]}-{versions}-fp32"


def _kept(place: Path, precision: str) -> tuple[OpenVinoEngine, ModelSpec] | None:
    """What the cache holds of a model; None where it is not there or not whole."""
    try:
        about = json.loads((place / ABOUT).read_text("utf-8"))
        if about["hashes"] != _hashes(place):
            return None
        spec = ModelSpec.from_metadata(about["spec"])
        return OpenVinoEngine(place / GRAPH, precision), spec
    except (*UNREADABLE, MivoloError):
        return None


def _keep(graph: openvino.Model, spec: ModelSpec, place: Path) -> None:
    """Raises OSError or RuntimeError where it cannot be written."""
    import openvino

    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
    try:
        openvino.save_model(graph, temporary / GRAPH, compress_to_fp16=False)
        about = {"hashes": _hashes(temporary), "spec": spec.to_metadata()}
        (temporary / ABOUT).write_text(json.dumps(about), "utf-8")
        shutil.rmtree(place, ignore_errors=True)  # it is there only if it could not be read
        os.replace(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _hashes(place: Path) -> dict[str, str]:
    return {name: weights.sha256(place / name) for name in (GRAPH, DATA)}


def _refusals() -> tuple[type[Exception], ...]:
    """What OpenVINO and PyTorch's tracer raise for models that they cannot take."""
    from openvino import frontend

    own = (frontend.OpConversionFailure, frontend.GeneralFailure, frontend.NotImplementedFailure)
    return (*own, RuntimeError, TypeError, ValueError, ImportError)
