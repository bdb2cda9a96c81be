"""Results as CSV: UTF-8, a header, quotes only where needed. An empty field is null; an empty text
is `""`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv

from ..records import FIRST_COLUMNS, SCHEMA
from .jsonl import plain_rows

HEADER_LIMIT = 65_536
NEEDS_QUOTES = re.compile('^$|[",\r\n]')
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""What spreadsheets take for the beginning of a formula, in the wide forms of East Asia too."""


class CsvWriter:
    """CSV has no place for metadata. `safe` puts an apostrophe before text that begins like a
    formula."""

    def __init__(self, file: BinaryIO, metadata: Mapping[str, str], safe: bool = False) -> None:
        self._file = file
        self._safe = safe
        self._file.write(_line(SCHEMA.names))

    def write(self, batch: pa.RecordBatch) -> None:
        harmless = _harmless if self._safe else lambda value: value
        self._file.writelines(_line(map(harmless, row.values())) for row in plain_rows(batch))

    def close(self) -> None:
        """Every line is already complete."""


def is_ours(file: BinaryIO) -> bool:
    return columns(file) in (SCHEMA.names, FIRST_COLUMNS)


def columns(file: BinaryIO) -> list[str]:
    header = file.readline(HEADER_LIMIT).decode("utf-8-sig")
    return [name.strip('"') for name in header.rstrip("\r\n").split(",")]


def read(file: BinaryIO) -> pa.Table:
    return pyarrow.csv.read_csv(
        file,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=SCHEMA,
            include_columns=SCHEMA.names,
            include_missing_columns=True,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _line(values: Any) -> bytes:
    return (",".join(map(_field, values)) + "\n").encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _field(value: str | float | None) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)  # of a float: the shortest text that reads back equal
    return '"{}"'.format(value.replace('"', '""')) if NEEDS_QUOTES.search(value) else value
