"""Reading results back: photos and people as they were written."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from helpers.tables import save_results

from mivolo_cli.errors import BadInput
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result, stays_inside
from mivolo_cli.tables.results import read_results

PHOTO = Photo("/photos", "trip/a.jpg", 10, 20)
FACE, BODY = Box(10.5, 20, 30, 40, 0.9), Box(5, 10, 60, 200)
CONTENT = [
    Result(
        PHOTO,
        640,
        480,
        datetime(2020, 1, 31, 12, 5),
        [
            (Person(FACE, BODY), Prediction(33.5, "female", 0.97, "face+body", 28.0, 40.0)),
            (Person(None, BODY), None),
            (Person(FACE, None), Prediction(4.0, None, None, "face")),
        ],
    ),
    Result(Photo("/photos", "b.jpg"), 10, 20, None, []),
    Failure(Photo("/photos", "c.jpg", 0, 1), "empty", "the file is empty"),
    Result(Photo("/other", "b.jpg"), 30, 40, None, []),
]


def test_a_folder_without_results_is_no_empty_table(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(BadInput, match="folder without results"):
        read_results(tmp_path / "photos")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_results_come_back_as_they_were_written(tmp_path: Path, suffix: str) -> None:
    results = read_results(save_results(tmp_path / f"people{suffix}", CONTENT))
    assert list(results) == list(results) == CONTENT
    assert results.roots == ["/other", "/photos"]


def test_the_model_and_the_detector_are_known_where_the_format_keeps_them(tmp_path: Path) -> None:
    file = save_results(
        tmp_path / "people.parquet", CONTENT, model="m", detector="d", settings="{}"
    )
    assert read_results(file).made_by == {"model": "m", "detector": "d"}


def test_a_photo_in_two_batches_of_rows_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mivolo_cli.tables.stream.ROWS_AT_ONCE", 2)
    assert list(read_results(save_results(tmp_path / "people.csv", CONTENT))) == CONTENT


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("name,salary\nAda,1\n")
    with pytest.raises(BadInput, match="not a result table"):
        read_results(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("path", "inside"),
    [("a.jpg", True), ("a/b..c.jpg", True), ("a:b.jpg", True), ("../a.jpg", False),
     ("a/../../b.jpg", False),
     ("/etc/passwd", False), ("", False), ("a\\..\\b.jpg", False), ("\\\\host\\a.jpg", False),
     ("a\0.jpg", False)],
)  # fmt: skip
def test_paths_that_leave_their_folder_are_told(path: str, inside: bool) -> None:
    assert stays_inside(path) == inside
