"""Rules for the values of a result table, whatever program wrote it.

Scans write only valid rows; edited or untrusted tables may contain others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from ..records import BOX_COLUMNS
from .values import Origin, refuse

KINDS = ("face", "body")
CORNERS = BOX_COLUMNS[:4]
FARTHEST = 3.4028235e38
"""The largest 32-bit float, the type of box arithmetic: sums of larger numbers overflow."""
OLDEST = 200
"""Maximum in years. No model predicts this much, but lost decimal points do."""
RANGES = {
    **dict.fromkeys(("bytes", "width", "height", "person"), (0, None)),
    **dict.fromkeys(("age", "age_low", "age_high"), (0, OLDEST)),
    **dict.fromkeys(("gender_score", *(f"{kind}_score" for kind in KINDS)), (0, 1)),
    **dict.fromkeys(
        (f"{kind}_{corner}" for kind in KINDS for corner in CORNERS), (-FARTHEST, FARTHEST)
    ),
    "roll": (-180, 180),
}
WORDS = {
    "gender": ("male", "female"),
    "used": ("face+body", "face", "body"),
    "status": ("ok", "no_people", "no_usable_crop", "error"),
}
FIRST, LAST = datetime.min, datetime.max.replace(microsecond=999_000)


@dataclass(frozen=True, slots=True)
class Fault:
    """The rows of a column that break a rule, and the message for the first."""

    column: str
    rows: pa.ChunkedArray
    problem: str


def check(table: pa.Table, origin: Origin) -> None:
    """Raise BadInput naming the column and the row of the first invalid value."""
    for fault in _faults(table):
        wrong = pc.index(pc.fill_null(fault.rows, False), True).as_py()
        if wrong >= 0:
            raise refuse(origin, fault.column, wrong, table[fault.column][wrong], fault.problem)


def _faults(table: pa.Table) -> Iterator[Fault]:
    for field in table.schema:
        if pa.types.is_floating(field.type):
            infinite = pc.invert(pc.is_finite(table[field.name]))
            yield Fault(field.name, infinite, "is not a finite number")
    for name, (least, most) in RANGES.items():
        yield Fault(name, pc.less(table[name], least), f"is below {least}")
        if most is not None:
            yield Fault(name, pc.greater(table[name], most), f"is above {most}")
    yield Fault("age_high", pc.less(table["age_high"], table["age_low"]), "is below age_low")
    for name, words in WORDS.items():
        unknown = pc.and_(
            pc.is_valid(table[name]), pc.invert(pc.is_in(table[name], pa.array(words)))
        )
        yield Fault(name, unknown, f"is not one of {', '.join(words)}")
    when = table["taken_at"]
    yield Fault(
        "taken_at",
        pc.or_(pc.less(when, _moment(FIRST, when)), pc.greater(when, _moment(LAST, when))),
        "is outside of the years 1 to 9999",
    )
    for kind in KINDS:
        yield from _box_faults(table, kind)


def _box_faults(table: pa.Table, kind: str) -> Iterator[Fault]:
    """A box has all of its corners or none, the second one to the right of and below the first."""
    names = [f"{kind}_{corner}" for corner in CORNERS]
    x1, y1, x2, y2 = (table[name] for name in names)
    known = [pc.is_valid(table[name]) for name in names]
    some = pc.or_(pc.or_(known[0], known[1]), pc.or_(known[2], known[3]))
    for name, there in zip(names, known, strict=True):
        yield Fault(
            name,
            pc.and_(some, pc.invert(there)),
            "is empty, but the other edges of the box are not",
        )
    yield Fault(names[2], pc.less(x2, x1), f"is left of {names[0]}")
    yield Fault(names[3], pc.less(y2, y1), f"is above {names[1]}")


def _moment(time: datetime, like: pa.ChunkedArray) -> pa.Scalar:
    return pa.scalar(time, like.type)
