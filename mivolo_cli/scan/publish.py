"""Write the tables of a scan and count their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import tables
from ..records import SCHEMA, photo_of
from . import store
from .options import ScanOptions

if TYPE_CHECKING:
    import pyarrow as pa

NAMED = 10
"""Number of unreadable photos listed at the end; all are in the table."""
Tally = Counter[tuple[str, str | None, bool]]
"""Counts of each combination of status, error and "first row of its photo" in a table."""


def write_tables(
    options: ScanOptions, metadata: Mapping[str, str], rows: Iterable[pa.Table], kept: Path
) -> dict[str, Any]:
    """Write these rows to all outputs, and those of readable photos to `kept`, for the next run.
    Return the counts for Progress.recount. Raises OutputError."""
    tally: Tally = Counter()
    unreadable: list[list[str]] = []
    with (
        tables.open_sinks(
            options.outputs, metadata, spreadsheet_safe=options.spreadsheet_safe
        ) as sinks,
        store.open_store(kept, metadata) as writer,
    ):
        for table in store.regrouped(rows, tables.BUFFER_ROWS):
            first = [person in (None, 0) for person in table["person"].to_pylist()]
            status, error = table["status"].to_pylist(), table["error"].to_pylist()
            tally.update(zip(status, error, first, strict=True))
            unreadable += _unreadable(table, NAMED - len(unreadable))
            sinks.add(table.select(SCHEMA.names))
            writer.write_table(table.filter(table["key"].is_valid()))
    return {**_counts(tally), "unreadable": unreadable}


def _unreadable(rows: pa.Table, most: int) -> list[list[str]]:
    """Return path, code and message of the first photos that could not be read."""
    failed = rows.filter(rows["error"].is_valid()).slice(0, most).to_pylist()
    return [[photo_of(row).address, row["error"], row["message"] or ""] for row in failed]


def _counts(tally: Tally) -> dict[str, Any]:
    status: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for (name, error, _), count in tally.items():
        status[name] += count
        if error:
            failures[error] += count
    return {
        "photos": sum(count for (_, _, first), count in tally.items() if first),
        "people": status["ok"] + status["no_usable_crop"],
        "no_people": status["no_people"],
        "no_usable_crop": status["no_usable_crop"],
        "failures": dict(failures),
    }
