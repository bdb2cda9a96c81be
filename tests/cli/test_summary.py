"""`mivolo summary`: tables to read, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from helpers.calls import keeping
from helpers.tables import save_results
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.cli import text
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.tables import summary

Mivolo = Callable[..., Outcome]
FACE = Person(Box(1, 2, 30, 40, 0.9), None)


@pytest.fixture
def mivolo() -> Mivolo:
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    man, girl = (
        (FACE, Prediction(age, gender, 0.9, "face"))
        for age, gender in ((70, "male"), (3, "female"))
    )
    found: list[Any] = [
        Result(Photo("/p", "a.jpg"), 9, 9, datetime(2015, 5, 4), [man, girl, (FACE, None)]),
        Result(Photo("/p", "trip\x1b[2J/b.jpg"), 9, 9, datetime(2016, 1, 1), [girl]),
        Result(Photo("/p", "trip\x1b[2J/c.jpg"), 9, 9),
        Failure(Photo("/p", "旅行/d.jpg"), "empty", "empty"),
    ]
    return save_results(tmp_path / "people.parquet", found)


def test_a_table_for_each_kind_of_part(mivolo: Mivolo, results: Path) -> None:
    out = mivolo("summary", results)
    assert out.exit_code == 0, (out.output, out.exception)
    assert out.stdout.splitlines() == [
        "year     photos  people  female  male  0-4  5-14  15-29  30-44  45-64  65+",
        "2015          1       2       1     1    1     0      0      0      0    1",
        "2016          1       1       1     0    1     0      0      0      0    0",
        "unknown       2       0       0     0    0     0      0      0      0    0",
        "all           4       3       2     1    2     0      0      0      0    1",
        "",
        "month    photos  people  female  male  0-4  5-14  15-29  30-44  45-64  65+",
        "2015-05       1       2       1     1    1     0      0      0      0    1",
        "2016-01       1       1       1     0    1     0      0      0      0    0",
        "unknown       2       0       0     0    0     0      0      0      0    0",
        "all           4       3       2     1    2     0      0      0      0    1",
        "",
        "folder       photos  people  female  male  0-4  5-14  15-29  30-44  45-64  65+",
        ".                 1       2       1     1    1     0      0      0      0    1",
        "trip\\x1b[2J       2       1       1     0    1     0      0      0      0    0",
        "旅行              1       0       0     0    0     0      0      0      0    0",
        "all               4       3       2     1    2     0      0      0      0    1",
        "",
        "photos: 4, without people 1, unreadable 1",
        "judged people: 3, not judged 1",
        "Ages are how old people look; they are least reliable under 5 and over 65.",
    ]


def test_columns_of_what_is_unknown_appear_where_somebody_is_in_them(
    tmp_path: Path, mivolo: Mivolo
) -> None:
    somebody = (FACE, Prediction(None, None, None, "body", 20.0, 60.0))
    file = save_results(tmp_path / "people.csv", [Result(Photo("/p", "a"), 9, 9, None, [somebody])])
    head, line, *_ = mivolo("summary", file, "--by", "folder").stdout.splitlines()
    assert "male  no gender  0-4" in head and head.endswith("65+  no age")
    assert line.split() == [".", "1", "1", "0", "0", "1", *"000000", "1"]


def test_json_has_everything_by_year_month_and_folder(mivolo: Mivolo, results: Path) -> None:
    said = json.loads(mivolo("summary", results, "--json").stdout)
    assert (said["photos"], said["people"], said["not_judged"]) == (4, 3, 1)
    assert (said["no_people"], said["unreadable"]) == (1, 1)
    assert said["genders"] == {"female": 2, "male": 1, "unknown": 0}
    assert said["ages"]["0-4"] == 2 and sum(said["ages"].values()) == 3
    assert [(part["year"], part["people"]) for part in said["by_year"]] == [
        (2015, 2), (2016, 1), (None, 0),
    ]  # fmt: skip
    assert [part["month"] for part in said["by_month"]] == ["2015-05", "2016-01", None]
    assert [(part["root"], part["folder"], part["photos"]) for part in said["by_folder"]] == [
        ("/p", ".", 1), ("/p", "trip\x1b[2J", 2), ("/p", "旅行", 1),
    ]  # fmt: skip
    assert said["by_folder"][0]["ages"]["65+"] == 1
    one = json.loads(mivolo("summary", results, "--json", "--by", "month").stdout)
    assert set(said) - set(one) == {"by_year", "by_folder"}


def test_an_empty_table_has_no_parts(tmp_path: Path, mivolo: Mivolo) -> None:
    out = mivolo("summary", save_results(tmp_path / "people.parquet", []))
    assert out.exit_code == 0 and out.stdout == "photos: 0\njudged people: 0\n"
    assert mivolo("summary", tmp_path / "people.parquet", "--quiet").stdout == ""


def test_every_option_of_summary_reaches_it(
    tmp_path: Path, mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    kept = keeping(asked, lambda *_: summary.Summary())
    monkeypatch.setattr(summary, "summarise", lambda *given: kept(given))
    log = tmp_path / "s.log"
    line = ["p.csv", "--by", "year", "--min-score", "0.6", "--quiet", "--log", log]
    assert mivolo("summary", *line).exit_code == 0
    assert asked == [(Path("p.csv"), 0.6)]
    assert '"event": "summary"' in log.read_text()


def test_columns_stand_below_each_other_in_every_script() -> None:
    lines = text.aligned([["a", "1"], ["\u65e5\u672c", "22"], ["e\u0301te", "3"]])
    assert lines == ["a      1", "\u65e5\u672c  22", "e\u0301te    3"]
