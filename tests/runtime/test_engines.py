"""Tests of mivolo_cli.runtime.engines: numbers in true fp32, and a way on when a GPU is missing or
fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mivolo_cli.errors import BadInput, WeightsError
from mivolo_cli.runtime import engines
from mivolo_cli.runtime.engines import (
    FallbackEngine,
    MultiGpuEngine,
    OnnxEngine,
    OpenVinoEngine,
    PaddedEngine,
    TorchEngine,
    choose_device,
    choose_engine,
    each_gpu,
)

openvino = pytest.importorskip("openvino")
GPU = "meta"
"""A device that PyTorch has everywhere and that holds no numbers: whatever is asked of it fails, as
on a broken GPU."""


class Sums(nn.Module):
    """Adds a weight to the sum of each picture, where its first input is there."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.25]))

    def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() and not self.training
        return (pixels.float().sum(dim=(1, 2, 3)) * present[:, 0] + self.weight)[:, None]


class Product(nn.Module):
    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(weights))

    def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
        return pixels.flatten(1).float() @ self.weights


def batch() -> tuple[np.ndarray, np.ndarray]:
    pixels = np.arange(2 * 4 * 4 * 6, dtype=np.uint8).reshape(2, 4, 4, 6)
    return pixels, np.array([[True, True], [False, True]])


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((96, 5), dtype=np.float32)


@pytest.fixture
def graph(tmp_path: Path, matrix: np.ndarray) -> Path:
    """A graph that multiplies (1, 96) by the matrix, and negates the product in its second
    output."""
    from openvino import opset13

    given = opset13.parameter([1, 96], np.float32)
    product = opset13.matmul(given, opset13.constant(matrix), False, False)
    model = openvino.Model([product, opset13.negative(product)], [given], "product")
    openvino.save_model(model, tmp_path / "graph.xml", compress_to_fp16=False)
    return tmp_path / "graph.xml"


def test_importing_it_imports_no_library() -> None:
    check = (
        "import sys, mivolo_cli.runtime.engines; print({'torch', 'openvino'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "set()\n"


def test_an_onnx_engine_computes_in_fp32(graph: Path, matrix: np.ndarray) -> None:
    value = np.random.default_rng(1).standard_normal((1, 96), dtype=np.float32)
    first, second = OnnxEngine(graph, threads=1).run(value)
    assert first.dtype == np.float32 and first.shape == (1, 5)
    assert np.abs(first - value @ matrix).max() < 1e-5, "bf16 would be off by 0.01"
    assert np.array_equal(second, -first)


def test_an_onnx_engine_keeps_its_answers_apart(graph: Path) -> None:
    engine = OnnxEngine(graph)
    first = engine.run(np.ones((1, 96), np.float32))[0]
    kept = first.copy()
    engine.run(np.zeros((1, 96), np.float32))
    assert np.array_equal(first, kept)


def test_a_missing_or_broken_graph_is_a_weights_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file .*nothing.onnx"):
        OnnxEngine(tmp_path / "nothing.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"hello")
    with pytest.raises(WeightsError, match="cannot run .*broken.onnx") as caught:
        OnnxEngine(tmp_path / "broken.onnx")
    assert "verify" in caught.value.hint


def test_an_openvino_device_that_is_not_here_is_named(graph: Path) -> None:
    with pytest.raises(WeightsError, match="banana"):
        OnnxEngine(graph, device="banana")


def test_without_openvino_the_package_is_named(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BadInput, match="openvino"):
        OnnxEngine(graph)


def test_a_torch_engine_answers_in_float32() -> None:
    engine = TorchEngine(Sums().train(), "cpu")
    pixels, present = batch()
    outputs = engine.run(pixels, present)
    assert outputs.dtype == np.float32 and engine.device == "cpu" and engine.notes == []
    assert outputs.tolist() == [[pixels[0].sum() + 0.25], [0.25]]


def test_half_precision_is_only_near(matrix: np.ndarray) -> None:
    pixels, present = batch()
    exact = pixels.reshape(2, -1).astype(np.float32) @ matrix
    error = {p: np.abs(TorchEngine(Product(matrix), "cpu", p).run(pixels, present) - exact).max() for p in
             ("fp32", "bf16")}  # fmt: skip
    assert error["fp32"] < 1e-2 < error["bf16"] < 20


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(BadInput, match="int3") as caught:
        TorchEngine(Sums(), "cpu", "int3")
    assert "bf16" in caught.value.hint


def test_a_gpu_that_fails_gives_way_to_the_cpu_once() -> None:
    engine = TorchEngine(Sums(), GPU)
    assert engine.device == GPU
    pixels, present = batch()
    for _ in range(2):
        assert engine.run(pixels, present).tolist() == [[pixels[0].sum() + 0.25], [0.25]]
    assert engine.device == "cpu"
    (note,) = engine.notes
    assert note.startswith(f"{GPU} failed (") and "CPU" in note and "\n" not in note


def test_a_gpu_without_memory_gives_way_to_the_cpu() -> None:
    class Hungry(Sums):
        def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
            if self.weight.is_meta:
                raise torch.OutOfMemoryError(
                    "CUDA out of memory. Tried to allocate 9 GiB.\nMore of the same"
                )
            return super().forward(pixels, present)

    engine = TorchEngine(Hungry(), GPU)
    assert engine.run(*batch())[1].tolist() == [0.25]
    fewer, note = engine.notes
    assert (
        "batch of 2" in fewer
        and "Tried to allocate 9 GiB" in note
        and "More of the same" not in note
    )


def test_a_gpu_that_takes_no_weights_gives_way_to_the_cpu() -> None:
    class Stuck(Sums):
        def to(self, *args: object, **options: object) -> Stuck:
            raise torch.OutOfMemoryError("CUDA out of memory")

    engine = TorchEngine(Stuck(), GPU)
    assert engine.device == "cpu" and len(engine.notes) == 1
    assert engine.run(*batch())[1].tolist() == [0.25]


def test_a_mistake_on_the_cpu_is_not_hidden() -> None:
    engine = TorchEngine(Product(np.ones((7, 5), np.float32)), "cpu")
    with pytest.raises(RuntimeError, match="shapes"):
        engine.run(*batch())
    assert engine.notes == []


def test_batches_are_filled_up_to_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine(Sums(), "cpu")
    seen: list[tuple[int, int]] = []
    run = TorchEngine.run

    def watch(engine: TorchEngine, batch: np.ndarray, present: np.ndarray) -> np.ndarray:
        seen.append((len(batch), int(present.sum())))
        return run(engine, batch, present)

    pixels = np.arange(7 * 2 * 2 * 6, dtype=np.uint8).reshape(7, 2, 2, 6)
    present = np.ones((7, 2), bool)
    whole = engine.run(pixels, present)
    monkeypatch.setattr(TorchEngine, "run", watch)
    for people in (0, 1, 2, 3, 4, 5, 7):
        assert (
            PaddedEngine(engine).run(pixels[:people], present[:people]).tolist()
            == whole[:people].tolist()
        )
    assert seen == [(0, 0), (1, 2), (2, 4), (4, 6), (4, 8), (8, 10), (8, 14)]


def test_the_cpu_is_taken_as_asked() -> None:
    assert choose_device("cpu") == ("cpu", "as asked")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:", "CUDA", "", "cpu:0"])
def test_a_device_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        choose_device(name)
    assert "cuda:0" in caught.value.hint


def test_a_gpu_that_is_not_there_gives_the_cpu_and_says_so() -> None:
    assert choose_device("cuda:97") == (
        "cpu",
        "there is no cuda:97 that PyTorch can use, so the CPU is used",
    )


def test_a_gpu_that_does_not_work_gives_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 99)
    monkeypatch.setattr(engines, "_driver_may_be_here", lambda: True)
    device, reason = choose_device("cuda:98")
    assert device == "cpu"
    assert reason.startswith("cuda:98 does not work (") and reason.endswith("so the CPU is used")
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("present", "broken", "expected"),
    [
        ((), (), ("cpu", "there is no GPU that PyTorch can use, so the CPU is used")),
        (("cuda", "mps"), (), ("cuda", "the first GPU that works")),
        (("mps",), (), ("mps", "the first GPU that works")),
        (("cuda", "mps"), ("cuda",), ("mps", "the first GPU that works")),
        (("cuda",), ("cuda",), ("cpu", "cuda is ill, so the CPU is used")),
    ],
)
def test_auto_takes_the_first_gpu_that_works(
    present: tuple[str, ...],
    broken: tuple[str, ...],
    expected: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "_driver_may_be_here", lambda: True)
    monkeypatch.setattr(engines, "_present", lambda device: device in present)
    monkeypatch.setattr(engines, "_trouble", lambda device: "is ill" if device in broken else None)
    assert choose_device("auto") == expected


@pytest.mark.parametrize(
    ("wanted", "device", "precision", "expected"),
    [
        ("auto", "cpu", "fp32", "openvino"),
        ("auto", "cuda:1", "bf16", "torch"),
        ("auto", "mps", "fp32", "torch"),
        ("torch", "cpu", "bf16", "torch"),
    ],
)
def test_the_engine_follows_the_device(
    wanted: str, device: str, precision: str, expected: str
) -> None:
    assert choose_engine(wanted, device, precision) == expected


@pytest.mark.parametrize(
    ("wanted", "device", "precision", "hint"),
    [
        ("tensorrt", "cpu", "fp32", "openvino"),
        ("auto", "cpu", "fp8", "bf16"),
        ("openvino", "cuda", "fp32", "--device cpu"),
        ("auto", "cuda", "int8", "--device cpu"),
        ("torch", "cpu", "int8", "--engine openvino"),
    ],
)
def test_an_engine_that_cannot_do_it_is_refused(
    wanted: str, device: str, precision: str, hint: str
) -> None:
    with pytest.raises(BadInput) as caught:
        choose_engine(wanted, device, precision)
    assert hint in caught.value.hint


def test_a_precision_that_the_processor_lacks_becomes_fp32_and_is_said(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
    engine = OpenVinoEngine(graph, "bf16")
    assert engine.precision == "fp32" and engine.notes == [
        "this processor has no bf16: the model works in fp32"
    ]
    assert OpenVinoEngine(graph, "fp32").notes == []


def test_without_a_driver_pytorch_is_not_even_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from mivolo_cli import engines; sys.platform = 'linux'; engines.DRIVERS = ('/nowhere',)\n"
        "print(engines.choose_device('auto')[0], 'torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "cpu False\n"


class Small(Sums):
    """Has memory for three people at most."""

    seen: list[int]

    def forward(self, pixels: Tensor, present: Tensor) -> Tensor:
        self.seen.append(len(pixels))
        if len(pixels) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(pixels, present)


def test_a_batch_that_memory_does_not_hold_is_halved_until_it_does_and_stays_so() -> None:
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
    assert module.seen == [2, 2, 1] and len(engine.notes) == 1 and "batch of 16" in engine.notes[0]


class Fake:
    """An engine that answers with the sums of pictures, and fails when told to."""

    name, device, precision, int8_key = "openvino", "cpu", "bf16", ""

    def __init__(self, error: Exception | None = None, notes: tuple[str, ...] = ()) -> None:
        self.error, self.notes, self.calls = error, list(notes), 0

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return inputs[0].reshape(len(inputs[0]), -1).sum(axis=1, dtype=np.float32)[:, None]


@pytest.mark.parametrize(
    "error", [RuntimeError("oneDNN is ill\nand more"), MemoryError("oneDNN is ill")]
)
def test_an_engine_that_fails_in_the_middle_gives_way_once_with_the_same_answers(
    error: Exception,
) -> None:
    pixels, present = batch()
    fake, made = Fake(notes=("slow",)), []
    engine = FallbackEngine(fake, lambda: made.append(TorchEngine(Sums(), "cpu")) or made[0])
    before = engine.run(pixels, present)
    assert made == [] and engine.notes == ["slow"] and engine.precision == "bf16"
    fake.error = error
    for _ in range(2):
        assert engine.run(pixels, np.ones((2, 2), bool)).tolist() == (before + 0.25).tolist()
    assert len(made) == 1 and fake.calls == 2 and engine.precision == "fp32"
    assert engine.notes == ["slow", "openvino failed (oneDNN is ill): going on with torch"]


def test_what_the_backup_cannot_do_either_is_not_hidden() -> None:
    wrong = RuntimeError("wrong shapes")
    engine = FallbackEngine(Fake(wrong), lambda: Fake(wrong))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="wrong shapes"):
            engine.run(*batch())
    assert len(engine.notes) == 1


def test_batches_are_dealt_to_engines_that_are_idle_and_come_back_to_those_who_asked() -> None:
    both = threading.Barrier(2, timeout=10)

    class Waiting(Fake):
        def run(self, *inputs: np.ndarray) -> np.ndarray:
            both.wait()  # broken unless two batches are under way, on two engines
            return super().run(*inputs)

    fakes = [Waiting(notes=("one",)), Waiting(notes=("two",))]
    engine = MultiGpuEngine(fakes)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: engine.run(np.full((n, 2), n)), range(1, 9)))
    assert [answer.tolist() for answer in found] == [[[2 * n]] * n for n in range(1, 9)]
    assert [fake.calls for fake in fakes] == [4, 4] and engine.notes == ["one", "two"]


def test_an_engine_that_raises_is_idle_again() -> None:
    engine = MultiGpuEngine([Fake(RuntimeError("no"))])
    for _ in range(2):
        with pytest.raises(RuntimeError):
            engine.run(np.zeros((1, 1)))


def test_several_gpus_are_named_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_driver_may_be_here", lambda: True)
    monkeypatch.setattr(engines, "_present", lambda device: device != "cuda:7")
    monkeypatch.setattr(
        engines, "_trouble", lambda device: "is ill" if device == "cuda:2" else None
    )
    assert choose_device("cuda:0,1", several=True) == ("cuda:0,1", "as asked")
    assert choose_device("cuda:0,2,7,3", several=True) == (
        "cuda:0,3",
        "of cuda:0,2,7,3, these work (cuda:2 is ill)",
    )
    assert choose_device("cuda:2", several=True)[0] == "cpu"
    with pytest.raises(BadInput, match="one GPU") as caught:
        choose_device("cuda:0,1")
    assert caught.value.hint == "use cuda:0"


@pytest.mark.parametrize(
    ("device", "count", "expected"),
    [
        ("cpu", 4, ["cpu"]),
        ("mps", 0, ["mps"]),
        ("cuda:3", 4, ["cuda:3"]),
        ("cuda:0,3", 4, ["cuda:0", "cuda:3"]),
        ("cuda", 1, ["cuda:0"]),
        ("cuda", 4, ["cuda:0", "cuda:1", "cuda:3"]),
    ],
)
def test_cuda_stands_for_every_gpu_that_works(
    device: str, count: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(
        engines, "_trouble", lambda device: "is ill" if device == "cuda:2" else None
    )
    assert each_gpu(device) == expected


def test_pixels_go_to_cuda_from_pinned_memory_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no GPU here: the copies are watched, and stay on the CPU."""
    seen: list[object] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: seen.append("pinned") or tensor)
    monkeypatch.setattr(
        Tensor,
        "to",
        lambda tensor, device, non_blocking=False: seen.append((device, non_blocking)) or tensor,
    )
    monkeypatch.setattr(
        Sums, "to", lambda module, *places, **options: seen.append((*places, options)) or module
    )
    engine = TorchEngine(Sums(), "cuda:1")
    assert engine.run(*batch())[1].tolist() == [0.25]
    assert seen == [
        ("cuda:1", {}),
        ({"memory_format": torch.channels_last},),
        *["pinned", ("cuda:1", True)] * 2,
    ]


def test_a_model_that_cannot_be_compiled_works_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise RuntimeError("no backend\nand more")

    asked: list[dict[str, object]] = []
    monkeypatch.setattr(torch, "compile", lambda module, **options: asked.append(options) or refuse)
    monkeypatch.setattr(Sums, "to", lambda module, *places, **options: module)
    monkeypatch.setattr(TorchEngine, "_on_device", lambda engine, array: torch.from_numpy(array))
    engine = TorchEngine(Sums(), "mps", compiled=True)
    for _ in range(2):
        assert engine.run(*batch())[1].tolist() == [0.25]
    assert engine.device == "mps" and engine.notes == [
        "the model cannot be compiled (no backend): going on without"
    ]
    assert asked == [{"dynamic": False}]
    TorchEngine(Sums(), "cpu", compiled=True)
    assert len(asked) == 1


def test_openvino_is_kept_from_reporting_its_use(tmp_path: Path) -> None:
    """It would leave a folder in the home, and look for Google."""
    code = (
        "import socket, sys; socket.getaddrinfo = lambda *_, **__: print('looked up', flush=True)\n"
        "from mivolo_cli import engines; print(engines.import_openvino().__name__)\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    assert (
        subprocess.check_output([sys.executable, "-c", code], text=True, env=home)
        == "openvino\n[]\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_first_photos_may_come_from_several_threads_at_once() -> None:
    """Two threads that brought OpenVINO its first arrays hung one process of three, for ever."""
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
import numpy as np
from mivolo_cli.runtime.engines import OnnxEngine
from mivolo_cli.model.registry import find
engine, together = OnnxEngine(find("yunet-n")), threading.Barrier(4)
def look():
    together.wait()
    engine.run(np.zeros((1, 3, 256, 256), np.float32))
threads = [threading.Thread(target=look) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    for _ in range(6):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
