"""Models on OpenVINO answer as in PyTorch, are converted once, and do without a cache or a
converter in trouble."""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.logs import warned
from helpers.models import SMALL

from mivolo_cli.model import checkpoint
from mivolo_cli.model.architecture import FromPixels, create_model
from mivolo_cli.model.variants import SIZES
from mivolo_cli.runtime import graph_cache
from mivolo_cli.runtime.graph_cache import NotConverted, open_converted
from mivolo_cli.runtime.load import load, open_model
from mivolo_cli.runtime.torch_engine import TorchEngine

openvino = pytest.importorskip("openvino")
MODULE = "runtime.graph_cache"
seeded = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "seeded.py"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return graph_cache.folder()


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `mivolo_xs` much smaller, but for a test of the real one."""
    if "real" not in request.node.name:
        monkeypatch.setitem(SIZES, "xs", SMALL)


def people(size: int = 32, channels: int = 6, n: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Seven people: both inputs, face, body, and one of whom nothing is there."""
    pixels = np.random.default_rng(5).integers(0, 256, (n, size, size, channels), np.uint8)
    present = np.array(
        [(True, True), (True, False), (False, True), (False, False), (True, True)] * 2
    )[:n]
    if channels == 6:
        pixels[~present[:, 0], ..., :3] = 0
        pixels[~present[:, 1], ..., 3:] = 0
    return pixels, present


def saved(folder: Path, variant: str = "mivolo_xs_32", **options: Any) -> Path:
    """A model with the weights that the golden values are made with."""
    model = create_model(variant, **options).eval()
    weights = seeded["weights"](
        {name: tuple(value.shape) for name, value in model.state_dict().items()}
    )
    model.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
    file = folder / f"{variant}.safetensors"
    checkpoint.save(model, checkpoint.spec_of(model, "seeded", 0, 100), file, "fp32")
    return file


@pytest.fixture(scope="module")
def converted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the converted model of `saved`."""
    folder = tmp_path_factory.mktemp("converted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setitem(SIZES, "xs", SMALL)
        open_model(str(saved(folder)), "cpu")
        return graph_cache.folder()


@pytest.fixture
def filled(cache: Path, converted_once: Path) -> Path:
    """The test's cache, with the model of `saved` in it."""
    shutil.copytree(converted_once, cache)
    return cache


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "options", "size"),
    [
        ("mivolo_xs_32", {}, 32),
        ("mivolo_xs_32", {"in_chans": 3}, 32),
        ("mivolo_xs_32", {"num_classes": 1}, 32),
        ("mivolo_d1_64", {}, 64),
        pytest.param("mivolo_xs_32", {}, 32, id="real"),
    ],
)
def test_openvino_in_fp32_answers_as_pytorch(
    tmp_path: Path,
    variant: str,
    options: dict[str, int],
    size: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = saved(tmp_path, variant, **options)
    torch_engine = TorchEngine(FromPixels(checkpoint.load(file)[0]), "cpu")
    for _ in ("converted", "from the cache"):
        engine, _ = open_model(str(file), "cpu")
        assert engine.name == "openvino" and warned(caplog) == []
        for n in (1, 2, 5, 7):
            pixels, present = people(size, options.get("in_chans", 6), n)
            np.testing.assert_allclose(
                engine.run(pixels, present), torch_engine.run(pixels, present), atol=2e-5
            )


@pytest.mark.slow
def test_bf16_is_near_where_the_processor_has_it(tmp_path: Path) -> None:
    file = saved(tmp_path)
    exact, rounded = (open_model(str(file), "cpu", precision)[0] for precision in ("fp32", "bf16"))
    difference = np.abs(exact.run(*people()) - rounded.run(*people())).max()
    assert (1e-5 < difference < 0.1) if rounded.precision == "bf16" else difference == 0


@pytest.mark.slow
def test_a_model_is_converted_once(tmp_path: Path, conversions: list[str], cache: Path) -> None:
    file = saved(tmp_path)
    first, spec = open_model(str(file), "cpu")
    again, same = open_model(str(file), "cpu", "bf16")
    assert conversions == ["seeded"] and same == spec == checkpoint.load(file)[1]
    (place,) = cache.iterdir()
    assert (
        place.name.startswith("mivolo_xs_32-")
        and "-fp32" in place.name
        and openvino.__version__[:6] in place.name
    )
    saved(tmp_path, num_classes=1)  # another model of the same name
    assert open_model(str(file), "cpu")[0].run(*people()).shape == (7, 1)
    assert len(conversions) == 2


@pytest.mark.slow
def test_the_run_that_converts_a_model_answers_as_all_later_runs(tmp_path: Path) -> None:
    file = str(saved(tmp_path))
    first, later = (open_model(file, "cpu")[0] for _ in range(2))
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 6), np.uint8)
    for present in ((True, False), (True, True)):
        seen = np.tile(np.array(present), (len(pixels), 1))
        assert (first.run(pixels, seen) == later.run(pixels, seen)).all()


@pytest.mark.slow
def test_a_converted_model_is_opened_without_pytorch(tmp_path: Path) -> None:
    import subprocess
    import sys

    file = saved(tmp_path)
    open_model(str(file), "cpu")
    code = (
        "import sys; from mivolo_cli.pipeline import predict, stages\n"
        "from mivolo_cli.runtime import load\n"
        f"load.open_model({str(file)!r}, 'cpu'); print({{'torch', 'timm'}} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "no json", "empty"])
def test_a_damaged_cache_is_made_anew(
    tmp_path: Path,
    filled: Path,
    conversions: list[str],
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = saved(tmp_path)
    expected = open_model(str(file), "cpu")[0].run(*people())
    assert conversions == []
    (place,) = filled.iterdir()
    data = place / "graph.bin"
    content = data.read_bytes()
    if damage == "cut":
        data.write_bytes(content[:-5])
    elif damage == "changed":
        data.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        data.unlink()
    elif damage == "no json":
        (place / "about.json").write_text("{")
    else:
        shutil.rmtree(place)
        place.mkdir()
    engine, _ = open_model(str(file), "cpu")
    assert warned(caplog) == [] and (engine.run(*people()) == expected).all()
    open_model(str(file), "cpu")
    assert len(conversions) == 1


def answering(number: float) -> Any:
    """What makes a graph that adds this number."""
    from openvino import opset13

    def make() -> tuple[Any, dict[str, str]]:
        value = opset13.parameter([-1, 1], np.float32)
        total = opset13.add(value, opset13.constant(np.array([[number]], np.float32)))
        return openvino.Model([total], [value]), {}

    return make


def answer(name: str, number: float) -> float:
    """What the kept graph of this name adds, or else a new one that adds this number."""
    engine, _ = graph_cache.open_graph(name, "fp32", answering(number))
    return float(engine.run(np.zeros((1, 1), np.float32))[0, 0])


@pytest.mark.parametrize("open_to_all", ["folder", "model", "file", "everything above"])
def test_what_others_can_have_planted_in_the_cache_is_not_read(
    cache: Path, open_to_all: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert answer("age", 1) == 1
    (place,) = cache.iterdir()
    assert answer("evil", 666) == 666
    (evil,) = set(cache.iterdir()) - {place}
    shutil.rmtree(place)
    evil.rename(place)  # whole, and with right hashes
    assert answer("age", 1) == 666, "such a plant works"
    path = {
        "folder": cache,
        "model": place,
        "file": place / graph_cache.DATA,
        "everything above": cache.parents[1],
    }[open_to_all]
    path.chmod(0o777)
    assert [answer("age", 1) for _ in range(2)] == [1, 1]
    notes = warned(caplog, MODULE)
    if open_to_all in ("model", "file"):  # replaced by one of our own
        assert notes == [] and not place.stat().st_mode & 0o022
    else:
        assert len(notes) == 2 and f"other users can write to {path}" in notes[0]
        assert "XDG_CACHE_HOME" in notes[0] and "hashes do not prove" in notes[0]


def test_the_cache_is_closed_to_others_whatever_the_mask(cache: Path) -> None:
    mask = os.umask(0)
    try:
        answer("age", 1)
    finally:
        os.umask(mask)
    made = [cache.parent, cache, *cache.rglob("*")]
    assert len(made) == 6 and not any(path.stat().st_mode & 0o022 for path in made)


@pytest.mark.slow
def test_a_cache_that_takes_nothing_is_said_and_does_no_harm(
    tmp_path: Path, filled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(tmp_path)
    expected = open_model(str(file), "cpu")[0].run(*people())
    shutil.rmtree(filled)
    filled.write_text("a file where the folder should be")
    engine, _ = open_model(str(file), "cpu")
    (note,) = warned(caplog, MODULE)
    assert "cannot be stored" in note and str(filled) in note and "\n" not in note
    np.testing.assert_allclose(engine.run(*people()), expected, atol=1e-5)


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(graph: object, file: Path, **options: object) -> None:
        file.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(openvino, "save_model", full)
    open_model(str(saved(tmp_path)), "cpu")
    (note,) = warned(caplog, MODULE)
    assert "No space left" in note
    assert os.listdir(cache) == []


@pytest.mark.slow
def test_a_converter_that_refuses_the_model_leaves_it_to_pytorch(
    tmp_path: Path,
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = saved(tmp_path)
    expected = open_model(str(file), "cpu")[0].run(*people())
    shutil.rmtree(filled)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no conversion rule for aten::something\nand much more")

    monkeypatch.setattr(openvino, "convert_model", refuse)
    engine, _ = open_model(str(file), "cpu")
    (note,) = warned(caplog, "runtime.load")
    assert isinstance(engine, TorchEngine) and "aten::something" in note and "much more" not in note
    np.testing.assert_allclose(engine.run(*people()), expected, atol=2e-5)
    with pytest.raises(NotConverted):
        open_converted(str(file), "fp32", lambda: load(str(file)))


def test_the_engine_torch_converts_nothing(tmp_path: Path, conversions: list[str]) -> None:
    engine, spec = open_model(str(saved(tmp_path)), "cpu", engine="torch")
    assert isinstance(engine, TorchEngine) and spec.name == "seeded" and conversions == []
