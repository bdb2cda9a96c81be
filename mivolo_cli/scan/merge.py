"""Merge the tables of a sharded scan, provided that it is complete."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from heapq import merge as merged
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from .. import storage
from ..errors import BadInput
from ..records import archive_of
from ..tables import (
    BUFFER_ROWS,
    UNREADABLE,
    Origin,
    check_outputs,
    checked,
    is_folder,
    open_sinks,
    parquet,
    parquet_files,
)
from . import fingerprint, shards, store, workdir
from .shards import Shard

Rows = list[dict[str, Any]]
"""Rows of one photo."""
SHOWN = 5
AGAIN = "scan them again with the same program, model and settings"


@dataclass(frozen=True, slots=True)
class MergeOptions:
    tables: Sequence[Path]
    outputs: Sequence[Path]
    spreadsheet_safe: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """Summary of a merge."""

    shards: int
    photos: int
    rows: int


@dataclass(frozen=True, slots=True)
class _Table:
    """A shard, in one file or in a folder of files."""

    path: Path
    files: Sequence[Path]
    shard: Shard
    metadata: Mapping[str, str]


def merge(
    options: MergeOptions, on_progress: Callable[[int], None] = lambda photos: None
) -> Merged:
    """Write one table of all shards, with photos in the order in which a scan on a single machine
    finds them.

    The shards are read in parallel, so memory holds a few thousand rows of each. `on_progress` is
    called with the number of photos done. Unless each shard is present once and made in the same
    way, nothing is written. Raises BadInput.
    """
    tables = [_open_table(path) for path in options.tables]
    _check(tables)
    folders = any(map(is_folder, options.tables))
    check_outputs(options.outputs, folders=folders, inputs=options.tables)
    metadata = {
        key: value for key, value in tables[0].metadata.items() if key not in fingerprint.OF_SHARDS
    }
    photos = rows = 0
    with (
        ExitStack() as stack,
        workdir.claim(options.outputs),
        open_sinks(options.outputs, metadata, spreadsheet_safe=options.spreadsheet_safe) as out,
    ):
        roots = {
            root: place
            for place, root in enumerate(json.loads(tables[0].metadata[fingerprint.ROOTS]))
        }
        streams = [stack.enter_context(closing(_photos(table))) for table in tables]
        together = merged(
            *streams, key=lambda photo: _place(photo[0]["root"], photo[0]["path"], roots)
        )
        while some := list(islice(together, BUFFER_ROWS)):
            out.write(row for photo in some for row in photo)
            photos, rows = photos + len(some), rows + sum(map(len, some))
            on_progress(photos)
    return Merged(len(tables), photos, rows)


def _place(root: str, path: str, roots: Mapping[str, int]) -> tuple[int, list[str]]:
    """Return the sort key of a photo in scan order: by folder, or by key in a bucket. The order
    within an archive is kept."""
    file = archive_of(path)[0]
    return roots.get(root, -1), [file] if storage.is_url(root) else file.split("/")


def _photos(table: _Table) -> Generator[Rows, None, None]:
    """Yield the photos of one shard in order. Raises BadInput if it is damaged or contains a photo
    of another shard."""
    try:
        for (_, path), rows in groupby(_rows(table), lambda row: (row["root"], row["path"])):
            if not table.shard.holds(path):
                raise BadInput(
                    f"{table.path} claims to be shard {table.shard}, but {path} belongs to another",
                    hint="it was modified: scan this shard again",
                )
            yield list(rows)
    except UNREADABLE as error:
        raise BadInput(
            f"cannot read {table.path}: {error}", hint="scan this shard again"
        ) from error


def _rows(table: _Table) -> Iterator[dict[str, Any]]:
    for place in table.files:
        with storage.open_file(place) as file:
            first = 0
            for batch in parquet.batches(file):
                yield from checked(batch, Origin(place, first)).to_pylist()
                first += batch.num_rows


def _open_table(path: Path) -> _Table:
    try:
        files = parquet_files(path) or [path]
        with storage.open_file(files[0]) as file:
            metadata = parquet.metadata(file) if parquet.is_ours(file) else {}
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        hint = "give Parquet tables of mivolo scan --shard"
        if isinstance(path, storage.Url) and isinstance(error, OSError):
            hint = storage.hint(error, str(path))
        raise BadInput(f"cannot read {path}: {reason}", hint=hint) from error
    needed = {fingerprint.SHARD, fingerprint.ROOTS, store.FINGERPRINT}
    if not needed <= metadata.keys() or not _is_list_of_text(metadata[fingerprint.ROOTS]):
        raise BadInput(
            f"{path} is not a shard",
            hint="give Parquet tables of mivolo scan --shard; only these say which part it is",
        )
    return _Table(path, files, shards.parse(metadata[fingerprint.SHARD]), metadata)


def _is_list_of_text(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and all(isinstance(one, str) for one in found)


def _check(tables: Sequence[_Table]) -> None:
    """Raise BadInput unless these are all shards of one scan."""
    if not tables:
        raise BadInput("nothing to merge", hint="name the tables of all shards")
    first = tables[0]
    seen: dict[int, Path] = {}
    for table in tables:
        if table.shard.count != first.shard.count:
            raise BadInput(
                f"{first.path} is shard {first.shard}, but {table.path} is shard {table.shard}",
                hint="merge only shards of the same scan",
            )
        for name, meaning in (
            (store.FINGERPRINT, "with another model or settings"),
            (fingerprint.ROOTS, "of other folders"),
        ):
            if table.metadata[name] != first.metadata[name]:
                raise BadInput(f"{table.path} was made {meaning} than {first.path}", hint=AGAIN)
        if table.shard.number in seen:
            both = f"{seen[table.shard.number]} and {table.path}"
            raise BadInput(f"shard {table.shard} is given twice: {both}", hint="omit one of them")
        seen[table.shard.number] = table.path
    _check_complete(seen, first.shard.count)


def _check_complete(seen: Mapping[int, Path], count: int) -> None:
    absent = count - len(seen)
    if absent:
        some = list(
            islice(
                (f"{number}/{count}" for number in range(1, count + 1) if number not in seen), SHOWN
            )
        )
        more = f" and {absent - len(some)} more" if absent > len(some) else ""
        raise BadInput(
            f"{absent} of {count} shards missing: {', '.join(some)}{more}",
            hint=f"run mivolo scan with --shard {some[0]}, and merge again",
        )
