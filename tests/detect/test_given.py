"""Tests of mivolo_cli.detect.given: the user's boxes reach the right photo, and a wrong table is
refused by its row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mivolo_cli.detect.given import GivenDetector
from mivolo_cli.detect.load import open_detector
from mivolo_cli.errors import BadInput
from mivolo_cli.model.registry import sha256
from mivolo_cli.records import Detections, Image, Photo

HEADER = "path,kind,x1,y1,x2,y2,score\n"
ROOT = "/photos"
POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")


def table(tmp_path: Path, text: str, name: str = "boxes.csv") -> Path:
    file = tmp_path / name
    file.write_text(text, "utf-8")
    return file


def answer(file: Path, path: str, root: str = ROOT) -> Detections:
    (found,) = GivenDetector(file).detect(
        [Image(Photo(root, path), np.zeros((60, 80, 3), np.uint8))]
    )
    return found


def parquet(tmp_path: Path, **columns: Any) -> Path:
    good: dict[str, Any] = {
        "path": ["a.jpg"],
        "kind": ["face"],
        "x1": [1],
        "y1": [2],
        "x2": [30],
        "y2": [40],
    }
    pq.write_table(pa.table({**good, **columns}), tmp_path / "boxes.parquet")
    return tmp_path / "boxes.parquet"


def test_boxes_come_as_they_were_given_best_first(tmp_path: Path) -> None:
    rows = "a.jpg,person,1,2,30,40,0.5\na.jpg,person,5.25,6,35,46,0.9\na.jpg,face,10,11,20,21,\n"
    found = answer(table(tmp_path, HEADER + rows), "a.jpg")
    assert found.persons.tolist() == [[5.25, 6, 35, 46], [1, 2, 30, 40]]
    assert found.person_scores.tolist() == [np.float32(0.9), 0.5]
    assert found.faces.tolist() == [[10, 11, 20, 21]]
    assert math.isnan(found.face_scores[0])


def test_scores_are_optional_and_other_columns_are_ignored(tmp_path: Path) -> None:
    found = answer(
        table(tmp_path, "who,y2,x2,y1,x1,kind,path\nme,40,30,2,1,Person,a.jpg\n"), "a.jpg"
    )
    assert found.persons.tolist() == [[1, 2, 30, 40]] and np.isnan(found.person_scores).all()


def test_a_photo_without_boxes_has_no_one(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "a.jpg,person,1,2,30,40,\n")
    for path in ("b.jpg", "x/a.jpg", "A.jpg"):
        found = answer(file, path)
        assert len(found.persons) == len(found.faces) == 0
    assert len(answer(table(tmp_path, HEADER), "a.jpg").persons) == 0


def test_equal_names_in_two_folders_never_meet(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "x/a.jpg,face,1,1,9,9,\ny/a.jpg,face,2,2,9,9,\n")
    assert [answer(file, path).faces.tolist()[0][0] for path in ("x/a.jpg", "y/a.jpg")] == [1, 2]


@pytest.mark.parametrize(
    "written", ["x/a.jpg", "./x/a.jpg", "x\\a.jpg", "/photos/x/a.jpg", "\\photos\\x\\a.jpg"]
)
def test_a_path_may_be_relative_or_absolute_with_either_slash(tmp_path: Path, written: str) -> None:
    file = table(tmp_path, f"{HEADER}{written},face,1,1,9,9,\n")
    assert len(answer(file, "x/a.jpg").faces) == 1
    assert len(answer(file, "x/a.jpg", root="/elsewhere").faces) == ("photos" not in written)


def test_a_backslash_in_a_name_is_kept_apart_from_a_folder(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + "x\\a.jpg,face,1,1,9,9,\nx/a.jpg,face,2,2,9,9,\n")
    assert answer(file, "x\\a.jpg").faces.tolist()[0][0] == 1
    assert answer(file, "x/a.jpg").faces.tolist()[0][0] == 2


def test_names_with_commas_quotes_newlines_and_bytes_are_found(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        HEADER + '"a,""b""\nc.jpg",face,1,1,9,9,\n\\xff.jpg,face,2,2,9,9,\n017,face,3,3,9,9,\n',
    )
    for path, x1 in (('a,"b"\nc.jpg', 1), ("\udcff.jpg", 2), ("017", 3)):
        assert answer(file, path).faces.tolist()[0][0] == x1


def test_boxes_are_clipped_and_dropped_when_outside(tmp_path: Path) -> None:
    found = answer(
        table(tmp_path, HEADER + "a.jpg,face,-5,-5,100,30,\na.jpg,person,90,5,99,50,\n"), "a.jpg"
    )
    assert found.faces.tolist() == [[0, 0, 80, 30]] and len(found.persons) == 0


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("separator", "end"), [(",", "\n"), (";", "\r\n"), ("\t", "\r\n"), (";", "\n")]
)
def test_tables_of_spreadsheets_are_read(
    tmp_path: Path, mark: str, separator: str, end: str
) -> None:
    point = "." if separator == "," else ","
    names = HEADER.strip().split(",")
    rows = [names, ["ä b.jpg", "face", *f"1{point}5 2 30{point}25 40 0{point}75".split()]]
    text = mark + end.join(separator.join(row) for row in [*rows, []])
    file = tmp_path / "boxes.csv"
    file.write_bytes(text.encode())
    found = answer(file, "ä b.jpg")
    assert found.faces.tolist() == [[1.5, 2, 30.25, 40]] and found.face_scores.tolist() == [0.75]


def test_quoted_decimal_commas_are_read(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + 'a.jpg,face,"1,5",2,30,40,"0,5"\n')
    assert answer(file, "a.jpg").faces.tolist() == [[1.5, 2, 30, 40]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("path;kind;x1;y1;x2;y2\na.jpg;face;1,250;2;3;4\n", "x1, row 1 .*may be a fraction"),
        ("path;kind;x1;y1;x2;y2\na.jpg;face;1.234,5;2;3;4\n", "x1 is '1.234,5', not a number"),
        ("path;kind;x1;y1;x2;y2\na.jpg;face;1,5;2.5;3;4\n", "y1 is '2.5', not a number"),
        ("path,kind,x1,y1,x2,y2,x1\na.jpg,face,1,2,3,4,5\n", "several columns x1"),
    ],
)
def test_numbers_of_two_meanings_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as error:
        GivenDetector(table(tmp_path, text))
    assert error.value.hint


def test_parquet_with_any_numbers_is_read(tmp_path: Path) -> None:
    score = pa.array([None], pa.float32())
    found = answer(
        parquet(tmp_path, x1=pa.array([1], pa.int8()), x2=pa.array(["30.5"]), score=score), "a.jpg"
    )
    assert found.faces.tolist() == [[1, 2, 30.5, 40]] and np.isnan(found.face_scores).all()


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("a.jpg,dog,1,1,9,9,", "row 2 .*kind is 'dog'"),
        (",face,1,1,9,9,", "row 2 .*path is empty"),
        ("a.jpg,face,1,one,9,9,", "row 2 .*y1 is 'one', not a number"),
        ("a.jpg,face,1,,9,9,", "row 2 .*y1 is '', not a number"),
        ("a.jpg,face,nan,1,9,9,", "row 2 .*x1 is 'nan', not a number"),
        ("a.jpg,face,1,1,inf,9,", "row 2 .*x2 is 'inf', not a number"),
        ("a.jpg,face,9,1,9,9,", r"row 2 .*x2 \(9\) is not right of x1 \(9\)"),
        ("a.jpg,face,1,9,9,1,", r"row 2 .*y2 \(1\) is not below y1 \(9\)"),
        ("a.jpg,face,1,1,9,9,high", "row 2 .*score is 'high', not a number"),
        ("a.jpg,face,1,1,9,9,98", "row 2 .*score is '98'"),
        ("a.jpg,face,1,1,9,9,-0.1", "row 2 .*score is '-0.1'"),
        ("a.jpg,face,1,1,1e308,9,", "row 2 .*x2 is '1e308', which is not a position"),
        ("a.jpg,face,-1e308,1,9,9,", "row 2 .*x1 is '-1e308', which is not a position"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, complaint: str) -> None:
    file = table(tmp_path, f"{HEADER}a.jpg,face,1,1,9,9,\n{row}\n")
    with pytest.raises(BadInput, match=complaint) as caught:
        GivenDetector(file)
    assert caught.value.hint and file.name in str(caught.value)


def test_a_missing_value_in_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="row 1 .*x1 is None"):
        GivenDetector(parquet(tmp_path, x1=pa.array([None], pa.int32())))
    with pytest.raises(BadInput, match="row 1 .*path is empty"):
        GivenDetector(parquet(tmp_path, path=pa.array([None], pa.string())))


def test_fractions_are_not_taken_for_pixels(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="within one pixel") as caught:
        GivenDetector(table(tmp_path, HEADER + "a.jpg,face,0.1,0.1,0.5,0.5,\n"))
    assert "width" in caught.value.hint


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for name, content in (
        ("boxes.txt", "x"),
        ("boxes.parquet", "x"),
        ("boxes.csv", ""),
        ("ragged.csv", "a,b\n1\n2,3,4\n"),
    ):
        with pytest.raises(BadInput, match=name):
            GivenDetector(table(tmp_path, content, name))
    with pytest.raises(BadInput, match="no such table of boxes: .*nothing.csv"):
        GivenDetector(tmp_path / "nothing.csv")


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column kind, y2") as caught:
        GivenDetector(table(tmp_path, "path,x1,y1,x2\na.jpg,1,2,3\n"))
    assert "person or face" in caught.value.hint


def test_the_hash_is_that_of_the_table(tmp_path: Path, notes: list[str]) -> None:
    file = table(tmp_path, HEADER)
    detector = open_detector("given", boxes=file)
    assert (detector.name, detector.sha256, notes) == ("given", sha256(file), [])


def test_a_face_may_have_points(tmp_path: Path) -> None:
    names = ",".join(f"{point}_{axis}" for point in POINTS for axis in "xy")
    none, some = "," * 10, ",1,2,3,4,5,6,7,8,9,10"
    rows = (
        f"a.jpg,face,1,2,30,40,0.5{none}\n"
        f"a.jpg,person,1,2,30,40,{none}\n"
        f"a.jpg,face,5,6,35,46,0.9{some}\n"
    )
    found = answer(table(tmp_path, f"path,kind,x1,y1,x2,y2,score,{names}\n{rows}"), "a.jpg")
    assert found.points[0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert np.isnan(found.points[1]).all()
    with pytest.raises(BadInput, match="no column left_eye_x"):
        GivenDetector(table(tmp_path, "path,kind,x1,y1,x2,y2,right_eye_x,right_eye_y\n"))
