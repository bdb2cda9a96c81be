"""Convert a row of labelled data to a sample, or to a description of its problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..records import Box, Person
from .labels import OLDEST, Label, age_range, parse_age, parse_gender
from .sample import Sample, Shows, Size, size_of, whole

CORNERS = {
    "face": (
        ("face_x0", "face_y0", "face_x1", "face_y1"),
        ("face_x1", "face_y1", "face_x2", "face_y2"),
    ),
    "body": (
        ("person_x0", "person_y0", "person_x1", "person_y1"),
        ("body_x0", "body_y0", "body_x1", "body_y1"),
        ("body_x1", "body_y1", "body_x2", "body_y2"),
    ),
}
"""Names of the box columns in the published annotations and in scan results."""
PICTURES = ("path", "image", "img_name", "image_path", "file", "file_name", "filename", "name")
"""Columns that may name the picture, in order of precedence."""
SLACK = 1.0
"""Pixels by which a box may exceed its picture, to allow for rounding."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An unusable row: its position, a code (age, gender, picture, box, label, name), and a
    message."""

    place: str
    code: str
    message: str


class RowError(Exception):
    """A row is unusable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def label_of(row: Mapping[str, Any]) -> Label:
    """Read the label from the columns age (a number or a range) or age_min and age_max, and gender
    or sex. Raises RowError."""
    ages = _checked("age", lambda: parse_age(row.get("age")))
    if ages is None:
        ages = _checked("age", lambda: _age_from_ends(row.get("age_min"), row.get("age_max")))
    gender = _checked("gender", lambda: parse_gender(row.get("gender", row.get("sex"))))
    low, high = ages or (None, None)
    return Label(low, high, gender)


def sample_of(name: str, source: Path | bytes, row: Mapping[str, Any], shows: Shows) -> Sample:
    """Return the sample of a row, with the row's boxes; without boxes, the column `crop`, or else
    `shows`, says what the whole picture is. Raises RowError."""
    label = label_of(row)
    try:
        size = size_of(name, source)
    except BadInput as error:
        raise RowError("picture", str(error)) from error
    face, body = (_box(row, kind, size) for kind in ("face", "body"))
    if face is None and body is None:
        kind = str(row.get("crop") or shows).strip().lower()
        if kind not in ("face", "body", "photo"):
            raise RowError("label", f"crop is {kind!r}: write face, body or photo")
        face, body = (whole(size) if kind == part else None for part in ("face", "body"))
    return Sample(name, source, label, face, body)


def has_boxes(row: Mapping[str, Any]) -> bool:
    """Whether the table has box columns, filled or not."""
    return any(
        column in row for kinds in CORNERS.values() for columns in kinds for column in columns
    )


def with_neighbours(samples: list[Sample]) -> list[Sample]:
    """Return the labelled people of one picture, each with all others as neighbours."""
    people = [Person(sample.face, sample.body) for sample in samples]
    return [
        Sample(s.name, s.source, s.label, s.face, s.body, (*people[:i], *people[i + 1 :]))
        for i, s in enumerate(samples)
        if not s.label.is_empty
    ]


def _checked(code: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ValueError as error:
        raise RowError(code, str(error)) from error


def _age_from_ends(low: object, high: object) -> tuple[float, float] | None:
    ends = [parse_age(end) for end in (low, high)]
    if ends == [None, None]:
        return None
    return age_range(
        0.0 if ends[0] is None else ends[0][0], OLDEST if ends[1] is None else ends[1][1]
    )


def _box(row: Mapping[str, Any], kind: str, size: Size) -> Box | None:
    """Return the box of a face or a body; None if empty, or -1 as in the published annotations."""
    for columns in CORNERS[kind]:
        if all(column in row for column in columns):
            values = [_number(row[column], column) for column in columns]
            if any(value is None for value in values) or all(value == -1 for value in values):
                return None
            return _inside([value for value in values if value is not None], kind, size)
    return None


def _number(value: object, column: str) -> float | None:
    if value is None or str(value).strip().lower() in ("", "nan", "none", "null"):
        return None
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RowError("box", f"{column} is {value!r}, not a number")
    return number


def _inside(corners: list[float], kind: str, size: Size) -> Box:
    x1, y1, x2, y2 = corners
    if x2 <= x1 or y2 <= y1:
        raise RowError("box", f"the {kind}'s box {x1:g}, {y1:g}, {x2:g}, {y2:g} has no area")
    if min(x1, y1) < -SLACK or x2 > size.width + SLACK or y2 > size.height + SLACK:
        raise RowError(
            "box",
            (
                f"the {kind}'s box {x1:g}, {y1:g}, {x2:g}, {y2:g} is outside the "
                f"picture of {size.width} x {size.height}"
            ),
        )
    return Box(max(x1, 0), max(y1, 0), min(x2, size.width), min(y2, size.height))
