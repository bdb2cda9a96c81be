"""Shipped detectors are compiled once, answer the same afterwards, and are read back only whole and
from the user's own hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mivolo_cli.model import registry
from mivolo_cli.runtime import compiled_cache
from mivolo_cli.runtime.openvino_engine import OnnxEngine

openvino = pytest.importorskip("openvino")
NAME = "yunet-n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return compiled_cache.folder()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that OpenVINO compiles."""
    seen: list[str] = []
    compile_model = openvino.Core.compile_model

    def watch(self: object, *arguments: object) -> object:
        seen.append("compiled")
        return compile_model(self, *arguments)

    monkeypatch.setattr(openvino.Core, "compile_model", watch)
    return seen


def answers(file: Path, threads: int = 1) -> list[NDArray[np.float32]]:
    pixels = np.random.default_rng(0).random((1, 3, 96, 128), np.float32) * 255
    return OnnxEngine(file, threads=threads).run(pixels)


def same(first: list[NDArray[np.float32]], second: list[NDArray[np.float32]]) -> bool:
    return all((one == other).all() for one, other in zip(first, second, strict=True))


def test_a_shipped_file_is_compiled_once(compiled: list[str], cache: Path) -> None:
    first = answers(registry.find(NAME))
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o022 == 0 and cache.stat().st_mode & 0o077 == 0
    assert same(first, answers(registry.find(NAME))) and compiled == ["compiled"]


def test_a_fixed_shape_is_compiled_for_itself_and_changes_nothing(
    compiled: list[str], cache: Path
) -> None:
    pixels = np.random.default_rng(0).random((1, 3, 96, 128), np.float32) * 255
    for _ in range(2):
        fixed = OnnxEngine(registry.find(NAME), threads=1, shape=pixels.shape).run(pixels)
        for one, other in zip(fixed, answers(registry.find(NAME)), strict=True):
            assert np.abs(one - other).max() < 1e-3
    assert len(compiled) == len(list(cache.iterdir())) == 2
    with pytest.raises(RuntimeError):
        OnnxEngine(registry.find(NAME), threads=1, shape=(1, 3, 64, 64)).run(pixels)


def test_other_settings_are_compiled_for_themselves(compiled: list[str], cache: Path) -> None:
    assert same(answers(registry.find(NAME)), answers(registry.find(NAME), 2))
    assert len(compiled) == len(list(cache.iterdir())) == 2


def test_files_of_others_are_not_kept(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "yunet-n.onnx"
    file.write_bytes(registry.find(NAME).read_bytes())
    answers(file)
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "a folder", "not OpenVINO's"])
def test_what_is_damaged_is_compiled_again(cache: Path, damage: str, compiled: list[str]) -> None:
    import hashlib

    first = answers(registry.find(NAME))
    (kept,) = cache.iterdir()
    content = kept.read_bytes()
    if damage == "a folder":
        kept.unlink()
        kept.mkdir()
    else:
        kept.write_bytes(
            {
                "cut": content[:-9],
                "changed": content[:-1] + bytes([content[-1] ^ 1]),
                "empty": b"",
                "not OpenVINO's": hashlib.sha256(b"hello").digest() + b"hello",
            }[damage]
        )
    assert same(first, answers(registry.find(NAME))) and len(compiled) == 2


@pytest.mark.parametrize("part", ["file", "folder", "folder above"])
def test_what_others_could_have_written_is_not_read(
    cache: Path, part: str, compiled: list[str]
) -> None:
    answers(registry.find(NAME))
    (kept,) = cache.iterdir()
    {"file": kept, "folder": cache, "folder above": cache.parent}[part].chmod(0o777)
    answers(registry.find(NAME))
    assert len(compiled) == 2


def test_a_cache_that_takes_nothing_does_no_harm(cache: Path, compiled: list[str]) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    assert same(answers(registry.find(NAME)), answers(registry.find(NAME)))
    assert len(compiled) == 2 and cache.read_text().startswith("a file")
