"""The commands that read results: what they print, and how options reach the verbs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.calls import keeping
from helpers.photos import save_photo
from helpers.tables import save_results
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli import export as exporting
from mivolo_cli import report as reporting
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result

Mivolo = Callable[..., Outcome]


@pytest.fixture
def mivolo() -> Mivolo:
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    save_photo(tmp_path / "photos" / "a.jpg")
    root = str(tmp_path / "photos")
    people = [(Person(Box(1, 2, 30, 40), None), Prediction(30, "male", 0.9, "face"))]
    found = [
        Result(Photo(root, "a.jpg"), 80, 64, None, people),
        Failure(Photo(root, "b.jpg"), "empty", "empty"),
    ]
    return save_results(tmp_path / "people.parquet", found)


def test_export_says_what_was_written(tmp_path: Path, mivolo: Mivolo, results: Path) -> None:
    out = mivolo("export", results, "--to", "coco", "-o", tmp_path / "c.json")
    assert out.exit_code == 0
    assert (
        "coco: photos 1, people 1" in out.stdout and f"written: {tmp_path / 'c.json'}" in out.stdout
    )
    assert "left out because they could not be read: 1" in out.stdout
    out = mivolo("export", results, "--to", "coco", "-o", tmp_path / "c.json", "--replace", "-q")
    assert (out.exit_code, out.stdout) == (0, "")


def test_report_says_how_large_the_page_is(
    tmp_path: Path, mivolo: Mivolo, results: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(reporting.page, "_bundle", lambda: "")
    out = mivolo("report", results, "-o", tmp_path / "r.html", "--beside")
    assert out.exit_code == 0
    assert f"page: {tmp_path / 'r.html'} (0.0 MB), photos 2, people 1" in out.stdout
    assert f"pictures: {tmp_path / 'r_pictures'}" in out.stdout and "note:" not in out.stdout
    (tmp_path / "photos" / "a.jpg").unlink()
    out = mivolo("report", results, "-o", tmp_path / "r.html")
    assert "not where they were scanned: 1" in out.stdout
    out = mivolo("report", results, "-o", tmp_path / "r.html", "--no-pictures", "-q")
    assert (out.exit_code, out.stdout) == (0, "")


def test_every_option_of_export_reaches_it(mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    done = exporting.Exported((), 0, 0)
    monkeypatch.setattr(exporting, "export", keeping(asked, lambda _: done))
    arguments = ["--replace", "--thumbnails", "9", "--no-copy-photos", "--url", "u"]
    assert mivolo("export", "p.csv", "--to", "yolo", "-o", "out", *arguments).exit_code == 0
    settings = exporting.Settings(copy_photos=False, thumbnails=9, url="u")
    assert asked == [exporting.ExportOptions(Path("p.csv"), "yolo", Path("out"), True, settings)]
    assert mivolo("export", "p.csv", "--to", "yolo", "-o", "out").exit_code == 0
    assert asked[1] == exporting.ExportOptions(Path("p.csv"), "yolo", Path("out"))


def test_every_option_of_report_reaches_it(
    tmp_path: Path, mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    page = tmp_path / "r.html"
    page.touch()
    made = reporting.HtmlReport(page, None, 0, 0, 0)
    monkeypatch.setattr(reporting, "report", keeping(asked, lambda *_: made))
    arguments = ["--title", "T", "--replace", "--beside", "--size", "99", "--workers", "3"]
    assert mivolo("report", "p.csv", "-o", page, *arguments).exit_code == 0
    assert mivolo("report", "p.csv", "-o", page).exit_code == 0
    assert mivolo("report", "p.csv", "-o", page, "--no-pictures").exit_code == 0
    options = reporting.ReportOptions
    assert asked[:2] == [
        options(Path("p.csv"), page, "T", True, "beside", 99, 3),
        options(Path("p.csv"), page),
    ]
    assert asked[2].pictures == "none"
