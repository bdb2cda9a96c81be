"""The formats of result tables: the suffix of a name selects one, and no suffix means a folder of
Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from ..errors import BadInput
from ..storage import open_file
from . import csv, jsonl, parquet

UNREADABLE = (OSError, ValueError, RecursionError, pa.ArrowException)


class TableWriter(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None:
        """Write buffered data; the file stays open. May be called twice."""


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A table format. Content in any other format raises one of UNREADABLE."""

    writer: Callable[[BinaryIO, Mapping[str, str]], TableWriter]
    is_ours: Callable[[BinaryIO], bool]
    columns: Callable[[BinaryIO], Sequence[str]]
    read: Callable[[BinaryIO], pa.Table]


FORMATS = {
    ".parquet": TableFormat(parquet.ParquetWriter, parquet.is_ours, parquet.columns, parquet.read),
    ".csv": TableFormat(csv.CsvWriter, csv.is_ours, csv.columns, csv.read),
    ".jsonl": TableFormat(jsonl.JsonlWriter, jsonl.is_ours, jsonl.columns, jsonl.read),
}


VERBS = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "export {table} --to xlsx -o {stem}.xlsx"),
    **dict.fromkeys((".html", ".htm"), "report {table} -o {name}"),
    ".json": "export {table} --to coco -o {name}",
}
"""Suffix -> the command that makes such a file from a table."""


def format_of(path: Path) -> TableFormat:
    """Return the format of a table to write. Raises BadInput for a name without a known suffix."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        hint = f"use one of {', '.join(FORMATS)}"
        if suffix in VERBS:
            table = path.with_suffix(".parquet").name
            verb = VERBS[suffix].format(table=table, stem=path.stem, name=path.name)
            hint = f"write a table, {table}, and then: mivolo {verb}"
        raise BadInput(f"{path} is not a table: unknown suffix", hint=hint)
    return FORMATS[suffix]


def format_to_read(path: Path) -> TableFormat:
    """Return the format of an existing table. Raises BadInput for a name without a known suffix."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        hint = f"give a table of mivolo scan ({', '.join(FORMATS)}): mivolo scan PATH -o people.csv"
        if VERBS.get(suffix, "").startswith("export {table} --to xlsx"):
            hint = "give the table written by mivolo scan, or save the sheet as CSV"
        raise BadInput(f"{path} is not a table: unknown suffix", hint=hint)
    return FORMATS[suffix]


def is_folder(path: Path) -> bool:
    """Whether this output is, or will be, a folder of Parquet files."""
    return not path.suffix


def is_ours(path: Path) -> bool:
    """Whether a file is a result table of this program."""
    try:
        with open_file(path) as file:
            return format_of(path).is_ours(file)
    except UNREADABLE:
        return False
