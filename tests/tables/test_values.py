"""Tests of mivolo_cli.tables.values: tables that other programs have written again."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.tables import save_results

from mivolo_cli.errors import BadInput
from mivolo_cli.records import SCHEMA, Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.tables import read_table

MTIME = 1_620_123_072_123_456_789
SUFFIXES = (".csv", ".jsonl", ".parquet")


def results() -> list[Result | Failure]:
    """Two people on one photo, a photo without people, and one that could not be read."""
    left = Person(Box(1, 2, 30.25, 40, 0.5), Box(0, 0, 60, 64, 0.75), -12.5)
    right = Person(Box(40, 3, 70.125, 41), None)
    people = [
        (left, Prediction(34.1, "female", 0.98, "face+body", 30.5, 40.25)),
        (right, Prediction(61.0, "male", 0.75, "face")),
    ]
    taken = datetime(2021, 5, 4, 10, 11, 12)
    return [
        Result(Photo("/ro ot", "a,ü.jpg", 1234, MTIME), 80, 64, taken, people),
        Result(Photo("/ro ot", "b.jpg", 99, 1_700_000_000 * 10**9), 80, 64),
        Failure(Photo("/ro ot", "c.jpg"), "truncated", "cut"),
    ]


def without_time(file: Path) -> list[dict[str, Any]]:
    """The rows, an empty text being the same as none, and files' times to a second."""
    return [
        {
            name: None if value == "" else value // 10**9 if name == "mtime_ns" and value else value
            for name, value in row.items()
        }
        for row in read_table(file).to_pylist()
    ]


def rewritten(folder: Path, suffix: str, **changed: Any) -> Path:
    """A table of the results, with other values in the first row."""
    file = save_results(folder / f"people{suffix}", results())
    rows = pq.read_table(file).to_pylist() if suffix == ".parquet" else _rows(file)
    rows[0] |= changed
    if suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, SCHEMA.names)
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        types = {name: pa.array([changed[name]]).type for name in changed}
        fields = [pa.field(field.name, types.get(field.name, field.type)) for field in SCHEMA]
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), file)
    return file


def _rows(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


# --- what is read ---


@pytest.mark.parametrize(
    ("suffix", "dates"),
    [(".csv", None), (".jsonl", "epoch"), (".jsonl", "iso"), (".parquet", None)],
)
@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
def test_pandas_may_write_a_table_again(tmp_path: Path, suffix: str, dates: str | None) -> None:
    file = save_results(tmp_path / f"people{suffix}", results())
    expected = without_time(file)
    if suffix == ".csv":
        frame = pd.read_csv(file)
        frame.to_csv(file)  # with an index
        assert "1.620123072123456" in file.read_text("utf-8")  # floats for whole numbers
    elif suffix == ".jsonl":
        frame = pd.read_json(file, lines=True)
        frame.to_json(file, orient="records", lines=True, date_format=dates)
    else:
        pd.read_parquet(file).to_parquet(file)
    assert without_time(file) == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_polars_may_write_a_table_again(tmp_path: Path, suffix: str) -> None:
    file = save_results(tmp_path / f"people{suffix}", results())
    expected = without_time(file)
    if suffix == ".csv":
        pl.read_csv(file, try_parse_dates=True).write_csv(file)
    elif suffix == ".jsonl":
        pl.read_ndjson(file).write_ndjson(file)
    else:
        frame = pl.read_parquet(file)
        frame.with_columns(pl.col("age", "bytes", "person").cast(float).fill_null(float("nan")))
        frame.write_parquet(file)
    assert without_time(file) == expected


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_spreadsheet_with_decimal_commas_is_read(
    tmp_path: Path, separator: str, mark: str
) -> None:
    file = save_results(tmp_path / "people.csv", results())
    expected = without_time(file)
    texts = ("path", "root", "status", "error", "message", "gender", "used", "taken_at")
    rows = [
        {name: value if name in texts else value.replace(".", ",") for name, value in row.items()}
        for row in _rows(file)
    ]
    for row in rows:
        row["taken_at"] = row["taken_at"] and "04.05.2021 10:11:12"
        row["mtime_ns"] = row["mtime_ns"] and f"{int(row['mtime_ns']):.14E}".replace(".", ",")
    with file.open("w", newline="", encoding="utf-8") as opened:
        opened.write(mark)
        writer = csv.DictWriter(opened, SCHEMA.names, delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    assert without_time(file) == expected


def test_rows_that_were_sorted_come_back_to_their_photos(tmp_path: Path) -> None:
    file = save_results(tmp_path / "people.csv", results())
    expected = read_table(file).to_pylist()
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    frame.iloc[[1, 2, 0, 3]].to_csv(file, index=False)
    assert [row["path"] for row in read_table(file).to_pylist()] == [
        *("a,ü.jpg", "a,ü.jpg", "b.jpg", "c.jpg")
    ]
    assert without_time(file)[:2] == [
        row | {"mtime_ns": row["mtime_ns"] // 10**9} for row in expected[:2]
    ]


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        *(("age", nothing, None) for nothing in ("NaN", "nan", "NA", "<NA>", "None", "#N/A", " ")),
        ("bytes", "1234.0", 1234),
        ("bytes", " 1234 ", 1234),
        ("person", "0.0", 0),
        ("mtime_ns", "1.7e+18", 1_700_000_000 * 10**9),  # as pandas writes a whole second
        ("mtime_ns", "1.62012307212346E+18", 1_620_123_072_123_460_000),  # as LibreOffice does
        ("age", "3.41e1", 34.1),
        ("taken_at", "2021-05-04 10:11:12", datetime(2021, 5, 4, 10, 11, 12)),
        ("taken_at", "2021-05-04 10:11:12.000000", datetime(2021, 5, 4, 10, 11, 12)),
        ("taken_at", "2021-05-04T10:11:12Z", datetime(2021, 5, 4, 10, 11, 12)),
        ("taken_at", "2021/05/04 10:11", datetime(2021, 5, 4, 10, 11)),
        ("taken_at", "2021-05-04", datetime(2021, 5, 4)),
        ("taken_at", "04.05.2021 10:11", datetime(2021, 5, 4, 10, 11)),
        ("taken_at", "NaT", None),
    ],
)
def test_one_meaning_is_read(tmp_path: Path, column: str, text: str, value: object) -> None:
    file = rewritten(tmp_path, ".csv", **{column: text})
    assert read_table(file)[column][0].as_py() == value


# --- what is refused, by column and row ---


@pytest.mark.parametrize(
    ("column", "text", "problem"),
    [
        ("age", "forty", "is not a number"),
        ("age", "1.234,5", "mixes decimal points and commas"),
        ("bytes", "12.5", "is not a whole number"),
        ("bytes", "1,234,567", "mixes decimal points and commas"),
        ("face_x1", "1,234", "may be a fraction or thousands"),
        ("mtime_ns", "1.62E+18", "was rounded"),
        ("mtime_ns", "1.62012E+18", "was rounded"),
        ("width", "99999999999", "does not fit this column"),
        ("taken_at", "05/04/2021 10:11", "is not a time"),
        ("taken_at", "2021-05-04T10:11:12+02:00", "has a time zone"),
        ("taken_at", "0000-00-00", "is not a time"),
        ("age", "inf", "is not a finite number"),
        ("age", "-inf", "is not a finite number"),
    ],
)
def test_two_meanings_are_refused(tmp_path: Path, column: str, text: str, problem: str) -> None:
    file = rewritten(tmp_path, ".csv", **{column: text})
    with pytest.raises(BadInput, match=rf"column {column}, row 1 .*{problem}") as error:
        read_table(file)
    assert text in str(error.value) and error.value.hint


def test_points_and_commas_do_not_go_together(tmp_path: Path) -> None:
    file = rewritten(tmp_path, ".csv", age="34,1")
    with pytest.raises(BadInput, match=r"column age, row 2 .*'61.0' mixes decimal points"):
        read_table(file)


def test_other_codings_are_named(tmp_path: Path) -> None:
    file = save_results(tmp_path / "people.csv", results())
    file.write_bytes(file.read_text("utf-8").encode("cp1252"))
    with pytest.raises(BadInput, match="cannot read .*people.csv"):
        read_table(file)
    file.write_bytes(file.read_bytes().decode("cp1252").encode("utf-16"))
    with pytest.raises(BadInput, match="save it as CSV UTF-8"):
        read_table(file)


def test_a_damaged_line_of_json_is_named(tmp_path: Path) -> None:
    file = save_results(tmp_path / "people.jsonl", results())
    for wrong in ("{", "[]"):
        lines = file.read_text("utf-8").splitlines()
        file.write_text("\n".join([*lines[:1], wrong, *lines[2:]]), "utf-8")
        with pytest.raises(BadInput, match="line 2"):
            read_table(file)
