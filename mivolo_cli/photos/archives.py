"""Pictures inside archives: ZIP, tar (plain, as in WebDataset, or compressed), and Parquet with a
picture column.

A scan treats an archive as a folder: `train-000.tar/0001.jpg` is the member 0001.jpg,
`train.parquet/17/cat.jpg` is row 17, whose picture is named cat.jpg. Size and time of a member are
those of the archive.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, chain
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from threading import Lock, RLock
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from .. import storage
from ..errors import PhotoError
from ..records import Photo, archive_of
from .limits import Limits
from .zipped import Zip, unpacked

DAMAGED_TAR = (tarfile.TarError, EOFError, OverflowError, RecursionError, LookupError)
CHANGED = "changed", "the file was changed while it was read"
OPEN_ARCHIVES, OPEN_GROUPS = 4, 2
MAX_BYTES = 1024**3
"""Maximum size of a picture."""
MAX_HEADER = 1024**2
"""Maximum size in bytes of a tar member's header, including extended headers such as long names."""
MAX_ROWS_A_BYTE, FEW_ROWS = 1, 10_000
"""A Parquet file may announce FEW_ROWS rows plus this many per byte; pictures take more than a byte
each."""
ROWS_AT_ONCE = 16
COLUMNS = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp")
"""Columns that may contain pictures as plain bytes; a column of structs with bytes and path may
have any name."""


class Archive(Protocol):
    def names(self) -> Iterator[str]:
        """Return the names of the pictures in file order."""

    def read(self, name: str) -> bytes:
        """Return a picture's bytes. Raises KeyError if it does not exist."""


def listing(archive: Photo) -> Iterator[Photo]:
    """Yield the pictures in an archive. Raises OSError, ValueError (damaged, or without pictures)
    and PhotoError."""
    if archive.bytes is None or archive.mtime_ns is None:
        raise PhotoError(*CHANGED)
    for name in _SHELF.get(archive.root, archive.path, archive.bytes, archive.mtime_ns).names():
        yield Photo(archive.root, f"{archive.path}/{name}", archive.bytes, archive.mtime_ns)


def read(photo: Photo) -> bytes | None:
    """Return the bytes of a photo in an archive; None for a regular file, in a folder named like an
    archive.

    Raises OSError, ValueError and PhotoError.
    """
    file, name = archive_of(photo.path)
    if not name or not _is_file(photo.root, file):
        return None
    if photo.bytes is None or photo.mtime_ns is None:
        raise PhotoError(*CHANGED)
    try:
        return _SHELF.get(photo.root, file, photo.bytes, photo.mtime_ns).read(name)
    except KeyError as error:
        raise FileNotFoundError(name) from error


class _Tar:
    """An uncompressed tar file; if several members have the same name, the last one is used, as
    when extracting."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._lock = file, Lock()
        try:
            with tarfile.open(fileobj=_Headers(file), mode="r:") as members:
                self._places = dict(_members(members))
        except DAMAGED_TAR as error:
            raise ValueError(f"no tar file, or an incomplete one ({error})") from error

    def names(self) -> Iterator[str]:
        return iter(self._places)

    def read(self, name: str) -> bytes:
        offset, size = self._places[name]
        if not 0 <= size <= MAX_BYTES:
            raise MemoryError
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)


class _Headers(io.RawIOBase):
    """A file that refuses large reads, because tar headers may announce any size."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the names of members, with offset and size."""
    while (member := archive.next()) is not None:
        if member.isreg() and not member.issparse():
            yield member.name, (member.offset_data, member.size)
        archive.members = []  # type: ignore[attr-defined]  # tarfile would keep all members


class _Rows:
    """A Parquet file with a picture column; one or two row groups are kept in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lock = RLock()
        with _as_value_errors():
            self._table = pq.ParquetFile(file)
        column = _column(self._table.schema_arrow)
        is_struct = pa.types.is_struct(column.type)
        self._bytes = f"{column.name}.bytes" if is_struct else column.name
        named = is_struct and any(field.name == "path" for field in column.type)
        self._path = f"{column.name}.path" if named else None
        groups = self._table.metadata
        sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        length = file.seek(0, os.SEEK_END)
        if min(sizes, default=0) < 0 or sum(sizes) > FEW_ROWS + MAX_ROWS_A_BYTE * length:
            raise ValueError(f"it has {length} bytes, and claims to have {sum(sizes)} rows")
        self._starts = list(accumulate(sizes, initial=0))
        self._group = lru_cache(OPEN_GROUPS)(self._read_group)

    def names(self) -> Iterator[str]:
        if self._path is None:
            yield from map(str, range(self._starts[-1]))
            return
        groups = list(range(len(self._starts) - 1))
        pictures = chain.from_iterable(self._arrays(groups, self._path))
        for row, picture in enumerate(pictures):
            path = str((picture.as_py() or {}).get("path") or "").replace("\\", "/")
            own = PurePosixPath(path).name
            yield f"{row}/{own}" if own else str(row)

    def read(self, name: str) -> bytes:
        number = int(name.partition("/")[0])
        if not 0 <= number < self._starts[-1]:
            raise KeyError(name)
        group = bisect_right(self._starts, number) - 1
        with self._lock, _as_value_errors():
            pictures, row = self._group(group), number - self._starts[group]
            if row >= len(pictures):
                raise ValueError("it has fewer rows than it says")
            picture = pictures[row].as_py()
        return (picture.get("bytes") if isinstance(picture, dict) else picture) or b""

    def _read_group(self, number: int) -> pa.ChunkedArray:
        found, size, most = [], 0, Limits().largest // OPEN_GROUPS
        for pictures in self._arrays([number], self._bytes):
            found.append(pictures)
            size += pictures.nbytes
            if size > most:
                raise MemoryError
        return pa.chunked_array(found)

    def _arrays(self, groups: list[int], column: str) -> Iterator[pa.Array]:
        """Yield a few rows at a time, because repeated values can encode any number of rows in a
        few bytes."""
        batches = self._table.iter_batches(
            ROWS_AT_ONCE, row_groups=groups, columns=[column], use_threads=False
        )
        while True:
            with self._lock, _as_value_errors():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch.column(0)


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """Convert Arrow's exceptions for damaged files to ValueError."""
    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _column(schema: pa.Schema) -> pa.Field:
    """Return the picture column; `image` if there are several. Raises ValueError."""
    fitting = [field for field in schema if _holds_pictures(field)]
    if not fitting:
        raise ValueError("it has no column of pictures: bytes, or a struct of bytes and path")
    return next((field for field in fitting if field.name == COLUMNS[0]), fitting[0])


def _holds_pictures(field: pa.Field) -> bool:
    if pa.types.is_struct(field.type):
        return any(inner.name == "bytes" and _is_bytes(inner.type) for inner in field.type)
    return field.name.lower() in COLUMNS and _is_bytes(field.type)


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class _Shelf:
    """Cache of the last opened archives; an evicted one closes after its last reader is done."""

    def __init__(self) -> None:
        self._archives: dict[tuple[str, str, int, int], Archive] = {}
        self._lock = Lock()

    def get(self, root: str, path: str, size: int, mtime_ns: int) -> Archive:
        """Return an open archive. Raises PhotoError if the file has changed."""
        key = root, path, size, mtime_ns
        if (found := self._archives.get(key)) is not None:
            return found
        with self._lock:
            if key not in self._archives:
                archive = _open(*key)
                for old in list(self._archives)[: -OPEN_ARCHIVES + 1]:
                    self._archives.pop(old, None)
                self._archives[key] = archive
            return self._archives[key]

    def holds(self, root: str, path: str) -> bool:
        return any(key[:2] == (root, path) for key in list(self._archives))


_SHELF = _Shelf()


def _is_file(root: str, path: str) -> bool:
    if not storage.is_url(root):
        return os.path.isfile(os.path.join(root, path))
    return _SHELF.holds(root, path) or storage.stat(f"{root}/{path}").bytes is not None


def _open(root: str, path: str, size: int, mtime_ns: int) -> Archive:
    """Open an archive. A tar file in a bucket is copied first, because its index is only known
    after reading all of it."""
    whole = f"{root}/{path}"
    kind = path.lower().rpartition(".")[2]
    facts: tuple[int | None, int | None]
    if storage.is_url(root):
        facts, file = storage.stat(whole), storage.Url(whole).open("rb")
    else:
        file = storage.open_file(Path(root, path))  # closed with the archive
        info = os.fstat(file.fileno())
        facts = info.st_size, info.st_mtime_ns
    if facts != (size, mtime_ns):
        file.close()
        raise PhotoError(*CHANGED)
    if kind == "tar" and storage.is_url(root):
        file = _copy(file)
    try:
        if kind in ("gz", "tgz"):
            with file:
                file = unpacked(file, size)
        archive = _opened(file, kind)
    except BaseException:
        file.close()
        raise
    weakref.finalize(archive, file.close)  # when its last reader is done, or at exit
    return archive


def _opened(file: IO[bytes], kind: str) -> Archive:
    if kind == "zip":
        return Zip(file, min(MAX_BYTES, Limits().largest))
    return _Rows(file) if kind == "parquet" else _Tar(file)


def _copy(file: IO[bytes]) -> IO[bytes]:
    copy = TemporaryFile()  # noqa: SIM115  # it closes with the archive
    with file:
        shutil.copyfileobj(file, copy, storage.BLOCK)
    copy.seek(0)
    return copy
