"""Check that only the user and the system can have written a file; stored data is trusted only
then.

Platforms without file owners and modes (Windows) are not checked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

READABLE = 0o755
"""Mode of a folder that others may read."""
SYSTEM = (0, 65534)
"""Owners of system folders: root, and the user that represents it in a rootless container."""


def writable_by_others(path: Path, own: Path) -> Path | None:
    """Return the file, folder or link through which others could have changed what is at `path`: it
    belongs to another user, or others may write to it. None if there is none, or no file yet.

    Everything from the folder `own` down must belong to the user alone. Folders above it may belong
    to the system, and be writable by the user's private group, or by all with the sticky bit (as
    /tmp).
    """
    if not hasattr(os, "geteuid"):
        return None
    start = own.absolute()
    for part, info in _components(path.absolute()):
        strict = part.is_relative_to(start)
        if info.st_uid != os.geteuid() and (strict or info.st_uid not in SYSTEM):
            return part
        if not stat.S_ISLNK(info.st_mode) and _others_may_write(info, strict):
            return part
    return None


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Create a folder that others cannot write to, and its missing parents. Raises OSError."""
    for place in reversed((folder, *folder.parents)):
        if not place.is_dir():
            place.mkdir(mode, exist_ok=True)


def close_to_others(path: Path) -> None:
    """Remove others' permission to write to a file of the user. Raises OSError."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        path.chmod(mode & ~(stat.S_IWGRP | stat.S_IWOTH))


def _components(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything that resolving a path passes through: folders, links and their targets."""
    waiting, seen = [path], set[Path]()
    while waiting:
        end = waiting.pop()
        for part in (*reversed(end.parents), end):
            if part in seen:
                continue
            seen.add(part)
            try:
                info = part.lstat()
                if stat.S_ISLNK(info.st_mode):
                    waiting.append(part.parent / os.readlink(part))
            except OSError:
                break
            yield part, info


def _others_may_write(info: os.stat_result, strict: bool) -> bool:
    mode = info.st_mode
    if strict:
        return bool(mode & (stat.S_IWGRP | stat.S_IWOTH))
    if stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
        return False
    by_group = mode & stat.S_IWGRP and not _is_private_group(info.st_gid)
    return bool(mode & stat.S_IWOTH or by_group)


def _is_private_group(group: int) -> bool:
    """Whether a group is the private one that many systems create for each user, by their name."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
