"""Tag: write scan results into the photos' own metadata or into sidecars, or compare the two."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import replace as update
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from .. import tables
from ..errors import BadInput
from ..metadata import (
    ABOUT_EXIF,
    WITHOUT_SIDECAR,
    Refused,
    carried,
    embed,
    judge,
    packet,
    regions,
    replace,
    sidecar,
)
from ..metadata.embed import Embedded, Text
from ..metadata.lookup import is_same_photo, photo_file
from ..metadata.packet import Provenance, Tags
from ..metadata.picture import examine
from ..metadata.sidecar import Sidecar
from ..records import Photo, photo_of
from ..scan import workdir
from ..tables.moved import relocated
from ..tables.scores import with_min_score
from .compare import compare
from .options import Rows, TagOptions
from .outcome import Status, TagOutcome, Tally, check_report, diff, open_report

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)
NAMELESS = (
    "does not name its model, so the tags will not either, and scan --skip-tagged "
    "will not recognise them; tag from the Parquet table of the scan"
)
CHECKED = "does not name its model, so only people are compared, not models"


@dataclass(frozen=True, slots=True)
class _Job:
    """A photo that is unchanged since the scan, and the tags to write. `kind` is its container."""

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

    `on_progress` is called after every photo, with the total number of photos. Raises BadInput if
    the results are not a result table.
    """
    check_report(options.report, [options.results])
    table = relocated(tables.read_table(options.results), options.moved)
    table = with_min_score(table, options.min_score)
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
        logger.warning(f"{options.results.name} {CHECKED if options.check else NAMELESS}")
    faceless = sum(row["age"] is not None and row["face_x1"] is None for row in rows)
    if faceless and not options.bodies and not options.check:
        logger.warning(f"people without a visible face skipped: {faceless}; --bodies includes them")
    with open_report(options.report) as report:
        for photo, group in _photos(rows):
            outcome = _outcome(photo, group, provenance, options)
            report.write(outcome)
            tally.count(outcome)
            on_progress(outcome, total)
    return tally


def _model(results: Path, table: pa.Table) -> tuple[str, str]:
    """Return the model's name and hash from Parquet metadata, or else from the records of the run
    that wrote the table."""
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
            return compare(photo, rows, provenance, options)
        if all(row["age"] is None for row in rows):
            return TagOutcome(photo, "nobody")
        job = _job(photo, rows, provenance, options)
        return _write(job, options) if job.tags.people.regions else TagOutcome(photo, "nobody")
    except Refused as error:
        return TagOutcome(photo, "refused", code=error.code, message=str(error))
    except OSError as error:  # one photo must not stop the others
        return TagOutcome(photo, "refused", code="unreadable", message=str(error))


def _job(photo: Photo, rows: Rows, provenance: Provenance, options: TagOptions) -> _Job:
    """Prepare a photo. Raises Refused if it is missing, or not the one that was scanned."""
    file = photo_file(photo)
    info = replace.status(file)
    if photo.bytes is None or photo.mtime_ns is None:
        raise Refused("unverified")
    data = replace.read(file)
    kind = embed.container(data, photo.path)
    if not is_same_photo(photo, info, data):
        raise Refused("changed")
    facts = examine(data, photo.path, pixels=False)
    if facts.size != (rows[0]["width"], rows[0]["height"]):
        raise Refused("other_picture", f"{facts.size[0]} x {facts.size[1]}")
    people = regions.people(rows, facts.orientation, bodies=options.bodies)
    scanned = Provenance(
        provenance.model, provenance.model_sha256, provenance.date, scanned_bytes=str(photo.bytes)
    )
    return _Job(photo, info, data, kind, Tags(scanned, people))


def _write(job: _Job, options: TagOptions) -> TagOutcome:
    """Write the photo or its sidecar, and existing sidecars: programs that prefer them would ignore
    the photo."""
    outcome = _write_one(job, options)
    if options.where == "photo":
        return outcome
    for file in sidecar.existing(job.photo.file):
        if file != outcome.written:
            outcome = _update(job, options, file, outcome)
    return outcome


def _update(job: _Job, options: TagOptions, file: Path, outcome: TagOutcome) -> TagOutcome:
    """Update an existing sidecar, and return the extended outcome."""
    try:
        done = _sidecar(job, options, file)
    except Refused as error:
        code, message = outcome.code or error.code, f"{file.name}: {error}"
        return update(outcome, code=code, message=outcome.message or message)
    if done.unchanged or not _people(done.new):
        return outcome
    change = diff(done.old, done.new, file.name) if options.dry_run else ""
    return update(
        outcome,
        updated=(*outcome.updated, file),
        reversible=outcome.reversible is not False and done.reversible,
        diff="\n".join(filter(None, (outcome.diff, change))),
    )


def _write_one(job: _Job, options: TagOptions) -> TagOutcome:
    """Write the photo if that is requested and possible, else its sidecar."""
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
    text = _text(job, options)
    try:
        done = _embedded(job, kind, options, text)
    except Refused as error:
        if text is None:
            raise
        done = _embedded(job, kind, options, None)  # give up the line, not the regions
        reason = error if error.code in ABOUT_EXIF else Refused("bad_exif", str(error))
    if done.unchanged or not _people(done.new):
        return _result(job, options, "unchanged", done, reason)
    if not options.dry_run:
        replace.replace_photo(file, done.data, job.info, backup=options.backup)
    old = embed.read_packet(job.data, kind)
    return _result(job, options, "tagged", done, reason, file, old)


def _embedded(job: _Job, kind: str, options: TagOptions, text: Text | None) -> Embedded:
    """Return the photo with its entries, after checking picture and foreign metadata against the
    bare photo, and pixels against the photo as read. Raises Refused."""
    done = embed.embed(job.data, kind, job.tags, options.entries, text)
    if options.require_reversible and not done.reversible:
        raise Refused("not_reversible")
    if done.unchanged:
        return done
    embed.check(done.bare, done.data, kind, done.added, text)
    if done.bare != job.data and embed.seen(job.data) != embed.seen(done.data):
        raise Refused("failed_check", "the decoded pixels are not the same")
    return done


def _write_sidecar(job: _Job, options: TagOptions, reason: Refused | None) -> TagOutcome:
    """Write the sidecar; `reason` is why the photo itself was not written, if it should have
    been."""
    sidecar.require_own(job.photo.file, options.sidecar_name)
    done = _sidecar(job, options, sidecar.path(job.photo.file, options.sidecar_name))
    failure = None if options.exif is None else Refused("no_exif")
    if done.unchanged or not _people(done.new):
        return _result(job, options, "unchanged", done, failure)
    told = _result(job, options, "sidecar", done, failure, done.file, done.old)
    return update(told, instead=reason)


def _sidecar(job: _Job, options: TagOptions, file: Path) -> Sidecar:
    """Prepare a sidecar, and write it if needed. Raises Refused."""
    own = partial(carried.own_metadata, job.data)
    photo_file(job.photo, lambda photo: file)
    done = sidecar.plan(job.photo.file, own, job.tags, options.entries, file)
    if done.unchanged or not _people(done.new):
        return done
    if options.require_reversible and not done.reversible:
        raise Refused("not_reversible")
    judge.check(done.bare, done.new, done.added)
    if not options.dry_run:
        replace.write_sidecar(file, done.new)
    return done


def _result(
    job: _Job,
    options: TagOptions,
    status: Status,
    done: Embedded | Sidecar,
    reason: Refused | None,
    written: Path | None = None,
    old: bytes | None = None,
) -> TagOutcome:
    """Return the outcome for a photo; `written` is None if there was nothing to write."""
    tags = packet.read(done.new)
    people = [] if tags is None else tags.people.regions
    shown = written is not None and options.dry_run
    return TagOutcome(
        job.photo,
        status if people else "nobody",
        written,
        "" if reason is None else reason.code,
        "" if reason is None else str(reason),
        done.reversible if people else None,
        "" if tags is None else tags.provenance.original_sha256,
        regions.summary(people) if shown else "",
        diff(old, done.new, written.name) if shown and written else "",
    )


def _people(new: bytes) -> bool:
    """Whether a packet describes anyone."""
    tags = packet.read(new)
    return tags is not None and bool(tags.people.regions)


def _text(job: _Job, options: TagOptions) -> Text | None:
    """Return one line about all people, for EXIF."""
    if options.exif is None:
        return None
    count = len(job.tags.people.regions)
    summary = regions.summary(job.tags.people.regions)
    line = f"{count} {'person' if count == 1 else 'people'}: {summary}"
    return Text(options.exif, line, options.overwrite)
