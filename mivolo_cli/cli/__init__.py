"""The command line: parse, call a command, print, exit. Each command imports heavy libraries only
when it needs them."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Annotated, cast

import typer
from typer.core import TyperGroup

from ..errors import MivoloError
from ..version import __version__
from . import (
    confine,
    demo,
    evaluate,
    export,
    find,
    info,
    merge,
    purge,
    report,
    scan,
    settings,
    summary,
    tag,
    text,
    train,
    votes,
    weights,
)
from .help import SETTINGS, App

app = App(
    name="mivolo",
    help="Estimate age and gender of every person in a photo collection.",
    epilog="Start with: mivolo demo",
)
app.command("scan", epilog=scan.EXAMPLES)(scan.scan)
app.command("merge", epilog=merge.EXAMPLES)(merge.merge)
app.command("tag", epilog=tag.TAG_EXAMPLES)(tag.tag)
app.command("untag", epilog=tag.UNTAG_EXAMPLES)(tag.untag)
app.command("demo", epilog="Example:\n\nmivolo demo -o somewhere")(demo.demo)
app.command("find", epilog=find.EXAMPLES)(find.find)
app.command("summary", epilog=summary.EXAMPLES)(summary.summary)
app.command("report", epilog=report.EXAMPLES, help=report.HELP)(report.report)
app.command("export", epilog=export.EXAMPLES, help=export.HELP)(export.export)
app.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("calibrate", epilog=evaluate.CALIBRATE_EXAMPLES)(evaluate.calibrate)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("votes", epilog=votes.EXAMPLES)(votes.votes)
app.add_typer(weights.app, name="weights")
app.command("info", epilog="Examples:\n\nmivolo info\n\nmivolo info --json")(info.info)
app.command("purge", epilog=purge.EXAMPLES)(purge.purge)


def main() -> None:
    """Run the program. An error becomes its exit code, one line and a hint on standard error, and
    with --json also an object on standard output."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escape what its encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="mivolo")
    except MivoloError as error:
        message = text.without_internals(str(error))
        line = text.wrapped(f"error: {message}", sys.stderr)
        typer.echo(
            line if os.environ.get("NO_COLOR") else typer.style(line, fg=typer.colors.RED), err=True
        )
        if error.hint:
            typer.echo(text.wrapped(f"hint: {error.hint}", sys.stderr), err=True)
        if "--json" in sys.argv:
            typer.echo(
                json.dumps({"error": message, "hint": error.hint, "exit_code": error.exit_code})
            )
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def program(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            metavar="FILE",
            help="File with default options.",
            show_default="mivolo.toml, here or in a folder above",
        ),
    ] = None,
    no_settings: Annotated[
        bool, typer.Option("--no-settings", help="Ignore settings files.")
    ] = False,
) -> None:
    """Estimate age and gender of every person in a photo collection."""
    if version:
        typer.echo(f"mivolo {__version__}")
        raise typer.Exit
    file = None if no_settings else settings_file or _found_settings()
    if file is not None and not ctx.resilient_parsing:
        ctx.default_map = settings.read(
            file, cast(TyperGroup, ctx.command), ctx, found=settings_file is None
        )
        ctx.meta[SETTINGS] = file


def _found_settings() -> Path | None:
    """Return the settings file here or in a folder above, if it belongs to the user."""
    file = settings.find(Path.cwd())
    if file is None or confine.is_own(file):
        return file
    typer.echo(
        f"note: {file} belongs to another user and is ignored; use --settings {file} to read it",
        err=True,
    )
    return None
