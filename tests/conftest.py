"""Fixtures that the tests share, and what each test needs: marks follow from its fixtures."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import draw_scene, save_broken, save_photo

from mivolo_cli.records import Pixels
from mivolo_cli.runtime import graph_cache


def pytest_configure(config: pytest.Config) -> None:
    """The processes of a run share the cores; PyTorch has not been imported yet."""
    if processes := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))


MARKS = {"ray": "ray", "moto": "s3", "browser": "browser", "small_disk": "root"}
"""Fixture -> the mark of every test that asks for it."""
ONE_AT_A_TIME = ("ray", "browser")
"""Marks of tests that share something large: all of them run in one process, one after another."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in MARKS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKS[fixture])
        for mark in ONE_AT_A_TIME:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.xdist_group(mark))
    # the longest chain begins first, so that it does not end last
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.fixture(scope="session", autouse=True)
def cache_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither use nor fill the user's cache; all processes of a run share the part of it with
    converted models, so that each is converted once."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "converted"
    shared.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        folder = graph_cache.folder()
        folder.parent.mkdir(parents=True)
        folder.symlink_to(shared, target_is_directory=True)
        yield


@pytest.fixture(autouse=True)
def own_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the package logs reaches `caplog` without the root logger, which libraries that a test
    has loaded may have changed."""
    logger = logging.getLogger("mivolo_cli")
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(caplog.handler)
    if logger.level == logging.NOTSET:
        caplog.set_level(logging.WARNING, logger.name)
    yield
    logger.removeHandler(caplog.handler)


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
        *paths: Path, boxes: Path, report: Callable[[Any], None] = lambda _: None, **given: Any
    ) -> Any:
        settings: dict[str, Any] = {
            "model": str(tiny_model),
            "detector": "given",
            "device": "cpu",
            "workers": 2,
        } | given
        options = scan_options(paths, boxes=boxes, **settings)
        return scan(options, report)

    return run_scan
