"""Tables of boxes and of results, and the content of folders."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

Corners = tuple[float, float, float, float]
Given = list[tuple[str, str, Corners]]
"""Rows of a table of boxes: path, kind, x1 to y2."""


def write_boxes(file: Path, given: Given) -> Path:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(["path", "kind", "x1", "y1", "x2", "y2"])
        writer.writerows([path, kind, *corners] for path, kind, corners in given)
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def save_results(file: Path, results: Iterable[Any], **metadata: str) -> Path:
    """Write a table of results as a scan does, with size and time of the photos that are there."""
    from mivolo_cli.records import rows
    from mivolo_cli.tables import open_sinks

    with open_sinks([file], metadata) as sinks:
        for result in results:
            sinks.write(rows(replace(result, photo=_with_facts(result.photo))))
    return file


def _with_facts(photo: Any) -> Any:
    if photo.bytes is not None or not photo.file.is_file():
        return photo
    info = photo.file.stat()
    return replace(photo, bytes=info.st_size, mtime_ns=info.st_mtime_ns)


def table(file: Path) -> list[dict[str, Any]]:
    from mivolo_cli.tables import read_table

    return read_table(file).to_pylist()


def corners(row: dict[str, Any], kind: str) -> Corners | None:
    x1, y1, x2, y2 = (row[f"{kind}_{name}"] for name in ("x1", "y1", "x2", "y2"))
    return None if x1 is y1 is x2 is y2 is None else (x1, y1, x2, y2)
