"""Refuse invalid outputs before any work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .. import storage
from ..atomic import Kind, check_file, check_parent, refuse_inputs, refuse_twins
from ..errors import BadInput
from ..storage import Url
from . import folder
from .formats import UNREADABLE, format_of, is_folder, is_ours

TABLE = Kind("result table of mivolo", is_ours)


def check_outputs(
    paths: Sequence[Path], *, folders: bool = False, inputs: Sequence[Path] = ()
) -> None:
    """Refuse, before any work, outputs that cannot be written or would destroy something, such as
    one of the inputs. Raises BadInput.

    With `folders`, a name without a suffix is a folder of Parquet files.
    """
    refuse_inputs(paths, inputs)
    for path in paths:
        if not (folders and is_folder(path)):
            format_of(path)
        if isinstance(path, Url):
            _check_bucket(path)
        elif is_folder(path):
            _check_folder(path)
        else:
            check_file(path, TABLE)
    refuse_twins(paths)


def _check_bucket(path: Url) -> None:
    """Refuse an output that cannot be looked up or is not ours; write access is only tested at the
    end."""
    try:
        facts = _facts(path)
    except OSError as error:
        raise BadInput(
            f"cannot write to {path}: {error.strerror}", hint=storage.hint(error, str(path))
        ) from error
    if facts is None:
        return
    if is_folder(path):
        if facts.bytes is not None or not FOLDER.is_ours(path):
            raise FOLDER.refusal(path)
    elif facts.bytes is None:
        raise BadInput(f"{path} is a folder", hint="choose another name for the output")
    elif facts.bytes and not is_ours(path):
        raise TABLE.refusal(path)


def _facts(path: Url) -> storage.Stat | None:
    """Return the status of the object; None if only its bucket exists. Raises OSError."""
    try:
        return storage.stat(str(path))
    except FileNotFoundError:
        storage.stat(storage.bucket(str(path)))
        return None


def _check_folder(path: Path) -> None:
    check_parent(path)
    if os.path.lexists(path) and not FOLDER.is_ours(path):
        raise FOLDER.refusal(path)


def _is_our_folder(path: Path) -> bool:
    try:
        return folder.exists(path) and folder.is_ours(path)
    except UNREADABLE:
        return False


FOLDER = Kind("folder of results of mivolo alone", _is_our_folder)
