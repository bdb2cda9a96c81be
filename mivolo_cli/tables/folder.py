"""Results as a folder of Parquet files, for more rows than one file should contain; all rows of a
photo are in the same file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from .. import atomic, storage
from ..storage import Url
from . import parquet

FILE_ROWS = 1_000_000
"""Rows after which a file ends with its current photo: about 100 MB."""
FILE = re.compile(r"part-\d{5,}\.parquet")
DONE = "_SUCCESS"
"""An empty object that marks a folder in a bucket as complete, as in Hadoop and Spark."""


class FolderWriter:
    """Fills an empty folder, with at least one file even if there are no rows. Each file has the
    metadata of the whole table."""

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
        """Write the last file to disk. May be called twice."""
        if not self._file.closed:
            self._writer.close()
            atomic.sync(self._file)
            self._file.close()

    def _begin(self) -> None:
        self._file = (self._folder / f"part-{self._files:05}.parquet").open("xb")
        self._writer = parquet.ParquetWriter(self._file, self._metadata)
        self._files, self._rows = self._files + 1, 0

    def _add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._writer.write(batch)
            self._rows += batch.num_rows


def exists(folder: Path) -> bool:
    """Whether this is a folder, or its equivalent in a bucket. Raises OSError."""
    if not isinstance(folder, Url):
        return folder.is_dir()
    try:
        return storage.stat(str(folder)).bytes is None
    except FileNotFoundError:
        return False


def files(folder: Path) -> list[Path]:
    """Return the files of a results folder in the order of their rows. Raises OSError."""
    return sorted(folder / name for name in _names(folder) if FILE.fullmatch(name))


def is_ours(folder: Path) -> bool:
    """Whether the folder contains nothing else. Raises pyarrow's ArrowInvalid if a file is not
    Parquet."""
    return all(name == DONE or FILE.fullmatch(name) for name in _names(folder)) and all(
        map(_is_ours, files(folder))
    )


def upload(folder: Path, url: Url) -> None:
    """Replace the files of a folder in a bucket with these; DONE is missing meanwhile. Raises
    OSError."""
    storage.remove(str(url / DONE))
    new = files(folder)
    for file in new:
        storage.write(file, str(url / file.name))
    for name in {file.name for file in files(url)} - {file.name for file in new}:
        storage.remove(str(url / name))
    (folder / DONE).touch()
    storage.write(folder / DONE, str(url / DONE))


def read(folder: Path) -> pa.Table:
    """Return all rows, with the metadata of the first file. Raises ValueError if there are no
    files."""
    tables = [_read(file) for file in files(folder)]
    if not tables:
        raise ValueError("it is a folder without results")
    return pa.concat_tables(tables, promote_options="permissive")


def _names(folder: Path) -> list[str]:
    return (
        [found.key for found in storage.listing(str(folder))]
        if isinstance(folder, Url)
        else os.listdir(folder)
    )


def _read(file: Path) -> pa.Table:
    with storage.open_file(file) as opened:
        return parquet.read(opened)


def _is_ours(file: Path) -> bool:
    with storage.open_file(file) as opened:
        return parquet.is_ours(opened)


def _next_photo(batch: pa.RecordBatch) -> int:
    """Return the index of the first row that begins a photo."""
    persons = batch.column("person").to_pylist()
    return next((place for place, person in enumerate(persons) if not person), batch.num_rows)
