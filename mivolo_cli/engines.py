"""Run a network on a device at a precision: a graph through OpenVINO, a module through PyTorch.

Importing this module imports neither of them.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput, WeightsError

if TYPE_CHECKING:
    import openvino
    from torch import nn

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""What Linux has where there is a GPU for PyTorch: of NVIDIA, of AMD, and under Windows."""
ENGINES = ("auto", "torch", "openvino")
PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""With OpenVINO's names."""


class Engine(Protocol):
    """What runs an age model; `notes` are lines for the user, and more may come while it works."""

    device: str
    precision: str
    notes: list[str]

    def run(self, batch: NDArray[np.uint8], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The outputs (n, outputs) for pixels (n, s, s, channels) and which inputs are there (n, 2)."""


class OnnxEngine:
    """An ONNX graph with one input, compiled when it is made (under a second), for as many threads as there are cores.

    Each call computes on one core: small graphs are slower on two than twice on one. `device` is OpenVINO's name for
    it. On every device it computes in true fp32: OpenVINO would choose less by itself.
    """

    def __init__(self, file: Path, device: str = "cpu", threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise BadInput(f"{file.name} needs the package openvino", hint="pip install openvino") from error
        if not file.is_file():
            raise WeightsError(f"there is no file {file}", hint="`mivolo weights verify` shows what is missing")
        cores = threads or os.cpu_count() or 1
        streams = {"NUM_STREAMS": str(cores)} if device == "cpu" else {}
        try:
            self._compiled = openvino.Core().compile_model(file, device.upper(), _settings("fp32", cores) | streams)
        except RuntimeError as error:
            raise WeightsError(
                f"OpenVINO cannot run {file} on {device}: {first_line(error)}",
                hint="if the file came by download, `mivolo weights verify` tells whether it is whole",
            ) from error
        self._requests = threading.local()

    def run(self, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs for one input of the graph's shape, in the graph's order."""
        own = self._requests
        if not hasattr(own, "request"):
            own.request = self._compiled.create_infer_request()
        return [output.copy() for output in own.request.infer([inputs]).values()]


class OpenVinoEngine:
    """An age model's graph on the CPU, compiled when it is made. Raises RuntimeError where OpenVINO cannot run it.

    A precision that this processor does not have is replaced by fp32, which `notes` then say.
    """

    device = "cpu"

    def __init__(self, graph: openvino.Model | Path, precision: str = "fp32", threads: int | None = None) -> None:
        import openvino

        self.precision = precision
        self.notes: list[str] = []
        core = openvino.Core()
        if precision in ("bf16", "fp16") and precision.upper() not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            self.notes.append(f"this processor has no {precision}: the model works in fp32")
            self.precision = "fp32"
        self._compiled = core.compile_model(graph, "CPU", _settings(self.precision, threads))

    def run(self, batch: NDArray[np.uint8], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See Engine.run."""
        outputs: NDArray[np.float32] = next(iter(self._compiled([batch, present]).values()))
        return outputs


class TorchEngine:
    """A module on a device; after trouble with a GPU it goes on, on the CPU, and says so once in `notes`.

    fp32 is true fp32: on CUDA this switches TF32 off for the whole process. bf16 and fp16 are by autocast.
    """

    def __init__(self, module: nn.Module, device: str, precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise BadInput(f"there is no precision {precision!r}", hint=f"use {', '.join(PRECISIONS)}")
        self.device = device
        self.precision = precision
        self.notes: list[str] = []
        self._most = sys.maxsize
        self._on_cpu = module.cpu().eval()
        self._module = self._on_cpu
        if device != "cpu":
            self._move()

    def run(self, batch: NDArray[np.uint8], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See Engine.run. A batch that the memory does not hold is halved, and so are those after it."""
        try:
            return self._in_parts(batch, present)
        except MemoryError:
            if self._most == sys.maxsize:
                self.notes.append(f"{self.device} has too little memory for {len(batch)} people: going on with fewer")
            self._most = max(1, min(self._most, len(batch)) // 2)
        return self.run(batch, present)

    def _in_parts(self, batch: NDArray[np.uint8], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Raises MemoryError while a smaller batch may still do."""
        found = []
        for start in range(0, max(len(batch), 1), self._most):
            part = slice(start, start + self._most)
            try:
                found.append(self._forward((batch[part], present[part])))
            except RuntimeError as error:
                if _is_out_of_memory(error) and len(batch[part]) > 1:
                    raise MemoryError from error
                found.append(self._on(error, batch[part], present[part]))
        return np.concatenate(found)

    def call(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """What the module answers to any arrays, as float32. Raises RuntimeError where they do not fit it."""
        try:
            return self._forward(inputs)
        except RuntimeError as error:
            return self._on(error, *inputs)

    def _on(self, error: RuntimeError, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """What the CPU answers after this error of a GPU; an error of the CPU stays one."""
        if self.device == "cpu":
            raise error
        self._fall_back(error)
        return self._forward(inputs)

    def _move(self) -> None:
        """Put a copy on the GPU; the original stays, because a GPU in trouble may not give its weights back."""
        import torch

        if self.device.startswith("cuda") and self.precision == "fp32":
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        try:
            self._module = copy.deepcopy(self._on_cpu).to(self.device)
        except RuntimeError as error:
            self._fall_back(error)

    def _forward(self, inputs: tuple[NDArray[Any], ...]) -> NDArray[np.float32]:
        import torch

        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        rounded = torch.autocast(self.device.partition(":")[0], half) if half else contextlib.nullcontext()
        with torch.inference_mode(), rounded:
            outputs = self._module(*(torch.from_numpy(array).to(self.device) for array in inputs))
            return outputs.float().cpu().numpy()

    def _fall_back(self, error: RuntimeError) -> None:
        self.notes.append(fallback_note(self.device, error))
        self.device, self._module = "cpu", self._on_cpu


class PaddedEngine:
    """An age model's engine that meets few sizes of batches: missing people are made up to a power of two, in black.

    What is said of a person then depends least on who else was there, and an engine prepares for few sizes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, batch: NDArray[np.uint8], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See Engine.run."""
        people = len(batch)
        padding = (1 << (people - 1).bit_length()) - people if people else 0
        batch = np.concatenate((batch, np.zeros((padding, *batch.shape[1:]), np.uint8)))
        present = np.concatenate((present, np.zeros((padding, 2), bool)))
        return self._engine.run(batch, present)[:people]


def choose_engine(wanted: str, device: str, precision: str) -> str:
    """The engine for `auto`, `torch` or `openvino` on a device of PyTorch's.

    Raises BadInput for what does not exist, and for engines and precisions that this device does not have.
    """
    if wanted not in ENGINES:
        raise BadInput(f"there is no engine {wanted!r}", hint=f"use {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise BadInput(f"there is no precision {precision!r}", hint=f"use {', '.join(PRECISIONS)}")
    if device != "cpu" and wanted == "openvino":
        raise BadInput(f"the engine openvino is for the CPU, not for {device}", hint="add --device cpu")
    return wanted if wanted != "auto" else "openvino" if device == "cpu" else "torch"


def choose_device(wanted: str = "auto") -> tuple[str, str]:
    """The device to use for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, and why, in words for the user.

    A GPU that is missing or does not work gives the CPU. Raises BadInput for any other name.
    """
    if not DEVICE.fullmatch(wanted):
        raise BadInput(f"there is no device {wanted!r}", hint="use auto, cpu, cuda, cuda:0 (1, 2 ...) or mps")
    if wanted == "cpu":
        return "cpu", "as asked"
    candidates = ("cuda", "mps") if wanted == "auto" else (wanted,)
    present = [device for device in candidates if _driver_may_be_here() and _present(device)]
    if not present:
        missing = "no GPU" if wanted == "auto" else f"no {wanted}"
        return "cpu", f"there is {missing} that PyTorch can use, so the CPU is used"
    troubles = {device: _trouble(device) for device in present}
    working = next((device for device, trouble in troubles.items() if trouble is None), None)
    if working:
        return working, "the first GPU that works" if wanted == "auto" else "as asked"
    return "cpu", "; ".join(f"{device} {trouble}" for device, trouble in troubles.items()) + ", so the CPU is used"


def fallback_note(device: str, error: RuntimeError) -> str:
    """One line for the user about a GPU that failed during the work."""
    return f"{device} failed ({first_line(error)}): going on with the CPU"


def first_line(error: Exception) -> str:
    """The beginning of a library's message, short enough for one line."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(" .")


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Of a GPU, PyTorch has an exception for it; of the CPU, only a text."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _settings(precision: str, threads: int | None) -> dict[str, Any]:
    settings = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "PERFORMANCE_HINT": "LATENCY"}
    return settings if threads is None else settings | {"INFERENCE_NUM_THREADS": str(threads)}


def _driver_may_be_here() -> bool:
    """Whether to ask PyTorch for GPUs at all, for which it has to be loaded: no on a Linux without any driver."""
    return sys.platform != "linux" or any(os.path.exists(place) for place in DRIVERS)


def _present(device: str) -> bool:
    import torch

    kind, _, index = device.partition(":")
    with warnings.catch_warnings():  # PyTorch warns of drivers that it cannot use; the answer says it already
        warnings.simplefilter("ignore")
        count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    return int(index or 0) < count


def _trouble(device: str) -> str | None:
    """What is wrong with a GPU; None where a small calculation on it comes out right."""
    import torch

    try:
        ones = torch.ones(1, 1, 4, 4, device=device)
        return None if torch.nn.functional.conv2d(ones, ones).item() == 16 else "calculates wrongly"
    except RuntimeError as error:
        return f"does not work ({first_line(error)})"
