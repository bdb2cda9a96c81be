"""Labelled pictures to measure and train on."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PillowImage

from .crops import Crops, cut
from .errors import BadInput
from .records import Box, Person, Pixels

COLUMNS = ("image", "crop", "age", "age_min", "age_max", "gender")
MAX_AGE = 116.0
"""Stands for an open upper end of an age range: the oldest age of UTKFace."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture: an encoded file, what it shows (face or body), and what is known about the person.

    `age` is None where only the range is known; `age_low` and `age_high` equal it where it is exact.
    """

    name: str
    encoded: bytes
    crop: str
    age: float | None
    age_low: float
    age_high: float
    gender: str | None

    def pixels(self) -> Pixels:
        """(height, width, 3) uint8 RGB."""
        with PillowImage.open(io.BytesIO(self.encoded)) as picture:
            return np.asarray(picture.convert("RGB"))

    def crops(self, size: int) -> Crops:
        """The whole picture as the model's input, cut as a scan would with the whole picture as its box."""
        pixels = self.pixels()
        box = Box(0, 0, pixels.shape[1], pixels.shape[0])
        person = Person(box, None) if self.crop == "face" else Person(None, box)
        return cut(pixels, [person], size)[0]


def read_samples(files: Sequence[Path]) -> list[Sample]:
    """All rows of Parquet files in the Hugging Face image convention: `image` (struct of bytes and path), `crop`,
    `age`, `age_min`, `age_max`, `gender`. Raises BadInput for other files."""
    return [sample for file in files for sample in _read_file(file)]


def _read_file(file: Path) -> list[Sample]:
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(f"cannot read labelled data from {file}: {error}", hint="give Parquet files") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise BadInput(
            f"{file} has no column {', '.join(missing)}", hint=f"labelled data has the columns {', '.join(COLUMNS)}"
        )
    return [_sample(row, f"{file}, row {index}") for index, row in enumerate(table.select(COLUMNS).to_pylist())]


def _sample(row: dict, place: str) -> Sample:
    image = row["image"] or {}
    if not image.get("bytes") or not image.get("path"):
        raise BadInput(f"{place}: the column image has no bytes or no path", hint="both are needed for every picture")
    for name, allowed in (("crop", ("face", "body")), ("gender", ("male", "female", None))):
        if row[name] not in allowed:
            raise BadInput(f"{place}: {name} cannot be {row[name]!r}", hint=f"use {', '.join(filter(None, allowed))}")
    age = row["age"]
    low, high = (row["age_min"], row["age_max"]) if age is None else (age, age)
    return Sample(
        name=image["path"],
        encoded=image["bytes"],
        crop=row["crop"],
        age=age,
        age_low=0.0 if low is None else low,
        age_high=MAX_AGE if high is None else high,
        gender=row["gender"],
    )
