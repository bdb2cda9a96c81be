"""The published model and its detector in one word, from a server of this computer."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from helpers.ultralytics import save_checkpoint
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.errors import WeightsError
from mivolo_cli.model import registry
from mivolo_cli.pipeline import defaults
from mivolo_cli.pipeline.options import InferenceOptions

MODEL, DETECTOR = registry.PUBLISHED
ENTRY = """
[[weights]]
name = "{name}"
kind = "{kind}"
file = "{file}"
url = "{url}/{file}"
licence = "{licence}"
page = "https://publisher.test/{name}"
pickle = {pickle}
"""
Mivolo = Callable[..., Outcome]


@pytest.fixture
def offered(
    tmp_path: Path, no_weights_of_the_user: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder that a server offers, and a registry that leads there."""
    offered, shipped = tmp_path / "offered", tmp_path / "shipped"
    offered.mkdir()
    shipped.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *parts: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(offered))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        entries = [
            (MODEL, "model", "mivolo_v2.safetensors", "Apache-2.0", "false"),
            (DETECTOR, "detector", "yolov8x_person_face.pt", "AGPL-3.0", "true"),
        ]
        names = ("name", "kind", "file", "licence", "pickle")
        text = "".join(
            ENTRY.format(url=url, **dict(zip(names, entry, strict=True))) for entry in entries
        )
        (shipped / registry.REGISTRY).write_text(text)
        monkeypatch.setattr(registry, "folder", lambda: shipped)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for variable in ("MIVOLO_OFFLINE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(variable, raising=False)
        yield offered
        server.shutdown()
        thread.join()


@pytest.fixture
def published(offered: Path, tiny_model: Path) -> Path:
    (offered / "mivolo_v2.safetensors").write_bytes(tiny_model.read_bytes())
    save_checkpoint(offered / "yolov8x_person_face.pt")
    return offered


@pytest.fixture
def mivolo() -> Mivolo:
    return lambda *words: CliRunner().invoke(cli.app, list(map(str, words)))


@pytest.mark.slow
def test_fetched_in_one_word_and_used_by_one(
    published: Path, mivolo: Mivolo, tmp_path: Path
) -> None:
    from ultralytics.utils import ASSETS

    with pytest.raises(WeightsError, match="not been downloaded yet") as caught:
        defaults.resolve(InferenceOptions(model="published", device="cpu"))
    assert caught.value.hint == "mivolo weights fetch published"

    out = mivolo("weights", "fetch", "published")
    assert out.exit_code == 0, out.output
    lines = out.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        MODEL, "licence:", DETECTOR, "licence:", "here:", "here:", "use",
    ]  # fmt: skip
    assert "Apache-2.0" in lines[1] and "AGPL-3.0" in lines[3]
    assert not any(record.trusted for record in registry.records().values())
    assert registry.find(MODEL) and registry.find(DETECTOR)

    options = defaults.resolve(InferenceOptions(model="published", device="cpu"))
    assert (options.model, options.detector) == (MODEL, "yolo")
    table = tmp_path / "people.parquet"
    words = ["scan", ASSETS / "bus.jpg", "-o", table, "--model", "published", "--engine", "torch"]
    out = mivolo(*words, "--device", "cpu", "-q")
    assert out.exit_code == 0, out.output
    import pyarrow.parquet as pq

    told = pq.read_schema(table).metadata
    assert told[b"mivolo.detector"] == b"yolo"
    assert told[b"mivolo.model_sha256"].decode() == registry.sha256(registry.find(MODEL))


def test_both_licences_are_shown_before_anything_is_downloaded(
    offered: Path, mivolo: Mivolo
) -> None:
    out = mivolo("weights", "fetch", "published")
    assert isinstance(out.exception, WeightsError) and "404" in str(out.exception)
    assert "Apache-2.0" in out.stdout and "AGPL-3.0" in out.stdout and "here:" not in out.stdout
    out = mivolo("weights", "fetch", "published", "--offline")
    assert isinstance(out.exception, WeightsError) and "offline" in str(out.exception)


def test_a_detector_with_code_in_it_is_refused(
    offered: Path, tiny_model: Path, mivolo: Mivolo
) -> None:
    (offered / "mivolo_v2.safetensors").write_bytes(tiny_model.read_bytes())
    torch.save({"model": os.system}, offered / "yolov8x_person_face.pt")
    out = mivolo("weights", "fetch", "published")
    assert isinstance(out.exception, WeightsError) and "system" in str(out.exception)
    assert registry.find(MODEL) and registry.locate(registry.get(DETECTOR)) is None


def test_the_published_detector_is_not_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "locate", lambda entry: Path(entry.file))
    boxes = Path("boxes.csv")
    for given, detector in (
        (InferenceOptions(), "yolo"),
        (InferenceOptions(detector="embedded"), "embedded"),
        (InferenceOptions(boxes=boxes), "given"),
    ):
        from dataclasses import replace

        chosen = defaults.resolve(replace(given, model="published", device="cpu"))
        assert (chosen.model, chosen.detector) == (MODEL, detector)
    alone = defaults.resolve(InferenceOptions(detector="published", device="cpu"))
    assert alone.detector == "yolo"


def test_the_names_that_published_means_are_registered() -> None:
    kinds = [registry.registry()[name].kind for name in registry.PUBLISHED]
    assert kinds == ["model", "detector"]
