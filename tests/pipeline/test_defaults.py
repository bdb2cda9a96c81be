"""What `auto` chooses, depending on the device and on the weights that are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mivolo_cli.errors import BadInput
from mivolo_cli.model import registry
from mivolo_cli.pipeline import defaults
from mivolo_cli.runtime import openvino_engine

Install = Callable[..., None]


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes it look as if these weights, and no others, had been fetched."""

    def install(*names: str) -> None:
        monkeypatch.setattr(
            registry, "locate", lambda entry: Path(entry.file) if entry.name in names else None
        )

    return install


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_without_fetched_weights_everything_is_what_travels_with_the_program(
    only_here: Install, device: str
) -> None:
    only_here()
    assert defaults.choose_model("auto", device).name == "mivolo-xs"
    assert defaults.choose_detector("auto", None, device).name == "embedded"


def test_a_cpu_keeps_the_small_model_and_says_which_one_is_better(only_here: Install) -> None:
    only_here("mivolo-d1-imdb", "yolov8x-person-face")
    chosen = defaults.choose_model("auto", "cpu")
    assert chosen.name == "mivolo-xs"
    assert "--model mivolo-d1-imdb" in chosen.reason
    assert defaults.choose_detector("auto", None, "cpu").name == "embedded"


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
@pytest.mark.parametrize(
    ("here", "best"),
    [
        (["mivolo-d1-imdb"], "mivolo-d1-imdb"),
        (["mivolo-d1-imdb", "mivolo-v2"], "mivolo-v2"),
        (["volo-d1-imdb"], "mivolo-xs"),
    ],
)
def test_a_gpu_gets_the_most_accurate_model_that_is_here(
    only_here: Install, device: str, here: list[str], best: str
) -> None:
    only_here(*here)
    assert defaults.choose_model("auto", device).name == best


def test_a_gpu_gets_the_published_detector_if_it_is_here(only_here: Install) -> None:
    only_here("yolov8x-person-face")
    assert defaults.choose_detector("auto", None, "cuda").name == "yolo"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_boxes_that_were_given_are_used(only_here: Install, device: str) -> None:
    only_here("yolov8x-person-face")
    assert defaults.choose_detector("auto", Path("boxes.csv"), device).name == "given"


def test_what_was_asked_for_is_left_alone(only_here: Install) -> None:
    only_here("mivolo-v2", "yolov8x-person-face")
    assert defaults.choose_model("my/model.safetensors", "cuda") == defaults.Choice(
        "my/model.safetensors", "as asked"
    )
    assert defaults.choose_detector("retinaface", Path("boxes.csv"), "cuda") == defaults.Choice(
        "retinaface", "as asked"
    )


def test_the_names_that_auto_knows_are_registered() -> None:
    kinds = {
        name: registry.registry()[name].kind
        for name in (defaults.EMBEDDED_MODEL, *defaults.MODELS, defaults.YOLO)
    }
    assert kinds == {
        **dict.fromkeys((defaults.EMBEDDED_MODEL, *defaults.MODELS), "model"),
        defaults.YOLO: "detector",
    }


def test_devices() -> None:
    assert defaults.choose_device("cpu") == defaults.Choice("cpu", "as asked")
    with pytest.raises(BadInput, match="gpu"):
        defaults.choose_device("gpu")
    assert defaults.choose_device("auto", "openvino").name == "cpu"
    assert defaults.choose_device("cuda:97,98", several=True).name == "cpu"
    with pytest.raises(BadInput, match="a single GPU"):
        defaults.choose_device("cuda:97,98")


def test_every_choice_gives_its_reason(only_here: Install) -> None:
    for here in ([], ["mivolo-v2", "yolov8x-person-face"]):
        only_here(*here)
        for device in ("cpu", "cuda"):
            assert defaults.choose_model("auto", device).reason
            assert defaults.choose_detector("auto", None, device).reason
    assert defaults.choose_device("auto").reason


@pytest.mark.parametrize(
    ("wanted", "model", "engine", "supported", "chosen"),
    [
        ("auto", "mivolo-xs", "openvino", True, "bf16"),
        ("auto", "mivolo-xs", "openvino", False, "fp32"),
        ("auto", "mivolo-xs", "torch", True, "fp32"),
        ("auto", "mivolo-v2", "openvino", True, "fp32"),
        ("auto", "my.safetensors", "openvino", True, "fp32"),
        ("fp32", "mivolo-xs", "openvino", True, "fp32"),
        ("int8", "mivolo-v2", "openvino", False, "int8"),
    ],
)
def test_only_the_embedded_model_is_rounded_unasked(
    wanted: str,
    model: str,
    engine: str,
    supported: bool,
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino_engine, "is_supported", lambda *_: supported)
    choice = defaults.choose_precision(wanted, model, engine)
    assert choice.name == chosen and choice.reason


def test_without_openvino_the_embedded_model_runs_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError

    monkeypatch.setattr(openvino_engine, "import_openvino", missing)
    assert defaults.choose_precision().name == "fp32"
