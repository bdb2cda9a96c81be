"""Select the photos of a scan, and reject invalid requests before any work."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, takewhile
from pathlib import Path
from threading import Event

from .. import storage, tables
from ..errors import BadInput
from ..photos import raw, walk
from ..photos.passed import RAW, PassedOver
from ..records import Failure, Photo
from ..tables.moved import new_roots
from . import given_boxes
from .options import ScanOptions


def check(options: ScanOptions, passed: PassedOver) -> Iterator[Photo | Failure]:
    """Reject invalid options, and return the photos to scan, at least one unless this is a shard.
    `passed` counts other files. Raises BadInput."""
    if not options.outputs and options.annotate is None:
        raise BadInput(
            "no output given",
            hint="add -o people.parquet (or .csv, .jsonl)",
        )
    if options.skip_tagged and any(isinstance(path, storage.Url) for path in options.paths):
        raise BadInput("photos in a bucket carry no tags", hint="omit --skip-tagged")
    if not options.listed:
        walk.check_paths(options.paths)
    inputs = [*options.paths, *options.inference.files()]
    tables.check_outputs(options.outputs, folders=options.ray, inputs=inputs)
    if options.ray and options.inference.precision == "int8" and not options.inference.int8_samples:
        raise BadInput(
            "on a cluster, int8 needs photos to calibrate with",
            hint="add --int8-samples FOLDER, readable by every machine",
        )
    if options.annotate is not None and options.ray:
        raise BadInput(
            "--annotate draws on one machine only",
            hint="omit it; the same scan without --ray adds the pictures",
        )
    if options.annotate is not None:
        _check_drawings(options.annotate, options.paths)
    boxes = given_boxes.opened(options)
    if boxes is not None:
        given_boxes.require_some(boxes, options, walk.opened(listed(options)))
    found = photos(options, passed)
    first = next(found, None)
    if first is None and options.shard is not None:  # shards of a small collection may be empty
        return iter(())
    if first is None:
        raise _no_photos(passed)
    return chain((first,), found)


def _no_photos(passed: PassedOver) -> BadInput:
    """Return an error that reports what was found instead."""
    hints = ["check the folder, and --include, --exclude and --hidden"]
    if any(map(RAW.fullmatch, passed.files)):
        hints = [f"{raw.INSTALL}, or {raw.OTHERWISE}"]
    hints += ["--system-folders includes those folders"] if passed.folders else []
    found = "; ".join(filter(None, (passed.files_text, passed.folders_text)))
    return BadInput(
        "there are no photos to scan" + (f": {found}" if found else ""), hint="; ".join(hints)
    )


def _check_drawings(folder: Path, paths: Sequence[Path]) -> None:
    if isinstance(folder, storage.Url):
        raise BadInput(
            "pictures cannot be drawn into a bucket",
            hint="give --annotate a folder on this computer",
        )
    if folder.exists() and not folder.is_dir():
        raise BadInput(
            f"{folder} is not a folder", hint="give --annotate a folder for the pictures"
        )
    there = next(
        place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()
    )
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(
            f"no permission to write into {there}", hint="choose another folder for --annotate"
        )
    local = (path for path in paths if not isinstance(path, storage.Url))
    inside = [path for path in local if path.resolve().is_relative_to(folder.resolve())]
    if inside:
        raise BadInput(
            f"the annotated pictures would be mixed with the photos: {inside[0]} is in {folder}",
            hint="give --annotate a folder of its own; it may lie inside the scanned one",
        )


def photos(options: ScanOptions, passed: PassedOver) -> Iterator[Photo | Failure]:
    """Return the photos of this shard. `passed` counts other files."""
    found = walk.opened(listed(options, passed), passed)
    boxes = given_boxes.opened(options)
    return found if boxes is None else given_boxes.noted(boxes, found)


def moved(options: ScanOptions, kept: Collection[str]) -> Mapping[str, str]:
    """Return the current places of the roots of an earlier run. Raises BadInput if they are not
    scanned."""
    roots = walk.roots(options.paths)
    new = new_roots(options.moved, [root for root in kept if root not in roots])
    if new and not set(roots).intersection(new.values()):
        raise BadInput(
            f"--root leads to {next(iter(new.values()))}, which is not scanned",
            hint="scan the folder in which the photos are now, and name the same one here",
        )
    return new


def listed(options: ScanOptions, passed: PassedOver | None = None) -> Iterator[Photo | Failure]:
    """Yield the photos of this shard, without pictures drawn by the scan itself; tar and Parquet
    files are not opened. `passed` counts other files."""
    found = walk.walk(
        options.paths,
        hidden=options.hidden,
        include=options.include,
        exclude=options.exclude,
        archives=options.archives,
        system_folders=options.system_folders,
        passed=passed,
    )
    shard, drawn = options.shard, None if options.annotate is None else options.annotate.resolve()
    for item in found:
        photo = item.photo if isinstance(item, Failure) else item
        ours = shard is None or shard.holds(photo.path)
        if ours and (drawn is None or not photo.file.resolve().is_relative_to(drawn)):
            yield item


@contextmanager
def counting(options: ScanOptions) -> Iterator[Callable[[], int | None]]:
    """Count the photos in the background; the value is a function that returns their number, or
    None until it is known.

    Photos in tar and Parquet files are not counted in advance, because those in buckets would be
    read twice.
    """
    stop = Event()

    def count() -> int | None:
        found = takewhile(lambda _: not stop.is_set(), listed(options))
        kinds = Counter(map(walk.is_archive, found))
        return None if kinds[True] else kinds[False]

    with ThreadPoolExecutor(1, thread_name_prefix="count") as pool:
        number = pool.submit(count)
        try:
            yield lambda: number.result() if number.done() else None
        finally:
            stop.set()
