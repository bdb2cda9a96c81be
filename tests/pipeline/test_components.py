"""The model and the detector of some options: no `auto` is left, and the user is told what
matters."""

from __future__ import annotations

import logging
import math
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.logs import warned
from helpers.tables import write_boxes

from mivolo_cli.detect import load
from mivolo_cli.errors import BadInput
from mivolo_cli.model import registry
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline import stages
from mivolo_cli.pipeline.components import (
    doubt_of,
    is_levelled,
    open_components,
    open_detector,
    open_predictor,
)
from mivolo_cli.pipeline.defaults import resolve
from mivolo_cli.pipeline.options import InferenceOptions
from mivolo_cli.runtime import device as devices

LOGGER = "mivolo_cli.pipeline.defaults"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The GPUs that are here and work: none, until a test adds some."""
    here: set[str] = set()
    monkeypatch.setattr(devices, "_driver_may_be_here", lambda: True)
    monkeypatch.setattr(devices, "_present", lambda device: device in here)
    monkeypatch.setattr(devices, "_trouble", lambda device: None)
    return here


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The published weights that are here: none, until a test adds some."""
    names: set[str] = set()
    monkeypatch.setattr(
        registry, "locate", lambda entry: Path(entry.file) if entry.name in names else None
    )
    return names


@pytest.fixture
def given(tmp_path: Path, tiny_model: Path, no_weights_of_the_user: None) -> InferenceOptions:
    """A tiny model, and boxes from a table, on the CPU."""
    boxes = write_boxes(tmp_path / "boxes.csv", [("a.jpg", "face", (20.0, 10.0, 45.0, 40.0))])
    return InferenceOptions(
        model=str(tiny_model), boxes=boxes, device="cpu", batch_size=5, workers=1
    )


def left_to_auto(options: InferenceOptions) -> list[str]:
    return [option.name for option in fields(options) if getattr(options, option.name) == "auto"]


def test_nothing_is_left_to_auto_without_a_gpu(gpus: set[str], fetched: set[str]) -> None:
    chosen = resolve(InferenceOptions(workers=3))
    assert left_to_auto(chosen) == ["precision", "level", "memory"], "which are decided later"
    assert chosen == InferenceOptions(
        model="mivolo-xs", detector="embedded", device="cpu", engine="openvino", workers=3
    )


def test_nothing_is_left_to_auto_with_a_gpu(gpus: set[str], fetched: set[str]) -> None:
    gpus.add("cuda")
    fetched |= {"mivolo-v2", "yolov8x-person-face"}
    chosen = resolve(InferenceOptions(workers=3))
    assert left_to_auto(chosen) == ["precision", "level", "memory"], "which are decided later"
    assert chosen == InferenceOptions(
        model="mivolo-v2", detector="yolo", device="cuda", engine="torch", workers=3
    )


def test_what_was_asked_for_stays(gpus: set[str], fetched: set[str]) -> None:
    gpus |= {"cuda:0", "cuda:1"}
    asked = InferenceOptions(
        model="my/model.safetensors",
        detector="retinaface",
        device="cuda:0,1",
        engine="torch",
        precision="bf16",
        compile=True,
        use="face",
        flip=True,
        min_face_score=0.6,
        min_person_score=0.7,
        min_face=20.0,
        level="on",
        any_way_up=False,
        batch_size=7,
    )
    assert resolve(asked) == asked == resolve(resolve(asked))


def test_openvino_alone_is_for_the_cpu(gpus: set[str], fetched: set[str]) -> None:
    gpus.add("cuda")
    assert resolve(InferenceOptions(engine="openvino")).device == "cpu"
    with pytest.raises(BadInput, match="openvino is for the CPU"):
        resolve(InferenceOptions(engine="openvino", device="cuda"))


@pytest.mark.parametrize("model", ["auto", "mivolo-xs", "mivolo-v2"])
def test_the_licence_of_a_known_model_is_told(
    model: str, gpus: set[str], fetched: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mivolo_cli")
    chosen = resolve(InferenceOptions(model=model)).model
    licence = registry.get(chosen).licence
    assert licence
    assert caplog.record_tuples == [(LOGGER, logging.INFO, f"model {chosen}: {licence}")]


def test_of_a_model_that_nobody_knows_no_licence_is_told(
    gpus: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mivolo_cli")
    resolve(InferenceOptions(model="my/model.safetensors"))
    assert caplog.record_tuples == []


@pytest.mark.parametrize(
    ("asked", "chosen", "reason"),
    [
        ("cuda:99", "cpu", "PyTorch finds no cuda:99, so the CPU is used"),
        ("mps", "cpu", "PyTorch finds no mps, so the CPU is used"),
        ("cuda:0,7", "cuda:0", "of cuda:0,7, these work"),
    ],
)
def test_a_gpu_that_is_missing_is_warned_of(
    asked: str, chosen: str, reason: str, gpus: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    gpus.add("cuda:0")
    assert resolve(InferenceOptions(model="my.safetensors", device=asked)).device == chosen
    assert caplog.record_tuples == [(LOGGER, logging.WARNING, f"device {chosen}: {reason}")]


@pytest.mark.parametrize("asked", ["auto", "cpu", "cuda:0"])
def test_nothing_is_warned_of_where_no_gpu_is_missed(
    asked: str, gpus: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    gpus.add("cuda:0")
    resolve(InferenceOptions(model="my.safetensors", device=asked))
    assert caplog.record_tuples == []


def test_components_are_those_of_the_options(
    given: InferenceOptions, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_components(replace(given, flip=True))
    assert (opened.detector.name, opened.engine.name, opened.engine.device) == (
        "given",
        "openvino",
        "cpu",
    )
    assert (given.precision, opened.engine.precision) == ("auto", "fp32"), "it is not embedded"
    predictor = opened.predictor
    assert (predictor.batch_size, predictor.doubt, predictor.streams) == (5, math.inf, 0)
    assert predictor.spec.name == "tiny"
    assert opened.model_sha256 == registry.sha256(Path(given.model))
    assert warned(caplog) == []


def test_the_model_and_the_detector_are_opened_alone(given: InferenceOptions) -> None:
    assert open_predictor(replace(given, boxes=None)).spec.name == "tiny"
    assert open_detector(replace(given, model="no/such/file.safetensors")).name == "given"


@pytest.mark.parametrize(
    ("word", "wanted", "levelled"),
    [
        ("auto", False, False),
        ("auto", True, True),
        ("on", False, True),
        ("on", True, True),
        ("off", False, False),
        ("off", True, False),
    ],
)
def test_heads_are_levelled_if_the_model_wants_that_unless_told_otherwise(
    word: str, wanted: bool, levelled: bool
) -> None:
    spec = ModelSpec("mivolo_xs_32", 6, 3, 32, 0.0, 100.0, 50.0, "fake", level=wanted)
    assert is_levelled(InferenceOptions(level=word), spec) is levelled


def test_components_know_whether_heads_are_levelled(given: InferenceOptions) -> None:
    """The tiny model does not want that."""
    words = ("auto", "on", "off")
    assert [open_components(replace(given, level=word)).level for word in words] == [
        False,
        True,
        False,
    ]


def test_an_unknown_word_for_levelling_is_refused(given: InferenceOptions) -> None:
    with pytest.raises(BadInput, match="--level cannot be 'yes'") as caught:
        open_components(replace(given, level="yes"))
    assert caught.value.hint == "use auto, on, off"


def test_thresholds_of_scores_reach_the_detector(
    given: InferenceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def open_fake(name: str, **settings: Any) -> Any:
        asked.append(settings)
        return SimpleNamespace(name=name, streams=2)

    monkeypatch.setattr(load, "open_detector", open_fake)
    chosen = replace(given, boxes=None, detector="embedded")
    open_detector(chosen)
    open_detector(replace(chosen, min_face_score=0.6, min_person_score=0.0))
    scores = [(settings["face_score"], settings["person_score"]) for settings in asked]
    assert scores == [(None, None), (0.6, 0.0)]


def test_photos_are_read_smaller_but_for_boxes_that_are_given(given: InferenceOptions) -> None:
    """Those are in pixels of the whole photo."""
    embedded = replace(given, boxes=None, detector="embedded")
    assert open_components(embedded).min_size == stages.MIN_SIZE
    assert open_components(replace(embedded, full_resolution=True)).min_size is None
    assert open_components(given).min_size is None


def test_what_is_missing_is_told_once_for_all_components(
    given: InferenceOptions, gpus: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    open_components(replace(given, device="cuda:99"))
    assert warned(caplog, "pipeline.defaults") == [
        "device cpu: PyTorch finds no cuda:99, so the CPU is used"
    ]


@pytest.mark.parametrize(
    ("flip", "ours", "doubt"),
    [(None, True, 0.8), (None, False, 0), (True, False, math.inf), (False, True, 0)],
)
def test_models_of_others_look_once_at_doubtful_people_unless_asked(
    flip: bool | None, ours: bool, doubt: float
) -> None:
    spec = ModelSpec("mivolo_xs_32", 6, 3, 32, 0.0, 100.0, 50.0, "fake", level=ours)
    assert doubt_of(InferenceOptions(flip=flip), spec) == doubt
