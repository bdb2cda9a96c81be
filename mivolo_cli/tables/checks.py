"""What an output may not be: refused before any work is done."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import storage
from ..atomic import real
from ..errors import BadInput
from ..storage import Url
from . import folder
from .formats import UNREADABLE, format_of, is_folder, is_ours

MOVE_AWAY = "choose another name or move that file or folder away"


def check_outputs(paths: Sequence[Path], *, folders: bool = False) -> None:
    """Refuse, before any work, outputs that could not be written or would destroy something. Raises
    BadInput.

    With `folders`, a name without suffix is a folder of Parquet files.
    """
    for path in paths:
        if not (folders and is_folder(path)):
            format_of(path)
        if isinstance(path, Url):
            _check_bucket(path)
        else:
            _check_parent(path)
            _check_existing(path)
    targets = [real(path) for path in paths]
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise BadInput(
                f"{paths[index]} is given twice as an output", hint="give every output another name"
            )


def _check_bucket(path: Url) -> None:
    """Whether it can be looked at; whether it can be written shows only in the end."""
    try:
        facts = _facts(path)
    except OSError as error:
        raise BadInput(
            f"cannot write to {path}: {error.strerror}", hint=storage.hint(error, str(path))
        ) from error
    if facts is None:
        return
    if is_folder(path):
        if facts.bytes is not None or not _is_our_folder(path):
            _refuse(path, "folder of results of mivolo alone")
    elif facts.bytes is None:
        raise BadInput(f"{path} is a folder", hint="choose another name for the output")
    elif facts.bytes and not is_ours(path):
        _refuse(path, "result table of mivolo")


def _facts(path: Url) -> storage.Stat | None:
    """Of the object; None where only its bucket is there. Raises OSError."""
    try:
        return storage.stat(str(path))
    except FileNotFoundError:
        storage.stat(storage.bucket(str(path)))
        return None


def _check_parent(path: Path) -> None:
    parent = real(path).parent
    if not os.path.isdir(parent):
        raise BadInput(
            f"the folder of {path} does not exist", hint=f"create {parent} or choose another one"
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput(
            f"no permission to write into {parent}",
            hint="choose another folder or change its permissions",
        )


def _check_existing(path: Path) -> None:
    if is_folder(path):
        if os.path.lexists(path) and not _is_our_folder(path):
            _refuse(path, "folder of results of mivolo alone")
    elif os.path.isdir(path):
        raise BadInput(f"{path} is a folder", hint="choose another name for the output")
    elif os.path.exists(path) and not _may_replace(path):
        _refuse(path, "result table of mivolo")


def _refuse(path: Path, what: str) -> None:
    raise BadInput(f"{path} exists and is not a {what}", hint=MOVE_AWAY)


def _may_replace(path: Path) -> bool:
    """A table of ours, or an empty file: nothing is lost with it."""
    try:
        return os.path.isfile(path) and (os.path.getsize(path) == 0 or is_ours(path))
    except OSError:
        return False


def _is_our_folder(path: Path) -> bool:
    try:
        return folder.exists(path) and folder.is_ours(path)
    except UNREADABLE:
        return False
