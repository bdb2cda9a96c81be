"""Results as Parquet, with provenance in the file's key-value metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ..records import FIRST_COLUMNS, SCHEMA

KEY_PREFIX = "mivolo."
VERSION_KEY = KEY_PREFIX + "schema_version"
ROWS_AT_ONCE = 4096


class ParquetWriter:
    """Writes one row group per batch; `metadata` is stored with every key under `mivolo.`."""

    def __init__(self, file: BinaryIO, metadata: Mapping[str, str]) -> None:
        schema = SCHEMA.with_metadata({KEY_PREFIX + key: value for key, value in metadata.items()})
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


def is_ours(file: BinaryIO) -> bool:
    """Whether this is our table. Raises pyarrow's ArrowInvalid if it is not Parquet at all."""
    schema = pq.ParquetFile(file).schema_arrow
    known = schema.names in (SCHEMA.names, FIRST_COLUMNS)
    return known and VERSION_KEY.encode() in (schema.metadata or {})


def columns(file: BinaryIO) -> list[str]:
    return pq.ParquetFile(file).schema_arrow.names


def read(file: BinaryIO) -> pa.Table:
    return pq.ParquetFile(file).read(columns=SCHEMA.names)


def metadata(file: BinaryIO) -> dict[str, str]:
    """Return what was passed to ParquetWriter."""
    kept: Mapping[bytes, bytes] = pq.ParquetFile(file).schema_arrow.metadata or {}
    facts = {key.decode(): value.decode() for key, value in kept.items()}
    return {
        key.removeprefix(KEY_PREFIX): value
        for key, value in facts.items()
        if key.startswith(KEY_PREFIX)
    }


def batches(file: BinaryIO, columns: Sequence[str] = tuple(SCHEMA.names)) -> Iterator[pa.Table]:
    """Yield the rows, a few thousand at a time."""
    for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE, columns=list(columns)):
        yield pa.Table.from_batches([batch])
