"""`mivolo tag` and `mivolo untag`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import BadInput, ExitCode
from .console import Console
from .options import RESULT, AsJson, Log, MinScore, Quiet, Root
from .progress import Bar
from .text import wrapped

if TYPE_CHECKING:
    from ..tagging.outcome import TagOutcome, Tally
    from ..tagging.tag import TagOptions

STOPPED = (
    "stopped: every photo is intact, tagged or untagged; run the same command again to do the rest"
)
WRITE, CARE = "What is written", "Care"
TAG_EXAMPLES = """Examples:

mivolo tag people.parquet --dry-run

mivolo tag people.parquet --backup --report tagged.csv

mivolo tag people.parquet --sidecar

mivolo tag people.parquet --check"""
UNTAG_EXAMPLES = """Examples:

mivolo untag ~/Pictures --dry-run

mivolo untag people.parquet"""
REPORT = typer.Option(
    metavar="FILE", help="Write the outcome for each photo as CSV.", rich_help_panel=RESULT
)
DRY_RUN = typer.Option(
    "--dry-run", help="Write nothing; show what would change.", rich_help_panel=CARE
)
DIFF = typer.Option(
    "--diff", help="With --dry-run: show every line of XMP that would change.", rich_help_panel=CARE
)
BACKUP = typer.Option(
    "--backup", help="Keep a copy of each original file as NAME_original.", rich_help_panel=CARE
)
EXIF_FIELDS = {"usercomment": "UserComment", "imagedescription": "ImageDescription"}
LABELS = {
    "tagged": "tagged",
    "sidecar": "written to a sidecar",
    "unchanged": "already up to date",
    "nobody": "without people to tag",
    "refused": "not written",
    "same": "match the table",
    "differs": "differ from the table",
    "untagged": "have no tags",
    "restored": "restored byte for byte",
    "removed": "with entries removed",
    "none": "without entries",
}

WOULD = {
    "tagged": "would be tagged",
    "sidecar": "would be written to a sidecar",
    "refused": "would not be written",
    "restored": "would be restored byte for byte",
    "removed": "would have entries removed",
}
"""The same for a dry run."""
BESIDE = {"tag": "updated", "untag": "updated or removed"}
"""What is done with sidecars next to photos."""

Results = Annotated[Path, typer.Argument(help="A table written by `mivolo scan`.")]
Sidecar = Annotated[
    bool | None,
    typer.Option(
        "--sidecar/--no-sidecar",
        help="Write sidecars for all photos, or for none; existing ones are kept up to date.",
        show_default="for those that cannot be changed",
        rich_help_panel=WRITE,
    ),
]
SidecarNames = Annotated[
    Literal["photo.jpg.xmp", "photo.xmp"],
    typer.Option(
        "--sidecar-name",
        help="Naming of new sidecars: as in darktable and digiKam, or as in Lightroom.",
        rich_help_panel=WRITE,
    ),
]
Keywords = Annotated[
    bool,
    typer.Option(
        "--keywords", help="Also write keywords, e.g. mivolo/age/30-39.", rich_help_panel=WRITE
    ),
]
Microsoft = Annotated[
    bool,
    typer.Option("--microsoft", help="Also write Microsoft's face regions.", rich_help_panel=WRITE),
]
Subjects = Annotated[
    bool,
    typer.Option(
        "--subjects",
        help="With --keywords: also write dc:subject, e.g. 'age 30-39'.",
        rich_help_panel=WRITE,
    ),
]
Named = Annotated[
    Literal["extend", "leave"],
    typer.Option(
        help="Faces with a name: add age and gender to their region, or leave them alone.",
        rich_help_panel=WRITE,
    ),
]
Bodies = Annotated[
    bool,
    typer.Option(
        "--bodies",
        help="Also write regions of people without a visible face.",
        rich_help_panel=WRITE,
    ),
]
Exif = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD",
        help="Also write a line to EXIF: UserComment or ImageDescription.",
        rich_help_panel=WRITE,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Overwrite existing text in that EXIF field.", rich_help_panel=WRITE
    ),
]
RequireReversible = Annotated[
    bool,
    typer.Option(
        "--require-reversible",
        help="Skip photos whose original bytes `untag` could not restore.",
        rich_help_panel=CARE,
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check", help="Write nothing; compare tags with the table.", rich_help_panel=CARE
    ),
]


def tag(
    results: Results,
    sidecar: Sidecar = None,
    sidecar_name: SidecarNames = "photo.jpg.xmp",
    keywords: Keywords = False,
    subjects: Subjects = False,
    microsoft: Microsoft = False,
    named_faces: Named = "extend",
    bodies: Bodies = False,
    min_score: MinScore = 0.0,
    root: Root = None,
    exif: Exif = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    diff: Annotated[bool, DIFF] = False,
    backup: Annotated[bool, BACKUP] = False,
    require_reversible: RequireReversible = False,
    check: Check = False,
    report: Annotated[Path | None, REPORT] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Write scan results into the photos' own metadata (XMP face regions), or into sidecars.

    The coded picture stays the same, byte for byte. Photos that cannot be changed safely are
    skipped and listed.
    """
    from ..tagging.tag import TagOptions

    where: Any = {None: "auto", True: "sidecar", False: "photo"}[sidecar]
    field: Any = None if exif is None else EXIF_FIELDS.get(exif.lower())
    if exif is not None and field is None:
        raise BadInput(f"--exif cannot be {exif!r}", hint="use UserComment or ImageDescription")
    if subjects and not keywords:
        raise BadInput("--subjects needs --keywords", hint="add --keywords")
    _require_dry_run(diff, dry_run)
    options = TagOptions(
        results,
        where=where,
        keywords=keywords,
        microsoft=microsoft,
        bodies=bodies,
        min_score=min_score,
        exif=field,
        overwrite=overwrite,
        backup=backup,
        require_reversible=require_reversible,
        dry_run=dry_run,
        check=check,
        report=report,
        subjects=subjects,
        named_faces=named_faces,
        sidecar_name=sidecar_name,
        moved=root or (),
    )
    with Console("tag", quiet, as_json, log) as console:
        _finish("tag", run_tag(options, console, diff), console, dry_run, report)


def untag(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Photos, folders, or tables written by `mivolo scan`."),
    ],
    dry_run: Annotated[bool, DRY_RUN] = False,
    diff: Annotated[bool, DIFF] = False,
    backup: Annotated[bool, BACKUP] = False,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Include hidden files and folders.")
    ] = False,
    report: Annotated[Path | None, REPORT] = None,
    root: Root = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Remove mivolo's tags from photos and sidecars; other metadata stays."""
    from ..tagging.untag import UntagOptions
    from ..tagging.untag import untag as run

    _require_dry_run(diff, dry_run)
    options = UntagOptions(paths, dry_run, backup, hidden, report, root or ())
    with Console("untag", quiet, as_json, log) as console:
        with TagProgress("untag", console, diff, dry_run) as progress:
            tally = run(options, progress.show)
        _finish("untag", tally, console, dry_run, report)


def _require_dry_run(diff: bool, dry_run: bool) -> None:
    if diff and not dry_run:
        raise BadInput("--diff needs --dry-run", hint="add --dry-run")


def run_tag(options: TagOptions, console: Console, diff: bool = False) -> Tally:
    """Tag with a progress bar."""
    from ..tagging.tag import tag as run

    with TagProgress("tag", console, diff, options.dry_run) as progress:
        return run(options, progress.show)


class TagProgress:
    """A bar, with a line above it for each photo that users should know about."""

    def __init__(self, verb: str, console: Console, diff: bool, dry_run: bool) -> None:
        self._console, self._diff, self._dry_run = console, diff, dry_run
        self._bar = Bar(verb, " photos", console.quiet)
        self._beside = BESIDE[verb]
        self._done = 0

    def __enter__(self) -> TagProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.close()
        if kind is KeyboardInterrupt:
            self._console.log("interrupted")
            typer.echo(STOPPED, err=True)
            raise typer.Exit(ExitCode.INTERRUPTED)

    def show(self, outcome: TagOutcome, total: int | None = None) -> None:
        self._done += 1
        self._bar(self._done, total)
        if outcome.diff and self._diff:
            self._bar.clear()
            for line in outcome.diff.splitlines():
                self._console.say(line)
        if expected := self._expected(outcome):
            self._say(f"{outcome.photo.path}: {'; '.join(expected)}")
        if outcome.code or outcome.status in ("differs", "untagged") or outcome.message:
            facts = {"status": outcome.status, "code": outcome.code, "message": outcome.message}
            self._console.log("failure", root=outcome.photo.root, path=outcome.photo.path, **facts)
            self._say(_line(outcome, self._dry_run), err=bool(outcome.code))
            return
        if outcome.instead and not self._dry_run:
            self._say(_line(outcome, dry_run=False))
        if outcome.reversible is False and outcome.written:
            self._say(f"{outcome.photo.path}: untag will not be able to restore its original bytes")

    def _expected(self, outcome: TagOutcome) -> list[str]:
        """Return what a dry run expects for a photo and its sidecars; for failures, `_line` reports
        that."""
        if not self._dry_run:
            return []
        would = [f"its sidecar {file.name} would be {self._beside}" for file in outcome.updated]
        if outcome.diff and outcome.status in WOULD and not (outcome.code or outcome.message):
            people = f": {outcome.people}" if outcome.people else ""
            return [_what(outcome, dry_run=True) + people, *would]
        return would

    def _say(self, line: str, err: bool = False) -> None:
        self._bar.clear()
        if err:
            typer.echo(wrapped(line, sys.stderr), err=True)
        else:
            self._console.say_wrapped(line)


def _labels(dry_run: bool) -> dict[str, str]:
    return LABELS | WOULD if dry_run else LABELS


def _line(outcome: TagOutcome, dry_run: bool) -> str:
    """Return the outcome of a photo, or the expected one in a dry run, with the reason."""
    what = _what(outcome, dry_run)
    return f"{outcome.photo.path}: {what}: {outcome.message or outcome.code}".removesuffix(": ")


def _what(outcome: TagOutcome, dry_run: bool) -> str:
    """Return what was done, and the reason for a sidecar."""
    named = outcome.written and (outcome.code or outcome.instead)
    file = f" ({outcome.written})" if named else ""
    why = f", because {outcome.instead}" if outcome.instead else ""
    return _labels(dry_run)[outcome.status] + file + why


def tally_lines(
    tally: Tally, dry_run: bool = False, report: Path | None = None, verb: str = "tag"
) -> list[str]:
    """Return a summary of all outcomes for people."""
    lines = [
        f"{tally.photos} photo{'' if tally.photos == 1 else 's'}"
        + (", nothing written" if dry_run else "")
    ]
    labels = _labels(dry_run)
    lines += [f"  {count} {labels[status]}" for status, count in tally.statuses.most_common()]
    lines += (
        [f"  {tally.irreversible} of them cannot be restored byte for byte by untag"]
        if tally.irreversible
        else []
    )
    if tally.updated:
        what = "would be " * dry_run + BESIDE[verb]
        lines += [f"  {tally.updated} sidecar{'s' * (tally.updated > 1)} next to them {what}"]
    if tally.codes:
        lines += [
            f"reasons: {', '.join(f'{count} {code}' for code, count in tally.codes.most_common())}"
        ]
    return lines + ([f"report: {report}"] if report is not None else [])


def tally_facts(tally: Tally) -> dict[str, Any]:
    """Return a summary of all outcomes for scripts."""
    names = ("photos", "statuses", "codes", "irreversible", "updated", "failed")
    return {name: getattr(tally, name) for name in names}


def _finish(verb: str, tally: Tally, console: Console, dry_run: bool, report: Path | None) -> None:
    from ..tables.moved import MOVED

    facts = {**tally_facts(tally), "dry_run": dry_run, "report": report}
    notes = [MOVED] if tally.codes["missing"] else []
    lines = [*tally_lines(tally, dry_run, report, verb), *(f"note: {note}" for note in notes)]
    console.finish(lines, facts, notes)
    if tally.failed:
        raise typer.Exit(ExitCode.PHOTOS_FAILED)
