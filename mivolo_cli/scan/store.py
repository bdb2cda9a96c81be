"""Results of photos on disk, in Parquet files that are either complete or absent, indexed by the
photo's key.

A part contains the rows of consecutive photos in walk order: the rows of the table, plus the key of
the photo.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import storage
from ..atomic import replacing
from ..errors import OutputError
from ..records import SCHEMA, Failure, Person, Photo, Prediction, Result, people_of, rows
from ..tables.moved import with_roots

PART_PHOTOS = 128
"""Photos per part: the most that a killed run can lose."""
KEY_BYTES = 16
KEPT_SCHEMA = SCHEMA.append(pa.field("key", pa.binary(KEY_BYTES)))
KEY_PREFIX = "mivolo."
FINGERPRINT = "fingerprint"
"""Metadata key of the fingerprint."""
PASSING = ("missing", "no_permission", "unreadable", "changed", "too_large")
"""Error codes that may disappear with an unchanged file, for example with more memory."""
OPEN_GROUPS = 4
UNREADABLE = (OSError, ValueError, KeyError, pa.ArrowException)


def key(photo: Photo) -> bytes:
    """Return the key of a photo's result: a hash of its path, size and time."""
    return _key(photo.root, photo.path, photo.bytes, photo.mtime_ns)


def _key(root: str, path: str, size: int | None, mtime_ns: int | None) -> bytes:
    text = f"{root}\0{path}\0{size}\0{mtime_ns}"
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=KEY_BYTES).digest()


def write_part(
    file: Path, metadata: Mapping[str, str], results: Iterable[Result | Failure]
) -> None:
    """Write results to a file. Raises OutputError; the file is then absent."""
    with open_store(file, metadata) as store:
        store.write_table(table((result, key(result.photo)) for result in results))


def table(results: Iterable[tuple[Result | Failure, bytes | None]]) -> pa.Table:
    """Return the rows of the results with these keys."""
    return pa.Table.from_pylist(
        [row | {"key": k} for result, k in results for row in rows(result)], schema=KEPT_SCHEMA
    )


def regrouped(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """Regroup rows into tables of `size`; the last one may have fewer."""
    waiting: list[pa.Table] = []
    count = 0
    for one in tables:
        waiting.append(one)
        count += one.num_rows
        while count >= size:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, size).combine_chunks()
            waiting, count = [whole.slice(size)], count - size
    if count:
        yield pa.concat_tables(waiting).combine_chunks()


@contextmanager
def open_store(file: Path, metadata: Mapping[str, str]) -> Iterator[pq.ParquetWriter]:
    """Return a writer for tables of KEPT_SCHEMA; the file appears when the block ends without an
    exception."""
    schema = KEPT_SCHEMA.with_metadata(
        {KEY_PREFIX + name: value for name, value in metadata.items()}
    )
    with (
        replacing(file, follow=False) as out,
        pq.ParquetWriter(out, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield writer


@dataclass(frozen=True, slots=True)
class _RowGroup:
    """A row group of a file; `start` is the number of its first row among all rows of the store."""

    file: Path
    number: int
    start: int


class ResultStore:
    """Results in files, indexed by the key of their photo; later ones replace earlier ones. Photos
    and rows are numbered in the order of adding. Only keys and numbers are kept in memory. Results
    of photos below `new_roots` are found at their new place."""

    def __init__(self, new_roots: Mapping[str, str] | None = None) -> None:
        self.index: dict[bytes, int] = {}
        self.passing: set[int] = set()
        """Numbers of photos whose failures may be temporary."""
        self._first_rows = array("q")
        self._rows = 0
        self._groups: list[_RowGroup] = []
        self._last_key: bytes | None = None
        self._renamed: dict[bytes, bytes] = {}
        self._by_time: dict[bytes, tuple[bytes, int]] | None = None
        self._new_roots = new_roots or {}
        self._read_group = lru_cache(OPEN_GROUPS)(partial(_read_group, self._new_roots))

    def add(self, file: Path, fingerprint: str, keys: Sequence[bytes] | None = None) -> bool:
        """Add a part or a result table if it is complete and has this fingerprint. `keys` replace
        the keys stored in the file."""
        try:
            groups = list(_read_keys(self._new_roots, file, fingerprint))
        except UNREADABLE:
            return False
        found = [
            self._add_group(_RowGroup(file, number, self._rows), *group)
            for number, group in enumerate(groups)
        ]
        photos = [photo for group in found for photo in group]
        for photo_key, (_, number) in zip(keys or [own for own, _ in photos], photos, strict=True):
            self.index[photo_key] = number
        return bool(groups)

    def rename(self, old: bytes, new: bytes) -> None:
        """Re-index a photo's result under another key."""
        self._renamed[old] = new
        self.index[new] = self.index.pop(old)

    def of_other_sizes(self, photo: Photo) -> tuple[bytes, int] | None:
        """Return the key of a result with the same path and time, and the file's size then; None if
        there is none."""
        if self._by_time is None:
            self._by_time = dict(self._read_times())
        found = self._by_time.get(_key(photo.root, photo.path, None, photo.mtime_ns))
        return found if found and found[0] in self.index else None

    def rows_of(self, number: int) -> tuple[int, int]:
        """Return the numbers of a photo's first row and of the row after its last."""
        end = self._first_rows[number + 1] if number + 1 < len(self._first_rows) else self._rows
        return self._first_rows[number], end

    def read(self, numbers: Iterable[int]) -> Iterator[pa.Table]:
        """Yield the rows of these photos, in order, as tables of KEPT_SCHEMA. Raises OutputError
        for damaged files."""
        start = end = 0
        # Adjacent photos in the files are read together: in most runs, these are nearly all.
        for number in numbers:
            first, after = self.rows_of(number)
            if first != end:
                yield from self._read_rows(start, end)
                start = first
            end = after
        yield from self._read_rows(start, end)

    def people(self, photo: Photo) -> list[tuple[Person, Prediction | None]]:
        """Return the people of a photo that has a result. Raises OutputError."""
        found = [row for some in self.read([self.index[key(photo)]]) for row in some.to_pylist()]
        return people_of(found)

    def _add_group(
        self, group: _RowGroup, keys: list[bytes | None], errors: list[str | None]
    ) -> list[tuple[bytes, int]]:
        """Number the photos of a row group. A photo that the previous group's end has split keeps
        its number."""
        photos = []
        # Rows with equal keys in sequence belong to one photo. The rows of a photo with many people
        # may continue in the next group, but never in another file.
        last = self._last_key if self._groups and self._groups[-1].file == group.file else None
        for row, (photo_key, error) in enumerate(zip(keys, errors, strict=True)):
            # Rows without a key, of files that did not exist, are never looked up, but are numbered
            # like all others, because photo and row numbers must match the files.
            if photo_key is None or photo_key != last:
                number = len(self._first_rows)
                self._first_rows.append(self._rows + row)
                if error in PASSING:
                    self.passing.add(number)
                if photo_key is not None:
                    photos.append((photo_key, number))
            last = photo_key
        self._last_key = last
        self._groups.append(group)
        self._rows += len(keys)
        return photos

    def _read_rows(self, start: int, end: int) -> Iterator[pa.Table]:
        # Read one row group at a time, because only a few are held open. Rows that span several
        # groups are returned as several tables.
        while start < end:
            place = bisect_right(self._groups, start, key=lambda group: group.start) - 1
            group = self._groups[place]
            after = self._groups[place + 1].start if place + 1 < len(self._groups) else self._rows
            stop = min(end, after)
            rows = self._read_group(group.file, group.number).slice(
                start - group.start, stop - start
            )
            yield self._with_new_keys(rows)
            start = stop

    def _with_new_keys(self, rows: pa.Table) -> pa.Table:
        if not self._renamed:
            return rows
        keys = pa.array(
            [self._renamed.get(key, key) for key in rows["key"].to_pylist()], pa.binary(KEY_BYTES)
        )
        return rows.set_column(rows.column_names.index("key"), KEPT_SCHEMA.field("key"), keys)

    def _read_times(self) -> Iterator[tuple[bytes, tuple[bytes, int]]]:
        """Yield path and time of each photo, hashed, with its key and size. This is done only on
        demand, because few runs need it."""
        for table in self.read(sorted(self.index.values())):
            columns = (
                table[name].to_pylist() for name in ("key", "root", "path", "bytes", "mtime_ns")
            )
            for photo_key, root, path, size, time in zip(*columns, strict=True):
                if photo_key is not None and size is not None:
                    yield _key(root, path, None, time), (photo_key, size)


def roots(files: Iterable[Path], fingerprint: str) -> set[str]:
    """Return the roots of the photos in those files that are readable and have this fingerprint."""
    found: set[str] = set()
    for file in files:
        with suppress(*UNREADABLE), _opened(file) as opened:
            if _is_of(opened, fingerprint):
                for batch in opened.iter_batches(columns=["root"]):
                    found.update(batch["root"].unique().to_pylist())
    return found


def _read_keys(
    new_roots: Mapping[str, str], file: Path, fingerprint: str
) -> Iterator[tuple[list[bytes | None], list[str | None]]]:
    """Yield the keys and error codes of each row group's rows; nothing if the fingerprint
    differs."""
    with _opened(file) as opened:
        if not _is_of(opened, fingerprint):
            return
        for number in range(opened.num_row_groups):
            group = _keyed(opened.read_row_group(number), new_roots)
            yield group["key"].to_pylist(), group["error"].to_pylist()


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    storage.require_regular(file)
    with pq.ParquetFile(file, page_checksum_verification=True) as opened:
        yield opened


def _is_of(opened: pq.ParquetFile, fingerprint: str) -> bool:
    about: Mapping[bytes, bytes] = opened.schema_arrow.metadata or {}
    return about.get((KEY_PREFIX + FINGERPRINT).encode()) == fingerprint.encode()


def _read_group(new_roots: Mapping[str, str], file: Path, number: int) -> pa.Table:
    try:
        with _opened(file) as opened:
            return _keyed(opened.read_row_group(number), new_roots)
    except UNREADABLE as error:
        raise OutputError(
            f"cannot read intermediate results in {file}: {error}",
            hint=(
                "if it is damaged, delete it; the same command then processes those photos again"
            ),
        ) from error


def _keyed(group: pa.Table, new_roots: Mapping[str, str]) -> pa.Table:
    """Convert a row group of a part or a result table to KEPT_SCHEMA; rows of files that did not
    exist have no key. Photos in a new root also get new keys."""
    if not new_roots.keys().isdisjoint(group["root"].unique().to_pylist()):
        group = with_roots(group, new_roots)
        group = group.drop_columns("key") if "key" in group.column_names else group
    if "key" not in group.column_names:
        columns: list[list[Any]] = [
            group[name].to_pylist() for name in ("root", "path", "bytes", "mtime_ns")
        ]
        facts = zip(*columns, strict=True)
        keys = [
            None if size is None else _key(root, path, size, time)
            for root, path, size, time in facts
        ]
        group = group.append_column("key", pa.array(keys, pa.binary(KEY_BYTES)))
    return group.select(KEPT_SCHEMA.names).cast(KEPT_SCHEMA)
