"""Conditions for photos and people: parse them from the command line, and match rows."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Any

from ..errors import BadInput
from ..photos.globs import Glob
from ..records import whole_years
from ..tables.rules import WORDS
from ..tables.scores import is_certain

Row = dict[str, Any]
Rows = Sequence[Row]
Test = Callable[[Row], bool]
NUMBERS = re.compile(r"(\d+)(?:-(\d+)|(\+))?")
DAY = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` to `high`, both inclusive; None means unlimited."""

    low: Any
    high: Any

    def __contains__(self, value: Any) -> bool:
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Conditions for photos. All must hold for the same judged person, or, with `any_person`, each
    for anyone in the photo.

    People with detection scores below `min_score` are ignored. `surely` requires the whole age
    interval to be inside. `people` is the number of judged people in a photo, `taken` a span of
    days, and one of `globs` must match its path or name.
    """

    age: Span | None = None
    surely: bool = False
    gender: str | None = None
    used: frozenset[str] = frozenset()
    min_score: float = 0.0
    people: Span | None = None
    taken: Span | None = None
    globs: tuple[Glob, ...] = ()
    any_person: bool = False

    def __post_init__(self) -> None:
        if self.surely and self.age is None:
            raise BadInput("--surely is about ages", hint="say which: --age 0-12 --surely")

    def hits(self, rows: Rows) -> Rows | None:
        """Return the matching rows of a photo, all if there are no conditions on people; None if
        the photo does not match or could not be read."""
        if rows[0]["status"] == "error" or not self._is_place(rows[0]):
            return None
        judged = [row for row in rows if row["status"] == "ok" and self._is_certain(row)]
        if self.people is not None and len(judged) not in self.people:
            return None
        tests = list(self._tests())
        if not tests:
            return rows
        if self.any_person:
            is_wanted = all(any(map(test, judged)) for test in tests)
            return [row for row in judged if _any(tests, row)] if is_wanted else None
        return [row for row in judged if _all(tests, row)] or None

    def _is_place(self, row: Row) -> bool:
        """Return whether time and path match."""
        if self.taken is not None:
            time = row["taken_at"]
            if time is None or time.date() not in self.taken:
                return False
        names = (row["path"], PurePosixPath(row["path"]).name)
        return not self.globs or any(glob.matches(name) for glob in self.globs for name in names)

    def _tests(self) -> Iterator[Test]:
        """Yield the conditions for a person."""
        if self.age is not None:
            yield self._has_age
        if self.gender is not None:
            yield lambda row: row["gender"] == self.gender
        if self.used:
            yield lambda row: row["used"] in self.used
        if self.min_score > 0:
            yield self._is_certain

    def _has_age(self, row: Row) -> bool:
        """Return whether the age matches. Ages are rounded, as displayed; the ends of intervals are
        not. A person without an age may have an interval."""
        assert self.age is not None
        if row["age"] is not None and not self.surely:
            return whole_years(row["age"]) in self.age
        ends = row["age_low"], row["age_high"]
        return None not in ends and all(end in self.age for end in ends)

    def _is_certain(self, row: Row) -> bool:
        return is_certain(row, self.min_score)


def numbers(option: str, text: str) -> Span:
    """Parse `2-5`, `6+` or `3`. Raises BadInput."""
    match = NUMBERS.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{option} {text!r} is not a valid range", hint="write 2-5, 6+ or 3")
    low = int(match[1])
    high = None if match[3] else int(match[2] or low)
    return _ordered(option, text, Span(low, high))


def days(option: str, text: str) -> Span:
    """Parse `2015`, `2015-06`, `2015-06-30`, or two of these separated by `..`, one of which may be
    omitted. Raises BadInput."""
    first, dots, last = text.strip().partition("..")
    last = last if dots else first
    if not first and not last:
        raise _no_days(option, text)
    try:
        low = _day(first, last=False) if first else None
        high = _day(last, last=True) if last else None
    except ValueError as error:
        raise _no_days(option, text) from error
    return _ordered(option, text, Span(low, high))


def inputs(option: str, text: str) -> frozenset[str]:
    """Parse inputs such as `face,face+body`. Raises BadInput."""
    found = frozenset(word.strip() for word in text.split(","))
    if unknown := sorted(found - set(WORDS["used"])):
        hint = f"use one or more of {', '.join(WORDS['used'])}, separated by commas"
        raise BadInput(f"{option} {unknown[0]!r} is unknown", hint=hint)
    return found


def _day(text: str, last: bool) -> date:
    """Return the first or the last day of a year, a month or a day. Raises ValueError."""
    match = DAY.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month = int(match[1]), int(match[2] or (12 if last else 1))
    return date(year, month, int(match[3] or (monthrange(year, month)[1] if last else 1)))


def _no_days(option: str, text: str) -> BadInput:
    hint = "write 2015..2018, 2015-06..2015-08, 2015.. or 2015-06-30"
    return BadInput(f"{option} {text!r} is not a valid time", hint=hint)


def _ordered(option: str, text: str, span: Span) -> Span:
    if span.low is not None and span.high is not None and span.low > span.high:
        raise BadInput(f"{option} {text!r} ends before it starts", hint="put the smaller one first")
    return span


def _any(tests: Sequence[Test], row: Row) -> bool:
    return any(test(row) for test in tests)


def _all(tests: Sequence[Test], row: Row) -> bool:
    return all(test(row) for test in tests)
