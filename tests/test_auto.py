"""What `auto` chooses, depending on the device and on the weights that are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mivolo_cli import auto, weights
from mivolo_cli.errors import BadInput

Install = Callable[..., None]


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Makes it look as if these weights, and no others, had been fetched."""

    def install(*names: str) -> None:
        monkeypatch.setattr(weights, "locate", lambda entry: Path(entry.file) if entry.name in names else None)

    return install


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_without_fetched_weights_everything_is_what_travels_with_the_program(only_here: Install, device: str) -> None:
    only_here()
    assert auto.choose_model("auto", device).name == "mivolo-xs"
    assert auto.choose_detector("auto", None, device).name == "embedded"


def test_a_cpu_keeps_the_small_model_and_says_which_one_is_better(only_here: Install) -> None:
    only_here("mivolo-d1-imdb", "yolov8x-person-face")
    chosen = auto.choose_model("auto", "cpu")
    assert chosen.name == "mivolo-xs"
    assert "--model mivolo-d1-imdb" in chosen.reason
    assert auto.choose_detector("auto", None, "cpu").name == "embedded"


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
    assert auto.choose_model("auto", device).name == best


def test_a_gpu_gets_the_published_detector_if_it_is_here(only_here: Install) -> None:
    only_here("yolov8x-person-face")
    assert auto.choose_detector("auto", None, "cuda").name == "yolo"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_boxes_that_were_given_are_used(only_here: Install, device: str) -> None:
    only_here("yolov8x-person-face")
    assert auto.choose_detector("auto", Path("boxes.csv"), device).name == "given"


def test_what_was_asked_for_is_left_alone(only_here: Install) -> None:
    only_here("mivolo-v2", "yolov8x-person-face")
    assert auto.choose_model("my/model.safetensors", "cuda") == auto.Choice("my/model.safetensors", "as asked")
    assert auto.choose_detector("retinaface", Path("boxes.csv"), "cuda") == auto.Choice("retinaface", "as asked")


def test_the_names_that_auto_knows_are_registered() -> None:
    kinds = {name: weights.registry()[name].kind for name in (auto.EMBEDDED_MODEL, *auto.MODELS, auto.YOLO)}
    assert kinds == {**dict.fromkeys((auto.EMBEDDED_MODEL, *auto.MODELS), "model"), auto.YOLO: "detector"}


def test_devices() -> None:
    assert auto.choose_device("cpu") == auto.Choice("cpu", "as asked")
    with pytest.raises(BadInput, match="gpu"):
        auto.choose_device("gpu")


def test_every_choice_gives_its_reason(only_here: Install) -> None:
    for here in ([], ["mivolo-v2", "yolov8x-person-face"]):
        only_here(*here)
        for device in ("cpu", "cuda"):
            assert auto.choose_model("auto", device).reason
            assert auto.choose_detector("auto", None, device).reason
    assert auto.choose_device("auto").reason
