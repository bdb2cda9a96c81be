"""int8: who calibrates it, once for a model, and what is said where it cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.logs import warned
from helpers.photos import assets, noise, save_photo
from numpy.typing import NDArray

from mivolo_cli.detect.detector import detections
from mivolo_cli.errors import BadInput
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline import int8_samples
from mivolo_cli.records import Detections, Image, Pixels
from mivolo_cli.runtime import graph_cache, load
from mivolo_cli.runtime.graph_cache import Int8Samples
from mivolo_cli.runtime.quantize import Batches

SPEC = ModelSpec("mivolo_xs_32", 6, 3, 32, 0.0, 100.0, 50.0, "fake")


class TwoFaces:
    """Sees two faces on every photo."""

    name, sha256 = "fake", "0" * 64
    batch, streams = 4, 1

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        boxes = [(0, 0, 20, 20), (25, 0, 45, 20)]
        return [detections([], None, boxes, None, image.width, image.height) for image in images]

    def way_up(self, pixels: Pixels) -> int:
        return 0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def people(spec: ModelSpec, count: int = 48) -> list[tuple[Pixels, NDArray[np.bool_]]]:
    pixels = np.random.default_rng(3).integers(0, 256, (count, 32, 32, 6), np.uint8)
    return [(pixels[start : start + 8], np.ones((8, 2), bool)) for start in range(0, count, 8)]


def test_people_come_from_photos_in_batches_as_an_engine_gets_them(tmp_path: Path) -> None:
    for number in range(5):
        save_photo(tmp_path / f"{number}.png", pixels=noise(number))
    made = int8_samples.from_folder(tmp_path, TwoFaces(), "both", 2)
    batches = list(made.people(SPEC))
    assert [pixels.shape for pixels, _ in batches] == [(8, 32, 32, 6), (2, 32, 32, 6)]
    assert all(present.tolist() == [[True, False]] * len(present) for _, present in batches)
    assert batches[0][0][..., :3].any() and not batches[0][0][..., 3:].any()
    assert int8_samples.from_folder(tmp_path, TwoFaces(), "both", 2).key == made.key != ""
    save_photo(tmp_path / "9.png", pixels=noise(9))
    assert int8_samples.from_folder(tmp_path, TwoFaces(), "both", 2).key != made.key


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no photos in") as caught:
        int8_samples.from_folder(tmp_path, TwoFaces(), "both", 2)
    assert "--int8-samples" in caught.value.hint


@pytest.mark.parametrize(("count", "step"), [(0, 1), (4, 1), (5, 2), (8, 2), (9, 4), (100, 32)])
def test_photos_come_from_all_over_a_collection(count: int, step: int) -> None:
    assert int8_samples._spread(range(count), 4) == list(range(0, count, step))


@pytest.mark.slow
def test_int8_of_the_embedded_model_moves_ages_little() -> None:
    """By half a year here; with its last layer in int8, too, by more than 2."""
    pytest.importorskip("nncf")
    corners = [
        (743, 41, 1159, 457),
        (437, 180, 853, 596),
        (50, 230, 466, 646),
        (140, 260, 556, 676),
    ]
    pictures = [
        PIL.Image.open(assets() / name)
        for name in ("zidane.jpg", "zidane.jpg", "bus.jpg", "bus.jpg")
    ]

    def batch(spec: ModelSpec, shift: int) -> tuple[Pixels, NDArray[np.bool_]]:
        boxes = [(x1 + shift, y1 + shift, x2 + shift, y2 + shift) for x1, y1, x2, y2 in corners]
        faces = [
            p.crop(box).resize((spec.input_size,) * 2)
            for p, box in zip(pictures, boxes, strict=True)
        ]
        pixels = np.stack(
            [np.concatenate((face, np.zeros_like(face)), axis=2) for face in map(np.asarray, faces)]
        )
        return pixels, np.array([(True, False)] * len(faces))

    exact, spec = load.open_model("mivolo-xs", "cpu")
    people = Int8Samples("", lambda spec: [batch(spec, 4 * step) for step in range(-4, 5)])
    rounded, _ = load.open_model("mivolo-xs", "cpu", "int8", int8_samples=people)
    ages = [spec.years(engine.run(*batch(spec, 2))[:, -1]) for engine in (exact, rounded)]
    assert rounded.precision == "int8" and 0 < np.abs(np.subtract(*ages)).mean() < 2


@pytest.mark.slow
def test_int8_is_near_and_calibrated_once(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("nncf")
    asked: list[str] = []

    def samples(key: str) -> Int8Samples:
        def asked_for(spec: ModelSpec) -> Batches:
            asked.append(key)
            return people(spec)

        return Int8Samples(key, asked_for)

    exact, spec = load.open_model(str(tiny_model), "cpu")
    engine, _ = load.open_model(str(tiny_model), "cpu", "int8", int8_samples=samples(""))
    pixels, present = people(spec)[0]
    answers = engine.run(pixels, present)
    assert 0 < np.abs(answers - exact.run(pixels, present)).mean() < 0.15
    assert engine.precision == "int8" and engine.int8_key != "" == exact.int8_key
    (note,) = warned(caplog, "runtime.graph_cache")
    assert "by later scans" in note and "mivolo purge" in note and "--int8-samples" in note
    again, _ = load.open_model(str(tiny_model), "cpu", "int8")
    assert again.int8_key == engine.int8_key and (again.run(pixels, present) == answers).all()
    load.open_model(str(tiny_model), "cpu", "int8", int8_samples=samples("other"))
    load.open_model(str(tiny_model), "cpu", "int8", int8_samples=samples(""))
    assert asked == ["", "other"]


@pytest.mark.slow
def test_int8_that_cannot_be_had_says_why(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(samples: Int8Samples | None) -> BadInput:
        with pytest.raises(BadInput) as caught:
            load.open_model(str(tiny_model), "cpu", "int8", int8_samples=samples)
        return caught.value

    assert "scan --precision int8" in refused(None).hint
    few = Int8Samples("", lambda spec: people(spec, 24))
    if find_spec("nncf"):
        error = refused(few)
        assert "have 24" in str(error) and "--int8-samples" in error.hint
    monkeypatch.setitem(sys.modules, "nncf", None)
    error = refused(few)
    assert "nncf" in str(error) and "[int8]" in error.hint
    assert not graph_cache.folder().exists()
