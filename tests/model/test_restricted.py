"""Checkpoints of ultralytics without trust: models of known layers, and nothing else."""

from __future__ import annotations

import collections
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.ultralytics import save_checkpoint

from mivolo_cli.errors import WeightsError
from mivolo_cli.model import registry, restricted
from mivolo_cli.model.install import add


class Trap:
    """Touches a file when it is opened."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.witness}'",)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("yolo") / "tiny.pt")


def with_pickle(source: Path, target: Path, content: bytes) -> Path:
    """A checkpoint with another pickle in it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name.endswith("/data.pkl") else old.read(name))
    return target


def test_a_detector_of_ultralytics_needs_no_trust(
    detector: Path, no_weights_of_the_user: None
) -> None:
    assert restricted.why_not(detector) == ""
    registry.require_trusted_pickle(detector)
    entry = add(detector, name="mine")
    assert (entry.name, entry.kind) == ("mine", "detector")
    assert not registry.records()["mine.pt"].trusted
    registry.require_trusted_pickle(registry.find("mine"))


def test_what_others_allow_the_loader_neither_counts_nor_is_lost(detector: Path) -> None:
    from ultralytics.nn.tasks import DetectionModel

    before = torch.serialization.get_safe_globals()
    with torch.serialization.safe_globals([DetectionModel]):
        assert restricted.why_not(detector) == ""
        assert DetectionModel in torch.serialization.get_safe_globals()
    assert torch.serialization.get_safe_globals() == before


def test_nothing_of_ultralytics_is_imported(detector: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from mivolo_cli.model import restricted;"
        f"print(restricted.why_not(Path({str(detector)!r})), 'ultralytics' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False"]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {"model": trap, "ema": None}])
def test_code_is_refused_and_not_run(
    tmp_path: Path, no_weights_of_the_user: None, wrap: Any, legacy: bool
) -> None:
    file, witness = tmp_path / "trap.pt", tmp_path / "went-off"
    torch.save(wrap(Trap(witness)), file, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match="not trusted yet") as caught:
        registry.require_trusted_pickle(file)
    assert legacy or "system, which is not a known layer" in str(caught.value)
    assert f"mivolo weights add --trust {file}" in caught.value.hint
    with pytest.raises(WeightsError):
        add(file, name="trap")
    assert not witness.exists() and registry.records() == {}


def test_every_way_to_name_a_function_is_refused(detector: Path, tmp_path: Path) -> None:
    witness = tmp_path / "went-off"
    call = f"touch {witness}".encode()
    ways = {
        "GLOBAL": b"cos\nsystem\n(S'" + call + b"'\ntR.",
        "INST": b"(S'" + call + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + call + b"'\no.",
        "STACK_GLOBAL": pickle.dumps(Trap(witness), protocol=4),
        "built": b"S'os'\nS'sys'\nS'tem'\n\x93.",
        "getattr": b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR.",
        "eval": b"c__builtin__\neval\n(S'1'\ntR.",
    }
    for name, content in ways.items():
        file = with_pickle(detector, tmp_path / f"{name}.pt", content)
        assert restricted.why_not(file), name
    assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"a.weight": torch.zeros(2)}},
        collections.OrderedDict(a=torch.zeros(2)),
        [1, 2],
        {},
    ],
    ids=repr,
)
def test_what_is_no_model_is_no_detector(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert restricted.why_not(tmp_path / "weights.pt") == "it does not contain an ultralytics model"


def test_layers_that_are_not_known_are_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.LSTM(2, 2)}, tmp_path / "odd.pt")
    assert "torch.nn.modules.rnn.LSTM" in restricted.why_not(tmp_path / "odd.pt")


def test_what_ultralytics_would_read_otherwise_is_refused(detector: Path, tmp_path: Path) -> None:
    for name in ("tiny.engine", "tiny.torchscript", "tiny"):
        (tmp_path / name).write_bytes(detector.read_bytes())
        assert "only .pt files" in restricted.why_not(tmp_path / name)
    (tmp_path / "FILE.PT").write_bytes(detector.read_bytes())
    assert restricted.why_not(tmp_path / "FILE.PT") == ""
    (tmp_path / "x.pt.part").write_bytes(detector.read_bytes())
    assert restricted.why_not(tmp_path / "x.pt.part", "x.pt") == ""


@pytest.mark.parametrize("size", [0, 10, 1000, 100_000])
def test_files_that_are_cut_off_are_refused(detector: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.pt").write_bytes(detector.read_bytes()[:size])
    assert "restricted loader refuses it" in restricted.why_not(tmp_path / "cut.pt")


def test_the_list_names_what_there_is() -> None:
    """Nothing on the list but layers, settings and losses; no function, and nothing of Python's."""
    assert not restricted.ALLOWED & {"builtins.getattr", "builtins.eval", "os.system"}
    modules = {name.rpartition(".")[0].partition(".")[0] for name in restricted.ALLOWED}
    assert modules == {"ultralytics", "torch", "numpy", "pathlib"}
    for name in restricted.ALLOWED:
        if name.startswith("torch."):
            module, _, attribute = name.rpartition(".")
            layer = getattr(__import__(module, fromlist=["x"]), attribute)
            assert issubclass(layer, torch.nn.Module), name
