"""Networks as OpenVINO graphs, converted once and stored in the user's cache.

Each cache folder contains one graph, information about it, and hashes of both; it is created
atomically. The hashes show that a graph is complete, not who wrote it, so graphs that other users
could have written are not read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from ..atomic import new_folder
from ..errors import BadInput, MivoloError, OutputError
from ..model import private, registry
from ..model.spec import ModelSpec
from ..storage import cache_folder, read_file
from ..version import __version__
from .engines import first_line
from .mixed_precision import first_layers, spare
from .openvino_engine import OpenVinoEngine, import_openvino
from .quantize import Batches, quantize
from .templates import open_template

if TYPE_CHECKING:
    import openvino
    from torch import Tensor, nn

    from ..model.architecture import FromPixels

logger = logging.getLogger(__name__)
GRAPH, DATA, ABOUT = "graph.xml", "graph.bin", "about.json"
FORM = 3
"""Cache version: increased when the same weights are converted to a different graph."""
MAX_ABOUT = 64 * 1024**2
EXAMPLE = 2
"""Number of people in the batch for tracing the model; the graph then accepts any number."""
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
Load = Callable[[], tuple["FromPixels", ModelSpec]]
Shapes = Sequence[Sequence[int]]
"""Shapes of a graph's inputs; -1 is any length."""
GraphInfo = dict[str, str]
"""Metadata stored with a graph."""
FIRST_COUNTS = (
    "int8 of {label} is calibrated on these photos and reused by later scans "
    "(`mivolo purge` resets it; --int8-samples DIR selects other photos)"
)


@dataclass(frozen=True, slots=True)
class Int8Samples:
    """People for the int8 calibration of an age model: `people` returns batches for a model's spec.
    `key` identifies a choice of photos; if it is empty, the first calibration of a model on this
    machine is reused."""

    key: str
    people: Callable[[ModelSpec], Batches]


class NotConverted(MivoloError):
    """OpenVINO is not installed, or cannot convert the model; PyTorch can still run it."""


def open_converted(
    name: str, precision: str, load: Load, int8_samples: Int8Samples | None = None
) -> tuple[OpenVinoEngine, ModelSpec]:
    """Return engine and spec of an age model: from a template (not in int8), from the cache, or
    from a new conversion of what `load` returns.

    Raises WeightsError for an invalid file, BadInput if int8 is not possible, and NotConverted for
    anything else.
    """
    file = registry.model_file(name)
    if precision != "int8" and (opened := _from_template(file, precision)):
        return opened
    label = name if name in registry.known() else registry.plain_name(file)
    key = (
        f"-{int8_samples.key}" if int8_samples and int8_samples.key and precision == "int8" else ""
    )

    def make() -> tuple[openvino.Model, GraphInfo]:
        if precision == "int8" and int8_samples is None:
            raise BadInput(
                f"{label} has not been calibrated for int8 on this machine",
                hint="run `mivolo scan --precision int8` once on photos of people",
            )
        graph, spec = open_template(file, fused=True) or _convert(load)
        if precision == "int8" and int8_samples is not None:
            graph = quantize(graph, int8_samples.people(spec))
            if not key:
                logger.warning(FIRST_COUNTS.format(label=label))
        return graph, spec.to_metadata()

    engine, info = open_graph(f"{label}-{registry.sha256(file)[:16]}{key}", precision, make)
    return engine, ModelSpec.from_metadata(info)


def _from_template(file: Path, precision: str) -> tuple[OpenVinoEngine, ModelSpec] | None:
    found = open_template(file)
    if found is None:
        return None
    graph, spec = found
    try:
        return OpenVinoEngine(graph, precision), spec
    except RuntimeError as error:
        logger.debug(f"the template of {spec.variant} is not used: {first_line(error)}")
        return None


def _convert(load: Load) -> tuple[openvino.Model, ModelSpec]:
    module, spec = load()
    return convert(module, spec), spec


def open_graph(
    name: str, precision: str, make: Callable[[], tuple[openvino.Model, GraphInfo]]
) -> tuple[OpenVinoEngine, GraphInfo]:
    """Return engine and metadata of the graph stored under this name; if there is none, make and
    store it.

    The name must identify everything that determines the graph, except precision and versions.
    Raises NotConverted.
    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise NotConverted("OpenVINO is not installed") from error
    place = _place(name, openvino.__version__, "int8" if precision == "int8" else "fp32")
    kept = _kept(place, precision)
    if kept is not None:
        return kept
    try:
        graph, info = make()
        trouble = _keep(graph, info, place)
        # A graph that is read back may give results that differ in the last digit. Use it, for the
        # same results as in all later runs.
        kept = None if trouble else _kept(place, precision)
        if kept is not None:
            return kept
        engine = _unkept(graph, precision)
    except _refusals() as error:
        raise NotConverted(f"OpenVINO cannot convert the model ({first_line(error)})") from error
    logger.warning(
        f"the converted model cannot be stored in {place.parent} ("
        f"{trouble or 'it cannot be read back'})"
    )
    engine.int8_key = uuid4().hex if precision == "int8" else ""  # the next calibration may differ
    return engine, info


def convert(module: FromPixels, spec: ModelSpec) -> openvino.Model:
    """Convert an age model to a graph with the same results that accepts any batch size."""
    example, shapes = example_of(spec)
    return graph_of(module, example, shapes)


def example_of(spec: ModelSpec) -> tuple[tuple[Tensor, Tensor], Shapes]:
    """Return example inputs for tracing an age model, and the input shapes of its graph."""
    import torch

    side, channels = spec.input_size, spec.in_chans
    pixels = torch.zeros((EXAMPLE, side, side, channels), dtype=torch.uint8)
    present = torch.ones((EXAMPLE, 2), dtype=torch.bool)
    return (pixels, present), [[-1, side, side, channels], [-1, 2]]


def graph_of(module: nn.Module, example: tuple[Tensor, ...], shapes: Shapes) -> openvino.Model:
    """Convert any module to a graph by tracing it with example inputs; -1 in `shapes` is any
    length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes that become constants
        return import_openvino().convert_model(
            module, example_input=example, input=[list(shape) for shape in shapes]
        )


def folder() -> Path:
    """Return the folder of converted models; it may not exist."""
    return cache_folder() / "converted"


def _place(name: str, openvino_version: str, kind: str) -> Path:
    """Return a path that depends on everything that determines a graph; its weights determine the
    input shape."""
    safe = re.sub(r"[^\w.-]", "_", name)[-80:]
    return (
        folder()
        / f"{safe}-mivolo-{__version__}-{FORM}-openvino-{openvino_version.split('-')[0]}-{kind}"
    )


def _kept(place: Path, precision: str) -> tuple[OpenVinoEngine, GraphInfo] | None:
    """Return engine and metadata from the cache; None if they are missing or incomplete, or if
    other users could have written them."""
    if any(_others_may_write(place / name) for name in (GRAPH, DATA, ABOUT)):
        return None
    try:
        about = json.loads(read_file(place / ABOUT, MAX_ABOUT))
        if about["hashes"] != _hashes(place, about["info"]):
            return None
        engine = OpenVinoEngine(place / GRAPH, precision)
    except UNREADABLE:
        return None
    engine.int8_key = _int8_key(precision, place)
    return engine, about["info"]


def _keep(graph: openvino.Model, info: GraphInfo, place: Path) -> str:
    """Store a graph in the cache, replacing one that is unreadable or that other users could have
    written. Return why it could not be stored, or an empty string."""
    try:
        private.make_folder(place.parent)
        if part := _others_may_write(place.parent):
            return (
                f"other users can write to {part}, and hashes do not prove who wrote a "
                "model: remove their write access (chmod go-w), or set XDG_CACHE_HOME to "
                "another folder"
            )
        with new_folder(place, replace=True) as folder:
            _write(graph, folder)
            about = {"hashes": _hashes(folder, info), "info": info}
            (folder / ABOUT).write_text(json.dumps(about), "utf-8")
            for part in (folder, *folder.iterdir()):
                private.close_to_others(part)
    except (OSError, OutputError, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        return (cause.strerror if isinstance(cause, OSError) else None) or first_line(error)
    return ""


def _others_may_write(path: Path) -> Path | None:
    return private.writable_by_others(path, cache_folder())


def _unkept(graph: openvino.Model, precision: str) -> OpenVinoEngine:
    """Load an uncached graph; for bf16 and fp16 through a temporary file if possible, because
    layers can be kept in fp32 only in files."""
    if precision in ("bf16", "fp16"):
        with (
            suppress(OSError),
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as elsewhere,
        ):
            _write(graph, Path(elsewhere))
            return OpenVinoEngine(Path(elsewhere) / GRAPH, precision)
    return OpenVinoEngine(graph, precision)


def _write(graph: openvino.Model, place: Path) -> None:
    import_openvino().save_model(graph, place / GRAPH, compress_to_fp16=False)
    spare(place / GRAPH, first_layers(graph))


def _hashes(place: Path, info: GraphInfo) -> dict[str, str]:
    told = hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()
    return {name: registry.sha256(place / name) for name in (GRAPH, DATA)} | {"info": told}


def _int8_key(precision: str, place: Path) -> str:
    """See Engine.int8_key."""
    return registry.sha256(place / DATA)[:16] if precision == "int8" else ""


def _refusals() -> tuple[type[Exception], ...]:
    """Return the exceptions that OpenVINO and PyTorch's tracer raise for models they do not
    support."""
    frontend = import_openvino().frontend
    own = (frontend.OpConversionFailure, frontend.GeneralFailure, frontend.NotImplementedFailure)
    return (*own, RuntimeError, TypeError, ValueError, ImportError)
