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
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, WeightsError
from .pool import ResourcePool

if TYPE_CHECKING:
    import openvino
    from torch import Tensor, nn

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+(,\d+)*)?")
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""What Linux has where there is a GPU for PyTorch: of NVIDIA, of AMD, and under Windows."""
ENGINES = ("auto", "torch", "openvino")
PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""With OpenVINO's names; in a graph of int8, for what is not whole numbers in it."""

_importing = threading.Lock()


class Engine(Protocol):
    """What runs a network; `notes` are lines for the user, and more may come while it works.

    `name` is that of --engine; `int8_key` tells one graph of int8 from others of the same weights.
    """

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def int8_key(self) -> str: ...

    @property
    def notes(self) -> list[str]: ...

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The outputs (n, ...) for inputs (n, ...), by position. Raises RuntimeError where they do
        not fit it.

        An age model takes pixels (n, s, s, channels) uint8, and which inputs are there (n, 2).
        """


class OnnxEngine:
    """An ONNX graph, compiled when it is made (under a second), for as many threads as there are
    cores.

    Each call computes on one core: small graphs are slower on two than twice on one. `device` is
    OpenVINO's name for it. On every device it computes in true fp32: OpenVINO would choose less by
    itself.
    """

    def __init__(self, file: Path, device: str = "cpu", threads: int | None = None) -> None:
        try:
            openvino = import_openvino()
        except ImportError as error:
            raise BadInput(
                f"{file.name} needs the package openvino", hint="pip install openvino"
            ) from error
        if not file.is_file():
            raise WeightsError(
                f"there is no file {file}", hint="`mivolo weights verify` shows what is missing"
            )
        cores = threads or os.cpu_count() or 1
        streams = {"NUM_STREAMS": str(cores)} if device == "cpu" else {}
        try:
            self._compiled = openvino.Core().compile_model(
                file, device.upper(), _settings("fp32", cores) | streams
            )
        except RuntimeError as error:
            raise WeightsError(
                f"OpenVINO cannot run {file} on {device}: {first_line(error)}",
                hint="if the file came by download, `mivolo weights verify` tells whether it is whole",
            ) from error
        self._requests = threading.local()

    def run(self, *inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """The outputs in the graph's order, for inputs in the graph's order and of its shapes."""
        own = self._requests
        if not hasattr(own, "request"):
            own.request = self._compiled.create_infer_request()
        return [output.copy() for output in own.request.infer(list(inputs)).values()]


class OpenVinoEngine:
    """A graph on the CPU, compiled when it is made. Raises RuntimeError where OpenVINO cannot run
    it.

    A precision that this processor does not have is replaced by fp32, which `notes` then say.
    """

    name, device = "openvino", "cpu"

    def __init__(
        self, graph: openvino.Model | Path, precision: str = "fp32", threads: int | None = None
    ) -> None:
        openvino = import_openvino()
        self.precision, self.int8_key = precision, ""
        self.notes: list[str] = []
        core = openvino.Core()
        if precision in ("bf16", "fp16") and precision.upper() not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            self.notes.append(f"this processor has no {precision}: the model works in fp32")
            self.precision = "fp32"
        self._compiled = core.compile_model(graph, "CPU", _settings(self.precision, threads))

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run."""
        outputs: NDArray[np.float32] = next(iter(self._compiled(list(inputs)).values()))
        return outputs


class TorchEngine:
    """A module on a device; after trouble with a GPU it goes on, on the CPU, and says so once in
    `notes`.

    fp32 is true fp32: on CUDA this switches TF32 off for the whole process. bf16 and fp16 are by
    autocast. `compiled` is for GPUs: the first batch of each size then takes a minute, and the
    others less time.
    """

    name, int8_key = "torch", ""

    def __init__(
        self, module: nn.Module, device: str, precision: str = "fp32", compiled: bool = False
    ) -> None:
        if precision not in PRECISIONS:
            raise BadInput(
                f"there is no precision {precision!r}", hint=f"use {', '.join(PRECISIONS)}"
            )
        self.device = device
        self.precision = precision
        self.notes: list[str] = []
        self._compiled = compiled and device != "cpu"
        self._most = sys.maxsize
        self._on_cpu = module.cpu().eval()
        self._module: Callable[..., Tensor] = self._on_cpu
        if device != "cpu":
            self._move()

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run. A batch that the memory does not hold is halved, and so are those after
        it."""
        try:
            return self._in_parts(inputs)
        except MemoryError:
            most = len(inputs[0])
            if self._most == sys.maxsize:
                self.notes.append(
                    f"{self.device} has too little memory for a batch of {most}: going on with fewer"
                )
            self._most = max(1, min(self._most, most) // 2)
        return self.run(*inputs)

    def _in_parts(self, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Raises MemoryError while a smaller batch may still do."""
        found = []
        for start in range(0, max(len(inputs[0]), 1), self._most):
            part = [array[start : start + self._most] for array in inputs]
            try:
                found.append(self._forward(part))
            except RuntimeError as error:
                if _is_out_of_memory(error) and len(part[0]) > 1:
                    raise MemoryError from error
                found.append(self._after(error, part))
        return np.concatenate(found)

    def _after(self, error: RuntimeError, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """What the plain module answers after an error of the compiled one, and the CPU after one
        of a GPU.

        An error of the CPU stays one.
        """
        if self.device == "cpu":
            raise error
        if not self._compiled:
            self._fall_back(error)
            return self._forward(inputs)
        self.notes.append(f"the model cannot be compiled ({first_line(error)}): going on without")
        self._compiled = False
        self._move()
        return self._in_parts(inputs)

    def _move(self) -> None:
        """Put a copy on the GPU; the original stays, because a GPU in trouble may not give its
        weights back."""
        import torch

        try:
            module = copy.deepcopy(self._on_cpu).to(self.device)
            if self._is_cuda:
                module = module.to(memory_format=torch.channels_last)
            self._module = torch.compile(module, dynamic=False) if self._compiled else module
        except RuntimeError as error:
            self._fall_back(error)
        if self._is_cuda and self.precision == "fp32":
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False

    def _forward(self, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        import torch

        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        rounded = (
            torch.autocast(self.device.partition(":")[0], half)
            if half
            else contextlib.nullcontext()
        )
        with torch.inference_mode(), rounded:
            outputs = self._module(*map(self._on_device, inputs))
            return outputs.float().cpu().numpy()

    def _on_device(self, array: NDArray[Any]) -> Tensor:
        """From pinned memory to CUDA, which copies while the processor goes on."""
        import torch

        tensor = torch.from_numpy(array)
        return (
            tensor.pin_memory().to(self.device, non_blocking=True)
            if self._is_cuda
            else tensor.to(self.device)
        )

    @property
    def _is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    def _fall_back(self, error: RuntimeError) -> None:
        self.notes.append(fallback_note(self.device, "the CPU", error))
        self.device, self._module = "cpu", self._on_cpu


class FallbackEngine:
    """An engine, and one that takes its place for good when it fails, which `notes` then say.

    `backup` makes the other one at that moment; what that one raises goes on to the caller.
    """

    def __init__(self, engine: Engine, backup: Callable[[], Engine]) -> None:
        self._engine, self._backup = engine, backup
        self._failed = False
        self._said: list[str] = []
        self.name, self.int8_key = engine.name, engine.int8_key

    @property
    def device(self) -> str:
        return self._engine.device

    @property
    def precision(self) -> str:
        return self._engine.precision

    @property
    def notes(self) -> list[str]:
        return [*self._said, *self._engine.notes]

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run."""
        if not self._failed:
            try:
                return self._engine.run(*inputs)
            except (RuntimeError, MemoryError) as error:
                self._replace(error)
        return self._engine.run(*inputs)

    def _replace(self, error: Exception) -> None:
        self._failed = True
        backup = self._backup()
        self._said = [*self._engine.notes, fallback_note(self.name, backup.name, error)]
        self._engine = backup


class MultiGpuEngine:
    """Several engines of one model, one a GPU: each batch goes to one that is idle, from as many
    threads as there are.

    What the first one says of itself is true of all.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        self._pool = ResourcePool(engines)
        first = engines[0]
        self.name, self.precision, self.int8_key = first.name, first.precision, first.int8_key

    @property
    def device(self) -> str:
        return ", ".join(engine.device for engine in self._engines)

    @property
    def notes(self) -> list[str]:
        return [note for engine in self._engines for note in engine.notes]

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run."""
        with self._pool.one() as engine:
            return engine.run(*inputs)


class PaddedEngine:
    """An age model's engine that meets few sizes of batches: missing people are made up to a power
    of two, in black.

    What is said of a person then depends least on who else was there, and an engine prepares for
    few sizes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, batch: NDArray[np.uint8], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See Engine.run, of an age model."""
        people = len(batch)
        padding = (1 << (people - 1).bit_length()) - people if people else 0
        batch = np.concatenate((batch, np.zeros((padding, *batch.shape[1:]), np.uint8)))
        present = np.concatenate((present, np.zeros((padding, 2), bool)))
        return self._engine.run(batch, present)[:people]


def import_openvino() -> ModuleType:
    """OpenVINO without its package of telemetry, through which it would report each import to
    Google Analytics.

    Raises ImportError where it is not installed.
    """
    with _importing:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # so that it cannot be imported
        import openvino

        # What knows NumPy in OpenVINO is made at the first array; two threads that bring theirs at
        # once wait for each other for ever, one with Python's lock and one with that of C++.
        _ = openvino.Tensor(np.zeros(1, np.float32)).data
    return openvino


def choose_engine(wanted: str, device: str, precision: str) -> str:
    """The engine for `auto`, `torch` or `openvino` on a device of PyTorch's.

    Raises BadInput for what does not exist, and for engines and precisions that this device does
    not have.
    """
    if wanted not in ENGINES:
        raise BadInput(f"there is no engine {wanted!r}", hint=f"use {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise BadInput(f"there is no precision {precision!r}", hint=f"use {', '.join(PRECISIONS)}")
    if device != "cpu" and wanted == "openvino":
        raise BadInput(
            f"the engine openvino is for the CPU, not for {device}", hint="add --device cpu"
        )
    if precision == "int8" and (device != "cpu" or wanted == "torch"):
        raise BadInput(
            "int8 is for the CPU and the engine openvino", hint="add --device cpu --engine openvino"
        )
    return wanted if wanted != "auto" else "openvino" if device == "cpu" else "torch"


def choose_device(wanted: str = "auto", several: bool = False) -> tuple[str, str]:
    """The device to use for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, and why, in words for the
    user.

    With `several`, `cuda:0,1` is a device too; see `each_gpu`. A GPU that is missing or does not
    work gives the CPU. Raises BadInput for any other name.
    """
    if not DEVICE.fullmatch(wanted):
        raise BadInput(
            f"there is no device {wanted!r}", hint="use auto, cpu, cuda, cuda:0 (1, 2 ...) or mps"
        )
    if "," in wanted and not several:
        raise BadInput(
            f"this command works on one GPU, not on {wanted}",
            hint=f"use {wanted.partition(',')[0]}",
        )
    if wanted == "cpu":
        return "cpu", "as asked"
    candidates = ("cuda", "mps") if wanted == "auto" else _listed(wanted)
    present = [device for device in candidates if _driver_may_be_here() and _present(device)]
    if not present:
        missing = "no GPU" if wanted == "auto" else f"no {wanted}"
        return "cpu", f"there is {missing} that PyTorch can use, so the CPU is used"
    troubles = {device: _trouble(device) for device in present}
    working = [device for device, trouble in troubles.items() if trouble is None]
    if working and wanted == "auto":
        return working[0], "the first GPU that works"
    if len(working) == len(candidates):
        return wanted, "as asked"
    ill = "; ".join(f"{device} {trouble}" for device, trouble in troubles.items() if trouble)
    if working:
        return _joined(working), f"of {wanted}, these work" + (f" ({ill})" if ill else "")
    return "cpu", f"{ill}, so the CPU is used"


def each_gpu(device: str) -> list[str]:
    """The GPUs that `cuda` (all that work) and `cuda:0,1` stand for; any other device stands for
    itself."""
    if device != "cuda":
        return _listed(device)
    import torch

    every = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [gpu for gpu in every if len(every) == 1 or _trouble(gpu) is None] or [device]


def fallback_note(failed: str, instead: str, error: Exception) -> str:
    """One line for the user about a GPU, or an engine, that failed during the work."""
    return f"{failed} failed ({first_line(error)}): going on with {instead}"


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


def _listed(device: str) -> list[str]:
    kind, _, indexes = device.partition(":")
    return [f"{kind}:{index}" for index in indexes.split(",")] if indexes else [device]


def _joined(gpus: Sequence[str]) -> str:
    """The opposite: one name for several GPUs of CUDA."""
    return "cuda:" + ",".join(gpu.partition(":")[2] for gpu in gpus)


def _driver_may_be_here() -> bool:
    """Whether to ask PyTorch for GPUs at all, for which it has to be loaded: no on a Linux without
    any driver."""
    return sys.platform != "linux" or any(os.path.exists(place) for place in DRIVERS)


def _present(device: str) -> bool:
    import torch

    kind, _, index = device.partition(":")
    with (
        warnings.catch_warnings()
    ):  # PyTorch warns of drivers that it cannot use; the answer says it already
        warnings.simplefilter("ignore")
        count = (
            torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
        )
    return int(index or 0) < count


def _trouble(device: str) -> str | None:
    """What is wrong with a GPU; None where a small calculation on it comes out right."""
    import torch

    try:
        ones = torch.ones(1, 1, 4, 4, device=device)
        return None if torch.nn.functional.conv2d(ones, ones).item() == 16 else "calculates wrongly"
    except RuntimeError as error:
        return f"does not work ({first_line(error)})"
