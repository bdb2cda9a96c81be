"""Create a report: one self-contained page, with pictures inside or next to it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..atomic import (
    Kind,
    check_file,
    discard,
    new_file,
    new_folder,
    real,
    remove_leftovers,
    sync,
)
from ..errors import BadInput
from ..metadata.lookup import is_as_scanned
from ..photos.thumbnails import thumbnails
from ..records import Failure, Photo
from ..scan import workdir
from ..tables.results import read_results
from . import page

SUFFIX = ".html"
REPORT = Kind("report of mivolo", page.is_ours, "choose another name, or add --replace")
OURS = (
    "These pictures belong to a mivolo report. The folder is replaced when the "
    "report is created again.\n"
)
NOTE = "mivolo.txt"
PICTURE = re.compile(r"\d+\.webp")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """`size` is the longer side of a picture in pixels. An existing report of ours is replaced, any
    other file only with `replace`. People with detection scores below `min_score` are skipped.
    `moved` says where photos are now: see tables.moved."""

    results: Path
    output: Path
    title: str = "People in photos"
    replace: bool = False
    pictures: Literal["inside", "beside", "none"] = "inside"
    size: int = 512
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    min_score: float = 0.0
    moved: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class HtmlReport:
    """Summary of a report; `people` were judged by the model, and `missing` counts scanned photos
    that are gone or changed."""

    page: Path
    folder: Path | None
    photos: int
    people: int
    not_judged: int
    missing: int


def report(
    options: ReportOptions, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> HtmlReport:
    """Write the page; `on_progress` is called after every picture. Raises BadInput before any work,
    and OutputError."""
    check_file(
        options.output,
        REPORT,
        suffix=SUFFIX,
        inputs=[options.results],
        replace=options.replace,
    )
    folder = pictures_folder(options.output) if options.pictures == "beside" else None
    if folder is not None:
        _check_pictures(folder)
    results = read_results(options.results, options.min_score, options.moved)
    found = [result.photo for result in results if not isinstance(result, Failure)]
    pictures = _pictures(found, options, on_progress)
    with workdir.claim([options.output]), ExitStack() as stack:
        # closed last: a page without its pictures is harmless, an old page with new ones is not
        missing = [] if folder is None else _write_beside(folder, pictures, stack)
        with (
            new_file(options.output) as temporary,
            temporary.open("w", encoding="utf-8", newline="\n") as file,
        ):
            data = page.summarise(
                results, options.title, options.output.parent, options.pictures, folder, missing
            )
            page.write_head(file, data)
            missing = missing if folder else page.write_inside(file, pictures)
            page.write_end(file)
            sync(file)
            if folder is not None and folder.exists():
                discard(folder)
    rows = Counter(results.table["status"].to_pylist())
    people = rows["ok"], rows["no_usable_crop"]
    return HtmlReport(options.output, folder, len(data["photos"]), *people, len(missing))


def pictures_folder(output: Path) -> Path:
    return output.with_name(f"{output.stem}_pictures")


def _pictures(
    found: list[Photo], options: ReportOptions, on_progress: Callable[[int, int], None]
) -> Iterator[tuple[int, bytes | None]]:
    if options.pictures == "none":
        return
    coded = thumbnails(found, options.size, "WEBP", options.workers, is_as_scanned)
    for number, picture in enumerate(coded):
        yield number, picture
        on_progress(number + 1, len(found))


def _write_beside(
    folder: Path, pictures: Iterator[tuple[int, bytes | None]], stack: ExitStack
) -> list[int]:
    """Write a folder of pictures that gets its name when the stack is closed; return the numbers of
    missing pictures."""
    missing = []
    remove_leftovers(real(folder))
    temporary = stack.enter_context(new_folder(folder, replace=True))
    (temporary / NOTE).write_text(OURS, encoding="utf-8")
    for number, picture in pictures:
        if picture is None:
            missing.append(number)
        else:
            (temporary / f"{number}.webp").write_bytes(picture)
    return missing


def _check_pictures(folder: Path) -> None:
    """Reject a folder that contains anything but a report's pictures, because it will be
    replaced."""
    if not os.path.lexists(folder):
        return
    ours = False
    with suppress(OSError, UnicodeDecodeError):
        names = {entry.name for entry in folder.iterdir()}
        ours = not folder.is_symlink() and (folder / NOTE).read_text("utf-8") == OURS
        ours = ours and all(PICTURE.fullmatch(name) for name in names - {NOTE})
    if not ours:
        raise BadInput(
            f"{folder} exists and contains more than a report's pictures",
            hint="choose another name for the page",
        )
