"""`mivolo report`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import Console
from .options import RESULT, AsJson, Log, MinScore, Quiet, Root
from .progress import counting

if TYPE_CHECKING:
    from ..report import HtmlReport

PICTURES = "Pictures"
HELP = "Create a self-contained page with figures, charts and a gallery. It works offline."
EXAMPLES = """Examples:

mivolo report people.parquet -o report.html

mivolo report people.parquet -o report.html --beside      # thousands of photos

mivolo report people.parquet -o report.html --no-pictures # to share without faces"""


def report(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="A table written by `mivolo scan`.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Page to write (.html).", rich_help_panel=RESULT),
    ],
    title: Annotated[
        str, typer.Option(help="Page title.", rich_help_panel=RESULT)
    ] = "People in photos",
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Overwrite any existing file, not only reports."),
    ] = False,
    no_pictures: Annotated[
        bool,
        typer.Option(
            "--no-pictures",
            help="Omit pictures and links to photos.",
            rich_help_panel=PICTURES,
        ),
    ] = False,
    beside: Annotated[
        bool,
        typer.Option(
            "--beside",
            help="Store the pictures in a folder next to the page.",
            rich_help_panel=PICTURES,
        ),
    ] = False,
    size: Annotated[
        int,
        typer.Option(
            min=64,
            max=2048,
            help="Longer side of the pictures, in pixels.",
            rich_help_panel=PICTURES,
        ),
    ] = 512,
    workers: Annotated[
        int,
        typer.Option(
            min=0, help="Threads that read photos; 0 means one per core.", rich_help_panel=PICTURES
        ),
    ] = 0,
    min_score: MinScore = 0.0,
    root: Root = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    from ..report import ReportOptions
    from ..report import report as run
    from ..storage import place

    options = ReportOptions(
        results=place(results),
        output=output,
        title=title,
        replace=replace,
        pictures="none" if no_pictures else "beside" if beside else "inside",
        size=size,
        min_score=min_score,
        workers=workers or os.cpu_count() or 1,
        moved=root or (),
    )
    with Console("report", quiet, as_json, log) as console:
        with counting("report", " photos", quiet) as bar:
            made = run(options, bar)
        console.finish(_lines(made), asdict(made), _warnings(made))


def _lines(made: HtmlReport) -> list[str]:
    megabytes = made.page.stat().st_size / 1e6
    people = f"people {made.people}" + f", not judged {made.not_judged}" * bool(made.not_judged)
    lines = [f"page: {made.page} ({megabytes:.1f} MB), photos {made.photos}, {people}"]
    lines += [f"pictures: {made.folder} (keep it next to the page)"] if made.folder else []
    return [*lines, *(f"note: {warning}" for warning in _warnings(made))]


def _warnings(made: HtmlReport) -> list[str]:
    from ..tables.moved import MOVED

    if not made.missing:
        return []
    why = "photos shown without a picture because they are missing or have changed"
    return [f"{why}: {made.missing}", MOVED]
