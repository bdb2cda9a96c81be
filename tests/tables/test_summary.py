"""Counts of photos and people, by year, month and folder, from tables of every format."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.tables import save_results

from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.tables import parquet, stream
from mivolo_cli.tables.summary import BANDS, Counts, Summary, band, summarise

FACE = Person(Box(1, 2, 30, 40, 0.9), None)
DOUBTFUL = Person(Box(1, 2, 30, 40, 0.4), Box(0, 0, 50, 60, 0.9))
ROOT = "/photos"


def person(age: float | None, gender: str | None, who: Person = FACE) -> tuple[Person, Prediction]:
    return who, Prediction(age, gender, 0.9 if gender else None, "face")


def album(root: str = ROOT) -> list[Any]:
    """Two people in 2015, three in 2016 of whom one is doubtful and one not judged, and others of
    unknown time."""
    return [
        Result(
            Photo(root, "a.jpg"), 9, 9, datetime(2015, 12, 31, 23, 59),
            [person(4.4, "male"), person(4.6, "female")],
        ),
        Result(
            Photo(root, "trip/b.jpg"), 9, 9, datetime(2016, 1, 1),
            [person(70, "male", DOUBTFUL), (FACE, None)],
        ),
        Result(Photo(root, "trip/c.jpg"), 9, 9, datetime(2016, 5, 4), [person(None, None)]),
        Result(Photo(root, "trip/north/d.jpg"), 9, 9),
        Failure(Photo(root, "trip-2/e.jpg"), "empty", "empty"),
    ]  # fmt: skip


def counts(
    photos: int, people: int, genders: tuple[int, ...], ages: dict[str, int], **others: Any
) -> Counts:
    expected = Counts(photos, people=people, **others)
    expected.genders = dict(zip(("female", "male", "unknown"), genders, strict=True))
    expected.ages |= ages
    return expected


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ""])
def test_photos_and_judged_people_are_counted(tmp_path: Path, suffix: str) -> None:
    found = summarise(save_results(tmp_path / f"people{suffix}", album()))
    first = counts(1, 2, (1, 1, 0), {"0-4": 1, "5-14": 1})
    january = counts(1, 1, (0, 1, 0), {"65+": 1}, not_judged=1)
    may = counts(1, 1, (0, 0, 1), {"unknown": 1})
    rest = counts(2, 0, (0, 0, 0), {}, no_people=1, unreadable=1)
    both = counts(2, 2, (0, 1, 1), {"65+": 1, "unknown": 1}, not_judged=1)
    assert list(found.by_year()) == [(2015, first), (2016, both), (None, rest)]
    months = [("2015-12", first), ("2016-01", january), ("2016-05", may), (None, rest)]
    assert list(found.by_month()) == months
    assert list(found.by_folder()) == [
        ((ROOT, "."), first),
        ((ROOT, "trip"), both),
        ((ROOT, "trip/north"), counts(1, 0, (0, 0, 0), {}, no_people=1)),
        ((ROOT, "trip-2"), counts(1, 0, (0, 0, 0), {}, unreadable=1)),
    ]
    assert (found.all.photos, found.all.people, found.all.not_judged) == (5, 4, 1)


def test_people_who_scored_less_are_left_out(tmp_path: Path) -> None:
    found = summarise(save_results(tmp_path / "people.parquet", album()), 0.5)
    assert (found.all.people, found.all.not_judged, found.all.no_people) == (3, 1, 1)
    found = summarise(save_results(tmp_path / "people.parquet", album()), 0.95)
    assert (found.all.people, found.all.not_judged, found.all.no_people) == (0, 0, 4)


@pytest.mark.parametrize(
    ("age", "name"),
    [(0, "0-4"), (4.49, "0-4"), (4.5, "5-14"), (14.4999, "5-14"), (29.5, "30-44"), (64.4, "45-64"),
     (64.5, "65+"), (122, "65+"), (200, "65+"), (None, "unknown")],
)  # fmt: skip
def test_ages_are_rounded_as_they_are_shown(age: float | None, name: str) -> None:
    assert band(age) == name


def test_bands_are_those_of_eval() -> None:
    from mivolo_cli.evaluation import metrics

    assert [low for low, _ in BANDS] == [low for low, _ in metrics.BANDS]


def test_folders_of_several_roots_have_whole_names() -> None:
    summary = Summary()
    for root, path in (("/a", "x.jpg"), ("/b", "trip/y.jpg"), ("s3://c", "z.jpg"), ("/", "w.jpg")):
        summary.add([{"status": "no_people", "taken_at": None, "root": root, "path": path}
                     | dict.fromkeys(("face_score", "body_score"))])  # fmt: skip
    assert [name for name, _ in summary.named_folders()] == ["/", "/a", "/b/trip", "s3://c"]


def test_a_photo_in_two_pieces_of_a_table_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(stream, "read_table", lambda path: pytest.fail("read at once"))
    assert summarise(save_results(tmp_path / "people.parquet", album())).all.photos == 5


def test_tables_that_were_sorted_are_counted_too(tmp_path: Path) -> None:
    file = save_results(tmp_path / "people.parquet", album())
    pq.write_table(pq.read_table(file).sort_by([("age", "descending")]), file)
    found = summarise(file).all
    assert (found.photos, found.people) == (5, 4)
