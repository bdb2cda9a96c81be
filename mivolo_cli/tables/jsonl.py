"""Results as JSON Lines: one object per row with all columns, UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.json

from ..records import FIRST_COLUMNS, SCHEMA

LINE_LIMIT = 1 << 20
LINE_SEPARATORS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
"""Allowed in JSON text, but many programs would split the line there."""


class JsonlWriter:
    """Stores no metadata."""

    def __init__(self, file: BinaryIO, metadata: Mapping[str, str]) -> None:
        self._file = file

    def write(self, batch: pa.RecordBatch) -> None:
        for row in plain_rows(batch):
            line = json.dumps(row, ensure_ascii=False).translate(LINE_SEPARATORS)
            self._file.write(line.encode() + b"\n")

    def close(self) -> None:
        """Do nothing: every line is already complete."""


def plain_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield the rows with timestamps as ISO 8601 text, with milliseconds only if they are not
    zero."""
    for row in batch.to_pylist():
        moment: datetime | None = row["taken_at"]
        if moment is not None:
            row["taken_at"] = moment.isoformat(
                timespec="milliseconds" if moment.microsecond else "seconds"
            )
        yield row


def is_ours(file: BinaryIO) -> bool:
    return sorted(columns(file)) in (sorted(SCHEMA.names), sorted(FIRST_COLUMNS))


def columns(file: BinaryIO) -> list[str]:
    """Return the keys of the first object; a file without lines is a table without rows."""
    line = file.readline(LINE_LIMIT)
    if not line:
        return SCHEMA.names
    first = json.loads(line)
    if not isinstance(first, dict):
        raise ValueError("the first line is not a JSON object")
    return list(first)


def read(file: BinaryIO) -> pa.Table:
    """Return the columns of SCHEMA, with any types if another program wrote them. Raises
    ValueError."""
    if not file.read(1):
        return SCHEMA.empty_table()
    file.seek(0)
    try:
        return _read_as_written(file)
    except pa.ArrowInvalid:
        file.seek(0)
        return _read_by_lines(file)


def _read_as_written(file: BinaryIO) -> pa.Table:
    options = pyarrow.json.ParseOptions(
        explicit_schema=pa.schema([field.with_nullable(True) for field in SCHEMA]),
        unexpected_field_behavior="ignore",
    )
    return pyarrow.json.read_json(file, parse_options=options)


def _read_by_lines(file: BinaryIO) -> pa.Table:
    rows = []
    for number, line in enumerate(file, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not a JSON object")
        rows.append(row)
    return pa.table({name: _column(rows, name) for name in SCHEMA.names})


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> pa.Array:
    """Return values of one type, or all of them as text."""
    values = [row.get(name) for row in rows]
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])
