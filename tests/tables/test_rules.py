"""Tests of mivolo_cli.tables.rules: tables of strangers, in every format and every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables.test_values import SUFFIXES, rewritten
from typer.testing import CliRunner

from mivolo_cli.cli import app
from mivolo_cli.errors import BadInput, MivoloError
from mivolo_cli.records import SCHEMA
from mivolo_cli.tables import read_table

NAN, INFINITE = float("nan"), float("inf")
WRONG: list[tuple[str, Any, str]] = [
    *((column, INFINITE, "is not a finite number") for column in ("age", "roll", "face_score")),
    ("body_x1", -INFINITE, "is not a finite number"),
    ("age", 341.0, "is above 200"),
    ("age_low", -1.0, "is below 0"),
    *((f"{kind}_score", 98.0, "is above 1") for kind in ("gender", "face", "body")),
    *((f"{kind}_score", -0.5, "is below 0") for kind in ("gender", "face", "body")),
    *((f"{kind}_x1", -1e308, "is below -3.4") for kind in ("face", "body")),
    *((f"{kind}_y2", 1e308, "is above 3.4") for kind in ("face", "body")),
    ("face_x2", 3.5e38, "is above 3.4"),
    ("width", -80, "is below 0"),
    ("person", -1, "is below 0"),
    ("gender", "Frau", "is not one of male, female"),
    ("status", "fine", "is not one of ok"),
    ("used", "eyes", "is not one of face"),
    ("face_y2", None, "is empty, but the other edges"),
    ("body_x1", NAN, "is empty, but the other edges"),
    ("face_x2", 0.5, "is left of face_x1"),
    ("body_y2", -3.0, "is above body_y1"),
    ("age_high", 0.5, "is below age_low"),
]


def wrong_table(folder: Path, suffix: str, column: str, value: Any) -> Path:
    if value is None and suffix == ".parquet":
        file = rewritten(folder, suffix)
        rows = pq.read_table(file).to_pylist()
        pq.write_table(pa.Table.from_pylist([rows[0] | {column: None}], schema=SCHEMA), file)
        return file
    return rewritten(folder, suffix, **{column: value})


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("column", "value", "problem"), WRONG)
def test_wrong_values_are_named(
    tmp_path: Path, suffix: str, column: str, value: Any, problem: str
) -> None:
    with pytest.raises(BadInput, match=rf"column {column}, row 1 .*({problem})"):
        read_table(wrong_table(tmp_path, suffix, column, value))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("column", ["age", "roll", "body_score", "gender_score"])
def test_what_is_not_a_number_is_empty(tmp_path: Path, suffix: str, column: str) -> None:
    assert read_table(rewritten(tmp_path, suffix, **{column: NAN}))[column][0].as_py() is None


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("when", [2**62, -(2**62), 10**18])
def test_times_out_of_range_are_named(tmp_path: Path, when: int, unit: str) -> None:
    file = rewritten(tmp_path, ".parquet")
    table = pq.read_table(file)
    times = pa.array([when, None, None, None], pa.timestamp(unit))
    place = table.schema.get_field_index("taken_at")
    pq.write_table(table.set_column(place, "taken_at", times), file)
    with pytest.raises(BadInput, match="column taken_at, row 1"):
        read_table(file)


COMMANDS = (
    ("report", "-o", "page.html"),
    *(("export", "--to", to, "-o", name) for to, name in (
        ("coco", "a.json"), ("yolo", "yolo"), ("label-studio", "studio"),
        ("fiftyone", "b.json"), ("xlsx", "a.xlsx"),
    )),
    ("tag", "--dry-run"),
    ("tag", "--check"),
    ("untag", "--dry-run"),
    ("summary",),
    ("find", "--table", "found.csv", "--copy", "copies", "--playlist", "found.m3u8"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("suffix", "column", "value"),
    [
        (".parquet", "age", INFINITE),
        (".jsonl", "face_x2", None),
        (".csv", "taken_at", "99999-1-1"),
        (".jsonl", "face_score", 1.5),
        (".csv", "gender_score", -0.5),
        (".parquet", "body_x2", 1e308),
        (".csv", "face_y1", -1e308),
    ],
)
def test_every_command_refuses_such_a_table(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    suffix: str,
    column: str,
    value: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = wrong_table(tmp_path, suffix, column, value)
    before = sorted(tmp_path.iterdir())
    verb, *options = command
    done = CliRunner().invoke(app, [verb, str(file), *options])
    assert isinstance(done.exception, MivoloError), done.output
    assert done.exception.exit_code == 2 and f"column {column}, row 1" in str(done.exception)
    assert sorted(tmp_path.iterdir()) == before


def test_merge_refuses_such_a_shard(tmp_path: Path) -> None:
    metadata = {
        "mivolo.schema_version": "2",
        "mivolo.shard": "1/1",
        "mivolo.roots": json.dumps(["/ro ot"]),
        "mivolo.fingerprint": "x",
    }
    file = wrong_table(tmp_path, ".parquet", "age", INFINITE)
    table = pq.read_table(file)
    many = pa.concat_tables([table.slice(1, 1)] * 5000 + [table])
    pq.write_table(many.replace_schema_metadata(metadata), file)
    output = tmp_path / "all.csv"
    done = CliRunner().invoke(app, ["merge", str(file), "-o", str(output)])
    assert isinstance(done.exception, BadInput) and "column age, row 5001" in str(done.exception)
    assert not output.exists()
