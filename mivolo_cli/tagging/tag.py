"""Tag: put the results of a scan into the photos' own metadata, or into sidecars; or compare the
two."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import tables
from ..errors import BadInput
from ..metadata import (
    ABOUT_EXIF,
    WITHOUT_SIDECAR,
    Refused,
    embed,
    packet,
    regions,
    replace,
    sidecar,
)
from ..metadata.embed import Embedded, Text
from ..metadata.exif import Field
from ..metadata.lookup import tags_of
from ..metadata.packet import Provenance, TagEntries, Tags
from ..metadata.picture import examine
from ..records import Photo, photo_of, same_time
from ..scan import workdir
from ..tables.scores import with_min_score
from .outcome import TagOutcome, Tally, check_report, diff, open_report

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)
NAMELESS = (
    "does not say which model made it, so that the tags do not either, and scan --skip-tagged "
    "will not know them; tag from the Parquet table of the scan"
)
Rows = Sequence[Mapping[str, Any]]
Where = Literal["auto", "photo", "sidecar"]


@dataclass(frozen=True, slots=True)
class TagOptions:
    """`where` auto takes the photo itself if its format and state allow it, and a sidecar
    otherwise. People whom the detector gave less than `min_score` are left out."""

    results: Path
    where: Where = "auto"
    keywords: bool = False
    microsoft: bool = False
    bodies: bool = False
    exif: Field | None = None
    overwrite: bool = False
    backup: bool = False
    require_reversible: bool = False
    dry_run: bool = False
    check: bool = False
    report: Path | None = None
    min_score: float = 0.0


@dataclass(frozen=True, slots=True)
class _Job:
    """A photo that is as it was when it was scanned, and what shall be said of it. `kind` is its
    container."""

    photo: Photo
    info: os.stat_result
    data: bytes
    kind: str | None
    tags: Tags


def tag(
    options: TagOptions,
    on_progress: Callable[[TagOutcome, int], None] = lambda outcome, total: None,
) -> Tally:
    """Write the results to the photos; a photo that cannot be written to is an outcome with a
    reason, not an error.

    `on_progress` is called after every photo, with the number of all. Raises BadInput where the
    results are no table of ours.
    """
    check_report(options.report, [options.results])
    table = with_min_score(tables.read_table(options.results), options.min_score)
    model, sha256 = _model(options.results, table)
    provenance = Provenance(
        model=model, model_sha256=sha256, date=datetime.now(UTC).isoformat(timespec="seconds")
    )
    rows = [row for batch in table.to_batches() for row in batch.to_pylist()]
    if not rows:
        raise BadInput(
            f"{options.results} has no rows",
            hint="scan photos first: mivolo scan PATH -o people.parquet",
        )
    total = len({(row["root"], row["path"]) for row in rows})
    tally = Tally()
    if not sha256:
        logger.warning(f"{options.results.name} {NAMELESS}")
    faceless = sum(row["age"] is not None and row["face_x1"] is None for row in rows)
    if faceless and not options.bodies and not options.check:
        logger.warning(
            f"people without a visible face left out: {faceless}; --bodies takes them in"
        )
    with open_report(options.report) as report:
        for photo, group in _photos(rows):
            outcome = _outcome(photo, group, provenance, options)
            report.write(outcome)
            tally.count(outcome)
            on_progress(outcome, total)
    return tally


def _model(results: Path, table: pa.Table) -> tuple[str, str]:
    """Name and hash of the model; a table other than Parquet says nothing itself, but the run that
    wrote it may."""
    told = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    noted = workdir.made_by(results)
    model, sha256 = (
        str(told.get(f"mivolo.{key}") or noted.get(key) or "") for key in ("model", "model_sha256")
    )
    return model, sha256


def _photos(rows: Rows) -> Iterator[tuple[Photo, Rows]]:
    for _, group in groupby(rows, key=lambda row: (row["root"], row["path"])):
        found = list(group)
        yield photo_of(found[0]), found


def _outcome(photo: Photo, rows: Rows, provenance: Provenance, options: TagOptions) -> TagOutcome:
    if rows[0]["status"] == "error":
        return TagOutcome(
            photo,
            "refused",
            code=rows[0]["error"] or "unreadable",
            message=rows[0]["message"] or "",
        )
    try:
        if options.check:
            return _compare(photo, rows, provenance, options)
        if all(row["age"] is None for row in rows):
            return TagOutcome(photo, "nobody")
        job = _job(photo, rows, provenance, options)
        return _write(job, options) if job.tags.people.regions else TagOutcome(photo, "nobody")
    except Refused as error:
        return TagOutcome(photo, "refused", code=error.code, message=str(error))


def _job(photo: Photo, rows: Rows, provenance: Provenance, options: TagOptions) -> _Job:
    """Raises Refused for a photo that is not there, or not the one that was scanned."""
    info = replace.status(photo.file)
    data = replace.read(photo.file)
    kind = embed.container(data, photo.path)
    if not _is_as_scanned(photo, info, data, kind):
        raise Refused("changed")
    facts = examine(data, pixels=False)
    if facts.size != (rows[0]["width"], rows[0]["height"]):
        raise Refused("other_picture", f"{facts.size[0]} x {facts.size[1]}")
    people = regions.people(rows, facts.orientation, bodies=options.bodies)
    scanned = Provenance(
        provenance.model, provenance.model_sha256, provenance.date, scanned_bytes=str(photo.bytes)
    )
    return _Job(photo, info, data, kind, Tags(scanned, people))


def _is_as_scanned(photo: Photo, info: os.stat_result, data: bytes, kind: str | None) -> bool:
    """By size and time. Tagging keeps the time; the size may be the one from before it."""
    if photo.bytes is None or photo.mtime_ns is None:
        return True
    if not same_time(info.st_mtime_ns, photo.mtime_ns):
        return False
    if len(data) == photo.bytes:
        return True
    try:
        there = embed.read(data, kind) if kind else None
    except Refused:
        there = None
    return there is not None and str(photo.bytes) in (
        there.provenance.scanned_bytes,
        there.provenance.original_bytes,
    )


def _write(job: _Job, options: TagOptions) -> TagOutcome:
    """Into the photo if that is wanted and works, else into its sidecar."""
    reason: Refused | None = None
    if options.where == "sidecar":
        return _write_sidecar(job, options, reason)
    try:
        if job.kind is None:
            raise Refused("format")
        return _write_photo(job, job.kind, options)
    except Refused as error:
        if options.where == "photo" or error.code in WITHOUT_SIDECAR:
            raise
        reason = error
    return _write_sidecar(job, options, None if reason.code == "format" else reason)


def _write_photo(job: _Job, kind: str, options: TagOptions) -> TagOutcome:
    file, reason = job.photo.file, None
    replace.check_writable(file)
    text, entries = _text(job, options), TagEntries(options.keywords, options.microsoft)
    try:
        done = embed.embed(job.data, kind, job.tags, entries, text)
    except Refused as error:
        if text is None or error.code not in ABOUT_EXIF:
            raise
        reason, text = error, None
        done = embed.embed(job.data, kind, job.tags, entries)
    if options.require_reversible and not done.reversible:
        raise Refused("not_reversible")
    if not done.unchanged:
        _check(job, kind, done, text)
        if not options.dry_run:
            replace.replace_photo(file, done.data, job.info, backup=options.backup)
    return TagOutcome(
        job.photo,
        "unchanged" if done.unchanged else "tagged",
        None if done.unchanged else file,
        "" if reason is None else reason.code,
        "" if reason is None else str(reason),
        done.reversible,
        _original(done.new),
        *(
            (_summary(job), diff(_packet(job.data, kind), done.new, job.photo.path))
            if options.dry_run
            else ()
        ),
    )


def _check(job: _Job, kind: str, done: Embedded, text: Text | None) -> None:
    """Refuse the changed photo unless picture and others' metadata are those without our entries,
    and those on disk."""
    embed.check(done.bare, done.data, kind, len(job.tags.people.regions), text)
    if done.bare != job.data and embed.seen(job.data) != embed.seen(done.data):
        raise Refused("failed_check", "the decoded pixels are not the same")


def _write_sidecar(job: _Job, options: TagOptions, reason: Refused | None) -> TagOutcome:
    """`reason` says why the photo itself is left alone, where that was not wanted."""
    entries = TagEntries(options.keywords, options.microsoft)
    done = sidecar.plan(job.photo.file, _seed(job, entries), job.tags, entries)
    if not done.unchanged and not options.dry_run:
        replace.write_sidecar(done.file, done.new)
    if reason is None and options.exif is not None:
        reason = Refused("no_exif")
    return TagOutcome(
        job.photo,
        "unchanged" if done.unchanged else "sidecar",
        None if done.unchanged else done.file,
        "" if reason is None else reason.code,
        "" if reason is None else str(reason),
        done.reversible,
        _original(done.new),
        *((_summary(job), diff(done.old, done.new, done.file.name)) if options.dry_run else ()),
    )


def _seed(job: _Job, entries: TagEntries) -> bytes | None:
    """The photo's own packet, if it is sound; programs that read the sidecar will not look at it
    any more."""
    if job.kind is None:
        return None
    embed.check_extended(job.data, job.kind, entries)
    try:
        there = _packet(job.data, job.kind)
        if there is not None:
            packet.read(there)
        return there
    except Refused:
        return None


def _compare(photo: Photo, rows: Rows, provenance: Provenance, options: TagOptions) -> TagOutcome:
    """Whether the photo, or its sidecar, says what the results say."""
    there = tags_of(photo.file)
    facts = examine(replace.read(photo.file), pixels=False)
    people = regions.people(rows, facts.orientation, bodies=options.bodies or _shows_bodies(there))
    if there is None:
        return TagOutcome(photo, "untagged" if people.regions else "nobody")
    same = there.same_people(Tags(provenance, people))
    return TagOutcome(
        photo,
        "same" if same else "differs",
        message="" if same else _difference(there, Tags(provenance, people)),
    )


def _shows_bodies(tags: Tags | None) -> bool:
    return tags is not None and any(not region.kind for region in tags.people.regions)


def _difference(there: Tags, wanted: Tags) -> str:
    if there.provenance.model_sha256 != wanted.provenance.model_sha256:
        return (
            f"tagged by {there.provenance.model or 'an unknown model'}, the results are of "
            f"{wanted.provenance.model or 'another'}"
        )
    there_now, results = (
        sorted(region.summary for region in tags.people.regions) for tags in (there, wanted)
    )
    return (
        f"the photo says {'; '.join(there_now) or 'nothing'}, the "
        f"results {'; '.join(results) or 'nothing'}"
    )


def _text(job: _Job, options: TagOptions) -> Text | None:
    """One line about everybody, for EXIF."""
    if options.exif is None:
        return None
    count = len(job.tags.people.regions)
    line = f"{count} {'person' if count == 1 else 'people'}: {_summary(job)}"
    return Text(options.exif, line, options.overwrite)


def _summary(job: _Job) -> str:
    return "; ".join(region.summary for region in job.tags.people.regions)


def _packet(data: bytes, kind: str) -> bytes | None:
    return embed.CONTAINERS[kind].read_xmp(data)


def _original(new: bytes) -> str:
    tags = packet.read(new)
    return "" if tags is None else tags.provenance.original_sha256
