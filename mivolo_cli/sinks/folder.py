"""Results as a folder of Parquet files, for more rows than one file should hold; a photo's rows are all in one file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from ..records import SCHEMA
from . import parquet

FILE_ROWS = 1_000_000
"""After so many rows a file ends with its photo: about 100 MB."""
FILE = re.compile(r"part-\d{5,}\.parquet")


class Writer:
    """Fills an empty folder; there is a file even if there are no rows. Each file has the metadata of a whole table."""

    def __init__(self, folder: Path, metadata: Mapping[str, str]) -> None:
        self._folder, self._metadata = folder, metadata
        self._files = 0
        self._begin()

    def write(self, batch: pa.RecordBatch) -> None:
        start = _next_photo(batch) if self._rows >= FILE_ROWS else batch.num_rows
        self._add(batch.slice(0, start))
        if start < batch.num_rows:
            self.close()
            self._begin()
            self._add(batch.slice(start))

    def close(self) -> None:
        """The last file is on the disk then. May be called twice."""
        if not self._file.closed:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def _begin(self) -> None:
        self._file = (self._folder / f"part-{self._files:05}.parquet").open("xb")
        self._writer = parquet.Writer(self._file, self._metadata)
        self._files, self._rows = self._files + 1, 0

    def _add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._writer.write(batch)
            self._rows += batch.num_rows


def files(folder: Path) -> list[Path]:
    """The files of a folder that was written here, in the order of their rows. Raises OSError."""
    return sorted(folder / name for name in os.listdir(folder) if FILE.fullmatch(name))


def is_ours(folder: Path) -> bool:
    """Whether nothing else is in the folder. Raises pyarrow's ArrowInvalid where a file is no Parquet file at all."""
    return len(os.listdir(folder)) == len(files(folder)) and all(map(_is_ours, files(folder)))


def read(folder: Path) -> pa.Table:
    """Its rows, with the metadata of the first file."""
    tables = [_read(file) for file in files(folder)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def _read(file: Path) -> pa.Table:
    with file.open("rb") as opened:
        return parquet.read(opened)


def _is_ours(file: Path) -> bool:
    with file.open("rb") as opened:
        return parquet.is_ours(opened)


def _next_photo(batch: pa.RecordBatch) -> int:
    """The place of the first row that begins a photo."""
    persons = batch.column("person").to_pylist()
    return next((place for place, person in enumerate(persons) if not person), batch.num_rows)
