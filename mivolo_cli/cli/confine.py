"""Restrict what an automatically found settings file may refer to: nothing outside its folder, no
URL, no address.

The file may have arrived with someone else's photos; its author must not decide which files are
read and written and which servers are contacted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..atomic import real
from ..errors import BadInput
from ..records import stays_inside
from .files import OUTPUTS

ADDRESSES = ("ray-address", "url")
PLAIN = ("title", "include", "exclude", "path")
"""Options whose text is never a path; the text of all others may be one."""
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]|.*://", re.DOTALL)
HINT = "if you trust it, use mivolo --settings {file} ...; otherwise use --no-settings"


def is_own(file: Path) -> bool:
    """Return whether a file, and a link to it, belong to the user; always True on systems without
    file owners."""
    if not hasattr(os, "geteuid"):
        return True
    return {file.stat().st_uid, file.lstat().st_uid} == {os.geteuid()}


def check(tables: Mapping[str, Any], file: Path) -> None:
    """Reject settings that lead outside the folder of their file. Raises BadInput."""
    for option, text in _texts(tables):
        if reason := _reason(option.rpartition(".")[2], text, file.parent):
            raise BadInput(f"{file}: {option} {reason}: {text!r}", hint=HINT.format(file=file))


def _texts(tables: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text, with its option as `command.option`."""
    for key, value in tables.items():
        name = f"{under}{key}"
        if isinstance(value, dict):
            yield from _texts(value, f"{name}.")
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                yield name, one


def _reason(key: str, text: str, folder: Path) -> str:
    """Return why an option in a settings file of this folder may not have this value; empty if it
    may."""
    if key in PLAIN:
        return ""
    if key in ADDRESSES or URL.match(text):
        return "names an address"
    if text.startswith("~") or (text and not stays_inside(text)):
        return "points outside the folder of that file"
    # names of models are looked up in the current folder
    if not all(_is_inside(place / text, folder) for place in (folder, Path.cwd())):
        return "points outside the folder of that file through a link"
    if key in OUTPUTS and any(re.match(r"\.[^.]", part) for part in Path(text).parts):
        return "would write a hidden file, which a shell might run at start-up"
    return ""


def _is_inside(path: Path, folder: Path) -> bool:
    return real(path).is_relative_to(real(folder))
