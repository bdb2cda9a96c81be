"""Untag: remove our entries from photos and sidecars, restoring the original bytes where tagging
was reversible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as update
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import BadInput
from ..metadata import Refused, embed, own_xmp, packet, replace, sidecar
from ..metadata.exif import FIELDS
from ..metadata.lookup import photo_file
from ..metadata.xmp import SKELETON
from ..photos import walk
from ..records import Failure, Photo
from ..tables import FORMATS, read_table
from ..tables.moved import relocated
from .outcome import TagOutcome, Tally, check_report, diff, open_report

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UntagOptions:
    """`paths` are photos, folders, and result tables, whose photos may have `moved`: see
    tables.moved."""

    paths: Sequence[Path]
    dry_run: bool = False
    backup: bool = False
    hidden: bool = False
    report: Path | None = None
    moved: Sequence[str] = ()


def untag(
    options: UntagOptions, on_progress: Callable[[TagOutcome], None] = lambda outcome: None
) -> Tally:
    """Remove our entries from photos and their sidecars; `on_progress` is called for every photo.

    Raises BadInput for paths that do not exist, or if there are no photos.
    """
    walk.check_paths(options.paths)
    check_report(options.report, options.paths)
    tally = Tally()
    with open_report(options.report) as report:
        for photo in _once(_find(options)):
            outcome = _outcome(photo, options)
            report.write(outcome)
            tally.count(outcome)
            on_progress(outcome)
    if not tally.photos:
        raise BadInput(
            "there are no photos",
            hint="give folders, photos, or a table written by mivolo scan",
        )
    return tally


def _find(options: UntagOptions) -> Iterator[Photo | Failure]:
    tables = [path for path in options.paths if path.suffix.lower() in FORMATS]
    for table in tables:
        rows = relocated(read_table(table), options.moved).select(["root", "path"]).to_pylist()
        found = dict.fromkeys(Photo(row["root"], row["path"]) for row in rows)
        yield from map(_checked, found)
    yield from walk.walk(
        [path for path in options.paths if path not in tables],
        hidden=options.hidden,
        system_folders=True,  # they may have been tagged, too
    )


def _once(found: Iterator[Photo | Failure]) -> Iterator[Photo | Failure]:
    """Drop photos that were found before: a table and a folder may contain the same ones."""
    seen: set[str] = set()
    for one in found:
        address = (one.photo if isinstance(one, Failure) else one).address
        if address not in seen:
            seen.add(address)
            yield one


def _checked(photo: Photo) -> Photo | Failure:
    """Return the photo of a row, unless it or a sidecar of it lies elsewhere."""
    try:
        photo_file(photo)
        for name in sidecar.NAMES:
            photo_file(photo, partial(sidecar.path, name=name))
    except Refused as error:
        return Failure(photo, error.code, str(error))
    return photo


def _outcome(photo: Photo | Failure, options: UntagOptions) -> TagOutcome:
    """Return the outcome for a photo and all its sidecars."""
    if isinstance(photo, Failure):
        return TagOutcome(photo.photo, "refused", code=photo.code, message=photo.message)
    outcome = _attempt(photo, _untag_photo, options)
    for file in sidecar.paths(photo.file):
        beside = _attempt(photo, partial(_untag_sidecar, file), options)
        outcome = _joined(outcome, beside, file.name)
    return outcome


def _joined(outcome: TagOutcome, beside: TagOutcome, name: str) -> TagOutcome:
    """Combine the outcome of a photo with that of its sidecar `name`."""
    if beside.status == "none":
        return outcome
    remark = f"{name}: {beside.message}" if beside.message else ""
    if outcome.status == "none":
        return update(beside, message=remark)
    changed = outcome.status == "restored" and beside.status == "removed"
    return update(
        outcome,
        status="removed" if changed else outcome.status,
        code=outcome.code or beside.code,
        message="; ".join(filter(None, (outcome.message, remark))),
        diff="\n".join(filter(None, (outcome.diff, beside.diff))),
        updated=(*outcome.updated, *([beside.written] if beside.written else [])),
    )


def _attempt(
    photo: Photo, step: Callable[[Photo, UntagOptions], TagOutcome], options: UntagOptions
) -> TagOutcome:
    try:
        return step(photo, options)
    except Refused as error:
        return TagOutcome(photo, "refused", code=error.code, message=str(error))
    except OSError as error:  # one photo must not stop the others
        return TagOutcome(photo, "refused", code="unreadable", message=str(error))


def _untag_photo(photo: Photo, options: UntagOptions) -> TagOutcome:
    info = replace.status(photo.file)
    data = replace.read(photo.file)
    kind = embed.container(data, photo.path)
    left = None if kind is None else _or_nothing(data, lambda: embed.strip(data, kind))
    if kind is None or left is None or left.tags is None:
        return TagOutcome(photo, "none")
    replace.check_writable(photo.file)
    provenance = left.tags.provenance
    field = next((field for field in FIELDS if field == provenance.exif_field), None)
    text = None if field is None else embed.Text(field, provenance.exif_text)
    there = embed.read_packet(data, kind) or SKELETON
    embed.check(left.data, data, kind, packet.count_own(there), text)
    if not options.dry_run:
        replace.replace_photo(photo.file, left.data, info, backup=options.backup)
    return TagOutcome(
        photo,
        "restored" if left.restored else "removed",
        photo.file,
        message=_remark(left.restored, provenance.is_reversible),
        original_sha256=provenance.original_sha256,
        diff=diff(there, embed.read_packet(left.data, kind), photo.path) if options.dry_run else "",
    )


def _untag_sidecar(file: Path, photo: Photo, options: UntagOptions) -> TagOutcome:
    data = sidecar.content(file)
    left = None if data is None else _or_nothing(data, lambda: sidecar.strip(data))
    if data is None or left is None or left.tags is None:
        return TagOutcome(photo, "none")
    if not options.dry_run and left.superfluous:
        replace.remove_file(file)
    elif not options.dry_run and left.data is not None:
        replace.write_sidecar(file, left.data)
    return TagOutcome(
        photo,
        "restored" if left.restored else "removed",
        file,
        message=_remark(left.restored, left.tags.provenance.is_reversible),
        original_sha256=left.tags.provenance.original_sha256,
        diff=diff(data, None if left.superfluous else left.data, file.name)
        if options.dry_run
        else "",
    )


def _or_nothing(data: bytes, strip: Callable[[], T]) -> T | None:
    """Skip files that were never tagged, even broken ones. Raises Refused if they may contain our
    entries."""
    try:
        return strip()
    except Refused:
        if own_xmp.mentions_us(data):
            raise
        return None


def _remark(restored: bool, promised: bool) -> str:
    if restored:
        return ""
    if promised:
        return (
            "another program has written to it since: mivolo's entries are removed, and "
            "its changes stay"
        )
    return (
        "mivolo's entries are removed; the original bytes could not be restored, as "
        "announced when tagging"
    )
