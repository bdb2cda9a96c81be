"""`mivolo summary`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .console import Console
from .options import RESULT, AsJson, Log, MinScore, Quiet
from .text import aligned, shown

if TYPE_CHECKING:
    from ..tables.summary import Counts, Summary

EXAMPLES = """Examples:

mivolo summary people.parquet

mivolo summary people.parquet --by year --min-score 0.6

mivolo summary people.parquet --json | jq '.by_year[] | [.year, .ages["0-4"]]'"""
Part = Literal["year", "month", "folder"]
PARTS: tuple[Part, ...] = ("year", "month", "folder")
NOTICE = "Ages are how old people look; they are least reliable under 5 and over 65."
RARE = ("no gender", "no age")
"""Columns omitted if nobody is counted in them."""
APART = ("not judged", "no people", "unreadable")
"""Columns shown only in the last lines, so that a table fits into a terminal."""
By = Annotated[
    Literal["all", "year", "month", "folder"],
    typer.Option(help="Group by one of these only.", rich_help_panel=RESULT),
]


def summary(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="A table written by `mivolo scan`.")
    ],
    by: By = "all",
    min_score: MinScore = 0.0,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Count photos, people, ages and genders by year, month and folder.

    A photo counts for its own folder, not for the folders above."""
    from ..storage import place
    from ..tables.summary import summarise as run

    with Console("summary", quiet, as_json, log) as console:
        found = run(place(results), min_score)
        parts = PARTS if by == "all" else (by,)
        for part in parts:
            for line in _table(part, found):
                console.say(line)
        facts: dict[str, Any] = {"results": results, **asdict(found.all)}
        facts |= {f"by_{part}": _facts(part, found) for part in parts}
        console.finish(_totals(found.all), facts)


def _totals(counts: Counts) -> list[str]:
    photos, people = f"photos: {counts.photos}", f"judged people: {counts.people}"
    photos += f", without people {counts.no_people}" if counts.no_people else ""
    photos += f", unreadable {counts.unreadable}" if counts.unreadable else ""
    people += f", not judged {counts.not_judged}" if counts.not_judged else ""
    return [photos, people, *([NOTICE] if counts.people else [])]


def _facts(part: Part, found: Summary) -> list[dict[str, Any]]:
    """Return facts for JSON; unknown values are null."""
    if part == "folder":
        return [
            {"root": root, "folder": folder, **asdict(counts)}
            for (root, folder), counts in found.by_folder()
        ]
    dated = found.by_year() if part == "year" else found.by_month()
    return [{part: name, **asdict(counts)} for name, counts in dated]


def _table(part: Part, found: Summary) -> list[str]:
    """Return a line for each year, month or folder and one for the total, followed by an empty
    line."""
    named = list(_named(part, found))
    if not named:
        return []
    every = found.all.columns().items()
    titles = [title for title, n in every if title not in APART and (n or title not in RARE)]
    rows = [[part, *titles]]
    for name, counts in [*named, ("all", found.all)]:
        numbers = counts.columns()
        rows.append([shown(name), *(str(numbers[title]) for title in titles)])
    return [*aligned(rows), ""]


def _named(part: Part, found: Summary) -> Iterator[tuple[str, Counts]]:
    if part == "folder":
        yield from found.named_folders()
        return
    for name, counts in found.by_year() if part == "year" else found.by_month():
        yield str(name or "unknown"), counts
