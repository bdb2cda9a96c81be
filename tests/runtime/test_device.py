"""Which devices are here, which of them work, and which one is chosen."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mivolo_cli.errors import BadInput
from mivolo_cli.runtime import device as devices
from mivolo_cli.runtime.device import choose_device, each_gpu


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
        "PyTorch finds no cuda:97, so the CPU is used",
    )


def test_a_gpu_that_does_not_work_gives_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 99)
    monkeypatch.setattr(devices, "_driver_may_be_here", lambda: True)
    device, reason = choose_device("cuda:98")
    assert device == "cpu"
    assert reason.startswith("cuda:98 does not work (") and reason.endswith("so the CPU is used")
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("present", "broken", "expected"),
    [
        ((), (), ("cpu", "PyTorch finds no GPU, so the CPU is used")),
        (("cuda", "mps"), (), ("cuda", "it is the first working GPU")),
        (("mps",), (), ("mps", "it is the first working GPU")),
        (("cuda", "mps"), ("cuda",), ("mps", "it is the first working GPU")),
        (("cuda",), ("cuda",), ("cpu", "cuda is ill, so the CPU is used")),
    ],
)
def test_auto_takes_the_first_gpu_that_works(
    present: tuple[str, ...],
    broken: tuple[str, ...],
    expected: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "_driver_may_be_here", lambda: True)
    monkeypatch.setattr(devices, "_present", lambda device: device in present)
    monkeypatch.setattr(devices, "_trouble", lambda device: "is ill" if device in broken else None)
    assert choose_device("auto") == expected


def test_without_a_driver_pytorch_is_not_even_loaded() -> None:
    code = (
        "import sys; from mivolo_cli.runtime import device\n"
        "sys.platform = 'linux'; device.DRIVERS = ('/nowhere',)\n"
        "print(device.choose_device('auto')[0], 'torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "cpu False\n"


def test_several_gpus_are_named_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_driver_may_be_here", lambda: True)
    monkeypatch.setattr(devices, "_present", lambda device: device != "cuda:7")
    monkeypatch.setattr(
        devices, "_trouble", lambda device: "is ill" if device == "cuda:2" else None
    )
    assert choose_device("cuda:0,1", several=True) == ("cuda:0,1", "as asked")
    assert choose_device("cuda:0,2,7,3", several=True) == (
        "cuda:0,3",
        "of cuda:0,2,7,3, these work (cuda:2 is ill)",
    )
    assert choose_device("cuda:2", several=True)[0] == "cpu"
    with pytest.raises(BadInput, match="a single GPU") as caught:
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
        devices, "_trouble", lambda device: "is ill" if device == "cuda:2" else None
    )
    assert each_gpu(device) == expected
