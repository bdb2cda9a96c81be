"""`mivolo merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import Console
from .options import RESULT, AsJson, Log, Quiet

EXAMPLES = """Examples:

mivolo scan photos --shard 1/2 -o 1.parquet

mivolo scan photos --shard 2/2 -o 2.parquet

mivolo merge 1.parquet 2.parquet -o people.parquet"""


def merge(
    tables: Annotated[
        list[Path],
        typer.Argument(help="Parquet tables of all shards: files, or folders of files."),
    ],
    output: Annotated[
        list[Path],
        typer.Option(
            "--output",
            "-o",
            help=(
                "Table to write: .parquet, .csv, .jsonl, or a folder "
                "where shards are folders; repeatable."
            ),
            rich_help_panel=RESULT,
        ),
    ],
    spreadsheet_safe: Annotated[
        bool,
        typer.Option(
            "--spreadsheet-safe",
            help="In CSV, put ' before text that a spreadsheet would run as a formula.",
            rich_help_panel=RESULT,
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Merge the tables of a sharded scan (`scan --shard`), if none is missing."""
    from ..scan.merge import MergeOptions
    from ..scan.merge import merge as join
    from ..storage import place

    with Console("merge", quiet, as_json, log) as console:
        output = [*map(place, output)]
        done = join(MergeOptions([*map(place, tables)], output, spreadsheet_safe))
        lines = [
            f"{done.shards} shards, {done.photos} photos, {done.rows} rows",
            *(f"table: {path}" for path in output),
        ]
        facts = {"shards": done.shards, "photos": done.photos, "rows": done.rows, "outputs": output}
        console.finish(lines, facts)
