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
    """An ONNX graph, compiled when it is made (under a second), for as many threads
    as there are cores. One that ships with the package is compiled once: see compiled_cache.

    Each call computes on one core: small graphs are slower on two than twice on one. `device` is
    OpenVINO's name for it. On every device it computes in true fp32, since OpenVINO would choose
    less by itself, unless `precision` is bf16 and the processor has that.
    """

    def __init__(
        self,
        file: Path,
        device: str = "cpu",
        threads: int | None = None,
        precision: str = "fp32",
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
        if precision != "bf16" or not _is_supported(core, precision):
            precision = "fp32"
        settings = _settings(precision, cores) | streams

        def compile() -> Any:
            graph = core.read_model(file)
            _require_finite(graph, file)
            return core.compile_model(graph, device.upper(), settings)

        try:
            is_kept = device == "cpu" and registry.is_shipped(file)
            compiled = compiled_once(core, file, settings, compile) if is_kept else compile()
        except RuntimeError as error:
            raise WeightsError(
                f"OpenVINO cannot run {file} on {device}: {first_line(error)}",
                hint=(
                    "if you downloaded it, `mivolo weights verify` checks whether it is complete"
                ),
            ) from error
        self._requests = _Requests(compiled)

    def run(self, *inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The outputs in the graph's order, for inputs in the graph's order and of its shapes."""
        return self._requests.infer(inputs)


class OpenVinoEngine:
    """A graph on the CPU, compiled when it is made. Raises RuntimeError if OpenVINO cannot run it.

    A precision that this processor does not have is replaced by fp32; the log says so.
    """

    name, device = "openvino", "cpu"

    def __init__(
        self, graph: openvino.Model | Path, precision: str = "fp32", threads: int | None = None
    ) -> None:
        openvino = import_openvino()
        self.precision, self.int8_key = precision, ""
        core = openvino.Core()
        if precision in ("bf16", "fp16") and not _is_supported(core, precision):
            logger.warning(f"this processor does not support {precision}: the model runs in fp32")
            self.precision = "fp32"
        settings = _settings(self.precision, threads)
        self._requests = _Requests(core.compile_model(graph, "CPU", settings))

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run."""
        return self._requests.infer(inputs)[0]


class _Requests:
    """What asks a compiled graph, from any number of threads: each call has a request of its own,
    and leaves it to later ones."""

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
    """OpenVINO without its package of telemetry, through which it would report each import to
    Google Analytics.

    Raises ImportError if it is not installed.
    """
    with _importing:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so that it cannot be imported
        import openvino

        # What knows NumPy in OpenVINO is made at the first array; two threads that bring theirs at
        # once wait for each other for ever, one with Python's lock and one with that of C++.
        _ = openvino.Tensor(np.zeros(1, np.float32)).data
    return openvino


def fuse(graph: openvino.Model) -> None:
    """Join the layers of a graph as `openvino.convert_model` does. Raises ImportError where that is
    not to be had."""
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(graph, cf=False)


def check_graph(file: Path) -> None:
    """Raises WeightsError for an ONNX or OpenVINO file with weights that are infinite or no
    numbers. What else may be wrong with it is said by who opens it, and so is that OpenVINO is not
    installed."""
    try:
        graph = import_openvino().Core().read_model(file)
    except (ImportError, RuntimeError):
        return
    _require_finite(graph, file)


def _require_finite(graph: openvino.Model, file: Path) -> None:
    """A single infinity may be what a graph fills masks with."""
    for node in graph.get_ops():
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        values = node.get_data(dtype=np.float32)
        if np.isnan(values).any() or (values.size > 1 and np.isinf(values).any()):
            raise WeightsError(
                f"{file} contains weights that are not finite numbers: {node.get_friendly_name()}",
                hint="it is damaged, or its training failed: download it again",
            )


def _is_supported(core: openvino.Core, precision: str) -> bool:
    """Whether the processor computes in bf16 or fp16 itself."""
    return precision.upper() in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _settings(precision: str, threads: int | None) -> dict[str, Any]:
    settings = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "LATENCY"}
    return settings if threads is None else settings | {"INFERENCE_NUM_THREADS": str(threads)}
