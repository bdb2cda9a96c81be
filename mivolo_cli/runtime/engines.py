"""Shared by all engines: the protocol, the choice of an engine, and engines composed of others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .pool import ResourcePool

ENGINES = ("auto", "torch", "openvino")
AUTO = "auto"
"""The default precision: see defaults.choose_precision."""
PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""Precision -> OpenVINO's name; for int8, the precision of the layers that are not quantised."""
logger = logging.getLogger(__name__)


class Engine(Protocol):
    """Runs a network. Fallbacks are logged as warnings.

    `name` is the value of --engine. `int8_key` distinguishes int8 graphs of the same weights.
    """

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def precision(self) -> str: ...

    @property
    def int8_key(self) -> str: ...

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return the outputs (n, ...) for inputs (n, ...), by position. Raises RuntimeError if the
        inputs do not fit the network.

        An age model takes pixels (n, s, s, channels) uint8, and a mask (n, 2) of the inputs
        present.
        """


class FallbackEngine:
    """An engine that is replaced for good when it fails; the log says so.

    `backup` then creates the replacement, whose own errors are raised to the caller.
    """

    def __init__(self, engine: Engine, backup: Callable[[], Engine]) -> None:
        self._engine, self._backup = engine, backup
        self._failed, self._lock = False, Lock()
        self.name, self.int8_key = engine.name, engine.int8_key

    @property
    def device(self) -> str:
        return self._engine.device

    @property
    def precision(self) -> str:
        return self._engine.precision

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run."""
        engine = self._engine
        try:
            return engine.run(*inputs)
        except (RuntimeError, MemoryError) as error:
            return self._instead_of(engine, error).run(*inputs)

    def _instead_of(self, failed: Engine, error: Exception) -> Engine:
        """Return the replacement, created by the first thread that needs it. Raises the error if
        the replacement is what failed."""
        with self._lock:
            if self._failed and failed is self._engine:
                raise error
            if not self._failed:
                self._failed = True
                backup = self._backup()
                logger.warning(fallback_note(self.name, backup.name, error))
                self._engine = backup
            return self._engine


class MultiGpuEngine:
    """Several engines of one model, one per GPU: each batch goes to an idle one. It takes calls
    from as many threads as there are engines.

    Name, precision and int8 key are those of the first engine and the same for all.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = list(engines)
        self._pool = ResourcePool(engines)
        first = engines[0]
        self.name, self.precision, self.int8_key = first.name, first.precision, first.int8_key

    @property
    def device(self) -> str:
        return ", ".join(engine.device for engine in self._engines)

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """See Engine.run."""
        with self._pool.one() as engine:
            return engine.run(*inputs)


class PaddedEngine:
    """An age model's engine that pads batches to a power of two with all-zero inputs.

    The engine then prepares for few batch sizes, and a person's estimates depend as little as
    possible on the rest of the batch.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, batch: NDArray[np.uint8], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See Engine.run for age models."""
        people = len(batch)
        padding = (1 << (people - 1).bit_length()) - people if people else 0
        batch = np.concatenate((batch, np.zeros((padding, *batch.shape[1:]), np.uint8)))
        present = np.concatenate((present, np.zeros((padding, 2), bool)))
        return self._engine.run(batch, present)[:people]


def choose_engine(wanted: str, device: str, precision: str) -> str:
    """Return the engine for `auto`, `torch` or `openvino` on a PyTorch device.

    Raises BadInput for unknown engines and precisions, and for those that the device does not
    support.
    """
    if wanted not in ENGINES:
        raise BadInput(f"unknown engine: {wanted!r}", hint=f"use {', '.join(ENGINES)}")
    if precision not in (AUTO, *PRECISIONS):
        known = ", ".join((AUTO, *PRECISIONS))
        raise BadInput(f"unknown precision: {precision!r}", hint=f"use {known}")
    if device != "cpu" and wanted == "openvino":
        raise BadInput(
            f"the engine openvino is for the CPU, not for {device}", hint="add --device cpu"
        )
    if precision == "int8" and (device != "cpu" or wanted == "torch"):
        raise BadInput(
            "int8 is for the CPU and the engine openvino", hint="add --device cpu --engine openvino"
        )
    return wanted if wanted != "auto" else "openvino" if device == "cpu" else "torch"


def fallback_note(failed: str, instead: str, error: Exception) -> str:
    """Return a one-line message about a GPU or an engine that failed during the run."""
    return f"{failed} failed ({first_line(error)}): continuing with {instead}"


def first_line(error: Exception) -> str:
    """Return the first line of a library's error message, shortened."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(" .")
