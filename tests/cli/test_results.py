"""The commands that read results: what they print, and how options reach the verbs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.calls import keeping
from helpers.photos import save_photo
from helpers.tables import save_results
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli import export as exporting
from mivolo_cli import report as reporting
from mivolo_cli.records import (
    FIRST_COLUMNS,
    SCHEMA,
    Box,
    Failure,
    Person,
    Photo,
    Prediction,
    Result,
)
from mivolo_cli.tables import read_table

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
    assert "skipped because they could not be read: 1" in out.stdout
    out = mivolo("export", results, "--to", "coco", "-o", tmp_path / "c.json", "--replace", "-q")
    assert (out.exit_code, out.stdout) == (0, "")


def test_the_lines_that_import_a_fiftyone_set_can_be_copied(
    tmp_path: Path, mivolo: Mivolo, results: Path
) -> None:
    out = mivolo("export", results, "--to", "fiftyone", "-o", tmp_path / "f.json")
    assert "import fiftyone as fo" in out.stdout.splitlines()


def test_report_says_how_large_the_page_is(
    tmp_path: Path, mivolo: Mivolo, results: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(reporting.page, "_bundle", lambda: "")
    out = mivolo("report", results, "-o", tmp_path / "r.html", "--beside")
    assert out.exit_code == 0
    assert f"page: {tmp_path / 'r.html'} (0.1 MB), photos 2, people 1" in out.stdout
    assert f"pictures: {tmp_path / 'r_pictures'}" in out.stdout and "note:" not in out.stdout
    (tmp_path / "photos" / "a.jpg").unlink()
    out = mivolo("report", results, "-o", tmp_path / "r.html")
    assert "missing or have changed: 1" in out.stdout
    out = mivolo("report", results, "-o", tmp_path / "r.html", "--no-pictures", "-q")
    assert (out.exit_code, out.stdout) == (0, "")


@pytest.fixture(params=["parquet", "csv", "jsonl"])
def unsure(request: Any, tmp_path: Path) -> Path:
    """Two people on one photo, one of them with a score of 0.5, and one such on another photo."""
    root = str(tmp_path / "photos")
    sure, doubtful = (
        (Person(Box(1, 2, 30, 40, score), None, 5.0), Prediction(30, "male", 0.9, "face"))
        for score in (0.9, 0.5)
    )
    found = []
    for name, people in (("a.jpg", [sure, doubtful]), ("b.jpg", [doubtful])):
        save_photo(tmp_path / "photos" / name)
        found.append(Result(Photo(root, name), 80, 64, None, people))
    return save_results(tmp_path / f"people.{request.param}", found)


@pytest.mark.parametrize(("score", "people"), [(None, 3), ("0.5", 3), ("0.6", 1), ("0.95", 0)])
def test_export_leaves_out_who_scored_less(
    tmp_path: Path, mivolo: Mivolo, unsure: Path, score: str | None, people: int
) -> None:
    options = [] if score is None else ["--min-score", score]
    out = mivolo("export", unsure, "--to", "coco", "-o", tmp_path / "c.json", *options)
    assert out.exit_code == 0 and f"coco: photos 2, people {people}\n" in out.stdout
    written = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert len(written["images"]) == 2 and len(written["annotations"]) == people


@pytest.mark.parametrize(("score", "people"), [(None, 3), ("0.6", 1), ("0.95", 0)])
def test_report_leaves_out_who_scored_less(
    tmp_path: Path, mivolo: Mivolo, unsure: Path, monkeypatch: Any, score: str | None, people: int
) -> None:
    monkeypatch.setattr(reporting.page, "_bundle", lambda: "")
    options = [] if score is None else ["--min-score", score]
    out = mivolo("report", unsure, "-o", tmp_path / "r.html", *options)
    assert out.exit_code == 0 and f"photos 2, people {people}\n" in out.stdout


def without_roll(table: Path) -> Path:
    """The table as version 1 wrote it."""
    if table.suffix == ".parquet":
        metadata = {"mivolo.schema_version": "1"}
        old = read_table(table).drop_columns(["roll"]).replace_schema_metadata(metadata)
        pq.write_table(old, table)
        return table
    lines = table.read_text("utf-8").splitlines()
    if table.suffix == ".csv":
        place = SCHEMA.names.index("roll")
        fields = [line.split(",") for line in lines]
        older = [",".join(one[:place] + one[place + 1 :]) for one in fields]
    else:
        rows = map(json.loads, lines)
        older = [json.dumps({name: row[name] for name in FIRST_COLUMNS}) for row in rows]
    table.write_text("".join(f"{line}\n" for line in older), "utf-8")
    return table


def test_tables_of_version_1_are_accepted(
    tmp_path: Path, mivolo: Mivolo, unsure: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(reporting.page, "_bundle", lambda: "")
    old, before = without_roll(unsure), unsure.read_bytes()
    out = mivolo("export", old, "--to", "coco", "-o", tmp_path / "c.json", "--min-score", "0.6")
    assert out.exit_code == 0 and "coco: photos 2, people 1\n" in out.stdout
    out = mivolo("report", old, "-o", tmp_path / "r.html")
    assert out.exit_code == 0 and "photos 2, people 3\n" in out.stdout
    assert unsure.read_bytes() == before
    out = mivolo("tag", old, "--dry-run", "--json")
    assert out.exit_code == 0 and json.loads(out.stdout)["statuses"] == {"tagged": 2}


@pytest.mark.parametrize("score", ["-0.1", "1.5", "high"])
def test_a_score_is_between_0_and_1(mivolo: Mivolo, score: str) -> None:
    for command in (["export", "--to", "coco"], ["report"]):
        out = mivolo(*command, "p.csv", "-o", "o", "--min-score", score)
        assert out.exit_code == 2 and "--min-score" in out.output
    assert mivolo("tag", "p.csv", "--min-score", score).exit_code == 2


def test_every_option_of_export_reaches_it(mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    done = exporting.Exported((), 0, 0)
    monkeypatch.setattr(exporting, "export", keeping(asked, lambda _: done))
    arguments = ["--replace", "--thumbnails", "9", "--no-copy-photos", "--url", "u"]
    arguments += ["--min-score", "0.6", "--root", "/a"]
    assert mivolo("export", "p.csv", "--to", "yolo", "-o", "out", *arguments).exit_code == 0
    settings = exporting.Settings(copy_photos=False, thumbnails=9, url="u")
    options = exporting.ExportOptions
    assert asked == [options(Path("p.csv"), "yolo", Path("out"), True, settings, 0.6, ["/a"])]
    assert mivolo("export", "p.csv", "--to", "yolo", "-o", "out").exit_code == 0
    assert asked[1] == options(Path("p.csv"), "yolo", Path("out"))


def test_every_option_of_report_reaches_it(
    tmp_path: Path, mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    page = tmp_path / "r.html"
    page.touch()
    made = reporting.HtmlReport(page, None, 0, 0, 0, 0)
    monkeypatch.setattr(reporting, "report", keeping(asked, lambda *_: made))
    arguments = ["--title", "T", "--replace", "--beside", "--size", "99", "--workers", "3"]
    arguments += ["--min-score", "0.6", "--root", "/a"]
    assert mivolo("report", "p.csv", "-o", page, *arguments).exit_code == 0
    assert mivolo("report", "p.csv", "-o", page).exit_code == 0
    assert mivolo("report", "p.csv", "-o", page, "--no-pictures").exit_code == 0
    options = reporting.ReportOptions
    assert asked[:2] == [
        options(Path("p.csv"), page, "T", True, "beside", 99, 3, 0.6, ["/a"]),
        options(Path("p.csv"), page),
    ]
    assert asked[2].pictures == "none"
