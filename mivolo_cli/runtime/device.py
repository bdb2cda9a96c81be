"""PyTorch devices: which exist, which work, and which to use."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence

from ..errors import BadInput
from .engines import first_line

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+(,\d+)*)?")


DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")
"""Files that exist on Linux if there is a GPU for PyTorch: NVIDIA, AMD, and WSL."""


def choose_device(wanted: str = "auto", several: bool = False) -> tuple[str, str]:
    """Return the device to use for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, and the reason, as
    text for the user.

    With `several`, `cuda:0,1` is also accepted; see `each_gpu`. If a GPU is missing or does not
    work, the CPU is used. Raises BadInput for any other name.
    """
    if not DEVICE.fullmatch(wanted):
        raise BadInput(
            f"unknown device: {wanted!r}", hint="use auto, cpu, cuda, cuda:0 (1, 2 ...) or mps"
        )
    if "," in wanted and not several:
        raise BadInput(
            f"this command uses a single GPU, not {wanted}",
            hint=f"use {wanted.partition(',')[0]}",
        )
    if wanted == "cpu":
        return "cpu", "as asked"
    candidates = ("cuda", "mps") if wanted == "auto" else _listed(wanted)
    present = [device for device in candidates if _driver_may_be_here() and _present(device)]
    if not present:
        missing = "no GPU" if wanted == "auto" else f"no {wanted}"
        return "cpu", f"PyTorch finds {missing}, so the CPU is used"
    troubles = {device: _trouble(device) for device in present}
    working = [device for device, trouble in troubles.items() if trouble is None]
    if working and wanted == "auto":
        return working[0], "it is the first working GPU"
    if len(working) == len(candidates):
        return wanted, "as asked"
    ill = "; ".join(f"{device} {trouble}" for device, trouble in troubles.items() if trouble)
    if working:
        return _joined(working), f"of {wanted}, these work" + (f" ({ill})" if ill else "")
    return "cpu", f"{ill}, so the CPU is used"


def each_gpu(device: str) -> list[str]:
    """List the GPUs meant by `cuda` (all that work) or `cuda:0,1`; any other device is returned as
    the only one."""
    if device != "cuda":
        return _listed(device)
    import torch

    every = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [gpu for gpu in every if len(every) == 1 or _trouble(gpu) is None] or [device]


def _listed(device: str) -> list[str]:
    kind, _, indexes = device.partition(":")
    return [f"{kind}:{index}" for index in indexes.split(",")] if indexes else [device]


def _joined(gpus: Sequence[str]) -> str:
    """Join several CUDA GPUs into one name; the inverse of `_listed`."""
    return "cuda:" + ",".join(gpu.partition(":")[2] for gpu in gpus)


def _driver_may_be_here() -> bool:
    """Return whether there may be a GPU, without loading PyTorch: False on Linux without any
    driver."""
    return sys.platform != "linux" or any(os.path.exists(place) for place in DRIVERS)


def _present(device: str) -> bool:
    import torch

    kind, _, index = device.partition(":")
    with (
        warnings.catch_warnings()
    ):  # PyTorch warns of drivers that it cannot use; the result already reports that
        warnings.simplefilter("ignore")
        count = (
            torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
        )
    return int(index or 0) < count


def _trouble(device: str) -> str | None:
    """Describe what is wrong with a GPU; None if a small calculation on it is correct."""
    import torch

    try:
        ones = torch.ones(1, 1, 4, 4, device=device)
        return None if torch.nn.functional.conv2d(ones, ones).item() == 16 else "calculates wrongly"
    except RuntimeError as error:
        return f"does not work ({first_line(error)})"
