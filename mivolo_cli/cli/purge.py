"""`mivolo purge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def purge(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Tables, or folders with tables, whose finished work to remove; default: this folder."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove finished work that is kept beside tables, and the program's cache. Tables and photos stay."""
    from .. import workplace

    folders = [folder for path in paths or [Path()] for folder in workplace.find(path)]
    removed = [workplace.purge(folder, dry_run=dry_run) for folder in dict.fromkeys(folders)]
    if paths is None:
        removed += workplace.purge_cache(dry_run=dry_run)
    word = "would remove" if dry_run else "removed"
    for one in removed:
        typer.echo(f"{word} {one.folder} ({one.files} files, {one.bytes / 1e6:.1f} MB)")
    if not removed:
        typer.echo("there is nothing to remove")
