"""The outcome of `tag` and `untag` for each photo, and the table of all outcomes."""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from ..atomic import Kind, check_file, open_lines, reported
from ..metadata import Refused
from ..records import Photo, text

Status = Literal[
    "tagged", "sidecar", "unchanged", "nobody", "refused",  # tag
    "same", "differs", "untagged",  # tag --check: matches, differs, has no tags
    "restored", "removed", "none",  # untag: original bytes, only our entries removed, none found
]  # fmt: skip
BETWEEN_TAGS = re.compile(r">\s*<")
COLUMNS = ("root", "path", "status", "written", "code", "message", "reversible", "original_sha256")
HEADER_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class TagOutcome:
    """`written` is the file that was or would be written, `updated` are existing sidecars next to
    it that were updated as well. `code` is one of REASONS if something could not be done. `instead`
    is the reason if a sidecar was written instead of the photo without being requested.

    `reversible`: whether `untag` can restore the original bytes; None if nothing is written. In a
    dry run, `people` is a summary of the people, and `diff` the change of the packet, both
    readable.
    """

    photo: Photo
    status: Status
    written: Path | None = None
    code: str = ""
    message: str = ""
    reversible: bool | None = None
    original_sha256: str = ""
    people: str = ""
    diff: str = ""
    updated: tuple[Path, ...] = ()
    instead: Refused | None = None


@dataclass(slots=True)
class Tally:
    """Number of photos by outcome and by reason; `updated` counts sidecars next to tagged
    photos."""

    photos: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    irreversible: int = 0
    updated: int = 0

    @property
    def failed(self) -> int:
        """Number of photos for which something could not be done as requested."""
        return self.codes.total() + self.statuses["differs"] + self.statuses["untagged"]

    def count(self, outcome: TagOutcome) -> None:
        self.photos += 1
        self.statuses[outcome.status] += 1
        self.codes.update([outcome.code] if outcome.code else [])
        self.irreversible += outcome.reversible is False
        self.updated += len(outcome.updated)


def diff(old: bytes | None, new: bytes | None, name: str) -> str:
    """Return the lines that differ between two packets, one element per line."""
    before, after = ([] if packet is None else _lines(packet) for packet in (old, new))
    return "\n".join(difflib.unified_diff(before, after, name, name, n=1, lineterm=""))


def check_report(file: Path | None, inputs: Iterable[Path]) -> None:
    """Refuse, before any work, a report that would overwrite something else. Raises BadInput."""
    if file is not None:
        check_file(file, REPORT, inputs=inputs)


@contextmanager
def open_report(file: Path | None) -> Iterator[TagReport]:
    """Open a table (CSV) of all outcomes, flushed after every line. Raises OutputError."""
    if file is None:
        yield TagReport(None)
        return
    with (
        reported(file, hint="choose another name for --report"),
        open_lines(file, REPORT) as opened,
    ):
        yield TagReport(opened)


class TagReport:
    def __init__(self, file: IO[str] | None) -> None:
        self._file = file
        if file is not None:
            csv.writer(file).writerow(COLUMNS)

    def write(self, outcome: TagOutcome) -> None:
        if self._file is None:
            return
        reversible = "" if outcome.reversible is None else str(outcome.reversible).lower()
        message = outcome.message or str(outcome.instead or "")
        written = "" if outcome.written is None else text(str(outcome.written))
        row = (
            text(outcome.photo.root),
            text(outcome.photo.path),
            outcome.status,
            written,
            outcome.code,
        )
        csv.writer(self._file).writerow((*row, text(message), reversible, outcome.original_sha256))
        self._file.flush()


def _is_report(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.readline(HEADER_LIMIT).rstrip(b"\r\n") == ",".join(COLUMNS).encode()


REPORT = Kind(
    "report of mivolo tag", _is_report, hint="choose another name for --report", in_place=True
)


def _lines(packet: bytes) -> list[str]:
    return BETWEEN_TAGS.sub(">\n<", packet.decode("utf-8", "replace")).splitlines()
