"""Networks in PyTorch: true fp32, and a way on when a GPU fails or has too little memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers.engines import GPU, Product, Sums, batch, matrix
from helpers.logs import warned
from torch import Tensor

from mivolo_cli.errors import BadInput
from mivolo_cli.runtime.torch_engine import TorchEngine

MODULE = "runtime.torch_engine"


def test_a_torch_engine_answers_in_float32(caplog: pytest.LogCaptureFixture) -> None:
    engine = TorchEngine(Sums().train(), "cpu")
    pixels, present = batch()
    outputs = engine.run(pixels, present)
    assert outputs.dtype == np.float32 and engine.device == "cpu" and warned(caplog) == []
    assert outputs.tolist() == [[pixels[0].sum() + 0.25], [0.25]]


def test_half_precision_is_only_near() -> None:
    pixels, present = batch()
    exact = pixels.reshape(2, -1).astype(np.float32) @ matrix()

    def error(precision: str) -> float:
        answers = TorchEngine(Product(matrix()), "cpu", precision).run(pixels, present)
        return float(np.abs(answers - exact).max())

    assert error("fp32") < 1e-2 < error("bf16") < 20


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(BadInput, match="int3") as caught:
        TorchEngine(Sums(), "cpu", "int3")
    assert "bf16" in caught.value.hint


def test_a_gpu_that_fails_gives_way_to_the_cpu_once(caplog: pytest.LogCaptureFixture) -> None:
    engine = TorchEngine(Sums(), GPU)
    assert engine.device == GPU
    pixels, present = batch()
    for _ in range(2):
        assert engine.run(pixels, present).tolist() == [[pixels[0].sum() + 0.25], [0.25]]
    assert engine.device == "cpu"
    (note,) = warned(caplog, MODULE)
    assert note.startswith(f"{GPU} failed (") and "CPU" in note and "\n" not in note


def test_a_gpu_without_memory_gives_way_to_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    class Hungry(Sums):
        def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
            if self.weight.is_meta:
                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 9 GiB.\nMore of the same"
                )
            return super().forward(pixels, present)

    engine = TorchEngine(Hungry(), GPU)
    assert engine.run(*batch())[1].tolist() == [0.25]
    assert warned(caplog, MODULE) == [
        f"{GPU} has too little memory for a batch of 2: continuing with smaller batches",
        f"{GPU} failed (CUDA out of memory. Tried to allocate 9 GiB): continuing with the CPU",
    ]


def test_a_gpu_that_takes_no_weights_gives_way_to_the_cpu(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stuck(Sums):
        def to(self, *args: object, **options: object) -> Stuck:
            raise torch.OutOfMemoryError("CUDA out of memory")

    engine = TorchEngine(Stuck(), GPU)
    assert engine.device == "cpu"
    assert warned(caplog, MODULE) == [f"{GPU} failed (CUDA out of memory): continuing with the CPU"]
    assert engine.run(*batch())[1].tolist() == [0.25]


def test_a_mistake_on_the_cpu_is_not_hidden(caplog: pytest.LogCaptureFixture) -> None:
    engine = TorchEngine(Product(np.ones((7, 5), np.float32)), "cpu")
    with pytest.raises(RuntimeError, match="shapes"):
        engine.run(*batch())
    assert warned(caplog) == []


class Small(Sums):
    """Has memory for three people at most."""

    seen: list[int]

    def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
        self.seen.append(len(pixels))
        if len(pixels) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(pixels, present)


def test_a_batch_that_memory_does_not_hold_is_halved_until_it_does_and_stays_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = Small()
    module.seen = []
    engine = TorchEngine(module, "cpu")
    pixels = np.arange(16 * 2 * 2 * 6, dtype=np.uint8).reshape(16, 2, 2, 6)
    present = np.ones((16, 2), bool)
    expected = TorchEngine(Sums(), "cpu").run(pixels, present)
    assert (engine.run(pixels, present) == expected).all()
    assert module.seen == [16, 8, 4, *[2] * 8]
    module.seen.clear()
    assert (engine.run(pixels[:5], present[:5]) == expected[:5]).all()
    assert module.seen == [2, 2, 1]
    assert warned(caplog, MODULE) == [
        "cpu has too little memory for a batch of 16: continuing with smaller batches"
    ]


def test_pixels_go_to_cuda_from_pinned_memory_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no GPU here: the copies are watched, and stay on the CPU."""
    seen: list[object] = []

    def pin(tensor: Tensor) -> Tensor:
        seen.append("pinned")
        return tensor

    def copy(tensor: Tensor, device: str, non_blocking: bool = False) -> Tensor:
        seen.append((device, non_blocking))
        return tensor

    def move(module: Sums, *places: object, **options: object) -> Sums:
        seen.append((*places, options))
        return module

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "to", copy)
    monkeypatch.setattr(Sums, "to", move)
    engine = TorchEngine(Sums(), "cuda:1")
    assert engine.run(*batch())[1].tolist() == [0.25]
    assert seen == [
        ("cuda:1", {}),
        ({"memory_format": torch.channels_last},),
        *["pinned", ("cuda:1", True)] * 2,
    ]


def test_a_model_that_cannot_be_compiled_works_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[dict[str, object]] = []

    def refuse(*_: object) -> Tensor:
        raise RuntimeError("no backend\nand more")

    def compiled(module: object, **options: object) -> Callable[..., Tensor]:
        asked.append(options)
        return refuse

    monkeypatch.setattr(torch, "compile", compiled)
    monkeypatch.setattr(Sums, "to", lambda module, *places, **options: module)
    monkeypatch.setattr(TorchEngine, "_on_device", lambda engine, array: torch.from_numpy(array))
    engine = TorchEngine(Sums(), "mps", compiled=True)
    for _ in range(2):
        assert engine.run(*batch())[1].tolist() == [0.25]
    assert engine.device == "mps"
    assert warned(caplog, MODULE) == [
        "the model cannot be compiled (no backend): continuing without compilation"
    ]
    assert asked == [{"dynamic": False}]
    TorchEngine(Sums(), "cpu", compiled=True)
    assert len(asked) == 1
