"""`mivolo votes`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..atomic import Kind, check_file
from .console import print_json
from .options import AsJson, Quiet
from .text import UNCERTAINTY, aligned, echo, share, years

if TYPE_CHECKING:
    from ..evaluation.votes import VotesReport

EXAMPLES = """Example:

mivolo votes votes.csv --controls known.csv -o labels.csv"""


def votes(
    source: Annotated[
        Path,
        typer.Argument(metavar="VOTES", help="CSV or Parquet with item, annotator, vote (years)."),
    ],
    controls: Annotated[Path, typer.Option(metavar="FILE", help="Items of known age (item, age).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Labels to write (CSV).")
    ],
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="True ages (item, age) to evaluate the votes against."),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="RESULTS", help="Scan results of the items, to evaluate next to the annotators."
        ),
    ] = None,
    min_controls: Annotated[
        int, typer.Option(min=1, help="Minimum number of controls an annotator must have voted on.")
    ] = 3,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Combine annotators' votes into age labels, weighted by their error on control items."""
    from ..evaluation.votes import VotesOptions, combine_votes

    read = (source, controls, truth, compare)
    check_file(output, LABELS, inputs=[file for file in read if file is not None])
    found = combine_votes(VotesOptions(source, controls, output, truth, compare, min_controls))
    if as_json:
        print_json(asdict(found))
    if as_json or quiet:
        return
    for line in _lines(found):
        echo(line)
    echo(f"labels: {output}")


def _is_labels(file: Path) -> bool:
    from ..evaluation.votes import METHODS

    header = ",".join(("path", "age", "votes", *METHODS)).encode()
    with file.open("rb") as opened:
        return opened.readline(2 * len(header)).rstrip(b"\r\n") == header


LABELS = Kind("CSV of labels of mivolo votes", _is_labels)


def _lines(found: VotesReport) -> list[str]:
    head = ["annotator", "votes", "controls", "MAE on controls (years)"]
    rows = [
        [a.name, f"{a.votes}", f"{a.controls}", "-" if a.mae is None else f"{a.mae:.2f}"]
        for a in found.annotators
    ]
    lines = [*aligned([head, *rows]), "", f"items labelled: {found.items}"]
    left_out = sum(annotator.mae is None for annotator in found.annotators)
    lines += [f"  {left_out} annotators had too few controls and got no weight"] if left_out else []
    lines += (
        [f"  {found.unweighed} items got the median, since no voter has a weight"]
        if found.unweighed
        else []
    )
    lines += [f"  {found.missing} votes were missing"] if found.missing else []
    lines += (
        [f"  {found.repeated} votes were repeated; the mean of each annotator counts"]
        if found.repeated
        else []
    )
    for title, tell in (("MAE (years)", lambda s: years(s.mae)), ("CS@5", lambda s: share(s.cs))):
        if found.comparisons:
            bands = list(found.comparisons[0].by_age)
            table = [
                [
                    c.who,
                    tell(c.score),
                    *(tell(c.by_age[band]) if band in c.by_age else "-" for band in bands),
                ]
                for c in found.comparisons
            ]
            lines += ["", *aligned([[title, "all", *bands], *table])]
    return lines + (["", UNCERTAINTY] if found.comparisons else [])
