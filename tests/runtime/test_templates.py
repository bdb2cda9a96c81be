"""Graphs that ship without weights answer as PyTorch, for the weights of any model that fits."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.logs import warned
from helpers.models import SMALL
from numpy.typing import NDArray

from mivolo_cli.errors import MivoloError, WeightsError
from mivolo_cli.model import checkpoint, registry
from mivolo_cli.model.architecture import FromPixels, create_model
from mivolo_cli.model.variants import SIZES
from mivolo_cli.runtime import graph_cache, templates
from mivolo_cli.runtime.load import open_model
from mivolo_cli.runtime.template_writer import MODELS, write_template
from mivolo_cli.runtime.templates import open_template
from mivolo_cli.runtime.torch_engine import TorchEngine

pytest.importorskip("openvino")
VARIANT = "mivolo_xs_32"


def people(count: int, size: int = 32) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """With both inputs, with one, and with none of them there."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, size, size, 6), np.uint8)
    present = np.resize([(True, True), (True, False), (False, True), (False, False)], (count, 2))
    pixels[~present[:, 0], ..., :3] = 0
    pixels[~present[:, 1], ..., 3:] = 0
    return pixels, present


def saved(folder: Path, seed: int = 0, dtype: Any = "fp16", **options: Any) -> Path:
    torch.manual_seed(seed)
    model = create_model(VARIANT, **options).eval()
    file = folder / f"{seed}.safetensors"
    checkpoint.save(model, checkpoint.spec_of(model, "made up", 0, 100), file, dtype)
    return file


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the template of a small model."""
    folder = tmp_path_factory.mktemp("templates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "xs", SMALL)
        torch.manual_seed(7)
        model = create_model(VARIANT).eval()
        spec = checkpoint.spec_of(model, "any", 0, 100)
        write_template(FromPixels(model), spec, folder / f"{VARIANT}{templates.SUFFIX}")
    return folder


@pytest.fixture
def small(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package ships the template of a small model, and no other."""
    monkeypatch.setitem(SIZES, "xs", SMALL)
    monkeypatch.setattr(templates, "place_of", lambda variant: made / f"{variant}.template")
    return made


@pytest.mark.parametrize("name", MODELS)
def test_embedded_models_have_a_template(name: str) -> None:
    """After other weights of another variant: make templates."""
    assert open_template(registry.model_file(name)) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_embedded_models_answer_as_in_pytorch(
    name: str, conversions: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    engine, spec = open_model(name, "cpu")
    module, told = checkpoint.load(name)
    pytorch = TorchEngine(FromPixels(module).eval(), "cpu")
    assert engine.name == "openvino" and spec == told
    for count in (1, 2, 5, 8):
        batch = people(count, spec.input_size)
        difference = engine.run(*batch) - pytorch.run(*batch)
        assert np.abs(difference).max() * (spec.max_age - spec.min_age) < 5e-5 * 2
    assert conversions == [] and warned(caplog) == []


@pytest.mark.parametrize("dtype", ["fp16", "fp32"])
def test_a_template_takes_the_weights_of_every_model_that_fits(
    small: Path, tmp_path: Path, dtype: str, conversions: list[str]
) -> None:
    answers = []
    for seed in (1, 2):
        file = saved(tmp_path, seed, dtype)
        engine, spec = open_model(str(file), "cpu")
        pytorch = TorchEngine(FromPixels(checkpoint.load(file)[0]).eval(), "cpu")
        for count in (1, 3, 8):
            answers.append(engine.run(*people(count)))
            np.testing.assert_allclose(answers[-1], pytorch.run(*people(count)), atol=2e-6)
        assert spec == checkpoint.load(file)[1]
    assert conversions == [] and np.abs(answers[0] - answers[3]).max() > 1e-3


def test_rounding_costs_no_more_than_with_a_converted_model(
    small: Path, tmp_path: Path, conversions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(saved(tmp_path, 3))
    first = open_model(file, "cpu", "bf16")[0]
    assert conversions == []
    monkeypatch.setattr(graph_cache, "open_template", lambda *_, **__: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    second = open_model(file, "cpu", "bf16")[0]
    assert conversions == ["made up"] and first.precision == second.precision
    exact = open_model(file, "cpu")[0].run(*people(8))
    moved = [np.abs(engine.run(*people(8)) - exact).mean() for engine in (first, second)]
    assert first.precision != "bf16" or 0 < moved[0] < 2 * moved[1] + 1e-3


def test_a_template_needs_neither_pytorch_nor_a_conversion(tmp_path: Path) -> None:
    code = (
        "import sys; from mivolo_cli.runtime import load; load.open_model('mivolo-xs', 'cpu')\n"
        "print({'torch', 'timm'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
    assert not graph_cache.folder().exists()


@pytest.mark.parametrize("options", [{"num_classes": 1}, {"in_chans": 3}])
def test_models_of_other_shapes_are_converted(
    small: Path, tmp_path: Path, options: dict[str, int], conversions: list[str]
) -> None:
    file = saved(tmp_path, **options)
    assert open_template(file) is None
    open_model(str(file), "cpu")
    assert conversions == ["made up"]


@pytest.mark.parametrize("damage", ["gone", "cut", "no graph", "not a zip"])
def test_without_a_whole_template_models_are_converted(
    small: Path,
    tmp_path: Path,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
    conversions: list[str],
) -> None:
    place, content = tmp_path / f"{VARIANT}.template", next(small.iterdir()).read_bytes()
    monkeypatch.setattr(templates, "place_of", lambda _: place)
    if damage == "cut":
        place.write_bytes(content[:-100])
    elif damage == "not a zip":
        place.write_bytes(b"hello")
    elif damage == "no graph":
        with zipfile.ZipFile(next(small.iterdir())) as whole, zipfile.ZipFile(place, "w") as other:
            for name in whole.namelist():
                other.writestr(name, b"<net/>" if name == templates.XML else whole.read(name))
    file = saved(tmp_path)
    engine, _ = open_model(str(file), "cpu")
    pytorch = TorchEngine(FromPixels(checkpoint.load(file)[0]).eval(), "cpu")
    np.testing.assert_allclose(engine.run(*people(3)), pytorch.run(*people(3)), atol=2e-6)
    assert conversions == ["made up"]


def test_weights_that_are_no_numbers_are_refused_as_ever(small: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = saved(tmp_path)
    spec = checkpoint.read_tensors(file)[1]
    tensors = load_file(file)
    tensors["head.bias"][0] = float("nan")
    save_file(tensors, file, metadata={name: str(value) for name, value in spec.items()})
    assert open_template(file) is None
    with pytest.raises(WeightsError, match="not finite numbers"):
        open_model(str(file), "cpu")


def test_the_same_model_makes_the_same_template(small: Path, tmp_path: Path) -> None:
    """Whatever its weights are."""
    model, spec = checkpoint.load(saved(tmp_path, 9))
    write_template(FromPixels(model).eval(), spec, tmp_path / "again")
    with (
        zipfile.ZipFile(tmp_path / "again") as again,
        zipfile.ZipFile(next(small.iterdir())) as first,
    ):
        assert again.namelist() == first.namelist()
        for name in (templates.OTHERS, templates.ABOUT):
            assert again.read(name) == first.read(name)


def test_weights_that_the_graph_changes_make_no_template(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mivolo_cli.runtime import template_writer

    model, spec = checkpoint.load(saved(tmp_path))
    monkeypatch.setattr(template_writer, "_unfused", graph_cache.convert)
    with pytest.raises(MivoloError, match="not found in the graph as they are stored"):
        write_template(FromPixels(model).eval(), spec, tmp_path / "none")
    assert not (tmp_path / "none").exists()
