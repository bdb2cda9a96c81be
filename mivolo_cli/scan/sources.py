"""Watch the folders and buckets of a scan, so that unplugging a drive does not delete rows."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence

from .. import storage
from ..errors import Stopped
from ..records import Photo

CONNECT = "{remedy} and run the same command again to resume"


class Sources:
    """`roots` are the paths given to the scan; the identities of their folders are recorded on
    construction."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = frozenset(roots)
        folders = dict.fromkeys(
            storage.bucket(root) if storage.is_url(root) else root for root in roots
        )
        found = ((folder, identity(folder)) for folder in folders)
        self._identities = {folder: known for folder, known in found if known is not None}

    def require(self) -> None:
        """Raise Stopped if a folder can no longer be read, or has been replaced by another."""
        for folder, known in self._identities.items():
            if identity(folder) != known:
                remedy = "reconnect its drive"
                if storage.is_url(folder):
                    remedy = "check the connection, log in again"
                raise Stopped(
                    f"the folder {folder} can no longer be read", hint=CONNECT.format(remedy=remedy)
                )

    def staying(
        self,
        absent: Iterable[tuple[bytes, str, str]],
        found: Collection[str],
        *,
        keep_missing: bool,
        listed: bool,
    ) -> Iterator[bytes]:
        """Yield the keys of missing photos (given as key, root and path) whose rows are kept,
        because it is unknown whether they were deleted, or because the user requests it.

        `found` are the roots that contain photos. Raises Stopped for a folder that has lost all of
        its photos, unless the user allows that.
        """
        for key, root, path in absent:
            if root not in self._roots:
                continue
            gone = is_gone(Photo(root, path))
            if gone and root not in found and not keep_missing and not listed:
                raise Stopped(
                    f"{root} has no photos any more, but the last scan found some",
                    hint=(
                        "check that its drive is connected; if they are really gone, omit that "
                        "folder or add --keep-missing"
                    ),
                )
            if gone is None or (gone and keep_missing):
                yield key


def identity(folder: str) -> tuple[int, int] | None:
    """Return a value that distinguishes a folder from another one mounted in its place; None if it
    cannot be read.

    For a bucket, the value says whether access is granted, so that an expired login is noticed.
    """
    if storage.is_url(folder):
        reached = storage.answers(folder)
        return None if reached is None else (0, int(reached))
    try:
        with os.scandir(folder):
            status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_gone(photo: Photo) -> bool | None:
    """Return whether a file is missing; None if unknown. Listings of buckets are reliable."""
    if storage.is_url(photo.root):
        return True
    try:
        os.stat(photo.file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return None
    return False
