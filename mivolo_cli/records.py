"""Records that flow through a scan, and the schema of result tables."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Points = NDArray[np.float32]
Use = Literal["both", "face", "body"]

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip", ".parquet")
"""Suffixes of archives."""
IN_ARCHIVE = re.compile(
    rf"(.+?(?:{'|'.join(map(re.escape, ARCHIVES))}))/(.+)", re.IGNORECASE | re.DOTALL
)

CODED_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")
"""How tables encode a byte of a file name that is not UTF-8."""

SCHEMA_VERSION = "2"
BOX_COLUMNS = ("x1", "y1", "x2", "y2", "score")
SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("root", pa.string(), nullable=False),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("taken_at", pa.timestamp("ms")),
        ("person", pa.int32()),
        ("used", pa.string()),
        ("age", pa.float64()),
        ("age_low", pa.float64()),
        ("age_high", pa.float64()),
        ("gender", pa.string()),
        ("gender_score", pa.float64()),
        ("roll", pa.float64()),
        *((f"face_{column}", pa.float64()) for column in BOX_COLUMNS),
        *((f"body_{column}", pa.float64()) for column in BOX_COLUMNS),
        pa.field("status", pa.string(), nullable=False),
        ("error", pa.string()),
        ("message", pa.string()),
    ]
)
LATER_COLUMNS = ("roll",)
"""Columns missing in tables of schema version 1; they are read as empty."""
FIRST_COLUMNS = [name for name in SCHEMA.names if name not in LATER_COLUMNS]


@dataclass(frozen=True, slots=True)
class Photo:
    """A file to read a picture from: `path` is relative to the absolute folder `root`, with forward
    slashes.

    `root` may be the URL of a folder in a bucket, and `path` may continue inside an archive (see
    archive_of). `bytes` is the file's size, `mtime_ns` its modification time in nanoseconds since
    1970; both are None if unknown.
    """

    root: str
    path: str
    bytes: int | None = None
    mtime_ns: int | None = None

    @property
    def file(self) -> Path:
        """Local path. Photos in buckets or archives have no such file. Names that are not UTF-8 are
        decoded from the form that `text` writes to tables."""
        return _existing(self.folder, self.path)

    @property
    def folder(self) -> Path:
        """The root as a local path."""
        return _existing(Path(), self.root)

    @property
    def address(self) -> str:
        """The full path or URL."""
        return f"{self.root}/{self.path}" if "://" in self.root else self.file.as_posix()


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A decoded photo: `pixels` (height, width, 3) uint8 RGB, upright.

    `original_size` is the photo's width and height if it was decoded at reduced size.
    """

    photo: Photo
    pixels: Pixels
    taken_at: datetime | None = None
    original_size: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        return self.original_size[0] if self.original_size else self.pixels.shape[1]

    @property
    def height(self) -> int:
        return self.original_size[1] if self.original_size else self.pixels.shape[0]


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo that could not be read: `code` is stable across versions, `message` is for
    people."""

    photo: Photo
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the upright photo: x1 <= x < x2 to the right and y1 <= y < y2
    downwards from the top left corner, not rounded. `score` (0 to 1) is the detector's, or None for
    the user's own boxes."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float | None = None

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2."""
        return self.x1, self.y1, self.x2, self.y2

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)

    @property
    def longer_side(self) -> float:
        """Longer side in pixels."""
        return max(self.x2 - self.x1, self.y2 - self.y1)

    def scaled(self, x: float, y: float) -> Box:
        """Scaled to a picture x times as wide and y times as high."""
        return Box(self.x1 * x, self.y1 * y, self.x2 * x, self.y2 * y, self.score)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """A detector's output for one photo: boxes (n, 4) and scores (n,) float32 of persons and faces.

    Boxes are xyxy in pixels of the upright photo. Unknown scores are NaN. `upscaled` is set if
    the detector had to upscale a part of the photo, so that more pixels would have helped. `points`
    (faces, 5, 2) float32 are x, y of each face's right eye, left eye, nose, right and left corner
    of the mouth, where "right" is the person's; NaN if the detector gives none, which is the
    default. `pairable` (persons, faces) says which face can belong to which person; None: any.
    `doubtful` means that all faces may be false, as happens on photos that are sideways or upside
    down. Persons without a face that score less than `alone_score` are reported, but not judged.
    """

    persons: Boxes
    person_scores: NDArray[np.float32]
    faces: Boxes
    face_scores: NDArray[np.float32]
    upscaled: bool = False
    points: Points = field(default_factory=lambda: np.full((0, 5, 2), np.nan, np.float32))
    pairable: NDArray[np.bool_] | None = None
    doubtful: bool = False
    alone_score: float = 0.0

    def __post_init__(self) -> None:
        faces, persons = len(self.faces), len(self.persons)
        if faces and not len(self.points):
            object.__setattr__(self, "points", np.full((faces, 5, 2), np.nan, np.float32))
        if self.points.dtype != np.float32 or self.points.shape != (faces, 5, 2):
            raise ValueError(
                f"{faces} faces need points ({faces}, 5, 2) float32, not {self.points.shape}"
            )
        if self.pairable is not None and self.pairable.shape != (persons, faces):
            raise ValueError(f"pairable must be ({persons}, {faces}), not {self.pairable.shape}")
        for boxes, scores in ((self.persons, self.person_scores), (self.faces, self.face_scores)):
            if boxes.dtype != np.float32 or boxes.ndim != 2 or boxes.shape[1] != 4:
                raise ValueError(f"boxes must be (n, 4) float32, not {boxes.shape} {boxes.dtype}")
            if scores.dtype != np.float32 or scores.shape != (len(boxes),):
                raise ValueError(
                    f"{len(boxes)} boxes need scores ({len(boxes)},) float32, not {scores.shape}"
                )

    @staticmethod
    def boxes(boxes: Boxes, scores: NDArray[np.float32]) -> list[Box]:
        """Convert boxes to records, in the same order."""
        return [
            Box(x1, y1, x2, y2, None if math.isnan(score) else score)
            for (x1, y1, x2, y2), score in zip(boxes.tolist(), scores.tolist(), strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Person:
    """A face and its body; one of them may be missing.

    `roll` is the clockwise tilt of the head on the upright photo in degrees, -180 to 180; None if
    the detector gives no facial landmarks. `judged` is False for an uncertain body
    without a face, which the model does not see.
    """

    face: Box | None
    body: Box | None
    roll: float | None = None
    judged: bool = True

    def scaled(self, x: float, y: float) -> Person:
        """Scaled to a picture x times as wide and y times as high."""
        return replace(
            self,
            face=self.face and self.face.scaled(x, y),
            body=self.body and self.body.scaled(x, y),
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """The model's estimates for one person.

    `age` is in years (None: seen only from a body that says too little about age). `age_low` and
    `age_high` are an 80 % prediction interval (None: the model is uncalibrated). `gender` is male
    or female, `gender_score` its probability, 0.5 to 1 (both None from an age-only model). `used`
    is what the model saw: face+body, face or body.
    """

    age: float | None
    gender: str | None
    gender_score: float | None
    used: str
    age_low: float | None = None
    age_high: float | None = None


PREDICTION_COLUMNS = tuple(column.name for column in fields(Prediction))


@dataclass(frozen=True, slots=True)
class Result:
    """A photo that was read, and its people from left to right; a prediction is None if no crop was
    usable. `width` and `height` are in pixels of the upright photo, `taken_at` is local time."""

    photo: Photo
    width: int
    height: int
    taken_at: datetime | None = None
    people: Sequence[tuple[Person, Prediction | None]] = field(default=())


def rows(result: Result | Failure) -> Iterator[dict[str, Any]]:
    """Table rows of a photo; each has all columns of SCHEMA."""
    blank: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    photo = result.photo
    blank |= {
        "path": text(photo.path),
        "root": text(photo.root),
        "bytes": photo.bytes,
        "mtime_ns": photo.mtime_ns,
    }
    if isinstance(result, Failure):
        yield blank | {"status": "error", "error": result.code, "message": text(result.message)}
        return
    blank |= {"width": result.width, "height": result.height, "taken_at": result.taken_at}
    if not result.people:
        yield blank | {"status": "no_people"}
    for index, (person, prediction) in enumerate(result.people):
        row = blank | {"person": index, **_box("face", person.face), **_box("body", person.body)}
        row["roll"] = None if person.roll is None else _shortest(person.roll)
        yield row | (
            {"status": "no_usable_crop"} if prediction is None else _prediction(prediction)
        )


def from_rows(rows: Sequence[Mapping[str, Any]]) -> Result | Failure:
    """Inverse of `rows`: the photo described by these rows."""
    first = rows[0]
    photo = photo_of(first)
    if first["status"] == "error":
        return Failure(photo, first["error"] or "unreadable", first["message"] or "")
    size = first["width"] or 0, first["height"] or 0
    return Result(photo, *size, first["taken_at"], people_of(rows))


def people_of(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Person, Prediction | None]]:
    """People in the photo of these rows."""
    return [(person_of(row), prediction_of(row)) for row in rows if row["person"] is not None]


def photo_of(row: Mapping[str, Any]) -> Photo:
    return Photo(row["root"], row["path"], row["bytes"], row["mtime_ns"])


def person_of(row: Mapping[str, Any]) -> Person:
    return Person(box_of(row, "face"), box_of(row, "body"), row["roll"])


def box_of(row: Mapping[str, Any], kind: str) -> Box | None:
    """Box of a row's face or body; None if any edge is missing."""
    values = [row[f"{kind}_{column}"] for column in BOX_COLUMNS]
    return None if None in values[:4] else Box(*values)


def prediction_of(row: Mapping[str, Any]) -> Prediction | None:
    """Return the prediction of a row; None if its person was not judged."""
    if row["used"] is None:
        return None
    return Prediction(**{column: row[column] for column in PREDICTION_COLUMNS})


def archive_of(path: str) -> tuple[str, str]:
    """Split a photo's path into the archive and the member inside it, which is empty for plain
    files."""
    match = IN_ARCHIVE.fullmatch(path)
    return (match[1], match[2]) if match else (path, "")


def same_time(now: int, scanned: int) -> bool:
    """Return whether a file's time in nanoseconds equals the one in a table, allowing for rounding:
    other programs that save the table round to ten microseconds or to seconds, and drives to which
    photos were moved store hundredths of seconds, or even seconds only."""
    second = 10**9
    steps = [step for step in (second // 100, second, 2 * second) if now % step == 0]
    steps += [second] if scanned % second == 0 else []
    return abs(now - scanned) <= max(steps, default=second // 10**5)


def stays_inside(path: str) -> bool:
    """Return whether a path stays below its root, on any system: tables may come from untrusted
    sources."""
    if os.name == "posix":  # Windows has no names with bytes that are not UTF-8
        path = CODED_BYTE.sub("?", path)
    parts = path.replace("\\", "/").split("/")
    return (
        bool(path)
        and parts[0] != ""
        and ".." not in parts
        and "\0" not in path
        and not PurePath(path).anchor
    )


def same_file(name: str) -> str:
    """Return a key that is equal for names that are the same file on some system: Windows and macOS
    ignore case, and macOS also how accents are encoded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def text(name: str) -> str:
    """Return a file name as valid Unicode, with bytes that are not UTF-8 written as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def whole_years(age: float) -> int:
    """Round an age for display; half years are rounded up."""
    return math.floor(age + 0.5)


def _existing(folder: Path, name: str) -> Path:
    """Return a path in a folder; if it does not exist, decode a name written by `text`."""
    if CODED_BYTE.search(name) and not os.path.lexists(folder / name):
        name = CODED_BYTE.sub(lambda code: os.fsdecode(bytes.fromhex(code[1])), name)
    return folder / name


def _box(kind: str, box: Box | None) -> dict[str, float | None]:
    if box is None:
        return {}
    score = None if box.score is None else _shortest(box.score)
    return dict(
        zip(
            (f"{kind}_{c}" for c in BOX_COLUMNS), (*map(_shortest, box.corners), score), strict=True
        )
    )


def _prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "status": "ok",
        "used": prediction.used,
        "age": None if prediction.age is None else _shortest(prediction.age),
        "age_low": None if prediction.age_low is None else _shortest(prediction.age_low),
        "age_high": None if prediction.age_high is None else _shortest(prediction.age_high),
        "gender": prediction.gender,
        "gender_score": None
        if prediction.gender_score is None
        else _shortest(prediction.gender_score),
    }


def _shortest(value: float) -> float:
    """Return the double with the fewest digits that still equals this float32, so that all formats
    show 0.4, not 0.4000000059."""
    return float(str(np.float32(value)))
