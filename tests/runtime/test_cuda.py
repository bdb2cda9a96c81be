"""On a real GPU, models answer as on the CPU. Skipped without one; `bench/gpu.py` runs these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mivolo_cli.runtime.device import choose_device, each_gpu
from mivolo_cli.runtime.load import load, open_model
from mivolo_cli.runtime.torch_engine import TorchEngine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU for CUDA")
LIMITS = {"fp32": 1e-4, "fp16": 0.02, "bf16": 0.1}


def people(count: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pixels = np.random.default_rng(count).integers(0, 256, (count, size, size, 6), np.uint8)
    present = np.resize([(True, True), (True, False), (False, True)], (count, 2))
    pixels[~present[:, 0], ..., :3] = 0
    pixels[~present[:, 1], ..., 3:] = 0
    return pixels, present


def test_the_gpu_is_chosen() -> None:
    assert choose_device("auto")[0] == "cuda" and each_gpu("cuda")


@pytest.mark.parametrize("precision", LIMITS)
def test_a_gpu_answers_as_the_cpu(tiny_model: Path, precision: str) -> None:
    on_gpu, spec = open_model(str(tiny_model), "cuda", precision)
    on_cpu = TorchEngine(load(str(tiny_model))[0], "cpu")
    for count in (1, 3, 64):
        batch = people(count, spec.input_size)
        difference = np.abs(on_gpu.run(*batch) - on_cpu.run(*batch)).max()
        assert difference < LIMITS[precision]
    assert on_gpu.device.startswith("cuda") and on_gpu.precision == precision


def test_the_embedded_model_answers_as_on_the_cpu() -> None:
    on_gpu, spec = open_model("mivolo-xs", "cuda")
    batch = people(16, spec.input_size)
    years = np.abs(
        np.subtract(
            *(spec.years(e.run(*batch)[:, -1]) for e in (on_gpu, open_model("mivolo-xs", "cpu")[0]))
        )
    )
    assert years.max() < 0.01
