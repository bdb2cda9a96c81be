"""The schema of the results, and the rows that photos become."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mivolo_cli.records import (
    FIRST_COLUMNS,
    SCHEMA,
    SCHEMA_VERSION,
    Box,
    Detections,
    Failure,
    Image,
    Person,
    Photo,
    Prediction,
    Result,
    from_rows,
    rows,
    text,
)

PHOTO = Photo("/photos", "trip/a.jpg", 1234, 5678)
FILE_COLUMNS = {"path": "trip/a.jpg", "root": "/photos", "bytes": 1234, "mtime_ns": 5678}
TAKEN = datetime(2020, 1, 31, 12, 0)
FACE = Box(1.5, 2.25, 30.0, 40.0, float(np.float32(0.9)))
BODY = Box(0.0, 0.0, float(np.float32(63.4)), 99.0)
SURE = Prediction(
    float(np.float32(31.4)), "female", float(np.float32(0.97)), "face+body", 25.5, 38.0
)


def test_the_schema_is_that_of_version_2() -> None:
    assert SCHEMA_VERSION == "2"
    assert SCHEMA.names == [
        *("path", "root", "bytes", "mtime_ns", "width", "height", "taken_at"),
        *("person", "used", "age", "age_low", "age_high", "gender", "gender_score"),
        "roll",
        *("face_x1", "face_y1", "face_x2", "face_y2", "face_score"),
        *("body_x1", "body_y1", "body_x2", "body_y2", "body_score"),
        *("status", "error", "message"),
    ]
    assert [name for name in SCHEMA.names if name != "roll"] == FIRST_COLUMNS, "version 1"
    assert [field.name for field in SCHEMA if not field.nullable] == ["path", "root", "status"]
    assert SCHEMA.field("taken_at").type == pa.timestamp("ms")
    assert SCHEMA.field("mtime_ns").type == pa.int64()


def test_a_person_fills_every_column_that_is_not_about_errors() -> None:
    (row,) = rows(
        Result(PHOTO, 64, 100, TAKEN, [(Person(FACE, BODY, float(np.float32(-12.3))), SURE)])
    )
    assert row == FILE_COLUMNS | {
        "width": 64,
        "height": 100,
        "taken_at": TAKEN,
        "person": 0,
        "used": "face+body",
        "age": 31.4,
        "age_low": 25.5,
        "age_high": 38.0,
        "gender": "female",
        "gender_score": 0.97,
        "roll": -12.3,
        "face_x1": 1.5,
        "face_y1": 2.25,
        "face_x2": 30.0,
        "face_y2": 40.0,
        "face_score": 0.9,
        "body_x1": 0.0,
        "body_y1": 0.0,
        "body_x2": 63.4,
        "body_y2": 99.0,
        "body_score": None,
        "status": "ok",
        "error": None,
        "message": None,
    }
    assert list(row) == SCHEMA.names


def test_a_photo_without_people_has_one_row() -> None:
    (row,) = rows(Result(PHOTO, 64, 100))
    filled = {name: value for name, value in row.items() if value is not None}
    assert filled == FILE_COLUMNS | {"width": 64, "height": 100, "status": "no_people"}
    assert list(row) == SCHEMA.names


def test_a_person_without_a_usable_crop_keeps_its_boxes_and_its_number() -> None:
    _, row = rows(
        Result(PHOTO, 64, 100, None, [(Person(FACE, None), SURE), (Person(None, BODY), None)])
    )
    filled = {name: value for name, value in row.items() if value is not None}
    boxes = {"body_x1": 0.0, "body_y1": 0.0, "body_x2": 63.4, "body_y2": 99.0}
    assert filled == FILE_COLUMNS | boxes | {
        "width": 64,
        "height": 100,
        "person": 1,
        "status": "no_usable_crop",
    }


def test_a_failure_says_what_was_wrong_and_nothing_about_a_picture() -> None:
    (row,) = rows(Failure(Photo("/photos", "b.jpg"), "corrupt", "the file is damaged"))
    filled = {name: value for name, value in row.items() if value is not None}
    assert filled == {
        "path": "b.jpg",
        "root": "/photos",
        "status": "error",
        "error": "corrupt",
        "message": "the file is damaged",
    }
    assert list(row) == SCHEMA.names


def test_a_model_of_age_only_leaves_gender_empty() -> None:
    (row,) = rows(
        Result(PHOTO, 64, 100, None, [(Person(FACE, None), Prediction(40.0, None, None, "face"))])
    )
    assert (row["status"], row["age"], row["gender"], row["gender_score"], row["age_low"]) == (
        "ok",
        40,
        None,
        None,
        None,
    )


def test_rows_of_every_kind_fit_the_schema() -> None:
    people = [(Person(FACE, BODY), SURE), (Person(None, BODY), None)]
    found = [
        *rows(Result(PHOTO, 64, 100, TAKEN, people)),
        *rows(Result(PHOTO, 1, 1)),
        *rows(Failure(PHOTO, "a", "b")),
    ]
    table = pa.Table.from_pylist(found, schema=SCHEMA)
    table.validate(full=True)
    assert table["status"].to_pylist() == ["ok", "no_usable_crop", "no_people", "error"]


@pytest.mark.parametrize("value", [0.4, 31.4, 1 / 3, 1e-7, 123456.7, 0.0])
def test_floats_are_the_shortest_that_mean_the_same_float32(value: float) -> None:
    single = np.float32(value)
    (row,) = rows(
        Result(
            PHOTO, 1, 1, None, [(Person(FACE, None), Prediction(float(single), None, None, "face"))]
        )
    )
    assert np.float32(row["age"]) == single
    assert repr(row["age"]) == repr(float(str(single))) and len(repr(row["age"])) <= len(
        repr(float(single))
    )


@pytest.mark.parametrize(
    "result",
    [
        Failure(Photo("/r", "a.jpg", 0, 1), "empty", "the file is empty"),
        Result(Photo("/r", "a.jpg"), 10, 20, people=[]),
        Result(
            Photo("/r", "a.jpg", 1, 2),
            *(10, 20, datetime(2020, 1, 31)),
            [
                (
                    Person(Box(1, 2, 3, 4, 0.5), Box(0, 0, 9, 9), -170.5),
                    Prediction(33.5, "female", 0.75, "face+body", 28.0, 40.0),
                ),
                (Person(None, Box(0, 0, 9, 9, 0.25)), None),
                (Person(Box(1, 2, 3, 4), None, 0.0), Prediction(4.0, None, None, "face")),
            ],
        ),
    ],
)
def test_rows_are_read_back_as_what_they_were_made_from(result: Result | Failure) -> None:
    assert from_rows(list(rows(result))) == result


def test_names_that_are_not_utf8_are_written_in_escapes() -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (row,) = rows(Failure(Photo("/photos", name), "missing", f"there is no {name}"))
    assert row["path"] == r"caf\xe9.jpg"
    assert row["message"] == r"there is no caf\xe9.jpg"
    row["path"].encode("utf-8")
    assert text("Köln/日本.jpg") == "Köln/日本.jpg"


def test_a_photo_knows_its_file_and_an_image_its_size() -> None:
    assert PHOTO.file == Path("/photos/trip/a.jpg")
    image = Image(PHOTO, np.zeros((3, 5, 3), np.uint8))
    assert (image.width, image.height) == (5, 3)


def test_detections_become_boxes_in_order_and_unknown_scores_none() -> None:
    found = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    scores = np.array([0.5, np.nan], np.float32)
    assert Detections.boxes(found, scores) == [Box(1, 2, 3, 4, 0.5), Box(5, 6, 7, 8, None)]


def test_detections_without_points_have_unknown_ones() -> None:
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    two = np.zeros((2, 4), np.float32), np.zeros(2, np.float32)
    found = Detections(*none, *two)
    assert found.points.shape == (2, 5, 2) and np.isnan(found.points).all()
    assert found.pairable is None and Detections(*two, *none).points.shape == (0, 5, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"points": np.zeros((1, 5, 2), np.float32)},
        {"points": np.zeros((2, 10), np.float32)},
        {"points": np.zeros((2, 5, 2), np.float64)},
        {"pairable": np.ones((2, 1), bool)},
    ],
)
def test_points_and_pairs_of_another_shape_are_refused(wrong: dict[str, Any]) -> None:
    one, two = ((np.zeros((count, 4), np.float32), np.zeros(count, np.float32)) for count in (1, 2))
    right: dict[str, Any] = {
        "points": np.zeros((2, 5, 2), np.float32),
        "pairable": np.ones((1, 2), bool),
    }
    Detections(*one, *two, **right)
    with pytest.raises(ValueError, match="points|pairable"):
        Detections(*one, *two, **(right | wrong))


@pytest.mark.parametrize(
    "boxes, scores",
    [
        (np.zeros((2, 4), np.float64), np.zeros(2, np.float32)),
        (np.zeros((2, 5), np.float32), np.zeros(2, np.float32)),
        (np.zeros(4, np.float32), np.zeros(1, np.float32)),
        (np.zeros((2, 4), np.float32), np.zeros(3, np.float32)),
        (np.zeros((2, 4), np.float32), np.zeros(2, np.float64)),
    ],
)
def test_detections_of_another_shape_or_type_are_refused(
    boxes: np.ndarray, scores: np.ndarray
) -> None:
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    with pytest.raises(ValueError, match=r"boxes"):
        Detections(boxes, scores, *none)
    with pytest.raises(ValueError, match=r"boxes"):
        Detections(*none, boxes, scores)
