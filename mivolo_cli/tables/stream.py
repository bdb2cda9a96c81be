"""Read result tables of any size, a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from .. import storage
from ..records import SCHEMA
from . import checked, parquet, parquet_files, read_table, readable
from .formats import UNREADABLE
from .moved import new_roots, relocated, with_roots
from .values import Origin

ORDER = ("root", "path", "person")
ROWS_AT_ONCE = 4096


def stream(path: Path, moved: Sequence[str] = ()) -> Iterator[pa.Table]:
    """Yield the rows of a result table as `read_table` does: each photo's rows are together, but
    may continue in the next table. Folders that have `moved` are replaced.

    Parquet files and folders are read on demand if their rows are in the order of a scan; other
    tables are read whole. Raises BadInput.
    """
    with readable(path):
        files = parquet_files(path)
    if not files or not _is_in_order(files):
        yield relocated(read_table(path), moved)
        return
    with readable(path):
        new = new_roots(moved, _roots(files)) if moved else {}
        for file in files:
            first = 0
            with storage.open_file(file) as opened:
                for batch in parquet.batches(opened):
                    yield with_roots(checked(batch, Origin(file, first)), new)
                    first += batch.num_rows


def by_photo(
    tables: Iterable[pa.Table], columns: Sequence[str] = SCHEMA.names
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of each photo, which must be together but may span several tables."""
    batches = (
        batch
        for table in tables
        for batch in table.select(columns).to_batches(max_chunksize=ROWS_AT_ONCE)
    )
    rows: Iterator[dict[str, Any]] = (row for batch in batches for row in batch.to_pylist())
    for _, group in groupby(rows, key=lambda row: (row["root"], row["path"])):
        yield list(group)


def _roots(files: Iterable[Path]) -> set[str]:
    found: set[str] = set()
    for file in files:
        with storage.open_file(file) as opened:
            for batch in parquet.batches(opened, ORDER[:1]):
                found.update(batch["root"].unique().to_pylist())
    return found


def _is_in_order(files: Sequence[Path]) -> bool:
    """Whether the files are ours, and every person except a photo's first directly follows the
    previous one, so the rows of a photo are together. Unreadable files are left to the reader to
    report."""
    try:
        return _all_ours(files) and _follow(_order(files))
    except (*UNREADABLE, TypeError):
        return False


def _all_ours(files: Iterable[Path]) -> bool:
    for file in files:
        with storage.open_file(file) as opened:
            if not parquet.is_ours(opened):
                return False
    return True


def _order(files: Iterable[Path]) -> Iterator[tuple[Any, ...]]:
    for file in files:
        with storage.open_file(file) as opened:
            for batch in parquet.batches(opened, ORDER):
                yield from zip(*(batch[name].to_pylist() for name in ORDER), strict=True)


def _follow(rows: Iterable[tuple[Any, ...]]) -> bool:
    before: tuple[Any, ...] = ()
    for root, path, person in rows:
        if person not in (None, 0) and before != (root, path, person - 1):
            return False
        before = root, path, person
    return True
