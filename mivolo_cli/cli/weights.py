"""`mivolo weights`: list, verify, add, fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput


def list_() -> None:
    """All known weights: where they are and under which licence."""
    from .. import weights

    for row in weights.status():
        size = "" if row.bytes is None else f"{row.bytes / 1e6:.1f} MB"
        place = "embedded" if row.entry.embedded else "not here" if row.path is None else str(row.path)
        typer.echo(f"{row.entry.name:<22} {row.entry.kind:<9} {size:>10}  {place}")
        typer.echo(f"{'':<22} licence: {row.entry.licence}")


def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names of `mivolo weights list`; default: all.")] = None,
) -> None:
    """Compare the files here with their registered hashes."""
    from .. import weights

    checked = weights.verify(names)
    for entry, outcome in checked:
        typer.echo(f"{entry.name:<22} {outcome}")
    if any(outcome == "mismatch" for _, outcome in checked):
        raise typer.Exit(BadInput.exit_code)


def add(
    file: Annotated[Path, typer.Argument(help="A file of weights that you have.")],
    name: Annotated[str | None, typer.Option(help="The name to use it by.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Allow a pickle, which can run any code, from now on.")
    ] = False,
) -> None:
    """Check a local file of weights and keep a copy under a name."""
    from .. import fetch

    entry = fetch.add(file, name=name, trust=trust)
    typer.echo(f"added {entry.name} ({entry.kind}), sha256 {entry.sha256}")


def fetch(
    name: Annotated[str, typer.Argument(help="A name of `mivolo weights list`.")],
    offline: Annotated[bool, typer.Option("--offline", help="Refuse to use the network.")] = False,
) -> None:
    """Download published weights; the licence is shown first."""
    from tqdm import tqdm

    from .. import fetch, weights

    entry = weights.get(name)
    typer.echo(f"{entry.name} from {entry.url or 'nowhere'}")
    typer.echo(f"licence: {entry.licence} {entry.licence_url}".rstrip())
    with tqdm(unit="B", unit_scale=True, disable=None) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = fetch.fetch(name, offline=offline, progress=show)
    typer.echo(f"here: {path}")


app = typer.Typer(no_args_is_help=True, help="Models and detectors: which there are, fetch, add, verify.")
for name, command in (("list", list_), ("verify", verify), ("add", add), ("fetch", fetch)):
    app.command(name)(command)
