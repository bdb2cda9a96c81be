"""Replace a file by a changed one: at any moment, either the complete old file or the complete new
one exists."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..atomic import Draft, draft, real, sync_folder
from ..storage import read_file
from . import Refused

BACKUP = "_original"
MAX_BYTES = 1024**3
"""Largest photo that can be changed: several copies of it are held in memory."""
WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def status(file: Path) -> os.stat_result:
    """Return the status of a file. Raises Refused if it is not a regular file."""
    try:
        info = file.stat()
    except OSError as error:
        raise _not_read(error) from error
    if not stat.S_ISREG(info.st_mode):
        raise Refused("unreadable", "it is not a file")
    return info


def read(file: Path, most: int = MAX_BYTES) -> bytes:
    """Return the content of a photo or sidecar. Raises Refused."""
    try:
        return read_file(file, most)
    except OSError as error:
        raise _not_read(error) from error


def check_writable(file: Path) -> None:
    """Refuse a file that is write-protected, has other hard links, or is in a write-protected
    folder."""
    target = real(file)
    check_folder(target)
    info = status(target)
    if not info.st_mode & WRITE_BITS or not os.access(target, os.W_OK):
        raise Refused("read_only")
    if info.st_nlink > 1 and not (info.st_nlink == 2 and _is_own_backup(target)):
        raise Refused("hard_linked", f"{info.st_nlink} names")


def check_folder(file: Path) -> None:
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise Refused("no_permission", str(file.parent))


def check_name(file: Path) -> None:
    """Refuse a name too long for the file system, such as a photo's name with a suffix added."""
    try:
        file.lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Refused("name_too_long", file.name[-20:]) from error


def replace_photo(file: Path, data: bytes, known: os.stat_result, *, backup: bool) -> None:
    """Overwrite a photo, preserving mode, times, extended attributes and, where possible, the
    owner.

    `known` is the file's status when it was read. Raises Refused if it has changed since. With
    `backup`, the old file is kept with `_original` appended to its name, unless such a file already
    exists.
    """
    target = real(file)
    check_writable(target)
    if backup:
        check_name(_backup_of(target))
    with _written(target, data) as new:
        _keep_owner(target, new.path)
        shutil.copystat(target, new.path)
        now = status(target)
        if (now.st_size, now.st_mtime_ns, now.st_ino) != (
            known.st_size,
            known.st_mtime_ns,
            known.st_ino,
        ):
            raise Refused("changed", "while it was being worked on")
        if backup:
            _keep_backup(target)
        new.publish()


def write_sidecar(file: Path, data: bytes) -> None:
    """Write a new or existing file. Its time becomes now, so that programs read it again; mode and
    owner are preserved."""
    target = real(file)
    check_name(target)
    check_folder(target)
    if target.exists():
        check_writable(target)
    with _written(target, data) as new:
        if target.exists():
            _keep_owner(target, new.path)
            shutil.copymode(target, new.path)
        new.publish()


def remove_file(file: Path) -> None:
    check_folder(file)
    try:
        file.unlink()
    except OSError as error:
        raise Refused("not_written", _why(error)) from error
    sync_folder(file.parent)


@contextmanager
def _written(target: Path, data: bytes) -> Iterator[Draft]:
    """Write a temporary file next to the target, synced and read back, ready to publish. Raises
    Refused."""
    try:
        with draft(target) as new:
            new.file.write(data)
            new.finish()
            if new.path.read_bytes() != data:
                raise Refused("not_written", "the disk did not keep what was written")
            yield new
            sync_folder(target.parent)
    except OSError as error:
        raise Refused("not_written", _why(error)) from error


def _keep_owner(target: Path, part: Path) -> None:
    info = target.stat()
    with suppress(PermissionError):  # only root may change a file's owner
        os.chown(part, info.st_uid, info.st_gid)


def _keep_backup(target: Path) -> None:
    """Keep the old file as a hard link, or as a copy where links are not supported."""
    kept = _backup_of(target)
    if kept.exists():
        return
    try:
        os.link(target, kept)
    except OSError:
        with _written(kept, target.read_bytes()) as copy:
            shutil.copystat(target, copy.path)
            copy.publish()


def _is_own_backup(target: Path) -> bool:
    """Whether the second link is a backup left by a killed run."""
    kept = _backup_of(target)
    try:
        return os.path.samefile(kept, target)
    except OSError:
        return False


def _backup_of(target: Path) -> Path:
    return target.with_name(target.name + BACKUP)


def _not_read(error: OSError) -> Refused:
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return Refused("missing") if gone else Refused("unreadable", _why(error))


def _why(error: OSError) -> str:
    return error.strerror or str(error)
