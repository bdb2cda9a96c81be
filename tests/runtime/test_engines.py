"""What all engines share: the choice of one, and engines that are made of others."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from helpers.engines import GPU, Sums, batch
from helpers.logs import warned
from numpy.typing import NDArray

from mivolo_cli.errors import BadInput
from mivolo_cli.records import Pixels
from mivolo_cli.runtime.engines import FallbackEngine, MultiGpuEngine, PaddedEngine, choose_engine
from mivolo_cli.runtime.torch_engine import TorchEngine

MODULE = "runtime.engines"


@pytest.mark.parametrize("module", ["engines", "device", "torch_engine", "openvino_engine"])
def test_importing_it_imports_no_library(module: str) -> None:
    libraries = "{'torch', 'openvino'} & set(sys.modules)"
    check = f"import sys, mivolo_cli.runtime.{module}; print({libraries})"
    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "set()\n"


def test_batches_are_filled_up_to_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine(Sums(), "cpu")
    seen: list[tuple[int, int]] = []
    run = TorchEngine.run

    def watch(
        engine: TorchEngine, batch: Pixels, present: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
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


@pytest.mark.parametrize(
    ("wanted", "device", "precision", "expected"),
    [
        ("auto", "cpu", "fp32", "openvino"),
        ("auto", "cpu", "auto", "openvino"),
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


class Fake:
    """An engine that answers with the sums of pictures, and fails when told to."""

    name, device, precision, int8_key = "openvino", "cpu", "bf16", ""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.calls = error, 0

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        pictures = inputs[0].reshape(len(inputs[0]), -1)
        sums: NDArray[np.float32] = pictures.sum(axis=1, dtype=np.float32)
        return sums[:, None]


@pytest.mark.parametrize(
    "error", [RuntimeError("oneDNN is ill\nand more"), MemoryError("oneDNN is ill")]
)
def test_an_engine_that_fails_in_the_middle_gives_way_once_with_the_same_answers(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    pixels, present = batch()
    fake, made = Fake(), []

    def backup() -> TorchEngine:
        made.append(TorchEngine(Sums(), "cpu"))
        return made[-1]

    engine = FallbackEngine(fake, backup)
    before = engine.run(pixels, present)
    assert made == [] and warned(caplog) == [] and engine.precision == "bf16"
    fake.error = error
    for _ in range(2):
        assert engine.run(pixels, np.ones((2, 2), bool)).tolist() == (before + 0.25).tolist()
    assert len(made) == 1 and fake.calls == 2 and engine.precision == "fp32"
    assert warned(caplog, MODULE) == ["openvino failed (oneDNN is ill): continuing with torch"]


def test_threads_that_fail_at_once_are_given_one_backup(caplog: pytest.LogCaptureFixture) -> None:
    together, made = threading.Barrier(4, timeout=10), []

    class Failing(Fake):
        def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
            together.wait()
            raise RuntimeError("busy")

    def backup() -> Fake:
        made.append(Fake())
        return made[-1]

    engine = FallbackEngine(Failing(), backup)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: engine.run(*batch()).tolist(), range(4)))
    assert len(made) == 1 and answers == [Fake().run(*batch()).tolist()] * 4
    assert len(warned(caplog, MODULE)) == 1


def test_what_the_backup_cannot_do_either_is_not_hidden(caplog: pytest.LogCaptureFixture) -> None:
    wrong = RuntimeError("wrong shapes")
    engine = FallbackEngine(Fake(wrong), lambda: Fake(wrong))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="wrong shapes"):
            engine.run(*batch())
    assert warned(caplog, MODULE) == ["openvino failed (wrong shapes): continuing with openvino"]


def test_batches_are_dealt_to_engines_that_are_idle_and_come_back_to_those_who_asked() -> None:
    both = threading.Barrier(2, timeout=10)

    class Waiting(Fake):
        def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
            both.wait()  # broken unless two batches are under way, on two engines
            return super().run(*inputs)

    fakes = [Waiting(), Waiting()]
    engine = MultiGpuEngine(fakes)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: engine.run(np.full((n, 2), n)), range(1, 9)))
    assert [answer.tolist() for answer in found] == [[[2 * n]] * n for n in range(1, 9)]
    assert [fake.calls for fake in fakes] == [4, 4] and engine.device == "cpu, cpu"


def test_each_of_several_gpus_says_what_becomes_of_it(caplog: pytest.LogCaptureFixture) -> None:
    engine = MultiGpuEngine([TorchEngine(Sums(), GPU), TorchEngine(Sums(), GPU)])
    assert engine.device == f"{GPU}, {GPU}" and warned(caplog) == []
    for _ in range(3):
        assert engine.run(*batch())[1].tolist() == [0.25]
    notes = warned(caplog, "runtime.torch_engine")
    assert len(notes) == 2 and all(note.startswith(f"{GPU} failed (") for note in notes)
    assert engine.device == "cpu, cpu"


def test_an_engine_that_raises_is_idle_again() -> None:
    engine = MultiGpuEngine([Fake(RuntimeError("no"))])
    for _ in range(2):
        with pytest.raises(RuntimeError):
            engine.run(np.zeros((1, 1)))
