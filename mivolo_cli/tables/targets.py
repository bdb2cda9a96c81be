"""Outputs on their way: each appears under its name only when it is complete, and last of all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from .. import atomic, storage
from ..errors import OutputError
from ..storage import Url
from . import csv, folder
from .formats import TableWriter, format_of, is_folder, real


@dataclass(frozen=True, slots=True)
class Target:
    """An output on its way. This one is a folder: in its place `outputs.new_folder` puts it, after
    all files."""

    path: Path
    writer: TableWriter

    def write(self, batch: pa.RecordBatch) -> None:
        with _reported(self.path):
            self.writer.write(batch)

    def finish(self) -> None:
        """Nothing is missing on the disk then."""
        with _reported(self.path):
            self.writer.close()

    def publish(self) -> None:
        """Give it its name."""


@dataclass(frozen=True, slots=True)
class _BucketFolder(Target):
    """In a folder on this computer."""

    url: Url
    temporary: Path

    def publish(self) -> None:
        with _reported(self.path):
            folder.upload(self.temporary, self.url)


@dataclass(frozen=True, slots=True)
class _File(Target):
    """In a temporary file: beside the output, or in the staging folder of a Url."""

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


def open_target(
    path: Path, metadata: Mapping[str, str], *, spreadsheet_safe: bool
) -> AbstractContextManager[Target]:
    """What is not published when the block ends leaves nothing behind. Raises OutputError."""
    if not is_folder(path):
        return _open_file(path, metadata, spreadsheet_safe)
    return (
        _open_bucket_folder(path, metadata)
        if isinstance(path, Url)
        else _open_folder(path, metadata)
    )


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path`, complete and on the disk, if the block ends without an
    exception.

    Raises OutputError; OSErrors of the block count as troubles of this file.
    """
    target = real(path)
    temporary = target.with_name(_temporary_name(target))
    with _temporary_file(path, target, temporary) as file, _reported(path):
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(temporary, target)


def remove_leftovers(path: Path) -> None:
    """Delete what a killed run has left of an output beside it. Nobody may be writing it now."""
    target = real(path)
    if isinstance(target, Url):  # what was on its way there is in its staging folder
        return
    leftover = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for name in os.listdir(target.parent):
            if leftover.fullmatch(name):
                atomic.discard(target.with_name(name))


@contextmanager
def _open_file(path: Path, metadata: Mapping[str, str], safe: bool) -> Iterator[Target]:
    target = real(path)
    name = _temporary_name(target)
    temporary = target.staging_dir / name if isinstance(target, Url) else target.with_name(name)
    with _temporary_file(path, target, temporary) as file:
        with _reported(path):
            open_writer = format_of(path).writer
            if safe and open_writer is csv.CsvWriter:
                open_writer = partial(csv.CsvWriter, safe=True)
            writer = open_writer(file, metadata)
        with _closed(writer):
            yield _File(path, writer, target, temporary, file)


@contextmanager
def _open_folder(path: Path, metadata: Mapping[str, str]) -> Iterator[Target]:
    with atomic.new_folder(real(path), replace=True) as temporary:
        writer = folder.FolderWriter(temporary, metadata)
        with _closed(writer):
            yield Target(path, writer)


@contextmanager
def _open_bucket_folder(url: Url, metadata: Mapping[str, str]) -> Iterator[Target]:
    temporary = url.staging_dir / _temporary_name(url)
    try:
        with _reported(url):
            temporary.mkdir()
            writer = folder.FolderWriter(temporary, metadata)
        with _closed(writer):
            yield _BucketFolder(url, writer, url, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _closed(writer: TableWriter) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):
            writer.close()


@contextmanager
def _temporary_file(path: Path, target: Path, temporary: Path) -> Iterator[BinaryIO]:
    """A new file with the permissions of the file it may replace; it is removed unless it was
    renamed."""
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


def _temporary_name(target: Path) -> str:
    return f".{target.name}.{secrets.token_hex(4)}.part"


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        room = "make room or choose another folder, and run the same command again"
        hint = storage.hint(error, str(path)) if isinstance(path, Url) else room
        raise OutputError(f"cannot write {path}: {error.strerror or error}", hint=hint) from error
