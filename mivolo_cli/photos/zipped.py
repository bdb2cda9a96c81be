"""Read ZIP files one member at a time, and extract compressed tar files as a whole to a temporary
file, with size limits."""

from __future__ import annotations

import gzip
import stat
import zipfile
import zlib
from collections.abc import Iterator
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

from ..errors import PhotoError

ENCRYPTED = (
    "encrypted",
    "it is encrypted: extract the archive with its password and scan the folder",
)
OTHER_METHOD = (
    "unreadable",
    ("its compression is not supported: extract the archive and scan the folder"),
)
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OverflowError, LookupError)
IS_ENCRYPTED = 1
"""Bit of a member's flags."""
PIECE = 1024**2
UNPACKED_AT_LEAST, TIMES_UNPACKED = 256 * 1024**2, 20
"""Maximum size of an extracted tar file: this many bytes, or this many times the compressed size if
that is more; photos are compressed already."""


class Zip:
    """A ZIP file; if several members have the same name, the last one is used, as when
    extracting."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        """`most` is the maximum size of a member in bytes. Raises ValueError."""
        self._lock, self._most = Lock(), most
        try:
            self._zip = zipfile.ZipFile(file)
        except (*DAMAGED_ZIP, NotImplementedError) as error:
            raise ValueError(f"no ZIP file, or an incomplete one ({error})") from error
        self._members = {info.filename: info for info in self._zip.infolist() if _is_file(info)}

    def names(self) -> Iterator[str]:
        return iter(self._members)

    def read(self, name: str) -> bytes:
        """Return a member's bytes. Raises KeyError, ValueError, MemoryError, and PhotoError if it
        is encrypted."""
        info = self._members[name]
        if info.flag_bits & IS_ENCRYPTED:
            raise PhotoError(*ENCRYPTED)
        if info.file_size > self._most:
            raise MemoryError
        try:
            with self._lock, self._zip.open(info) as member:
                return member.read(info.file_size + 1)
        except (NotImplementedError, RuntimeError) as error:
            raise PhotoError(*OTHER_METHOD) from error
        except DAMAGED_ZIP as error:
            raise ValueError(str(error)) from error


def unpacked(file: IO[bytes], size: int) -> IO[bytes]:
    """Extract a gzip file of this size to a temporary file, which the caller closes. Raises
    ValueError if it is damaged or too large, and OSError."""
    most = max(UNPACKED_AT_LEAST, TIMES_UNPACKED * size)
    copy = TemporaryFile()  # noqa: SIM115  # the caller closes it
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            while piece := packed.read(PIECE):
                copy.write(piece)
                if copy.tell() > most:
                    raise ValueError(f"it is {size} bytes long, and has over {most} unpacked")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        copy.close()
        raise ValueError(f"no gzip file, or an incomplete one ({error})") from error
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _is_file(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return not info.is_dir() and kind in (0, stat.S_IFREG)
