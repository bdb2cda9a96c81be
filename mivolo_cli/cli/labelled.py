"""Options for labelled data, and the checks made before any work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from .options import Invalid, Pictures

if TYPE_CHECKING:
    from ..datasets import DataOptions

TABLES = (".csv", ".tsv", ".txt")


def reading(
    data: Sequence[Path], images: Path | None, pictures: Pictures, invalid: Invalid
) -> DataOptions:
    """Return options for reading labelled data. Raises BadInput if the data does not exist, or if
    none of its pictures do."""
    from ..datasets import DataOptions

    for place in data:
        if not os.path.lexists(place):
            raise BadInput(f"labelled data not found: {place}", hint="check the spelling")
        if place.suffix.lower() in TABLES:
            _require_pictures(place, images)
    return DataOptions(images, pictures, invalid)


def _require_pictures(table: Path, images: Path | None) -> None:
    """Reject a table if none of its pictures exists."""
    folder = table.parent if images is None else images
    names = list(dict.fromkeys(_names(table)))
    if not names or any((folder / name).is_file() for name in names):
        return
    hint = (
        "use --images DIR to give their folder"
        if images is None
        else "--images must be the folder that names in the table are relative to"
    )
    raise BadInput(
        f"none of the pictures named in {table} exists, for example {folder / names[0]}", hint=hint
    )


def _names(table: Path) -> Iterable[str]:
    """Return the pictures' names; none for a table that cannot be read, which its reader reports in
    more detail."""
    from pyarrow import ArrowException

    from ..datasets.rows import PICTURES
    from ..datasets.tables import read_text

    try:
        columns = read_text(table)
        named = next((name for name in PICTURES if name in columns.column_names), None)
    except (OSError, ValueError, ArrowException):
        return []
    values = [] if named is None else columns[named].to_pylist()
    return [str(value).strip() for value in values if value and str(value).strip()]
