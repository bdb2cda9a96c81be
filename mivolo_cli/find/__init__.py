"""Find photos of certain people in a result table, and list, copy or link them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PureWindowsPath

import pyarrow as pa

from .. import storage
from ..atomic import check_file, check_folder, refuse_inputs, refuse_twins
from ..records import SCHEMA, Photo, photo_of, stays_inside
from ..scan import workdir
from ..tables import check_outputs
from ..tables.parquet import KEY_PREFIX
from ..tables.stream import by_photo, stream
from .outputs import PLAYLIST, Take, open_folder, open_playlist, open_table
from .wanted import Rows, Wanted

MADE_BY = ("model", "model_sha256", "detector")
"""Metadata that a table of found people keeps from the scan; the rest would make it look like a
scan."""


@dataclass(frozen=True, slots=True)
class FindOptions:
    """`table` gets the rows of people found, `playlist` (m3u8) the photos' paths. `copy` and `link`
    are new or empty folders. `moved` says where photos are now: see tables.moved."""

    results: Path
    wanted: Wanted = field(default_factory=Wanted)
    table: Path | None = None
    playlist: Path | None = None
    copy: Path | None = None
    link: Path | None = None
    moved: Sequence[str] = ()

    @property
    def outputs(self) -> list[Path]:
        places = (self.table, self.playlist, self.copy, self.link)
        return [place for place in places if place is not None]


@dataclass(slots=True)
class Findings:
    """Summary of a search. `outside` counts photos whose rows lead outside their folder; the others
    count photos that could not be copied, linked or put into the playlist."""

    photos: int = 0
    people: int = 0
    outside: int = 0
    not_copied: int = 0
    not_linked: int = 0
    not_listed: int = 0

    @property
    def failed(self) -> int:
        return self.outside + self.not_copied + self.not_linked + self.not_listed


def find(options: FindOptions, on_found: Callable[[Photo], None] = lambda photo: None) -> Findings:
    """Write the requested outputs; `on_found` is called for each photo in table order while the
    table is read. Outputs appear when everything is done. Raises BadInput and OutputError."""
    _check(options)
    tables = stream(options.results, options.moved)
    first = next(tables, SCHEMA.empty_table())
    findings = Findings()
    with ExitStack() as stack:
        if options.outputs:
            stack.enter_context(workdir.claim(options.outputs))
        takes = list(_open(options, _made_by(options.results, first), findings, stack))
        for photo, people in _matching(chain([first], tables), options.wanted):
            if not _is_harmless(photo):
                findings.outside += 1
                continue
            findings.photos += 1
            findings.people += sum(row["person"] is not None for row in people)
            on_found(photo)
            for take in takes:
                take(photo, people)
    return findings


def _check(options: FindOptions) -> None:
    """Reject, before any work, outputs that cannot be written. Raises BadInput."""
    refuse_inputs(options.outputs, [options.results])
    refuse_twins(options.outputs)
    if options.table is not None:
        check_outputs([options.table], inputs=[options.results])
    if options.playlist is not None:
        check_file(options.playlist, PLAYLIST, suffix=".m3u8", inputs=[options.results])
    for folder in (options.copy, options.link):
        if folder is not None:
            check_folder(folder)


def _open(
    options: FindOptions, made_by: dict[str, str], findings: Findings, stack: ExitStack
) -> Iterator[Take]:
    """Open each output, to be called with what was found."""
    if options.table is not None:
        yield open_table(options.table, made_by, stack)
    if options.playlist is not None:
        yield _counting(open_playlist(options.playlist, stack), findings, "not_listed")
    if options.copy is not None:
        yield _counting(open_folder(options.copy, "copy", stack), findings, "not_copied")
    if options.link is not None:
        yield _counting(open_folder(options.link, "link", stack), findings, "not_linked")


def _counting(take: Take, findings: Findings, name: str) -> Take:
    """Wrap an output to count photos that it failed to take under this name."""

    def counted(photo: Photo, people: Rows) -> bool:
        taken = take(photo, people)
        setattr(findings, name, getattr(findings, name) + (not taken))
        return taken

    return counted


def _matching(tables: Iterator[pa.Table], wanted: Wanted) -> Iterator[tuple[Photo, Rows]]:
    """Yield matching photos, each with its matching rows."""
    for found in by_photo(tables):
        people = wanted.hits(found)
        if people is not None:
            yield photo_of(found[0]), people


def _is_harmless(photo: Photo) -> bool:
    """Return whether a path may be printed for another program to open: an absolute path that stays
    below its root. Links are followed as a scan follows them."""
    root = photo.root
    is_whole = storage.is_url(root) or os.path.isabs(root) or PureWindowsPath(root).is_absolute()
    return is_whole and "\0" not in root and stays_inside(photo.path)


def _made_by(results: Path, table: pa.Table) -> dict[str, str]:
    """Return the model and detector of the results, according to the table or the run that wrote
    it."""
    said = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    noted = workdir.made_by(results)
    facts = {key: said.get(KEY_PREFIX + key) or noted.get(key) for key in MADE_BY}
    return {key: str(value) for key, value in facts.items() if value}
