"""Networks in OpenVINO, on the CPU. Importing this module does not import OpenVINO."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, WeightsError
from ..model import registry
from .compiled_cache import compiled_once
from .engines import PRECISIONS, first_line

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)
_importing = threading.Lock()


class OnnxEngine:
    """An ONNX graph, compiled on construction (under a second), for as many threads as there are
    cores. The compiled form of shipped graphs is cached: see compiled_cache.

    Each call runs on one core, because two calls of a small graph on one core each are faster than
    both in turn on two. `device` is an OpenVINO device. With fp32, the graph runs in true fp32
    on every device, where OpenVINO's default may be lower; with any other `precision`, it runs in
    bf16 if the processor supports it. A graph for inputs of any size is faster if it is compiled
    for the `shape` of its only input.
    """

    def __init__(
        self,
        file: Path,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "fp32",
        shape: Sequence[int] | None = None,
    ) -> None:
        try:
            openvino = import_openvino()
        except ImportError as error:
            raise BadInput(
                f"{file.name} needs the package openvino", hint="pip install openvino"
            ) from error
        if not file.is_file():
            raise WeightsError(
                f"no such file: {file}", hint="`mivolo weights verify` shows what is missing"
            )
        cores = threads or os.cpu_count() or 1
        streams = {"NUM_STREAMS": str(cores)} if device == "cpu" else {}
        core = openvino.Core()
        reduced = precision != "fp32" and is_supported(core, "bf16")
        settings = _settings("bf16" if reduced else "fp32", cores) | streams

        def compile() -> Any:
            graph = core.read_model(file)
            _require_finite(graph, file)
            if shape is not None:
                graph.reshape(list(shape))
            return core.compile_model(graph, device.upper(), settings)

        try:
            is_kept = device == "cpu" and registry.is_shipped(file)
            compiled = compiled_once(core, file, settings, compile, shape) if is_kept else compile()
        except RuntimeError as error:
            raise WeightsError(
                f"OpenVINO cannot run {file} on {device}: {first_line(error)}",
                hint=(
                    "if you downloaded it, `mivolo weights verify` checks whether it is complete"
                ),
            ) from error
        self._requests = _Requests(compiled)

    def run(self, *inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Return the outputs in the graph's order, for inputs in the graph's order and shapes."""
        return self._requests.infer(inputs)


class OpenVinoEngine:
    """A graph on the CPU, compiled on construction. Raises RuntimeError if OpenVINO cannot run it.

    If the processor does not support the precision, fp32 is used and a warning is logged.
    """

    name, device = "openvino", "cpu"

    def __init__(
        self, graph: openvino.Model | Path, precision: str = "fp32", threads: int | None = None
    ) -> None:
        openvino = import_openvino()
        self.precision, self.int8_key = precision, ""
        core = openvino.Core()
        if precision in ("bf16", "fp16") and not is_supported(core, precision):
            logger.warning(f"this processor does not support {precision}: the model runs in fp32")
            self.precision = "fp32"
        settings = _settings(self.precision, threads)
        self._requests = _Requests(core.compile_model(graph, "CPU", settings))

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run."""
        return self._requests.infer(inputs)[0]


class _Requests:
    """Runs a compiled graph from any number of threads: each call borrows an idle inference
    request, or creates one."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._compiled = compiled
        self._idle: deque[openvino.InferRequest] = deque()

    def infer(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            outputs = request.infer(list(inputs), share_inputs=True)
            return [output.copy() for output in outputs.values()]
        finally:
            self._idle.append(request)


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry package, which would report each import to Google
    Analytics.

    Raises ImportError if it is not installed.
    """
    with _importing:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so that it cannot be imported
        import openvino

        # OpenVINO initialises its NumPy support at the first array. Two threads that pass their
        # first arrays at the same time deadlock, between Python's lock and a C++ one.
        _ = openvino.Tensor(np.zeros(1, np.float32)).data
    return openvino


def fuse(graph: openvino.Model) -> None:
    """Fuse the layers of a graph as `openvino.convert_model` does. Raises ImportError if OpenVINO
    lacks this function."""
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(graph, cf=False)


def check_graph(file: Path) -> None:
    """Raise WeightsError for an ONNX or OpenVINO file with NaN or infinite weights. Other defects,
    and a missing OpenVINO, are left to the code that opens the file."""
    try:
        graph = import_openvino().Core().read_model(file)
    except (ImportError, RuntimeError):
        return
    _require_finite(graph, file)


def _require_finite(graph: openvino.Model, file: Path) -> None:
    """Raise WeightsError for NaN or infinite weights. A single infinity is allowed: graphs fill
    masks with it."""
    for node in graph.get_ops():
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        values = node.get_data(dtype=np.float32)
        if np.isnan(values).any() or (values.size > 1 and np.isinf(values).any()):
            raise WeightsError(
                f"{file} contains weights that are not finite numbers: {node.get_friendly_name()}",
                hint="it is damaged, or its training failed: download it again",
            )


def is_supported(core: openvino.Core, precision: str) -> bool:
    """Return whether the processor supports bf16 or fp16 natively."""
    return precision.upper() in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _settings(precision: str, threads: int | None) -> dict[str, Any]:
    settings = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "LATENCY"}
    return settings if threads is None else settings | {"INFERENCE_NUM_THREADS": str(threads)}
