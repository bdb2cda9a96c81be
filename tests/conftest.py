"""Fixtures that the tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import draw_scene, save_broken, save_photo

from mivolo_cli.records import Pixels


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "filterwarnings", r"ignore:::PIL\..*"
    )  # as photos.decode does it, but for every test


@pytest.fixture(scope="session", autouse=True)
def cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither use nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def scene() -> Pixels:
    """What every photo shows unless told otherwise, (64, 80, 3)."""
    return draw_scene()


@pytest.fixture
def make_photo() -> Callable[..., Path]:
    """`save_photo`."""
    return save_photo


@pytest.fixture
def make_broken() -> Callable[..., Path]:
    """`save_broken`."""
    return save_broken


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the smallest model with seeded random weights, for ages from 0 to 100."""
    import torch

    from mivolo_cli.model import checkpoint
    from mivolo_cli.model.architecture import create_model

    torch.manual_seed(0)
    model = create_model("mivolo_xs_32").eval()
    file = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(model, checkpoint.spec_of(model, "tiny", 0, 100), file)
    return file


@pytest.fixture
def no_weights_of_the_user(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own folder of weights is empty."""
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def notes() -> Iterator[list[str]]:
    """What the program logs for its user during the test."""
    texts: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    handler = Listener(logging.INFO)
    logger = logging.getLogger("mivolo_cli")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield texts
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def scan_given(tiny_model: Path, no_weights_of_the_user: None) -> Callable[..., Any]:
    """Scans with the tiny model on the CPU and the boxes that are given."""

    from helpers.scans import scan_options

    from mivolo_cli.scan.run import scan

    def run_scan(
        *paths: Path, boxes: Path, report: Callable[[Any], None] | None = None, **options: Any
    ) -> Any:
        settings: dict[str, Any] = {
            "model": str(tiny_model),
            "detector": "given",
            "device": "cpu",
            "workers": 2,
        } | options
        return scan(scan_options(paths, boxes=boxes, **settings), report or (lambda _: None))

    return run_scan
