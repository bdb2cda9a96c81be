"""`mivolo purge`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import Console
from .options import AsJson, Quiet

EXAMPLES = """Examples:

mivolo purge --dry-run

mivolo purge people.parquet"""


def purge(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Tables, or folders with tables, whose intermediate results to delete.",
            show_default="this folder",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, without removing it.")
    ] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Delete intermediate results, leftovers of killed commands, and the program's cache.
    Tables and photos stay."""
    from ..scan import workdir
    from ..storage import place

    folders = [folder for path in paths or [Path()] for folder in workdir.find(place(path))]
    removed = [workdir.purge(folder, dry_run=dry_run) for folder in dict.fromkeys(folders)]
    for path in paths or [Path()]:
        removed += workdir.purge_leftovers(place(path), dry_run=dry_run)
    if paths is None:
        removed += workdir.purge_cache(dry_run=dry_run)
    word = "would remove" if dry_run else "removed"
    lines = [
        f"{word} {one.folder} ({one.files} files, {one.bytes / 1e6:.1f} MB)" for one in removed
    ]
    facts = {"dry_run": dry_run, "removed": [asdict(one) for one in removed]}
    Console("purge", quiet, as_json).finish(lines or ["nothing to remove"], facts)
