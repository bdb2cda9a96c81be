"""Result tables on disk: the suffix chooses the format, and a table appears under its name only when it is complete.

A name without suffix is a folder of Parquet files.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from .. import outputs, storage
from ..errors import BadInput, OutputError
from ..records import SCHEMA, SCHEMA_VERSION
from ..storage import Url
from . import csv, folder, jsonl, parquet

BUFFER_ROWS = 8192
"""Rows held in memory before they are written as one batch."""
MOVE_AWAY = "choose another name or move that file away"


class TableWriter(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None:
        """Write what is still missing; the file stays open. May be called twice."""


class Format(Protocol):
    """What a module of this package offers. Content that is not of its format raises one of UNREADABLE."""

    def Writer(self, file: BinaryIO, metadata: Mapping[str, str]) -> TableWriter: ...

    def is_ours(self, file: BinaryIO) -> bool: ...

    def columns(self, file: BinaryIO) -> list[str]: ...

    def read(self, file: BinaryIO) -> pa.Table: ...


FORMATS: dict[str, Format] = {".parquet": parquet, ".csv": csv, ".jsonl": jsonl}
UNREADABLE = (OSError, ValueError, RecursionError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class _Part:
    """An output on its way. This one is a folder, which appears when `outputs.new_folder` ends."""

    path: Path
    writer: TableWriter

    def write(self, batch: pa.RecordBatch) -> None:
        with _reported(self.path):
            self.writer.write(batch)

    def finish(self) -> None:
        with _reported(self.path):
            self.writer.close()

    def publish(self) -> None:
        """A folder comes after all files."""


@dataclass(frozen=True, slots=True)
class _FilePart(_Part):
    """In a temporary file: beside the output, or in the room of a Url."""

    target: Path
    temporary: Path
    file: BinaryIO

    def finish(self) -> None:
        with _reported(self.path):
            self.writer.close()
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()

    def publish(self) -> None:
        with _reported(self.path):
            if isinstance(self.target, Url):
                storage.write(self.temporary, str(self.target))
            else:
                os.replace(self.temporary, self.target)


class Sinks:
    """All outputs of a run; every row goes to each of them."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = parts
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Rows as records.rows() makes them. Raises OutputError."""
        self.add(pa.Table.from_pylist(list(rows), schema=SCHEMA))

    def add(self, table: pa.Table) -> None:
        """Rows with the columns of SCHEMA; they reach the files in runs of BUFFER_ROWS. Raises OutputError."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= BUFFER_ROWS:
            rows = pa.concat_tables(self._waiting)
            whole = self._rows - self._rows % BUFFER_ROWS
            self._hand_on(rows.slice(0, whole))
            self._waiting, self._rows = [rows.slice(whole)], self._rows - whole

    def flush(self) -> None:
        """Hand the rows waiting in memory to the files."""
        if self._waiting:
            self._hand_on(pa.concat_tables(self._waiting))
            self._waiting, self._rows = [], 0

    def _hand_on(self, rows: pa.Table) -> None:
        for start in range(0, rows.num_rows, BUFFER_ROWS):
            (batch,) = rows.slice(start, BUFFER_ROWS).combine_chunks().to_batches()
            for part in self._parts:
                part.write(batch)


@contextmanager
def open_sinks(
    paths: Sequence[Path], metadata: Mapping[str, str], *, spreadsheet_safe: bool = False
) -> Iterator[Sinks]:
    """Write tables that replace what stands under `paths` when the block ends without an exception, and only then.

    `metadata` says what made the results (model, detector, settings); Parquet keeps it, with the versions added.
    `spreadsheet_safe` changes text in CSV that a spreadsheet would run as a formula.
    Raises OutputError; OSErrors of the block itself pass unchanged.
    """
    versions = {"schema_version": SCHEMA_VERSION, "program_version": _program_version()}
    with ExitStack() as stack:
        about = {**metadata, **versions}
        opened: list[AbstractContextManager[_Part]] = [
            _folder_part(path, about) if is_folder(path) else _file_part(path, about, spreadsheet_safe)
            for path in paths
        ]
        parts = [stack.enter_context(part) for part in opened]
        sinks = Sinks(parts)
        yield sinks
        sinks.flush()
        for part in parts:
            part.finish()
        for part in parts:
            part.publish()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path`, complete and on the disk, if the block ends without an exception.

    Raises OutputError; OSErrors of the block count as troubles of this file.
    """
    target = real(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with _temporary_file(path, target, temporary) as file, _reported(path):
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(temporary, target)


def remove_leftovers(path: Path) -> None:
    """Delete what a killed run has left of an output beside it. Nobody may be writing it now."""
    target = real(path)
    if isinstance(target, Url):  # what was on its way there is in its room
        return
    leftover = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for name in os.listdir(target.parent):
            if leftover.fullmatch(name):
                found = target.with_name(name)
                shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()


def check_outputs(paths: Sequence[Path], *, folders: bool = False) -> None:
    """Refuse, before any work, outputs that could not be written or would destroy something. Raises BadInput.

    With `folders`, a name without suffix is a folder of Parquet files.
    """
    for path in paths:
        if not folders or path.suffix or isinstance(path, Url):
            _format(path)
        if isinstance(path, Url):
            _check_bucket(path)
        else:
            _check_folder(path)
            _check_existing(path)
    targets = [real(path) for path in paths]
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise BadInput(f"{paths[index]} is given twice as an output", hint="give every output another name")


def read_table(path: Path) -> pa.Table:
    """A result table of any of the formats with SCHEMA's columns and types; further columns are left out.

    Parquet's metadata stays on the schema. Raises BadInput for what is not such a table.
    """
    try:
        if is_folder(path) and path.is_dir():
            return _typed(folder.read(path))
        reader = _format(path)
        with path.open("rb") as file:
            _check_columns(path, reader.columns(file))
            file.seek(0)
            return _typed(reader.read(file))
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        hint = "give a table that mivolo scan has written"
        if isinstance(path, Url) and isinstance(error, OSError):
            hint = storage.hint(error, str(path))
        raise BadInput(f"cannot read {path}: {reason}", hint=hint) from error


def is_folder(path: Path) -> bool:
    """Whether this output is, or will be, a folder of Parquet files."""
    return not path.suffix


def parquet_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The Parquet files among outputs, and in those that are folders."""
    for path in paths:
        if is_folder(path):
            yield from folder.files(path) if path.is_dir() else ()
        elif path.suffix.lower() == ".parquet":
            yield path


def _format(path: Path) -> Format:
    if path.suffix.lower() not in FORMATS:
        raise BadInput(f"{path} has no suffix of a known format", hint=f"use one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def real(path: Path) -> Path:
    """The file behind links, so that a link stays one. Unlike Path.resolve() this bears links that go in circles."""
    return path if isinstance(path, Url) else Path(os.path.realpath(path))


def _check_folder(path: Path) -> None:
    folder = real(path).parent
    if not os.path.isdir(folder):
        raise BadInput(f"the folder of {path} does not exist", hint=f"create {folder} or choose another one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"no permission to write into {folder}", hint="choose another folder or change its permissions")


def _check_bucket(path: Url) -> None:
    """Whether it can be looked at; whether it can be written shows only in the end."""
    try:
        facts = _facts(path)
    except OSError as error:
        raise BadInput(f"cannot write to {path}: {error.strerror}", hint=storage.hint(error, str(path))) from error
    if facts is None:
        return
    if facts.bytes is None:
        raise BadInput(f"{path} is a folder", hint="choose another name for the output")
    if facts.bytes and not _is_ours(path):
        raise BadInput(f"{path} exists and is not a result table of mivolo", hint=MOVE_AWAY)


def _facts(path: Url) -> storage.Facts | None:
    """Of the object; None where only its bucket is there. Raises OSError."""
    try:
        return storage.look(str(path))
    except FileNotFoundError:
        storage.look(storage.bucket(str(path)))
        return None


def _check_existing(path: Path) -> None:
    if is_folder(path):
        if os.path.lexists(path) and not _is_our_folder(path):
            raise BadInput(f"{path} exists and is not a folder of results of mivolo alone", hint=MOVE_AWAY)
        return
    if os.path.isdir(path):
        raise BadInput(f"{path} is a folder", hint="choose another name for the output")
    if os.path.exists(path) and not _may_replace(path):
        raise BadInput(f"{path} exists and is not a result table of mivolo", hint=MOVE_AWAY)


def _may_replace(path: Path) -> bool:
    """A table of ours, or an empty file: nothing is lost with it."""
    try:
        return os.path.isfile(path) and (os.path.getsize(path) == 0 or _is_ours(path))
    except OSError:
        return False


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _format(path).is_ours(file)
    except UNREADABLE:
        return False


def _is_our_folder(path: Path) -> bool:
    try:
        return path.is_dir() and folder.is_ours(path)
    except UNREADABLE:
        return False


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in SCHEMA.names if name not in columns]
    if missing:
        raise BadInput(
            f"{path} is not a result table of mivolo: it has no column {', '.join(missing)}",
            hint="give a table that mivolo scan has written",
        )


def _typed(table: pa.Table) -> pa.Table:
    table.validate(full=True)
    for field in SCHEMA:
        if not field.nullable and table[field.name].null_count:
            raise ValueError(f"column {field.name} has empty fields")
    return table.select(SCHEMA.names).cast(SCHEMA).replace_schema_metadata(table.schema.metadata)


@contextmanager
def _file_part(path: Path, metadata: Mapping[str, str], safe: bool) -> Iterator[_FilePart]:
    target = real(path)
    name = f".{target.name}.{secrets.token_hex(4)}.part"
    temporary = target.room / name if isinstance(target, Url) else target.with_name(name)
    with _temporary_file(path, target, temporary) as file:
        with _reported(path):
            chosen = _format(path)
            writer = csv.Writer(file, metadata, safe) if chosen is csv else chosen.Writer(file, metadata)
        try:
            yield _FilePart(path, writer, target, temporary, file)
        finally:
            with suppress(OSError):
                writer.close()


@contextmanager
def _folder_part(path: Path, metadata: Mapping[str, str]) -> Iterator[_Part]:
    with outputs.new_folder(real(path), replace=True) as temporary:
        writer = folder.Writer(temporary, metadata)
        try:
            yield _Part(path, writer)
        finally:
            with suppress(OSError):
                writer.close()


@contextmanager
def _temporary_file(path: Path, target: Path, temporary: Path) -> Iterator[BinaryIO]:
    """A new file with the permissions of the file it may replace; it is removed unless it was renamed."""
    with _reported(path):
        file = temporary.open("xb")
    try:
        with _reported(path):
            if not isinstance(target, Url) and target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        yield file
    finally:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        room = "make room or choose another folder, and run the same command again"
        hint = storage.hint(error, str(path)) if isinstance(path, Url) else room
        raise OutputError(f"cannot write {path}: {error.strerror or error}", hint=hint) from error


def _program_version() -> str:
    try:
        return version("mivolo-cli")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
