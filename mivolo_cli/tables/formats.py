"""The formats of result tables: a name's suffix chooses one, and no suffix means a folder of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from ..errors import BadInput
from ..storage import Url
from . import csv, jsonl, parquet

UNREADABLE = (OSError, ValueError, RecursionError, pa.ArrowException)


class TableWriter(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None:
        """Write what is still missing; the file stays open. May be called twice."""


class Format(Protocol):
    """What a module of a format offers. Content that is not of its format raises one of UNREADABLE."""

    def Writer(self, file: BinaryIO, metadata: Mapping[str, str]) -> TableWriter: ...

    def is_ours(self, file: BinaryIO) -> bool: ...

    def columns(self, file: BinaryIO) -> Sequence[str]: ...

    def read(self, file: BinaryIO) -> pa.Table: ...


FORMATS: dict[str, Format] = {".parquet": parquet, ".csv": csv, ".jsonl": jsonl}


def format_of(path: Path) -> Format:
    """Raises BadInput for a name without a known suffix."""
    if path.suffix.lower() not in FORMATS:
        raise BadInput(f"{path} has no suffix of a known format", hint=f"use one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def is_folder(path: Path) -> bool:
    """Whether this output is, or will be, a folder of Parquet files."""
    return not path.suffix


def is_ours(path: Path) -> bool:
    """Whether a file is a result table of this program."""
    try:
        with path.open("rb") as file:
            return format_of(path).is_ours(file)
    except UNREADABLE:
        return False


def real(path: Path) -> Path:
    """The file behind links, so that a link stays one. Unlike Path.resolve() this bears links that go in circles."""
    return path if isinstance(path, Url) else Path(os.path.realpath(path))
