"""Result tables as photos and people, the common entry point for reading results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from .. import tables
from ..records import Failure, Result, from_rows
from .moved import relocated
from .parquet import KEY_PREFIX
from .scores import with_min_score
from .stream import by_photo


@dataclass(frozen=True, slots=True)
class Results:
    """A table in memory; `made_by` names the model and the detector if the format stores them."""

    table: pa.Table
    made_by: Mapping[str, str]

    def __iter__(self) -> Iterator[Result | Failure]:
        """Yield the photos in the table's order; rows of one photo must be together."""
        yield from map(from_rows, by_photo([self.table]))

    @property
    def roots(self) -> list[str]:
        """The folders that the photos' paths are relative to."""
        return sorted(self.table["root"].unique().to_pylist())


def read_results(path: Path, min_score: float = 0.0, moved: Sequence[str] = ()) -> Results:
    """Read a table of `mivolo scan` in any format, without people who scored less than `min_score`,
    and with new folders for those that have `moved`. Raises BadInput."""
    table = relocated(with_min_score(tables.read_table(path), min_score), moved)
    metadata = {
        key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()
    }
    made_by = {
        key: metadata[KEY_PREFIX + key]
        for key in ("model", "detector")
        if KEY_PREFIX + key in metadata
    }
    return Results(table, made_by)
