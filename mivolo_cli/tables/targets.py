"""Outputs being written: each gets its name only when it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from .. import atomic, storage
from ..atomic import real, reported
from ..storage import Url
from . import csv, folder
from .formats import TableWriter, format_of, is_folder


@dataclass(frozen=True, slots=True)
class Target:
    """An unfinished output. The base class is for folders, which `atomic.new_folder` moves into
    place after all files."""

    path: Path
    writer: TableWriter

    def write(self, batch: pa.RecordBatch) -> None:
        with reported(self.path):
            self.writer.write(batch)

    def finish(self) -> None:
        """Complete the output on disk."""
        with reported(self.path):
            self.writer.close()

    def publish(self) -> None:
        """Give it its final name."""


@dataclass(frozen=True, slots=True)
class _BucketFolder(Target):
    """A folder for a bucket, written locally first."""

    url: Url
    temporary: Path

    def publish(self) -> None:
        with reported(self.path):
            folder.upload(self.temporary, self.url)


@dataclass(frozen=True, slots=True)
class _File(Target):
    """A temporary file: next to the output, or in the staging folder of a Url."""

    draft: atomic.Draft

    def finish(self) -> None:
        with reported(self.path):
            self.writer.close()
            self.draft.finish()

    def publish(self) -> None:
        with reported(self.path):
            if isinstance(self.draft.target, Url):
                storage.write(self.draft.path, str(self.draft.target))
            else:
                self.draft.publish()


def open_target(
    path: Path, metadata: Mapping[str, str], *, spreadsheet_safe: bool
) -> AbstractContextManager[Target]:
    """Open an output; if it is not published when the block ends, nothing is left behind. Raises
    OutputError."""
    if not is_folder(path):
        return _open_file(path, metadata, spreadsheet_safe)
    return (
        _open_bucket_folder(path, metadata)
        if isinstance(path, Url)
        else _open_folder(path, metadata)
    )


def remove_leftovers(path: Path) -> None:
    """Delete what a killed run left next to an output, which must not be in use by another run."""
    if not isinstance(path, Url):  # unfinished uploads are in its staging folder
        atomic.remove_leftovers(real(path))


@contextmanager
def _open_file(path: Path, metadata: Mapping[str, str], safe: bool) -> Iterator[Target]:
    target = real(path)
    with ExitStack() as stack:
        with reported(path):
            staging = target.staging_dir if isinstance(target, Url) else None
            draft = stack.enter_context(atomic.draft(target, staging))
            open_writer = format_of(path).writer
            if safe and open_writer is csv.CsvWriter:
                open_writer = partial(csv.CsvWriter, safe=True)
            writer = open_writer(draft.file, metadata)
        stack.enter_context(_closed(writer))
        yield _File(path, writer, draft)


@contextmanager
def _open_folder(path: Path, metadata: Mapping[str, str]) -> Iterator[Target]:
    with atomic.new_folder(real(path), replace=True) as temporary:
        writer = folder.FolderWriter(temporary, metadata)
        with _closed(writer):
            yield Target(path, writer)


@contextmanager
def _open_bucket_folder(url: Url, metadata: Mapping[str, str]) -> Iterator[Target]:
    temporary = atomic.part_of(url, url.staging_dir)
    try:
        with reported(url):
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
