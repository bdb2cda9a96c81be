"""Check that only the user and the system can have written a file; stored data is trusted only
then.

Nothing is checked where files have no owners and modes (Windows).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

READABLE = 0o755
"""The mode of a folder that others may read."""
SYSTEM = (0, 65534)
"""Owners of the folders around: root, and who stands for root in a container without it."""


def writable_by_others(path: Path, own: Path) -> Path | None:
    """The file, folder or link by which others could have changed what is at `path`: it belongs to
    somebody else, or others may write it. None if there is none, or nothing there yet.

    From the folder `own` on, all must belong to the user alone. Folders above it may belong to the
    system, and be writable by a group of the user alone, or by all where nobody can rename what
    belongs to others (as in /tmp).
    """
    if not hasattr(os, "geteuid"):
        return None
    start = own.absolute()
    for part, info in _way_to(path.absolute()):
        strict = part.is_relative_to(start)
        if info.st_uid != os.geteuid() and (strict or info.st_uid not in SYSTEM):
            return part
        if not stat.S_ISLNK(info.st_mode) and _others_may_write(info, strict):
            return part
    return None


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """Make a folder into which others cannot write, and those above it that are missing. Raises
    OSError."""
    for place in reversed((folder, *folder.parents)):
        if not place.is_dir():
            place.mkdir(mode, exist_ok=True)


def close_to_others(path: Path) -> None:
    """Take from others the permission to write a file of the user's own. Raises OSError."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        path.chmod(mode & ~(stat.S_IWGRP | stat.S_IWOTH))


def _way_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All that the system passes on its way to a path: folders, links, and what they lead to."""
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
    by_group = mode & stat.S_IWGRP and not _is_of_user_alone(info.st_gid)
    return bool(mode & stat.S_IWOTH or by_group)


def _is_of_user_alone(group: int) -> bool:
    """Whether a group is that which many systems make for each user, by the user's name."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
