"""`mivolo scan` and `mivolo demo`."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import BadInput, OutputError
from .console import Console
from .interrupt import ending_within
from .options import (
    CLUSTER,
    FIND,
    MODEL,
    RESULT,
    AsJson,
    Engine,
    Flip,
    Log,
    Model,
    Precision,
    Quiet,
    Use,
)
from .progress import counting
from .tag import run_tag, tally_facts, tally_lines

if TYPE_CHECKING:
    from ..scan.options import Progress, ScanOptions
    from ..tagging.outcome import Tally

FAILED_PHOTOS = 3
INTERRUPTED = 130
GRACE_SECONDS = 1.5
"""After Ctrl-C: a large model may be busy with its batch for longer."""
STOPPED = (
    "stopped: finished photos are kept, tables are unchanged; the same command goes on from here"
)
NOT_IDENTITY = "Ages are how old people look, not identity documents; they are least reliable under 5 and over 65."
EXAMPLES = """Examples:

mivolo scan ~/Pictures -o people.parquet

mivolo scan ~/Pictures -o people.csv --annotate annotated

find . -name '*.jpg' | mivolo scan - -o people.csv"""


Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Files, folders, URLs of buckets (s3://, gs://, az://); - reads a list from standard input."
    ),
]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        help="Table to write: .parquet, .csv, .jsonl; repeatable.",
        rich_help_panel=RESULT,
    ),
]
Annotate = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also draw boxes and labels into pictures in DIR.",
        rich_help_panel=RESULT,
    ),
]
Detector = Annotated[
    str,
    typer.Option(help="auto, embedded, given, yolo, retinaface, or a file.", rich_help_panel=MODEL),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Your own boxes (CSV or Parquet), for the detector `given`.",
        rich_help_panel=MODEL,
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="People per batch of the model.", rich_help_panel=MODEL)
]
Devices = Annotated[
    str, typer.Option(help="auto, cpu, cuda (all GPUs), cuda:0,1 or mps.", rich_help_panel=MODEL)
]
Int8Samples = Annotated[
    Path | None,
    typer.Option(
        "--int8-samples",
        metavar="DIR",
        help="Photos of people, for the precision int8.",
        show_default="those of the first scan",
        rich_help_panel=MODEL,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="On a GPU: minutes more at the start, then less a photo.",
        rich_help_panel=MODEL,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0, help="Threads that decode photos; 0 means one a core.", rich_help_panel=MODEL
    ),
]
FullResolution = Annotated[
    bool,
    typer.Option(
        "--full-resolution",
        help="Decode large JPEGs whole, even where people on them are made smaller anyway: slower.",
        rich_help_panel=MODEL,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Only these, as '2024/**' or '*.jpg'.", rich_help_panel=FIND),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Not these files and folders.", rich_help_panel=FIND),
]
Archives = Annotated[
    bool,
    typer.Option(
        "--archives",
        "--samples",
        help="Also the pictures in .tar and .parquet files in folders.",
        rich_help_panel=FIND,
    ),
]
Hidden = Annotated[
    bool, typer.Option("--hidden", help="Hidden files and folders, too.", rich_help_panel=FIND)
]
KeepMissing = Annotated[
    bool,
    typer.Option("--keep-missing", help="Keep the rows of deleted photos.", rich_help_panel=RESULT),
]
SpreadsheetSafe = Annotated[
    bool,
    typer.Option(
        "--spreadsheet-safe",
        help="In CSV, put ' before text that a spreadsheet would take for a formula.",
        rich_help_panel=RESULT,
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="The I-th of N parts; see `mivolo merge`.",
        rich_help_panel=FIND,
    ),
]
SkipTagged = Annotated[
    bool,
    typer.Option(
        "--skip-tagged",
        help="Not photos with tags of the same model in them.",
        rich_help_panel=FIND,
    ),
]
OnRay = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Work on a Ray cluster of this machine; an output with no suffix is a folder of Parquet files.",
        rich_help_panel=CLUSTER,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on the cluster there: HOST:PORT, or auto.",
        rich_help_panel=CLUSTER,
    ),
]
Tag = Annotated[
    bool,
    typer.Option(
        "--tag",
        help="Then put the results into the photos, as `mivolo tag`.",
        rich_help_panel=RESULT,
    ),
]


def scan(
    paths: Paths,
    output: Output = None,
    annotate: Annotate = None,
    model: Model = "auto",
    detector: Detector = "auto",
    boxes: Boxes = None,
    use: Use = "both",
    flip: Flip = False,
    full_resolution: FullResolution = False,
    device: Devices = "auto",
    engine: Engine = "auto",
    precision: Precision = "fp32",
    int8_samples: Int8Samples = None,
    compile: Compile = False,
    batch_size: BatchSize = 32,
    workers: Workers = 0,
    include: Include = None,
    exclude: Exclude = None,
    hidden: Hidden = False,
    archives: Archives = False,
    shard: ShardOf = None,
    keep_missing: KeepMissing = False,
    spreadsheet_safe: SpreadsheetSafe = False,
    skip_tagged: SkipTagged = False,
    tag: Tag = False,
    ray: OnRay = False,
    ray_address: RayAddress = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Find the people in photos, and estimate the age and gender of each."""
    from ..pipeline.options import InferenceOptions
    from ..scan import shards
    from ..scan.options import ScanOptions
    from ..storage import Url, place

    listed = list(map(str, paths)) == ["-"]
    options = ScanOptions(
        paths=[*map(place, _paths_from_stdin() if listed else paths)],
        listed=listed,
        shard=None if shard is None else shards.parse(shard),
        outputs=[*map(place, output or [])],
        annotate=annotate and place(annotate),
        inference=InferenceOptions(
            model=model,
            detector=detector,
            boxes=boxes,
            use=use,
            flip=flip,
            full_resolution=full_resolution,
            device=device,
            engine=engine,
            precision=precision,
            int8_samples=int8_samples,
            compile=compile,
            batch_size=batch_size,
            workers=workers or os.cpu_count() or 1,
        ),
        include=include or [],
        exclude=exclude or [],
        hidden=hidden,
        archives=archives,
        keep_missing=keep_missing,
        spreadsheet_safe=spreadsheet_safe,
        skip_tagged=skip_tagged,
        ray=ray or ray_address is not None,
        ray_address=ray_address,
    )
    if tag and any(isinstance(path, Url) for path in options.paths):
        raise BadInput("photos in a bucket cannot be tagged", hint="leave out --tag")
    with Console("scan", quiet, as_json, log) as console:
        progress, tally = (
            _scan_and_tag(options, console) if tag else (_scan(options, console), None)
        )
        tagged = {"tag": None if tally is None else tally_facts(tally)}
        lines = [*_summary(options, progress), *([] if tally is None else tally_lines(tally))]
        console.finish([*lines, NOT_IDENTITY], {**_facts(options, progress), **tagged})
    if progress.failed or (tally is not None and tally.failed):
        raise typer.Exit(FAILED_PHOTOS)


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--output", "--out", "-o", help="Folder for the table and the annotated pictures."
        ),
    ] = Path("mivolo-demo"),
    quiet: Quiet = False,
) -> None:
    """The main job on two photographs that come with the ultralytics package; nothing to
    prepare."""
    from ..scan.options import ScanOptions
    from ..tables import read_table

    photos = _demo_photos()
    _make_folder(out, "choose another with -o")
    tables = [out / "people.parquet", out / "people.csv"]
    options = ScanOptions(paths=photos, outputs=tables, annotate=out / "annotated")
    with Console("demo", quiet) as console:
        progress = _scan(options, console)
        people = _people_lines(read_table(tables[0]).to_pylist())
        lines = [*_summary(options, progress), NOT_IDENTITY, "", *people]
        console.finish(lines, _facts(options, progress))


def _scan_and_tag(options: ScanOptions, console: Console) -> tuple[Progress, Tally | None]:
    """Tag from an output; where there is none, from a table in the cache, which stays there until
    all is tagged."""
    from ..tagging.tag import TagOptions

    usable = [
        path
        for path in options.outputs
        if not (options.spreadsheet_safe and path.suffix.lower() == ".csv")
    ]
    kept = None if usable else _kept_results(options)
    results = kept or usable[0]
    progress = _scan(options, console, [kept] if kept else [])
    tally = run_tag(TagOptions(results), console) if progress.photos else None
    if kept:
        shutil.rmtree(kept.parent)
    return progress, tally


def _kept_results(options: ScanOptions) -> Path:
    """Where the results for these folders are while they are needed: the same place for the same
    command."""
    from ..photos import walk
    from ..storage import cache_folder

    roots = "\0".join(walk.roots(options.paths))
    folder = cache_folder() / "tag" / hashlib.sha256(os.fsencode(roots)).hexdigest()[:32]
    _make_folder(
        folder, "set XDG_CACHE_HOME to a folder that can be written to, or add -o people.parquet"
    )
    return folder / "people.parquet"


def _scan(options: ScanOptions, console: Console, unnamed: Sequence[Path] = ()) -> Progress:
    """Run with a progress bar; `unnamed` outputs are not mentioned in a summary of the options."""
    from ..scan.run import scan

    with counting("scan", " photos", console.quiet) as bar:

        def show(progress: Progress) -> None:
            done = progress.photos + progress.skipped
            bar(done, progress.total, people=progress.people, failed=progress.failed)
            if (failure := progress.failure) is not None:
                facts = {"code": failure.code, "message": failure.message}
                console.log("failure", root=failure.photo.root, path=failure.photo.path, **facts)

        try:
            with ending_within(GRACE_SECONDS, INTERRUPTED, STOPPED):
                return scan(replace(options, outputs=[*options.outputs, *unnamed]), show)
        except KeyboardInterrupt:
            bar.close()
            console.log("interrupted")
            typer.echo(STOPPED, err=True)
            raise typer.Exit(INTERRUPTED) from None


def _facts(options: ScanOptions, progress: Progress) -> dict[str, Any]:
    """The summary for scripts."""
    names = (
        "photos",
        "reused",
        "people",
        "no_people",
        "no_usable_crop",
        "skipped",
        "failed",
        "failures",
        "unchanged",
    )
    facts = {name: getattr(progress, name) for name in (*names, "seconds")}
    return {**facts, "tables": list(options.outputs), "annotated": options.annotate}


def _summary(options: ScanOptions, progress: Progress) -> list[str]:
    pace = progress.photos / max(progress.seconds, 1e-9)
    lines = [
        f"{_count(progress.photos, 'photo')} in {progress.seconds:.1f} s ({pace:.1f} photos/s)"
    ]
    if progress.reused:
        lines += [f"  {progress.reused} of them unchanged since an earlier run and not done again"]
    lines += [f"  {_count(progress.people, 'person', 'people')} found"]
    if progress.no_usable_crop:
        lines += [f"  {progress.no_usable_crop} of them too small or hidden to judge"]
    lines += (
        [f"  {_count(progress.no_people, 'photo')} without people"] if progress.no_people else []
    )
    lines += (
        [f"  {_count(progress.skipped, 'photo')} with tags left out"] if progress.skipped else []
    )
    if progress.failed:
        codes = ", ".join(f"{count} {code}" for code, count in progress.failures.most_common())
        lines += [
            f"  {_count(progress.failed, 'photo')} could not be read: {codes} (column `error` of the table)"
        ]
    lines += [
        f"table{' (already up to date)' if progress.unchanged else ''}: {path}"
        for path in options.outputs
    ]
    lines += [f"annotated pictures: {options.annotate}"] if options.annotate else []
    return lines


def _people_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{'photo':<14} {'person':<6} {'age':>4}  {'gender':<14} seen from"]
    for row in rows:
        age = "-" if row["age"] is None else f"{row['age']:.0f}"
        gender = "-" if row["gender"] is None else f"{row['gender']} ({row['gender_score']:.0%})"
        lines.append(
            f"{row['path']:<14} {row['person']!s:<6} {age:>4}  {gender:<14} {row['used'] or row['status']}"
        )
    return lines


def _demo_photos() -> list[Path]:
    """Two photos inside the ultralytics package, which is not imported for it."""
    from importlib.util import find_spec

    spec = find_spec("ultralytics")
    folders = (
        [] if spec is None else [Path(place) for place in spec.submodule_search_locations or []]
    )
    photos = [folder / "assets" / name for folder in folders for name in ("bus.jpg", "zidane.jpg")]
    if not photos or not all(photo.is_file() for photo in photos):
        raise BadInput(
            "the demo's photos, bus.jpg and zidane.jpg of ultralytics, are not here",
            hint="pip install ultralytics",
        )
    return photos


def _make_folder(folder: Path, hint: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}", hint=hint
        ) from error


def _paths_from_stdin() -> list[str]:
    """One path a line, or separated by NUL bytes as `find -print0` writes them."""
    data = sys.stdin.buffer.read()
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(name) for name in names if name]


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
