"""ResultStore in files: written whole, found by key, read back in any order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.tables import table as read_rows

from mivolo_cli.errors import OutputError
from mivolo_cli.records import SCHEMA, Box, Failure, Person, Photo, Prediction, Result, rows
from mivolo_cli.scan import store as parts
from mivolo_cli.scan.store import ResultStore, key, regrouped, write_part
from mivolo_cli.tables import open_sinks

ABOUT = {parts.FINGERPRINT: "f"}
FACE, BODY = Box(1, 2, 30, 40, 0.5), Box(0, 0, 50, 90)


def photo(number: int, time: int = 0) -> Photo:
    return Photo("/photos", f"{number:03}.jpg", 1000 + number, time)


def result(number: int, people: int = 1) -> Result:
    prediction = Prediction(number + 0.5, "male", 0.75, "face+body", 1.0, 99.0)
    found = [(Person(FACE, BODY), prediction), (Person(None, BODY), None)] * people
    return Result(photo(number), 80, 64, None, found[:people])


def table_of(results: ResultStore, numbers: Sequence[int]) -> list[dict[str, object]]:
    tables = results.read(results.index[key(photo(number))] for number in numbers)
    return [row for table in tables for row in table.select(SCHEMA.names).to_pylist()]


def expected(*results: Result | Failure) -> list[dict[str, object]]:
    return [row for one in results for row in rows(one)]


def test_a_key_is_of_path_size_and_time_and_of_nothing_that_looks_alike() -> None:
    photos = [
        Photo("/a", "b.jpg", 1, 2), Photo("/a", "b.jpg", 1, 3), Photo("/a", "b.jpg", 2, 2),
        Photo("/", "a/b.jpg", 1, 2),
        Photo("/a", "b.jpg1", 1, 2), Photo("/a", "b\udcff.jpg", 1, 2),
        Photo("/a", "b\\xff.jpg", 1, 2),
        Photo("/a", "b.jpg", 12, 0), Photo("/a", "b.jpg", None, None),
    ]  # fmt: skip
    assert len({key(photo) for photo in photos}) == len(photos)
    assert key(photos[0]) == key(Photo("/a", "b.jpg", 1, 2))


def test_photos_are_found_in_any_order_over_files_and_row_groups(tmp_path: Path) -> None:
    made = [result(number, number % 4) for number in range(40)]
    results = ResultStore()
    for start in range(0, 40, 8):
        write_part(tmp_path / f"{start}.parquet", ABOUT, made[start : start + 8])
        assert results.add(tmp_path / f"{start}.parquet", "f")
    with parts.open_store(tmp_path / "store", ABOUT) as store:
        for table in regrouped(results.read(range(40)), 7):
            store.write_table(table)
    whole = ResultStore()
    assert whole.add(tmp_path / "store", "f")
    for order in (range(40), range(39, -1, -1), (3, 3, 17, 4, 39, 0)):
        for one in (results, whole):
            assert table_of(one, order) == expected(*(made[number] for number in order))


def test_people_come_back_as_they_were(tmp_path: Path) -> None:
    write_part(
        tmp_path / "part", ABOUT, [result(1, 2), result(2, 0), Failure(photo(3), "empty", "it is")]
    )
    results = ResultStore()
    results.add(tmp_path / "part", "f")
    assert results.people(photo(1)) == result(1, 2).people
    assert results.people(photo(2)) == results.people(photo(3)) == []


def test_what_is_added_later_counts_and_passing_failures_are_known(tmp_path: Path) -> None:
    write_part(
        tmp_path / "1",
        ABOUT,
        [Failure(photo(1), "no_permission", "no"), Failure(photo(2), "empty", "no")],
    )
    results = ResultStore()
    results.add(tmp_path / "1", "f")
    assert results.passing == {results.index[key(photo(1))]}
    write_part(tmp_path / "2", ABOUT, [result(1)])
    results.add(tmp_path / "2", "f")
    assert results.index[key(photo(1))] not in results.passing
    assert table_of(results, [1]) == expected(result(1))


def test_a_part_may_be_known_by_the_keys_of_what_was_found(tmp_path: Path) -> None:
    write_part(tmp_path / "part", ABOUT, [result(1), result(2)])
    results = ResultStore()
    results.add(tmp_path / "part", "f", [key(photo(1, time=7)), key(photo(2))])
    assert set(results.index) == {key(photo(1, time=7)), key(photo(2))}


def test_result_tables_are_read_too_but_not_rows_about_no_file(tmp_path: Path) -> None:
    made: list[Result | Failure] = [
        result(1, 2),
        Failure(Photo("/photos", "gone.jpg"), "missing", "gone"),
        result(2),
    ]
    with open_sinks([tmp_path / "a.parquet"], ABOUT) as out:
        out.write(expected(*made))
    results = ResultStore()
    assert results.add(tmp_path / "a.parquet", "f")
    assert set(results.index) == {key(photo(1)), key(photo(2))}
    assert table_of(results, [2, 1]) == expected(made[2], made[0])


@pytest.mark.parametrize(
    "kind", ["none", "other fingerprint", "no parquet", "cut", "other columns"]
)
def test_files_that_cannot_be_used_are_as_if_absent(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "part"
    if kind != "none":
        write_part(
            file, {parts.FINGERPRINT: "other" if kind.startswith("other f") else "f"}, [result(1)]
        )
    content = bytearray(file.read_bytes() if file.exists() else b"")
    if kind == "no parquet":
        file.write_text("hello")
    elif kind == "cut":
        file.write_bytes(content[:-1])
    elif kind == "other columns":
        import pyarrow.parquet

        about = {f"mivolo.{parts.FINGERPRINT}": "f"}
        pyarrow.parquet.write_table(pa.table({"a": [1]}).replace_schema_metadata(about), file)
    results = ResultStore()
    assert not results.add(file, "f")
    assert results.index == {}


def test_a_bit_turned_over_is_noticed_or_does_not_matter(tmp_path: Path) -> None:
    write_part(tmp_path / "part", ABOUT, [result(1, 2), result(2)])
    content = (tmp_path / "part").read_bytes()
    refused = 0
    for place in range(0, len(content), 41):
        (tmp_path / "part").write_bytes(
            content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]
        )
        results = ResultStore()
        if not results.add(tmp_path / "part", "f"):
            refused += 1
        elif len(results.index) == 2:
            assert table_of(results, [1, 2]) == expected(result(1, 2), result(2))
    assert refused > 20


def test_a_file_that_breaks_later_is_reported(tmp_path: Path) -> None:
    write_part(tmp_path / "part", ABOUT, [result(1)])
    results = ResultStore()
    results.add(tmp_path / "part", "f")
    (tmp_path / "part").write_text("hello")
    with pytest.raises(OutputError, match="cannot read intermediate results") as error:
        table_of(results, [1])
    assert "delete" in error.value.hint


def test_regrouping_keeps_all_rows(tmp_path: Path) -> None:
    schema = pa.schema({"x": pa.int64()})
    tables = [
        pa.table({"x": list(range(start, start + count))}, schema)
        for start, count in ((0, 3), (3, 0), (3, 10), (13, 1))
    ]
    found = list(regrouped(tables, 4))
    assert [table.num_rows for table in found] == [4, 4, 4, 2]
    assert [x for table in found for x in table["x"].to_pylist()] == list(range(14))
    assert list(regrouped([], 4)) == []


def test_the_table_of_a_part_has_the_rows_of_the_results(tmp_path: Path) -> None:
    with open_sinks([tmp_path / "a.csv"], {}) as out:
        out.add(parts.table([(result(1, 2), key(photo(1)))]).select(SCHEMA.names))
    assert read_rows(tmp_path / "a.csv") == expected(result(1, 2))
