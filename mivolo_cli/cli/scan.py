"""`mivolo scan`."""

from __future__ import annotations

import codecs
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import BadInput, ExitCode, OutputError
from ..storage import is_url
from .console import Console
from .imports import spare_pandas
from .interrupt import ending_within
from .options import (
    AsJson,
    Engine,
    Flip,
    Log,
    Model,
    Precision,
    Quiet,
    Root,
    Use,
)
from .places import check_inputs
from .progress import counting
from .scan_options import (
    Annotate,
    AnyWayUp,
    Archives,
    BatchSize,
    Boxes,
    Compile,
    Detector,
    Devices,
    Exclude,
    FullResolution,
    Hidden,
    Include,
    Int8Samples,
    KeepMissing,
    Level,
    MaxPixels,
    Memory,
    MinFace,
    MinFaceScore,
    MinPersonScore,
    OnRay,
    Output,
    Paths,
    RayAddress,
    ShardOf,
    SkipTagged,
    SpreadsheetSafe,
    SystemFolders,
    Tag,
    Workers,
)
from .tag import run_tag, tally_facts, tally_lines

if TYPE_CHECKING:
    from ..pipeline.options import InferenceOptions
    from ..scan.options import Progress, ScanOptions
    from ..tagging.outcome import Tally

GRACE_SECONDS = 1.5
"""Time limit after Ctrl-C, because a large model may take longer for its batch."""
STOPPED = (
    "stopped: finished photos are kept, tables are unchanged; run the same command again to resume"
)
NOT_IDENTITY = (
    "Ages are how old people look, not proof of age. They are least reliable under 5 "
    "and over 65; gender is unreliable under 10."
)
EXAMPLES = """Examples:

mivolo scan ~/Pictures -o people.parquet

mivolo scan ~/Pictures -o people.csv --annotate annotated

find . -name '*.jpg' | mivolo scan - -o people.csv"""


def scan(
    paths: Paths,
    output: Output = None,
    annotate: Annotate = None,
    model: Model = "auto",
    detector: Detector = "auto",
    boxes: Boxes = None,
    use: Use = "both",
    flip: Flip = None,
    full_resolution: FullResolution = False,
    min_face_score: MinFaceScore = None,
    min_person_score: MinPersonScore = None,
    min_face: MinFace = 0.0,
    level: Level = "auto",
    any_way_up: AnyWayUp = True,
    device: Devices = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
    int8_samples: Int8Samples = None,
    compile: Compile = False,
    batch_size: BatchSize = 32,
    workers: Workers = 0,
    memory: Memory = "auto",
    max_pixels: MaxPixels = 0,
    include: Include = None,
    exclude: Exclude = None,
    hidden: Hidden = False,
    archives: Archives = False,
    system_folders: SystemFolders = False,
    shard: ShardOf = None,
    keep_missing: KeepMissing = False,
    root: Root = None,
    spreadsheet_safe: SpreadsheetSafe = False,
    skip_tagged: SkipTagged = False,
    tag: Tag = False,
    ray: OnRay = False,
    ray_address: RayAddress = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Find the people in photos and estimate the age and gender of each."""
    given = locals()
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
        inference=_inference(given),
        include=include or [],
        exclude=exclude or [],
        hidden=hidden,
        archives=archives,
        system_folders=system_folders,
        keep_missing=keep_missing,
        spreadsheet_safe=spreadsheet_safe,
        skip_tagged=skip_tagged,
        ray=ray or ray_address is not None,
        ray_address=ray_address,
        moved=root or (),
    )
    if tag and any(isinstance(path, Url) for path in options.paths):
        raise BadInput("photos in a bucket cannot be tagged", hint="omit --tag")
    with Console("scan", quiet, as_json, log) as console:
        progress, tally = (
            _scan_and_tag(options, console) if tag else (run_scan(options, console), None)
        )
        tagged = {"tag": None if tally is None else tally_facts(tally)}
        lines = [*summary_lines(options, progress), *([] if tally is None else tally_lines(tally))]
        console.finish([*lines, NOT_IDENTITY], {**summary(options, progress), **tagged})
    if progress.failed or (tally is not None and tally.failed):
        raise typer.Exit(ExitCode.PHOTOS_FAILED)


def _inference(given: Mapping[str, Any]) -> InferenceOptions:
    """Return the inference options, which have the same names on the command line."""
    from ..pipeline.options import InferenceOptions
    from ..storage import place

    same = {option.name: given[option.name] for option in fields(InferenceOptions)}
    samples = given["int8_samples"]
    own = {
        "workers": given["workers"] or os.cpu_count() or 1,
        "int8_samples": samples and place(samples),
    }
    return InferenceOptions(**same | own)


def _scan_and_tag(options: ScanOptions, console: Console) -> tuple[Progress, Tally | None]:
    """Scan, then tag from an output, or, without one, from a table in the cache that is kept until
    all photos are tagged."""
    from ..tagging.tag import TagOptions

    kept = None if options.outputs else _kept_results(options)
    results = kept or options.outputs[0]
    progress = run_scan(options, console, [kept] if kept else [])
    tally = run_tag(TagOptions(results), console) if progress.photos else None
    if kept:
        shutil.rmtree(kept.parent)
    return progress, tally


def _kept_results(options: ScanOptions) -> Path:
    """Return the path of the cached table for these folders; the same for the same command."""
    from ..model import private
    from ..photos import walk
    from ..storage import cache_folder

    roots = "\0".join(walk.roots(options.paths))
    folder = cache_folder() / "tag" / hashlib.sha256(os.fsencode(roots)).hexdigest()[:32]
    hint = "set XDG_CACHE_HOME to a folder that {} can write to, or add -o people.parquet"
    make_folder(folder, hint.format("you"), 0o700)
    if part := private.writable_by_others(folder, cache_folder()):
        raise BadInput(
            f"other users can write to {part}, and could change what is tagged",
            hint=hint.format("you alone"),
        )
    return folder / "people.parquet"


def run_scan(options: ScanOptions, console: Console, unnamed: Sequence[Path] = ()) -> Progress:
    """Run a scan with a progress bar; `unnamed` outputs are not mentioned in a summary of the
    options."""
    from ..scan.run import scan

    spare_pandas()
    with counting("scan", " photos", console.quiet) as bar:

        def show(progress: Progress) -> None:
            done = progress.photos + progress.skipped
            bar(done, progress.total, people=progress.people, failed=progress.failed)
            if (failure := progress.failure) is not None:
                facts = {"code": failure.code, "message": failure.message}
                console.log("failure", root=failure.photo.root, path=failure.photo.path, **facts)

        try:
            with ending_within(GRACE_SECONDS, ExitCode.INTERRUPTED, STOPPED):
                return scan(replace(options, outputs=[*options.outputs, *unnamed]), show)
        except KeyboardInterrupt:
            bar.close()
            console.log("interrupted")
            typer.echo(STOPPED, err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def summary(options: ScanOptions, progress: Progress) -> dict[str, Any]:
    """Return the summary for scripts."""
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
    facts = {name: getattr(progress, name) for name in (*names, "seconds", "core_ms")}
    facts["unreadable"] = [
        dict(zip(("path", "code", "message"), one, strict=True)) for one in progress.unreadable
    ]
    facts |= {"passed_over": progress.passed.files, "system_folders": progress.passed.folders}
    return {**facts, "tables": list(options.outputs), "annotated": options.annotate}


def summary_lines(options: ScanOptions, progress: Progress) -> list[str]:
    pace = progress.photos / max(progress.seconds, 1e-9)
    lines = [
        f"{_count(progress.photos, 'photo')} in {progress.seconds:.1f} s ({pace:.1f} photos/s)"
    ]
    if progress.reused:
        lines += [f"  {progress.reused} of them unchanged since an earlier run, skipped"]
    lines += [f"  {_count(progress.people, 'person', 'people')} found"]
    if progress.no_usable_crop:
        lines += [f"  {progress.no_usable_crop} of them too small, hidden or doubtful to judge"]
    lines += (
        [f"  {_count(progress.no_people, 'photo')} without people"] if progress.no_people else []
    )
    lines += (
        [f"  {_count(progress.skipped, 'photo')} already tagged, skipped"]
        if progress.skipped
        else []
    )
    if progress.failed:
        codes = ", ".join(f"{count} {code}" for code, count in progress.failures.most_common())
        lines += [f"  {_count(progress.failed, 'photo')} could not be read: {codes}"]
        lines += [f"    {path}: {message or code}" for path, code, message in progress.unreadable]
        rest = progress.failed - len(progress.unreadable)
        lines += [f"    and {rest} more, with status `error` in the table"] if rest > 0 else []
    lines += [f"  {progress.passed.files_text}"] if progress.passed.files else []
    if progress.passed.folders:
        lines += [f"  {progress.passed.folders_text} (--system-folders includes them)"]
    lines += [
        f"table{' (already up to date)' if progress.unchanged else ''}: {path}"
        for path in options.outputs
    ]
    lines += [f"annotated pictures: {options.annotate}"] if options.annotate else []
    return lines


def make_folder(folder: Path, hint: str, mode: int = 0o777) -> None:
    """Create a folder with this mode, and its parents. Raises OutputError."""
    from ..model import private

    try:
        private.make_folder(folder, mode)
    except OSError as error:
        raise OutputError(
            f"cannot create the folder {folder}: {error.strerror}", hint=hint
        ) from error


def _paths_from_stdin() -> list[str]:
    """Read one path per line, or paths separated by NUL bytes as from `find -print0`, with an
    optional byte order mark. Raises BadInput if no path exists."""
    data = _without_mark(sys.stdin.buffer.read())
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    paths = [os.fsdecode(name) for name in names if name]
    if paths and not any(is_url(path) or os.path.lexists(path) for path in paths):
        check_inputs(map(Path, paths[:1]))
        raise BadInput(
            f"none of the {len(paths)} paths in the list exists; the first is {paths[0]}",
            hint=f"give one path per line; relative paths are looked up in {os.getcwd()}",
        )
    return paths


def _without_mark(data: bytes) -> bytes:
    """Return a list in UTF-8: unchanged, or converted from UTF-16, as written by PowerShell. Raises
    BadInput."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        return os.fsencode(data.decode("utf-16"))
    except UnicodeError as error:
        raise BadInput(
            "the list starts with a UTF-16 byte order mark but is not UTF-16",
            hint="save the list as UTF-8",
        ) from error


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
