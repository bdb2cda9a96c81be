"""Result tables as photos and people; every reader of results starts here."""

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
    """A table that has been read; `made_by` names the model and the detector where the format keeps
    them."""

    table: pa.Table
    made_by: Mapping[str, str]

    def __iter__(self) -> Iterator[Result | Failure]:
        """The photos in the table's order; rows of one photo stand together."""
        yield from map(from_rows, by_photo([self.table]))

    @property
    def roots(self) -> list[str]:
        """The folders that the photos' paths start from."""
        return sorted(self.table["root"].unique().to_pylist())


def read_results(path: Path, min_score: float = 0.0, moved: Sequence[str] = ()) -> Results:
    """A table of `mivolo scan` in any of its formats, without people who scored less, and with
    folders that have `moved` where they are now. Raises BadInput."""
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
