"""Photo libraries that have moved: map the folders of a table to their new locations.

`NEW` replaces the table's only root. `OLD=NEW` replaces a root, or a folder above roots.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath

import pyarrow as pa

from .. import storage
from ..atomic import real
from ..errors import BadInput
from ..records import stays_inside, text

SHOWN = 3
MOVED = "if photos have moved, add --root NEW"
"""A hint for missing photos."""


def new_roots(given: Sequence[str], roots: Collection[str]) -> dict[str, str]:
    """Return the roots that have moved, each with its new folder. Raises BadInput."""
    moved: dict[str, str] = {}
    for option in given if roots else ():
        moved |= _moved(option, roots)
    after = Counter(moved.get(root, root) for root in roots)
    if twice := [root for root, count in after.items() if count > 1]:
        raise BadInput(
            f"--root: two folders of the table would become {twice[0]}", hint=_hint(roots)
        )
    return {old: new for old, new in moved.items() if old != new}


def relocated(table: pa.Table, given: Sequence[str]) -> pa.Table:
    """Return a table with its roots replaced by their new folders. Raises BadInput."""
    if not given:
        return table
    return with_roots(table, new_roots(given, table["root"].unique().to_pylist()))


def with_roots(table: pa.Table, new: Mapping[str, str]) -> pa.Table:
    """Return the same rows with other roots."""
    if not new:
        return table
    roots = [new.get(root, root) for root in table["root"].to_pylist()]
    place = table.column_names.index("root")
    return table.set_column(place, table.schema.field("root"), pa.array(roots, pa.string()))


def _moved(option: str, roots: Collection[str]) -> dict[str, str]:
    """Apply one option to these roots."""
    for old, new in _divided(option):
        below = {root: rest for root in roots if (rest := _rest(root, old)) is not None}
        if below:
            folder = _folder(new)
            return {root: _inside(folder, rest, root) for root, rest in below.items()}
    if not os.path.exists(option) and any(os.path.isdir(new) for _, new in _divided(option)):
        raise BadInput(f"--root {option}: the table has no such folder", hint=_hint(roots))
    folder = _folder(option)
    if len(roots) > 1:
        raise BadInput(f"--root {option}: the table covers {len(roots)} folders", hint=_hint(roots))
    return dict.fromkeys(roots, folder)


def _divided(option: str) -> Iterator[tuple[str, str]]:
    """Yield the possible readings of OLD=NEW; names may contain an equals sign."""
    for place, letter in enumerate(option):
        if letter == "=" and option[:place] and option[place + 1 :]:
            yield os.path.expanduser(option[:place]), option[place + 1 :]


def _rest(root: str, old: str) -> str | None:
    """Return the path of a root below an old folder, empty for the folder itself; None if it is
    elsewhere. The paths may come from another operating system."""
    if PureWindowsPath(root).is_absolute() and not storage.is_url(root):
        root, old = root.replace("\\", "/"), old.replace("\\", "/")
        if root.lower().startswith(old.lower()):
            old = root[: len(old)]
    old = old.rstrip("/")
    if root.rstrip("/") == old:
        return ""
    return root[len(old) + 1 :] if root.startswith(f"{old}/") else None


def _inside(folder: str, rest: str, root: str) -> str:
    """Return a root in its new folder, which it must not leave by `..` or a link: tables are
    untrusted. Raises BadInput."""
    if not rest:
        return folder
    place = f"{folder.rstrip('/')}/{rest}"
    leaves = not stays_inside(rest)
    if not leaves and not storage.is_url(folder):
        leaves = not real(Path(place)).is_relative_to(real(Path(folder)))
    if leaves:
        raise BadInput(
            f"--root: {root} of the table would lead outside {folder}",
            hint="give its new folder: --root OLD=NEW",
        )
    return place


def _folder(new: str) -> str:
    """Return an absolute folder, or a folder's URL, as stored in tables. Raises BadInput."""
    path = storage.place(new)
    if isinstance(path, storage.Url):
        return str(path).rstrip("/")
    whole = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(whole):
        raise BadInput(
            f"--root {new}: no such folder",
            hint="give the folder in which the photos are now, or OLD=NEW",
        )
    return text(whole)


def _hint(roots: Collection[str]) -> str:
    """Tell how to name the folders of a table."""
    shown = ", ".join(sorted(roots)[:SHOWN]) + (" and others" if len(roots) > SHOWN else "")
    return f"say which: --root OLD=NEW, once a folder, or a folder above; the table has {shown}"
