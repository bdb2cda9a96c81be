"""Labelled pictures for evaluation and training, in the formats of common data sets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import BadInput
from .rows import Problem, RowError, sample_of
from .sample import Sample, Shows
from .tables import read_csv, read_parquet

Invalid = Literal["refuse", "skip"]
UTKFACE = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_.*\.(jpe?g|png|webp)", re.IGNORECASE)
"""UTKFace file names: age, gender (0 male, 1 female), race, time."""
UTKFACE_GENDERS = {"0": "male", "1": "female"}
SHOWN = 3
"""Number of problems listed in an error; the others are only counted."""


@dataclass(frozen=True, slots=True)
class DataOptions:
    """How to read labelled data. `images` is the folder of the pictures named in a CSV file
    (default: the file's own folder); `shows` says what pictures without boxes show; `invalid` is
    how to handle unusable rows."""

    images: Path | None = None
    shows: Shows = "face"
    invalid: Invalid = "refuse"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples of one file or folder, and the rows that were skipped."""

    name: str
    samples: list[Sample]
    problems: list[Problem] = field(default_factory=list)


def read_dataset(place: Path, options: DataOptions = DataOptions()) -> Dataset:
    """Read a Parquet file with pictures, a CSV (or TSV) table of paths, or a folder of
    UTKFace-style file names.

    Raises BadInput for other formats, for data without usable rows and, unless they are skipped,
    for invalid rows.
    """
    found = list(_read(place, options))
    problems = [item for item in found if isinstance(item, Problem)]
    samples = [item for item in found if isinstance(item, Sample)]
    if problems and (options.invalid == "refuse" or not samples):
        hint = (
            "correct them, or skip them with --invalid skip"
            if samples
            else "no usable rows are left"
        )
        raise BadInput(describe(place, problems, len(found)), hint=hint)
    return Dataset(place.stem, samples, problems)


def read_samples(places: Sequence[Path], options: DataOptions = DataOptions()) -> list[Sample]:
    """Return the samples of several files or folders, in order."""
    return [sample for place in places for sample in read_dataset(place, options).samples]


def describe(place: Path, problems: Sequence[Problem], total: int) -> str:
    """Summarise problems of labelled data: counts by kind, and the first few in full."""
    kinds = ", ".join(
        f"{count} {code}" for code, count in Counter(p.code for p in problems).most_common()
    )
    named = "; ".join(f"{problem.place}: {problem.message}" for problem in problems[:SHOWN])
    more = "; and more" if len(problems) > SHOWN else ""
    return f"{len(problems)} of {total} rows of {place} cannot be used ({kinds}): {named}{more}"


def _read(place: Path, options: DataOptions) -> Iterator[Sample | Problem]:
    if place.is_dir():
        return _read_folder(place, options.shows)
    if place.suffix.lower() == ".parquet":
        return read_parquet(place, options.shows)
    if place.suffix.lower() in (".csv", ".tsv", ".txt"):
        return read_csv(place, options.images, options.shows)
    raise BadInput(
        f"{place} is not a known format of labelled data",
        hint="give a Parquet file, a CSV table, or a folder of pictures named as in UTKFace",
    )


def _read_folder(folder: Path, shows: Shows) -> Iterator[Sample | Problem]:
    files = sorted(
        file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")
    )
    if not files:
        raise BadInput(
            f"the folder {folder} is empty", hint="give a folder of pictures named as in UTKFace"
        )
    for file in files:
        match = UTKFACE.fullmatch(file.name)
        try:
            if match is None:
                raise RowError(
                    "name", "its name does not start with age_gender_, as in 26_1_...jpg"
                )
            row = {"age": match["age"], "gender": UTKFACE_GENDERS[match["gender"]]}
            yield sample_of(file.relative_to(folder).as_posix(), file, row, shows)
        except RowError as error:
            yield Problem(str(file), error.code, str(error))
