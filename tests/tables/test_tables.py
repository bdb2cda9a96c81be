"""Tests of mivolo_cli.tables: equal content in every format, and nothing lost when a run fails."""

from __future__ import annotations

import csv
import json
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mivolo_cli import tables
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.records import (
    FIRST_COLUMNS,
    SCHEMA,
    Box,
    Failure,
    Person,
    Photo,
    Prediction,
    Result,
    rows,
)
from mivolo_cli.tables import check_outputs, open_sinks, read_table

SUFFIXES = (".parquet", ".csv", ".jsonl")
HOSTILE = [
    "plain.jpg",
    "a,b.jpg",
    'q"uo"te',
    '"',
    '""',
    "new\nline",
    "cr\rlf\r\n",
    "cr\ronly",
    "line\u2028sep\u2029next\x85x",
    "v\x0bf\x0cs\x1c",
    " spaces ",
    "tab\t",
    "back\\slash\\n",
    "=cmd()",
    "null",
    "NULL",
    "NaN",
    "true",
    "17",
    "Grüße/日本/😀.jpg",
    "\udcff\udcfe.jpg",
    "\ufeffbom",
    "\x01\x7f",
    "'",
]
EXTREMES = [0.1, 1e-45, 3.4028235e38, -0.0, 1 / 3, 16777216.0, 1e-7, 123456.79]
AGES = [0.1, 1e-45, 122.00001, -0.0, 1 / 3, 99.9999, 1e-7, 12.345679]


def everything() -> list[dict[str, Any]]:
    """Rows of every status, with names and numbers that formats trip over."""
    made = [
        row for name in HOSTILE for row in rows(Result(Photo("/ro ot", name, 5, 1 << 62), 4, 3))
    ]
    made += rows(Failure(Photo("/r", "broken.jpg"), "truncated", 'cut, "off"\nhere'))
    made += rows(Failure(Photo("/r", "quiet.jpg"), "unreadable", ""))
    for moment in (
        None,
        datetime(2021, 5, 4, 10, 11, 12),
        datetime(1, 1, 1, 0, 0, 0, 7000),
        datetime(9999, 12, 31),
    ):
        made += rows(Result(Photo("/r", "moment.jpg", 0, 0), 1, 1, moment))
    people = [
        (
            Person(Box(-x, 0.0, x, x, None), Box(0, 0, 9, 9, 0.25), age),
            Prediction(age, "male", 0.5, "face+body", age, None),
        )
        for x, age in zip(EXTREMES, AGES, strict=True)
    ]
    made += rows(
        Result(
            Photo("/r", "crowd.jpg"),
            2**31 - 1,
            1,
            None,
            [*people, (Person(Box(0, 0, 1, 1), None), None)],
        )
    )
    return made


def write(paths: list[Path], table_rows: list[dict[str, Any]], **metadata: str) -> None:
    with open_sinks(paths, metadata) as out:
        out.write(table_rows)


def one_row(name: str = "a.jpg") -> list[dict[str, Any]]:
    return list(rows(Result(Photo("/r", name), 4, 3)))


def outputs(folder: Path) -> list[Path]:
    return [folder / f"people{suffix}" for suffix in SUFFIXES]


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# --- content ---


def test_all_formats_hold_the_same_table(tmp_path: Path) -> None:
    expected = pa.Table.from_pylist(everything(), schema=SCHEMA)
    write(outputs(tmp_path), everything())
    for path in outputs(tmp_path):
        table = read_table(path)
        assert table.schema.equals(SCHEMA), path
        assert table.equals(expected), path
        assert table["age"].to_pylist().count(-0.0) == 1
        assert [str(x) for x in table["age"].to_pylist()] == [
            str(x) for x in expected["age"].to_pylist()
        ]


def test_plain_readers_see_the_values_of_the_parquet_file(tmp_path: Path) -> None:
    parquet, as_csv, jsonl = outputs(tmp_path)
    write([parquet, as_csv, jsonl], everything())
    expected = pq.ParquetFile(parquet).read().to_pylist()
    with jsonl.open(encoding="utf-8", newline="") as lines:
        objects = [json.loads(line) for line in lines.read().splitlines()]
    with as_csv.open(encoding="utf-8", newline="") as lines:
        records = list(csv.DictReader(lines))
    assert len(objects) == len(records) == len(expected)
    for row, from_json, from_csv in zip(expected, objects, records, strict=True):
        moment = row.pop("taken_at")
        read = from_json.pop("taken_at")
        assert moment == (read and datetime.fromisoformat(read))
        assert from_csv.pop("taken_at") == (read or "")
        assert from_json == row
        for name, value in row.items():
            text = from_csv[name]
            assert (
                text == (value or "")
                if isinstance(value, str | None)
                else type(value)(text) == value
            )


def test_text_formats_look_as_promised(tmp_path: Path) -> None:
    _, as_csv, jsonl = outputs(tmp_path)
    photo = Photo("/r", "a,ü.jpg", 12, 34)
    person = Person(Box(1, 2.5, 3, 4, 0.4), None, -12.5)
    people = [(person, Prediction(34.1, "female", 0.98, "face"))]
    write(
        [as_csv, jsonl], list(rows(Result(photo, 8, 6, datetime(2021, 5, 4, 10, 11, 12), people)))
    )
    header, line = as_csv.read_bytes().decode().removesuffix("\n").split("\n")
    assert header == ",".join(SCHEMA.names)
    assert line == (
        '"a,ü.jpg",/r,12,34,8,6,2021-05-04T10:11:12,0,face,34.1,,,female,0.98,-12.5,1.0,2.5,3.0,4.0,0.4,,,,,,ok,,'
    )
    assert jsonl.read_text("utf-8").startswith(
        '{"path": "a,ü.jpg", "root": "/r", "bytes": 12, "mtime_ns": 34,'
    )
    assert '"taken_at": "2021-05-04T10:11:12", "person": 0,' in jsonl.read_text("utf-8")
    assert '"age_low": null' in jsonl.read_text("utf-8")


def test_milliseconds_are_written_only_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write(
        [path], list(rows(Result(Photo("/r", "a"), 1, 1, datetime(2021, 5, 4, 10, 11, 12, 50_000))))
    )
    assert "2021-05-04T10:11:12.050," in path.read_text()


def test_rows_beyond_the_buffer_arrive_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BUFFER_ROWS", 4)
    names = [f"{index}.jpg" for index in range(11)]
    with open_sinks(outputs(tmp_path), {}) as out:
        for name in names:
            out.write(rows(Result(Photo("/r", name), 4, 3)))
    assert pq.ParquetFile(tmp_path / "people.parquet").num_row_groups == 3
    for path in outputs(tmp_path):
        assert read_table(path)["path"].to_pylist() == names


def test_line_breaks_in_names_do_not_break_long_tables(tmp_path: Path) -> None:
    table_rows = one_row("x\n" * 1000) * 1500
    write(outputs(tmp_path), table_rows)
    for path in outputs(tmp_path):
        assert read_table(path).to_pylist() == table_rows


def test_a_table_without_rows_can_be_read_back(tmp_path: Path) -> None:
    write(outputs(tmp_path), [])
    for path in outputs(tmp_path):
        assert read_table(path).equals(SCHEMA.empty_table())
    check_outputs(outputs(tmp_path))


def test_parquet_says_what_made_it(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    write([path], one_row(), model="mivolo_xs", settings='{"use": "both"}')
    metadata = read_table(path).schema.metadata
    assert metadata[b"mivolo.model"] == b"mivolo_xs"
    assert metadata[b"mivolo.settings"] == b'{"use": "both"}'
    assert metadata[b"mivolo.schema_version"] == b"2"
    assert metadata[b"mivolo.program_version"]
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_csv_for_spreadsheets_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    names = [*HOSTILE, "'=x", "''+x", "-1.jpg", "@a", "\uff1dx", "'plain'"]
    expected = [row for name in names for row in one_row(name)]
    with open_sinks([path], {}, spreadsheet_safe=True) as out:
        out.write(expected)
    content = path.read_text("utf-8")
    assert content.startswith("\ufeffpath,root,")
    assert "\n'=cmd(),/r," in content and "\n''=x,/r," in content and "\n'plain',/r," in content
    table = read_table(path)
    assert table["path"].to_pylist() == [row["path"] for row in expected]
    check_outputs([path])


# --- reading ---


def write_version_1(folder: Path) -> pa.Table:
    """Tables as version 1 wrote them, without the column roll; returns what is in them."""
    write(outputs(folder), everything())
    table = read_table(folder / "people.parquet")
    first = table.drop_columns(["roll"]).replace_schema_metadata({"mivolo.schema_version": "1"})
    pq.write_table(first, folder / "people.parquet")
    with (folder / "people.csv").open("rb") as file:
        texts = pyarrow.csv.read_csv(
            file,
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(SCHEMA.names, pa.string()),
                quoted_strings_can_be_null=False,
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    fields = [
        ["" if value is None else f'"{value.replace(chr(34), chr(34) * 2)}"' for value in row]
        for row in zip(*(texts[name].to_pylist() for name in FIRST_COLUMNS), strict=True)
    ]
    lines = [",".join(FIRST_COLUMNS), *map(",".join, fields)]
    (folder / "people.csv").write_text("\n".join(lines) + "\n", "utf-8", newline="")
    objects = (folder / "people.jsonl").read_text("utf-8").split("\n")[:-1]
    older = [{name: json.loads(line)[name] for name in FIRST_COLUMNS} for line in objects]
    (folder / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in older), "utf-8")
    return table


def test_tables_of_version_1_are_read_with_an_empty_roll(tmp_path: Path) -> None:
    table = write_version_1(tmp_path)
    assert table["roll"].null_count < len(table)
    for path in outputs(tmp_path):
        old = read_table(path)
        assert old.schema.equals(SCHEMA) and old["roll"].null_count == len(old), path
        assert old.select(FIRST_COLUMNS).equals(table.select(FIRST_COLUMNS)), path


def test_tables_of_version_1_may_be_replaced(tmp_path: Path) -> None:
    write_version_1(tmp_path)
    check_outputs(outputs(tmp_path))
    write(outputs(tmp_path), one_row())
    for path in outputs(tmp_path):
        assert read_table(path).to_pylist() == one_row()


def test_a_folder_of_version_1_is_read(tmp_path: Path) -> None:
    table = write_version_1(tmp_path)
    (tmp_path / "people").mkdir()
    (tmp_path / "people.parquet").rename(tmp_path / "people" / "part-00000.parquet")
    old = read_table(tmp_path / "people")
    assert old["roll"].null_count == len(old) == len(table)
    check_outputs([tmp_path / "people"], folders=True)


def test_columns_may_be_reordered_and_added(tmp_path: Path) -> None:
    write(outputs(tmp_path), everything())
    expected = read_table(tmp_path / "people.parquet")
    changed = expected.select(SCHEMA.names[::-1]).append_column(
        "note", pa.array(["x"] * len(expected))
    )
    pq.write_table(changed, tmp_path / "changed.parquet")
    assert read_table(tmp_path / "changed.parquet").equals(expected)
    objects = [
        json.loads(line) for line in (tmp_path / "people.jsonl").read_text("utf-8").splitlines()
    ]
    (tmp_path / "changed.jsonl").write_text(
        "\n".join(json.dumps({"note": 1, **each}) for each in objects)
    )
    assert read_table(tmp_path / "changed.jsonl").equals(expected)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    pq.write_table(SCHEMA.empty_table().drop_columns(["age", "status"]), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(
        ",".join(name for name in SCHEMA.names if name not in ("age", "status"))
    )
    (tmp_path / "a.jsonl").write_text(
        json.dumps({name: 1 for name in SCHEMA.names if name not in ("age", "status")})
    )
    for suffix in SUFFIXES:
        with pytest.raises(BadInput, match="no column age, status") as error:
            read_table(tmp_path / f"a{suffix}")
        assert error.value.hint


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_content_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    for content in (
        b"\n",
        b"\xff\xfe\x00",
        b"a,b\n1,2\n",
        b"[1]\n",
        b"{}\n",
        b"PAR1hello",
        b'{"a":' * 9999,
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput):
            read_table(path)


def test_wrong_values_cannot_be_read(tmp_path: Path) -> None:
    write(outputs(tmp_path), one_row())
    for suffix, old, new in (
        (".csv", ",4,3,", ",four,3,"),
        (".jsonl", '"width": 4', '"width": "four"'),
    ):
        path = tmp_path / f"people{suffix}"
        path.write_text(path.read_text().replace(old, new))
        with pytest.raises(BadInput, match="column width, row 1 .*'four' is not a number"):
            read_table(path)


def test_rows_without_a_path_cannot_be_read(tmp_path: Path) -> None:
    write(outputs(tmp_path), one_row())
    for suffix, old, new in ((".csv", "a.jpg,", ","), (".jsonl", '"a.jpg"', "null")):
        path = tmp_path / f"people{suffix}"
        path.write_text(path.read_text().replace(old, new))
        with pytest.raises(BadInput, match="column path, row 1 .* is empty"):
            read_table(path)


def test_what_is_not_there_or_no_table_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="suffix") as error:
        read_table(tmp_path / "photo.jpg")
    assert ".parquet, .csv, .jsonl" in error.value.hint


# --- checks before any work ---


def test_good_outputs_pass(tmp_path: Path) -> None:
    check_outputs([*outputs(tmp_path), tmp_path / "UPPER.CSV"])
    assert listing(tmp_path) == []


def test_tables_of_ours_and_empty_files_may_be_replaced(tmp_path: Path) -> None:
    write(outputs(tmp_path), everything())
    check_outputs(outputs(tmp_path))
    for path in outputs(tmp_path):
        path.write_bytes(b"")
    check_outputs(outputs(tmp_path))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_foreign_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"people{suffix}"
    for content in (
        b"a,b\n1,2\n",
        b"\xff\x00\xff",
        b'{"path": "a.jpg"}\n',
        b"[]\n",
        b"\n",
        b'{"a":' * 9999,
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="not a result table") as error:
            check_outputs([path])
        assert error.value.hint == "choose another name, or move the existing file or folder"
        assert path.read_bytes() == content


def test_a_table_with_other_columns_is_foreign(tmp_path: Path) -> None:
    pq.write_table(SCHEMA.empty_table(), tmp_path / "no_key.parquet")
    more = SCHEMA.append(pa.field("note", pa.string())).with_metadata(
        {"mivolo.schema_version": "1"}
    )
    pq.write_table(more.empty_table(), tmp_path / "more.parquet")
    (tmp_path / "more.csv").write_text(",".join([*SCHEMA.names, "note"]) + "\n")
    (tmp_path / "more.jsonl").write_text(json.dumps(dict.fromkeys([*SCHEMA.names, "note"])) + "\n")
    for name in listing(tmp_path):
        with pytest.raises(BadInput, match="not a result table"):
            check_outputs([tmp_path / name])


def test_a_table_under_the_suffix_of_another_format_is_foreign(tmp_path: Path) -> None:
    write([tmp_path / "people.csv"], one_row())
    (tmp_path / "people.csv").rename(tmp_path / "people.parquet")
    with pytest.raises(BadInput, match="not a result table"):
        check_outputs([tmp_path / "people.parquet"])


def test_outputs_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")
    for name, message in (
        ("people.xls", "suffix"),
        ("people", "suffix"),
        ("none/people.csv", "does not exist"),
        ("file/people.csv", "does not exist"),
        ("folder.csv", "is a folder"),
    ):
        with pytest.raises(BadInput, match=message) as error:
            check_outputs([tmp_path / name])
        assert error.value.hint


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(BadInput, match="not a result table"):
        check_outputs([tmp_path / "pipe.csv"])


@pytest.mark.parametrize("name", ["people.csv", "people.jsonl", "people.parquet", "people"])
def test_a_pipe_in_the_place_of_a_table_is_not_waited_for(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name == "people":
        file.mkdir()
        file /= "part-00000.parquet"
    os.mkfifo(file)
    with pytest.raises(BadInput, match="not a regular file"):
        read_table(tmp_path / name)


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path or not mode & os.W_OK)
    with pytest.raises(BadInput, match="no permission"):
        check_outputs([tmp_path / "people.csv"])


def test_the_same_output_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "people.csv")
    (tmp_path / "sub").mkdir()
    for other in (
        tmp_path / "people.csv",
        tmp_path / "link.csv",
        tmp_path / "sub" / ".." / "people.csv",
    ):
        with pytest.raises(BadInput, match="twice"):
            check_outputs([tmp_path / "people.csv", other])


# --- runs that fail ---


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failing_run_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    write(outputs(tmp_path), one_row())
    before = {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)}
    with pytest.raises(error), open_sinks(outputs(tmp_path), {}) as out:
        out.write(everything())
        out.flush()
        assert len(listing(tmp_path)) == 2 * len(SUFFIXES)
        raise error
    assert {name: (tmp_path / name).read_bytes() for name in listing(tmp_path)} == before


def test_outputs_appear_only_at_the_end(tmp_path: Path) -> None:
    with open_sinks(outputs(tmp_path), {}) as out:
        out.write(one_row())
        out.flush()
        assert all(
            name.startswith(".people.") and name.endswith(".part") for name in listing(tmp_path)
        )
    assert listing(tmp_path) == sorted(path.name for path in outputs(tmp_path))


def test_outputs_are_all_complete_or_all_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def second_fails(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(OutputError, match="people.csv: No space left on device") as error:
        write(outputs(tmp_path), one_row())
    assert error.value.hint
    assert listing(tmp_path) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """As if the disk were full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("flush", [True, False])
def test_a_full_disk_is_reported(tmp_path: Path, suffix: str, flush: bool) -> None:
    path = tmp_path / f"people{suffix}"
    write([path], one_row())
    before = path.read_bytes()
    failing = pytest.raises(OutputError, match=f"cannot write .*{suffix}")
    with failing, file_size_limit(1000), open_sinks([path], {}) as out:
        out.write(everything())
        if flush:
            out.flush()
    assert path.read_bytes() == before
    assert listing(tmp_path) == [path.name]


def test_a_vanished_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        write([tmp_path / "none" / "people.csv"], [])


# --- the file itself ---


def test_permissions_are_those_of_a_new_or_of_the_old_file(tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.touch()
    old.chmod(0o640)
    umask = os.umask(0o027)
    try:
        write([old, new], one_row())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    old.chmod(0o444)
    write([old], one_row())
    assert stat.S_IMODE(old.stat().st_mode) == 0o444


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "people.csv"
    link.symlink_to(tmp_path / "real" / "table.csv")
    write([link], one_row())
    assert link.is_symlink()
    assert read_table(tmp_path / "real" / "table.csv").num_rows == 1


def test_a_link_in_circles_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "people.csv"
    link.symlink_to(link)
    check_outputs([link])
    write([link], one_row())
    assert read_table(link).num_rows == 1


@pytest.mark.parametrize(
    "name, command",
    [
        ("Family.XLSX", "mivolo export Family.parquet --to xlsx -o Family.xlsx"),
        ("people.ods", "mivolo export people.parquet --to xlsx -o people.xlsx"),
        ("page.html", "mivolo report page.parquet -o page.html"),
        ("coco.json", "mivolo export coco.parquet --to coco -o coco.json"),
        ("people.txt", "use one of .parquet, .csv, .jsonl"),
    ],
)
def test_what_is_made_of_a_table_is_no_table(tmp_path: Path, name: str, command: str) -> None:
    with pytest.raises(BadInput) as caught, open_sinks([tmp_path / name], {}):
        pass
    assert name in str(caught.value) and caught.value.hint.endswith(command)


def test_what_is_no_table_is_not_read(tmp_path: Path) -> None:
    for name, hint in (("people.xlsx", "save the sheet as CSV"), ("a.jpg", "mivolo scan PATH")):
        with pytest.raises(BadInput) as caught:
            read_table(tmp_path / name)
        assert name in str(caught.value) and hint in caught.value.hint
