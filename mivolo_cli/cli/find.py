"""`mivolo find`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import ExitCode
from .console import Console
from .options import FIND, RESULT, SAY, AsJson, Log, MinScore, Quiet, Root

if TYPE_CHECKING:
    from ..find import Findings, FindOptions
    from ..records import Photo

WHO = "Which people"
NOTHING = "nothing matches; `mivolo summary RESULTS` shows which ages, years and folders there are"
FAILED = {
    "outside": "photos skipped because their paths lead outside the scanned folder",
    "not_copied": ("photos not copied because they are missing, have changed or are not pictures"),
    "not_linked": (
        "photos not linked because they are missing, have changed or are not local files"
    ),
    "not_listed": ("photos not in the playlist because they are in archives or have unusual names"),
}
EXAMPLES = """Examples:

mivolo find people.parquet --age 0-12 --surely --copy album

mivolo find people.parquet --age 60+ --gender female --taken 2015..2018

mivolo find people.parquet --people 2-5 --path 'trip/**' --playlist trip.m3u8

mivolo find people.parquet --used face,face+body --table faces.csv --quiet"""
ResultTable = Annotated[
    Path, typer.Argument(metavar="RESULTS", help="A table written by `mivolo scan`.")
]
Age = Annotated[
    str | None,
    typer.Option(
        metavar="YEARS", help="Age in years, rounded: 0-12, 60+ or 7.", rich_help_panel=WHO
    ),
]
Surely = Annotated[
    bool,
    typer.Option(
        "--surely", help="Require the whole age interval to be inside.", rich_help_panel=WHO
    ),
]
Gender = Annotated[
    Literal["female", "male"] | None, typer.Option(help="The gender.", rich_help_panel=WHO)
]
Used = Annotated[
    str | None,
    typer.Option(
        metavar="INPUTS",
        help="Inputs the model saw: face, body or face+body, comma-separated.",
        rich_help_panel=WHO,
    ),
]
AnyPerson = Annotated[
    bool,
    typer.Option(
        "--any-person",
        help="Let a different person in the photo match each condition.",
        rich_help_panel=WHO,
    ),
]
HowMany = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Number of people in the photo: 2-5, 6+ or 3.",
        rich_help_panel=FIND,
    ),
]
Taken = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="When the photo was taken: 2015..2018, 2015-06..2015-08, 2015.. or 2015-06-30.",
        rich_help_panel=FIND,
    ),
]
Globs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Only paths or names matching GLOB, e.g. '2024/**' or '*.jpg'; repeatable.",
        rich_help_panel=FIND,
    ),
]
Null = Annotated[
    bool,
    typer.Option(
        "--null", "-0", help="End each path with NUL, for `xargs -0`.", rich_help_panel=SAY
    ),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the rows of matching people (.parquet, .csv or .jsonl).",
        rich_help_panel=RESULT,
    ),
]
CopyDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Copy the photos into a new folder.", rich_help_panel=RESULT),
]
LinkDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Fill a new folder with links to the photos.", rich_help_panel=RESULT
    ),
]
PlaylistFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write a playlist for image viewers (.m3u8).", rich_help_panel=RESULT
    ),
]


def find(
    results: ResultTable,
    age: Age = None,
    surely: Surely = False,
    gender: Gender = None,
    used: Used = None,
    min_score: MinScore = 0.0,
    root: Root = None,
    any_person: AnyPerson = False,
    people: HowMany = None,
    taken: Taken = None,
    path: Globs = None,
    null: Null = False,
    table: TableFile = None,
    copy: CopyDir = None,
    link: LinkDir = None,
    playlist: PlaylistFile = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Find photos of certain people, and print, copy, link or list them.

    All conditions must hold for the same person. Unreadable photos are never found."""
    from ..find import FindOptions
    from ..find.wanted import Wanted, days, inputs, numbers
    from ..photos.globs import Glob
    from ..storage import place

    wanted = Wanted(
        age=None if age is None else numbers("--age", age),
        surely=surely,
        gender=gender,
        used=frozenset() if used is None else inputs("--used", used),
        min_score=min_score,
        people=None if people is None else numbers("--people", people),
        taken=None if taken is None else days("--taken", taken),
        globs=tuple(map(Glob, path or ())),
        any_person=any_person,
    )
    outputs = {"table": table, "playlist": playlist, "copy": copy, "link": link}
    places = {name: file and place(file) for name, file in outputs.items()}
    with Console("find", quiet, as_json, log, lines_to="stderr") as console:
        _run(
            FindOptions(place(results), wanted, **places, moved=root or ()),
            console,
            "\0" if null else "\n",
        )


def _run(options: FindOptions, console: Console, end: str) -> None:
    from ..find import find as run

    paths: list[str] = []

    def show(photo: Photo) -> None:
        if console.as_json:
            paths.append(photo.address)
        elif console.prints_lines:
            typer.echo(photo.address + end, nl=False)

    found = run(options, show)
    facts: dict[str, Any] = {**asdict(found), "outputs": options.outputs}
    facts |= {"paths": paths} if console.as_json else {}
    notes = _notes(found)
    lines = [f"found: photos {found.photos}, people {found.people}"]
    lines += [f"written: {file}" for file in options.outputs]
    console.finish([*lines, *(f"note: {note}" for note in notes)], facts, notes)
    if found.failed:
        raise typer.Exit(ExitCode.PHOTOS_FAILED)


def _notes(found: Findings) -> list[str]:
    from ..tables.moved import MOVED

    counts = asdict(found)
    notes = [f"{text}: {counts[name]}" for name, text in FAILED.items() if counts[name]]
    notes += [MOVED] if found.not_copied or found.not_linked else []
    return notes if found.photos else [*notes, NOTHING]
