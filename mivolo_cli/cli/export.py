"""`mivolo export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import ExitCode
from .console import Console
from .options import AsJson, Log, MinScore, Quiet, Root

EXAMPLES = """Examples:

mivolo export people.parquet --to coco -o people.json

mivolo export people.parquet --to xlsx -o people.xlsx --thumbnails 96

mivolo export people.parquet --to yolo -o dataset"""
HELP = "Export scan results to COCO, YOLO, Label Studio, FiftyOne, or a spreadsheet."


def export(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="A table written by `mivolo scan`.")
    ],
    to: Annotated[
        Literal["coco", "yolo", "label-studio", "fiftyone", "xlsx"],
        typer.Option("--to", help="The format."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File to write, or a new folder for yolo and label-studio."
        ),
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing file.")] = False,
    thumbnails: Annotated[
        int,
        typer.Option(
            min=0,
            max=400,
            help="xlsx: add pictures with this many pixels on the longer side.",
            rich_help_panel="By format",
        ),
    ] = 0,
    copy_photos: Annotated[
        bool,
        typer.Option(help="yolo: copy the photos into the folder.", rich_help_panel="By format"),
    ] = True,
    url: Annotated[
        str,
        typer.Option(
            help="label-studio: prefix of each photo's address.",
            rich_help_panel="By format",
        ),
    ] = "/data/local-files/?d=",
    min_score: MinScore = 0.0,
    root: Root = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    from ..export import ExportOptions, Settings
    from ..export import export as run
    from ..storage import place

    settings = Settings(copy_photos=copy_photos, thumbnails=thumbnails, url=url)
    with Console("export", quiet, as_json, log) as console:
        done = run(
            ExportOptions(place(results), to, output, replace, settings, min_score, root or ())
        )
        lines = [
            f"{to}: photos {done.photos}, people {done.people}",
            *(f"written: {file}" for file in done.files),
            *(line for note in done.notes for line in f"note: {note}".splitlines()),
        ]
        counts = {"photos": done.photos, "people": done.people, "failed": done.failed}
        facts = {"format": to, **counts, "files": done.files}
        console.finish(lines, facts, done.notes)
    if done.failed:
        raise typer.Exit(ExitCode.PHOTOS_FAILED)
