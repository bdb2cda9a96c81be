"""Result tables on disk: the suffix selects the format, and a table gets its name only when
complete. A name without a suffix is a folder of Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa

from .. import storage
from ..errors import BadInput
from ..records import FIRST_COLUMNS, SCHEMA, SCHEMA_VERSION
from ..storage import Url
from . import folder, rules, values
from .checks import check_outputs
from .formats import FORMATS, UNREADABLE, format_to_read, is_folder
from .targets import Target, open_target, remove_leftovers
from .values import Origin

__all__ = [
    "BUFFER_ROWS",
    "FORMATS",
    "UNREADABLE",
    "Sinks",
    "Origin",
    "check_outputs",
    "checked",
    "is_folder",
    "open_sinks",
    "parquet_files",
    "read_table",
    "readable",
    "remove_leftovers",
]
BUFFER_ROWS = 8192
"""Rows held in memory before they are written as one batch."""


class Sinks:
    """All outputs of a run; every row goes to each of them."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add rows as made by records.rows(). Raises OutputError."""
        self.add(pa.Table.from_pylist(list(rows), schema=SCHEMA))

    def add(self, table: pa.Table) -> None:
        """Add rows with the columns of SCHEMA; they are written in batches of BUFFER_ROWS. Raises
        OutputError."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= BUFFER_ROWS:
            rows = pa.concat_tables(self._waiting)
            whole = self._rows - self._rows % BUFFER_ROWS
            self._write_batches(rows.slice(0, whole))
            self._waiting, self._rows = [rows.slice(whole)], self._rows - whole

    def flush(self) -> None:
        """Write the rows waiting in memory to the files."""
        if self._waiting:
            self._write_batches(pa.concat_tables(self._waiting))
            self._waiting, self._rows = [], 0

    def _write_batches(self, rows: pa.Table) -> None:
        for start in range(0, rows.num_rows, BUFFER_ROWS):
            (batch,) = rows.slice(start, BUFFER_ROWS).combine_chunks().to_batches()
            for target in self._targets:
                target.write(batch)


@contextmanager
def open_sinks(
    paths: Sequence[Path], metadata: Mapping[str, str], *, spreadsheet_safe: bool = False
) -> Iterator[Sinks]:
    """Write tables that replace existing files at `paths` when the block ends without an exception,
    and only then.

    `metadata` describes what made the results (model, detector, settings); Parquet stores it, with
    versions added. With `spreadsheet_safe`, CSV text that a spreadsheet would run as a formula is
    escaped. Raises OutputError; OSErrors of the block itself pass unchanged.
    """
    about = {**metadata, "schema_version": SCHEMA_VERSION, "program_version": _program_version()}
    with ExitStack() as stack:
        targets = [
            stack.enter_context(open_target(path, about, spreadsheet_safe=spreadsheet_safe))
            for path in paths
        ]
        sinks = Sinks(targets)
        yield sinks
        sinks.flush()
        for target in targets:
            target.finish()
        for target in targets:
            target.publish()


def read_table(path: Path) -> pa.Table:
    """Read a result table of any format, with SCHEMA's columns and types and each photo's rows
    together; other columns are skipped.

    Parquet metadata is kept in the schema. Raises BadInput for anything else, and for invalid
    values.
    """
    with readable(path):
        if is_folder(path) and folder.exists(path):
            return values.in_order(checked(folder.read(path), Origin(path)))
        reader = format_to_read(path)
        with storage.open_file(path) as file:
            _check_columns(path, reader.columns(file))
            file.seek(0)
            return values.in_order(checked(reader.read(file), Origin(path)))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Convert errors of reading a result table in the block to BadInput."""
    try:
        yield
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        hint = "give a table written by mivolo scan"
        if isinstance(path, Url) and isinstance(error, OSError):
            hint = storage.hint(error, str(path))
        raise BadInput(f"cannot read {path}: {reason}", hint=hint) from error


def checked(table: pa.Table, origin: Origin) -> pa.Table:
    """Return a file's rows with only SCHEMA's columns and types. Raises BadInput, naming column and
    row, for an invalid value; pyarrow's ArrowInvalid for a damaged table."""
    table.validate(full=True)
    table = values.typed(table, origin)
    rules.check(table, origin)
    return table


def parquet_files(path: Path) -> list[Path]:
    """Return the Parquet files of a table: itself, those in a folder, or none. Raises OSError."""
    if is_folder(path):
        return folder.files(path) if folder.exists(path) else []
    return [path] if path.suffix.lower() == ".parquet" else []


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in FIRST_COLUMNS if name not in columns]
    if missing:
        named = ", ".join(missing[:3]) + (" and others" if len(missing) > 3 else "")
        raise BadInput(
            f"{path} is not a result table of mivolo: it has no column {named}",
            hint="give a table written by mivolo scan",
        )


def _program_version() -> str:
    try:
        return version("mivolo-cli")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
