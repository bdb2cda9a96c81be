"""The command line: parse, call a verb, print, exit. Heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from ..errors import MivoloError
from . import evaluate, export, info, purge, report, scan, tag, train, votes, weights

app = typer.Typer(
    name="mivolo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Estimate age and gender of every person in a photo collection.",
    epilog="Start with: mivolo demo",
)
app.command("scan", epilog=scan.EXAMPLES)(scan.scan)
app.command("tag", epilog=tag.TAG_EXAMPLES)(tag.tag)
app.command("untag", epilog=tag.UNTAG_EXAMPLES)(tag.untag)
app.command("demo")(scan.demo)
app.command("report", epilog=report.EXAMPLES, help=report.HELP)(report.report)
app.command("export", epilog=export.EXAMPLES, help=export.HELP)(export.export)
app.command("eval", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("calibrate")(evaluate.calibrate)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("votes", epilog=votes.EXAMPLES)(votes.votes)
app.add_typer(weights.app, name="weights")
app.command("info")(info.info)
app.command("purge")(purge.purge)


def main() -> None:
    """The program: errors become one line and a hint on standard error, and their exit code."""
    try:
        app()
    except MivoloError as error:
        typer.secho(f"error: {error}", err=True, fg=typer.colors.RED)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def program(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Estimate age and gender of every person in a photo collection."""
    if version:
        typer.echo(f"mivolo {__version__}")
        raise typer.Exit
