"""Export results to other programs' formats: one module per format, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..atomic import Kind, check_file, check_folder
from ..errors import BadInput
from ..scan import workdir
from ..tables.results import Results, read_results
from . import coco, fiftyone, label_studio, xlsx, yolo
from .common import Exported, Settings


class ExportFormat(Protocol):
    """Interface of an export module: `SUFFIX` of its file, or "" if it fills a folder."""

    SUFFIX: str

    def write(self, results: Results, target: Path, settings: Settings) -> Exported: ...


FORMATS: dict[str, ExportFormat] = {
    "coco": coco,
    "yolo": yolo,
    "label-studio": label_studio,
    "fiftyone": fiftyone,
    "xlsx": xlsx,
}


EXPORT = Kind("new file", lambda path: False, "choose another name, or add --replace")
"""Exports are only replaced on request, because users may have edited them."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`output` is a file, or for YOLO and Label Studio a folder. It must not exist, except that a
    file may be replaced with `replace`. People with detection scores below `min_score` are skipped.
    `moved` says where photos are now: see tables.moved."""

    results: Path
    format: str
    output: Path
    replace: bool = False
    settings: Settings = Settings()
    min_score: float = 0.0
    moved: Sequence[str] = ()


def export(options: ExportOptions) -> Exported:
    """Write the results in another program's format. Raises BadInput before anything is written,
    and OutputError."""
    if options.format not in FORMATS:
        raise BadInput(
            f"unknown export format: {options.format!r}", hint=f"use one of {', '.join(FORMATS)}"
        )
    format = FORMATS[options.format]
    if format.SUFFIX:
        check_file(
            options.output,
            EXPORT,
            suffix=format.SUFFIX,
            inputs=[options.results],
            replace=options.replace,
        )
    else:
        check_folder(options.output)
    results = read_results(options.results, options.min_score, options.moved)
    with workdir.claim([options.output]):
        return format.write(results, options.output, options.settings)
