"""Networks in PyTorch, on a GPU or the CPU. Importing this module does not import PyTorch."""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
from collections.abc import Callable, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .engines import PRECISIONS, fallback_note, first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)


class TorchEngine:
    """A module on a device, with fallbacks that are logged once.

    In this order: a batch too large for memory is halved, a compiled module is replaced by the
    uncompiled one, and the GPU by the CPU. Errors of the uncompiled module on the CPU are raised.

    fp32 is true fp32: on CUDA, TF32 is disabled for the whole process. bf16 and fp16 use autocast.
    `compiled` is for GPUs: the first batch of each size then takes a minute, and later ones less
    time.
    """

    name, int8_key = "torch", ""

    def __init__(
        self, module: nn.Module, device: str, precision: str = "fp32", compiled: bool = False
    ) -> None:
        if precision not in PRECISIONS:
            raise BadInput(f"unknown precision: {precision!r}", hint=f"use {', '.join(PRECISIONS)}")
        self.device = device
        self.precision = precision
        self._compiled = compiled and device != "cpu"
        self._most, self._lock = sys.maxsize, RLock()
        self._on_cpu = module.cpu().eval()
        self._module: Callable[..., Tensor] = self._on_cpu
        if device != "cpu":
            self._move()

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run. A batch too large for memory is halved, as are later ones. Threads take
        turns, so that each batch has all cores, or the GPU."""
        with self._lock:
            try:
                return self._in_parts(inputs)
            except MemoryError:
                self._halve(len(inputs[0]))
            return self.run(*inputs)

    def _halve(self, most: int) -> None:
        if self._most == sys.maxsize:
            logger.warning(
                f"{self.device} has too little memory for a batch of {most}: continuing "
                "with smaller batches"
            )
        self._most = max(1, min(self._most, most) // 2)

    def _in_parts(self, inputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """Run a batch in parts. Raises MemoryError if a smaller batch may still fit."""
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
        """Retry a batch on the uncompiled module after an error of the compiled one, or on the CPU
        after an error of a GPU.

        Errors on the CPU are raised.
        """
        if self.device == "cpu":
            raise error
        if not self._compiled:
            self._fall_back(error)
            return self._forward(inputs)
        logger.warning(
            f"the model cannot be compiled ({first_line(error)}): continuing without compilation"
        )
        self._compiled = False
        self._move()
        return self._in_parts(inputs)

    def _move(self) -> None:
        """Copy the module to the GPU. The original is kept, because weights may be unreadable on a
        failed GPU."""
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
        """Copy an array to the device; to CUDA asynchronously, from pinned memory."""
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
        logger.warning(fallback_note(self.device, "the CPU", error))
        self.device, self._module = "cpu", self._on_cpu


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether memory ran out. PyTorch has an exception for GPUs; for the CPU, only a
    message."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
