"""`mivolo weights`: list, verify, add, fetch."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ExitCode
from .console import Console, print_json
from .help import App
from .options import AsJson, Quiet
from .progress import counting
from .text import echo, wrapped


def list_(as_json: AsJson = False) -> None:
    """List all known weights, with location and licence."""
    from ..model import registry

    rows = registry.status()
    if as_json:
        print_json(
            {
                "weights": [
                    {**asdict(row.entry), "bytes": row.bytes, "path": row.path} for row in rows
                ]
            }
        )
        return
    for row in rows:
        size = "" if row.bytes is None else f"{row.bytes / 1e6:.1f} MB"
        place = (
            "embedded" if row.entry.embedded else "not here" if row.path is None else str(row.path)
        )
        echo(f"{row.entry.name:<22} {row.entry.kind:<9} {size:>10}  {place}")
        typer.echo(wrapped(f"{'':<22} licence: {row.entry.licence}", sys.stdout))


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names from `mivolo weights list`.", show_default="all"),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare local files with their registered hashes."""
    from ..model import registry

    checked = registry.verify(names)
    lines = [f"{entry.name:<22} {outcome}" for entry, outcome in checked]
    Console("weights verify", quiet, as_json).finish(
        lines, {entry.name: outcome for entry, outcome in checked}
    )
    if any(outcome == "mismatch" for _, outcome in checked):
        raise typer.Exit(ExitCode.BAD_INPUT)


def add(
    file: Annotated[Path, typer.Argument(help="A weights file.")],
    name: Annotated[str | None, typer.Option(help="The name to register it under.")] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Trust this file even if it is a pickle, which can execute arbitrary code.",
        ),
    ] = False,
) -> None:
    """Check a local weights file and register a copy under a name."""
    from ..model import install
    from ..runtime.openvino_engine import check_graph

    entry = install.add(file, name=name, trust=trust, check_graph=check_graph)
    echo(f"added {entry.name} ({entry.kind}), sha256 {entry.sha256}")


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="A name from `mivolo weights list`, or published: model and detector of"
            " MiVOLO's authors."
        ),
    ],
    offline: Annotated[bool, typer.Option("--offline", help="Do not use the network.")] = False,
) -> None:
    """Download published weights, after showing their licences."""
    from ..model import install

    entries = install.named(name)
    for entry in entries:
        echo(f"{entry.name} from {entry.url or 'nowhere'}")
        echo(f"  licence: {entry.licence} {entry.licence_url or entry.page}".rstrip())
    for entry in entries:
        with counting("fetch", "B", scale=True) as bar:
            path = install.fetch(entry.name, offline=offline, on_progress=bar)
        echo(f"here: {path}")
    if name == "published":
        echo("use them with --model published")


app = App(help="List, download, add and verify models and detectors.")
for name, command, example in (
    ("list", list_, "mivolo weights list"),
    ("verify", verify, "mivolo weights verify mivolo-xs"),
    ("add", add, "mivolo weights add model.safetensors --name mine"),
    ("fetch", fetch, "mivolo weights fetch published"),
):
    app.command(name, epilog=f"Example:\n\n{example}")(command)
