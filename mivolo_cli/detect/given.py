"""Boxes supplied by the user in a table, instead of detected ones."""

from __future__ import annotations

import math
import os
import posixpath
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from .. import storage
from ..errors import BadInput
from ..model.registry import sha256
from ..records import Detections, Image, Photo, Pixels, text
from ..tables import csv, values
from ..tables.rules import FARTHEST
from .detector import detections

CORNERS = ("x1", "y1", "x2", "y2")
REQUIRED = ("path", "kind", *CORNERS)
POINTS = tuple(
    f"{point}_{axis}"
    for point in ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    for axis in "xy"
)
"""Facial landmarks, where "right" is the person's; a table has all of these columns or none."""
KINDS = ("person", "face")
HINT = (
    "the columns are path, kind (person or face), x1, y1, x2, y2 in pixels of the "
    "upright photo, and optionally score and facial landmarks: right_eye_x, "
    "right_eye_y, left_eye_x ... left_mouth_y"
)


@dataclass(frozen=True, slots=True)
class _Given:
    """Boxes and scores of one photo, and ten landmark coordinates per face."""

    boxes: dict[str, list[list[float]]] = field(
        default_factory=lambda: {kind: [] for kind in KINDS}
    )
    scores: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    points: list[list[float]] = field(default_factory=list)


class GivenDetector:
    """Detector that returns the boxes of a CSV or Parquet table, by the photo's path (relative to
    its root, or absolute).

    The whole table is validated when it is opened: BadInput names the first invalid row. A photo
    that is not in the table has no boxes.
    """

    name, batch = "given", 1

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise BadInput(f"no such table of boxes: {file}", hint="check the path of --boxes")
        self.sha256, self.streams = sha256(file), os.cpu_count() or 1
        self._photos: dict[str, _Given] = {}
        for path, kind, corners, score, points in _check(file, _read(file)):
            given = self._photos.setdefault(path, _Given())
            given.boxes[kind].append(corners)
            given.scores[kind].append(score)
            if kind == "face":
                given.points.append(points)
        self._alike = {_alike(path.replace("\\", "/")): path for path in self._photos}

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Detections:
        found = [self._photos[path] for path in self.paths_of(image.photo)]
        boxes = {kind: [box for given in found for box in given.boxes[kind]] for kind in KINDS}
        scores = {
            kind: [score for given in found for score in given.scores[kind]] for kind in KINDS
        }
        persons, faces = ((boxes[kind], scores[kind]) for kind in KINDS)
        points = np.array([point for given in found for point in given.points], np.float32).reshape(
            -1, 5, 2
        )
        return detections(*persons, *faces, image.width, image.height, points)

    def way_up(self, pixels: Pixels) -> int:
        """Return 0: user-supplied boxes imply that the photo is upright."""
        return 0

    @property
    def paths(self) -> Collection[str]:
        """Paths of the photos in the table."""
        return self._photos.keys()

    def paths_of(self, photo: Photo) -> list[str]:
        """Return the paths under which the table has boxes of a photo: its relative and absolute
        path. If neither is present, paths from other systems match: with backslashes, or with a
        different Unicode normalisation."""
        names = [text(photo.path), text(photo.address)]
        exact = [name for name in names if name in self._photos]
        return exact or [self._alike[_alike(name)] for name in names if _alike(name) in self._alike]


def _alike(path: str) -> str:
    return unicodedata.normalize("NFC", posixpath.normpath(path))


def _read(file: Path) -> pa.Table:
    """Read the table, leaving text unparsed. Raises BadInput if it cannot be read or lacks a
    column."""
    readers = {".csv": csv.parsed, ".parquet": pyarrow.parquet.read_table}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise BadInput(
            f"{file} is neither .csv nor .parquet", hint="save the boxes in one of these formats"
        )
    try:
        with storage.open_file(file) as opened:
            table = reader(opened)
        names = table.column_names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{file} cannot be read: {str(error).splitlines()[0]}", hint=HINT) from error
    wanted = (*REQUIRED, *POINTS) if any(column in names for column in POINTS) else REQUIRED
    if missing := [column for column in wanted if column not in names]:
        raise BadInput(f"{file} has no column {', '.join(missing)}", hint=HINT)
    if twice := [column for column in (*wanted, "score") if names.count(column) > 1]:
        raise BadInput(f"{file} has several columns {', '.join(twice)}", hint=HINT)
    return table


def _check(
    file: Path, table: pa.Table
) -> Iterator[tuple[str, str, list[float], float, list[float]]]:
    """Yield each row's path, kind, corners, score and landmarks (NaN if missing). Raises BadInput
    naming the first invalid row."""
    wanted = [name for name in (*REQUIRED, "score", *POINTS) if name in table.column_names]
    numbers = _Numbers(table, wanted, file)
    largest = 0.0
    for number, cells in enumerate(
        zip(*(table[name].to_pylist() for name in wanted), strict=True), start=1
    ):
        row = dict(zip(wanted, cells, strict=True))
        where = f"row {number} of {file} (not counting the header)"
        corners = [numbers.required(row[name], name, where) for name in CORNERS]
        _check_corners(corners, where)
        largest = max(largest, *corners)
        kind = str(row["kind"]).strip().lower()
        if kind not in KINDS:
            raise BadInput(
                f"{where}: kind is {row['kind']!r}", hint=f"kind must be {' or '.join(KINDS)}"
            )
        if not row["path"]:
            raise BadInput(f"{where}: path is empty", hint="give each box the path of its photo")
        score, *points = (
            numbers.optional(row.get(name), name, where) for name in ("score", *POINTS)
        )
        if not math.isnan(score) and not 0 <= score <= 1:
            raise BadInput(f"{where}: score is {row['score']!r}", hint="scores are from 0 to 1")
        yield posixpath.normpath(str(row["path"])), kind, corners, score, points
    if table.num_rows and largest <= 1:
        raise BadInput(
            f"all boxes of {file} lie within one pixel",
            hint="multiply by the photo's width and height",
        )


class _Numbers:
    """Parser for a table's numbers, using its decimal mark."""

    def __init__(self, table: pa.Table, wanted: Iterable[str], file: Path) -> None:
        names = [name for name in wanted if name not in ("path", "kind")]
        try:
            self._mark = values.decimal_mark(table, names, values.Origin(file))
        except BadInput as error:
            raise BadInput(str(error), hint="write fractions with a point: 1.250") from error

    def required(self, value: Any, name: str, where: str) -> float:
        """Return a number. Raises BadInput if it is missing or not finite."""
        number = self.optional(value, name, where)
        if math.isnan(number):
            raise BadInput(f"{where}: {name} is {value!r}, not a number", hint=HINT)
        return number

    def optional(self, value: Any, name: str, where: str) -> float:
        """Return a number, or NaN if there is no value."""
        try:
            number = self._mark.number(value)
        except values.Unclear as error:
            raise BadInput(f"{where}: {name} is {value!r}, not a number", hint=HINT) from error
        if number is not None and abs(number) > FARTHEST:
            raise BadInput(f"{where}: {name} is {value!r}, which is not a position", hint=HINT)
        return math.nan if number is None else float(number)


def _check_corners(corners: Iterable[float], where: str) -> None:
    x1, y1, x2, y2 = corners
    if x2 <= x1 or y2 <= y1:
        wrong = (
            f"x2 ({x2:g}) is not right of x1 ({x1:g})"
            if x2 <= x1
            else f"y2 ({y2:g}) is not below y1 ({y1:g})"
        )
        raise BadInput(
            f"{where}: {wrong}",
            hint="x1, y1 is the top left corner and x2, y2 the bottom right one",
        )
