"""People of whom the detector was not sure are left out of a table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from mivolo_cli.records import SCHEMA, Box, Failure, Person, Photo, Prediction, Result, rows
from mivolo_cli.tables.scores import with_min_score

ROOT = "/photos"
GUESS = Prediction(30.0, "female", 0.75, "face", 20.0, 40.0)


def face(score: float | None) -> Person:
    return Person(Box(1, 2, 30, 40, score), None, 12.5)


def body(score: float | None) -> Person:
    return Person(None, Box(1, 2, 30, 40, score))


def both(face_score: float, body_score: float) -> Person:
    return Person(Box(1, 2, 30, 40, face_score), Box(0, 0, 50, 60, body_score), -5.0)


def table(*results: Result | Failure, metadata: dict[str, str] | None = None) -> pa.Table:
    made = pa.Table.from_pylist([row for one in results for row in rows(one)], schema=SCHEMA)
    return made.replace_schema_metadata(metadata)


def photo(name: str, *people: Person, root: str = ROOT) -> Result:
    return Result(Photo(root, name, 5, 6), 80, 64, people=[(person, GUESS) for person in people])


def left(results: list[Result | Failure], min_score: float) -> list[tuple[Any, ...]]:
    """Path, number of the person and status of the rows that stay."""
    found = with_min_score(table(*results), min_score)
    found.validate(full=True)
    assert found.schema.equals(SCHEMA)
    return [(row["path"], row["person"], row["status"]) for row in found.to_pylist()]


def test_faces_decide_and_bodies_where_there_is_no_face() -> None:
    people = [face(0.5), face(0.9), body(0.5), body(0.9), both(0.9, 0.5), both(0.5, 0.9)]
    assert left([photo("a.jpg", *people)], 0.7) == [("a.jpg", n, "ok") for n in (1, 3, 4)]


def test_a_score_that_is_just_reached_is_enough() -> None:
    assert left([photo("a.jpg", face(0.75), face(0.74))], 0.75) == [("a.jpg", 0, "ok")]


def test_a_photo_that_loses_everybody_keeps_one_row_as_one_without_people() -> None:
    lost, other = photo("a.jpg", both(0.5, 0.9), body(0.25), face(0.6)), photo("b.jpg", face(0.9))
    found = with_min_score(table(lost, other), 0.7).to_pylist()
    nobody = table(photo("a.jpg"), other).to_pylist()
    assert found == nobody and nobody[0]["status"] == "no_people"


def test_boxes_that_were_given_stay() -> None:
    given = [face(None), body(None), face(0.1)]
    assert left([photo("a.jpg", *given)], 1.0) == [("a.jpg", 0, "ok"), ("a.jpg", 1, "ok")]


def test_errors_and_photos_without_people_stay() -> None:
    results: list[Result | Failure] = [
        Failure(Photo(ROOT, "a.jpg"), "empty", "the file is empty"),
        photo("b.jpg"),
        photo("c.jpg", face(0.1)),
    ]
    before = table(*results).to_pylist()
    found = with_min_score(table(*results), 0.5).to_pylist()
    assert found[:2] == before[:2]
    assert [row["status"] for row in found] == ["error", "no_people", "no_people"]


def test_photos_of_one_name_in_two_folders_are_two() -> None:
    results = [photo("a.jpg", face(0.1), root="/one"), photo("a.jpg", face(0.9), root="/two")]
    assert left([*results], 0.5) == [("a.jpg", None, "no_people"), ("a.jpg", 0, "ok")]


@pytest.mark.parametrize("metadata", [None, {"mivolo.model": "mivolo-xs"}])
def test_with_no_threshold_everything_stays(metadata: dict[str, str] | None) -> None:
    before = table(photo("a.jpg", face(0.0), body(0.0)), photo("b.jpg"), metadata=metadata)
    after = with_min_score(before, 0.0)
    assert after.equals(before) and after.schema.metadata == before.schema.metadata


def test_a_table_of_many_parts_or_without_rows_is_no_exception() -> None:
    parts = [photo(f"{number}.jpg", face(number / 10), face(0.1)) for number in range(8)]
    chunked = pa.concat_tables([table(part) for part in parts])
    assert chunked["path"].num_chunks == 8
    found = with_min_score(chunked, 0.5).to_pylist()
    assert found == with_min_score(table(*parts), 0.5).to_pylist()
    assert [row["status"] for row in found] == ["no_people"] * 5 + ["ok"] * 3
    empty = SCHEMA.empty_table()
    assert with_min_score(empty, 0.5).equals(empty)
