"""Results as CSV: UTF-8, with a header, and quotes only where needed. An empty field is null; an
empty text is `""`.

Tables saved by spreadsheets can also be read: with semicolons or tabs, and with a byte order mark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..records import FIRST_COLUMNS, SCHEMA
from .jsonl import plain_rows

HEADER_LIMIT = 65_536
SEPARATORS = ",;\t"
MARK = b"\xef\xbb\xbf"
"""A byte order mark: without it, Excel assumes the system's own encoding."""
NEEDS_QUOTES = re.compile('^$|[",\r\n]')
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
"""Characters that spreadsheets take for the start of a formula, including full-width forms."""
LIKE_FORMULA = f"'*[{re.escape(''.join(FORMULA_STARTS))}]"
"""A `safe` table puts an apostrophe before such text; those with apostrophes match, so that it can
be removed again."""
FREE_TEXT = ("path", "root", "message")


class CsvWriter:
    """Stores no metadata. `safe` is for spreadsheets: a byte order mark, and an apostrophe before
    text that begins like a formula."""

    def __init__(self, file: BinaryIO, metadata: Mapping[str, str], safe: bool = False) -> None:
        self._file = file
        self._safe = safe
        self._file.write(MARK * safe + _line(SCHEMA.names))

    def write(self, batch: pa.RecordBatch) -> None:
        harmless = _harmless if self._safe else lambda value: value
        self._file.writelines(_line(map(harmless, row.values())) for row in plain_rows(batch))

    def close(self) -> None:
        """Do nothing: every line is already complete."""


def is_ours(file: BinaryIO) -> bool:
    return columns(file) in (SCHEMA.names, FIRST_COLUMNS)


def columns(file: BinaryIO) -> list[str]:
    header = _header(file)
    return [name.strip('" ') for name in header.split(_separator(header))]


def read(file: BinaryIO) -> pa.Table:
    """Return the columns of SCHEMA as text."""
    safe = file.read(len(MARK)) == MARK
    file.seek(0)
    table = parsed(
        file,
        include_columns=SCHEMA.names,
        include_missing_columns=True,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return _without_apostrophes(table) if safe else table


def parsed(file: BinaryIO, **options: Any) -> pa.Table:
    """Read any table as text, whatever its separator; `options` are pyarrow's ConvertOptions.
    Raises ValueError and ArrowException."""
    header = _header(file)
    file.seek(0)
    separator = _separator(header)
    names = [name.strip('"') for name in header.split(separator)]
    return pyarrow.csv.read_csv(
        file,
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys([*names, *SCHEMA.names], pa.string()), **options
        ),
    )


def _header(file: BinaryIO) -> str:
    """Return the first line. Raises ValueError if it is not UTF-8."""
    line = file.readline(HEADER_LIMIT)
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError("it is not encoded as UTF-8: save it as CSV UTF-8") from error


def _separator(header: str) -> str:
    """Return the column separator of this header."""
    return max(SEPARATORS, key=header.count)


def _without_apostrophes(table: pa.Table) -> pa.Table:
    """Return the texts as they were before a CsvWriter escaped them."""
    for name in FREE_TEXT:
        original = pc.replace_substring_regex(table[name], f"^'({LIKE_FORMULA})", r"\1")
        table = table.set_column(table.schema.get_field_index(name), name, original)
    return table


def _line(values: Any) -> bytes:
    return (",".join(map(_field, values)) + "\n").encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and re.match(LIKE_FORMULA, value) else value


def _field(value: str | float | None) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)  # of a float: the shortest text that reads back equal
    return '"{}"'.format(value.replace('"', '""')) if NEEDS_QUOTES.search(value) else value
