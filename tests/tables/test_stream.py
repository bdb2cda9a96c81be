"""Streamed tables have the rows that read_table has, and are read whole only where they have to
be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.tables import save_results

from mivolo_cli.errors import BadInput
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.tables import folder, parquet, read_table
from mivolo_cli.tables import stream as streaming
from mivolo_cli.tables.stream import stream

FACE = Person(Box(1, 2, 3, 4), None)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(folder, "FILE_ROWS", 5)
    monkeypatch.setattr("mivolo_cli.tables.BUFFER_ROWS", 2)


def results(file: Path) -> Path:
    people = [(FACE, Prediction(age, "male", 0.9, "face")) for age in (50.0, 10.0, 30.0, 20.0)]
    found: list[Any] = [
        Result(Photo(root, f"{number}.jpg"), 9, 9, None, people[:number])
        for root in ("/p", "/q")
        for number in range(5)
    ]
    return save_results(file, [*found, Failure(Photo("/p", "x.jpg"), "empty", "empty")])


def whole(file: Path) -> pa.Table:
    return pa.concat_tables(stream(file))


@pytest.mark.parametrize("name", ["people.parquet", "people", "people.csv", "people.jsonl"])
def test_the_rows_are_those_of_the_table(tmp_path: Path, name: str) -> None:
    file = results(tmp_path / name)
    assert whole(file).equals(read_table(file))
    pieces = [table.num_rows for table in stream(file)]
    assert (max(pieces) <= 3) == (name in ("people.parquet", "people"))


@pytest.mark.parametrize("key", ["age", "person", "used"])
def test_rows_that_somebody_sorted_are_put_in_order(tmp_path: Path, key: str) -> None:
    file = results(tmp_path / "people.parquet")
    keys = [(key, "descending"), ("age", "ascending")]
    pq.write_table(pq.read_table(file).sort_by(keys), file)
    assert whole(file).equals(read_table(file))
    assert len(list(stream(file))) == 1


def test_a_row_that_was_taken_out_is_no_trouble(tmp_path: Path) -> None:
    file = results(tmp_path / "people.parquet")
    table = pq.read_table(file)
    pq.write_table(table.filter(pa.array([row != 2 for row in range(table.num_rows)])), file)
    assert whole(file).equals(read_table(file))


def test_tables_of_others_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = results(tmp_path / "people.parquet")
    table = read_table(file)
    place = table.schema.get_field_index("person")
    floats = table.set_column(place, "person", table["person"].cast(pa.float64()))
    pq.write_table(floats.replace_schema_metadata(None), file)
    assert whole(file).equals(read_table(file))


def test_values_that_cannot_be_are_named_with_their_row(tmp_path: Path) -> None:
    file = results(tmp_path / "people.parquet")
    table = pq.read_table(file)
    ages = [500.0 if row == 7 else age for row, age in enumerate(table["age"].to_pylist())]
    place = table.schema.get_field_index("age")
    pq.write_table(table.set_column(place, table.schema.field("age"), [pa.array(ages)]), file)
    with pytest.raises(BadInput, match="column age, row 8 "):
        list(stream(file))


@pytest.mark.parametrize("name", ["absent.parquet", "absent", "absent.csv", "absent.txt"])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        list(stream(tmp_path / name))
    assert caught.value.hint


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = results(tmp_path / "people.parquet")
    data = bytearray(file.read_bytes())
    data[4:200] = bytes(196)
    file.write_bytes(data)
    with pytest.raises(BadInput, match="cannot read"):
        list(stream(file))
    monkeypatch.setattr(streaming, "_is_in_order", lambda files: True)
    with pytest.raises(BadInput, match="cannot read"):
        list(stream(file))
