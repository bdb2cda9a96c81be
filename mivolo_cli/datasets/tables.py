"""Labelled data in tables: Parquet files with pictures, and CSV files with paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import BadInput
from .rows import PICTURES, Problem, RowError, has_boxes, sample_of, with_neighbours
from .sample import Sample, Shows

LABELS = ("age", "age_min", "gender", "sex")
SCANNED = "a table of a scan has no labels; to evaluate it: mivolo eval LABELS --predictions TABLE"


def read_parquet(file: Path, shows: Shows) -> Iterator[Sample | Problem]:
    """Read rows in the Hugging Face image convention: `image` (struct of bytes and path), labels,
    and optionally `crop` and boxes. Raises BadInput for other files."""
    table = _table(file, lambda: pq.read_table(file))
    if "image" not in table.column_names or not pa.types.is_struct(
        table.schema.field("image").type
    ):
        raise BadInput(
            f"{file} has no column image of bytes and path",
            hint=SCANNED
            if "mtime_ns" in table.column_names
            else "save pictures in the Hugging Face image convention",
        )
    for index, row in enumerate(_records(table)):
        image = row["image"] or {}
        name, place = image.get("path") or f"{file.stem}-{index}", f"{file}, row {index}"
        try:
            if not image.get("bytes"):
                raise RowError("picture", "the column image has no bytes")
            yield _labelled(sample_of(name, image["bytes"], row, shows))
        except RowError as error:
            yield Problem(place, error.code, str(error))


def read_csv(file: Path, images: Path | None, shows: Shows) -> Iterator[Sample | Problem]:
    """Read rows that name a picture below `images` (default: the file's folder), with labels and
    optionally boxes.

    Supports the published annotations of MiVOLO as well as plain tables of path, age and gender.
    Rows with a box but no label are neighbours of the labelled people. Raises BadInput for other
    files.
    """
    table = _table(file, lambda: read_text(file))
    named = next((name for name in PICTURES if name in table.column_names), None)
    if named is None:
        raise BadInput(
            f"{file} has no column that names the picture",
            hint=f"call it one of {', '.join(PICTURES)}",
        )
    rows = [(f"{file}, row {index}", row) for index, row in enumerate(_records(table), start=1)]
    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for place, row in rows:
        found.setdefault(str(row[named] or "").strip(), []).append((place, row))
    for name, people in found.items():
        yield from _people(name, (images or file.parent) / name, people, shows)


def _people(
    name: str, picture: Path, rows: list[tuple[str, Mapping[str, Any]]], shows: Shows
) -> Iterator[Sample | Problem]:
    """Yield the labelled people of one picture, and the problems."""
    samples = []
    for place, row in rows:
        try:
            if not name:
                raise RowError("picture", "the picture has no name")
            if not picture.is_file():
                raise RowError("picture", f"no such picture: {picture}")
            sample = sample_of(name, picture, row, shows)
            samples.append(sample if has_boxes(row) else _labelled(sample))
        except RowError as error:
            yield Problem(place, error.code, str(error))
    yield from with_neighbours(samples) if has_boxes(rows[0][1]) else samples


def _labelled(sample: Sample) -> Sample:
    if sample.label.is_empty:
        raise RowError("label", "neither the age nor the gender is known")
    return sample


def read_text(file: Path) -> pa.Table:
    """Read a CSV file with all columns as strings; the separator may be a tab or a semicolon.

    Raises OSError or ArrowException if it cannot be read.
    """
    with file.open(encoding="utf-8", errors="replace") as opened:
        first = opened.readline()
    separator = "\t" if "\t" in first else ";" if ";" in first and "," not in first else ","
    names = [name.strip().strip('"') for name in first.lstrip("\ufeff").split(separator)]
    return pyarrow.csv.read_csv(
        file,
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _table(file: Path, read: Any) -> pa.Table:
    try:
        table = read()
        names = table.column_names
    except (
        OSError,
        ValueError,
        pa.ArrowException,
    ) as error:  # a column name that is not UTF-8 is a ValueError
        first = (str(error).splitlines() or [""])[0]
        raise BadInput(
            f"cannot read labelled data from {file}: {first}", hint="give Parquet or CSV files"
        ) from error
    if not any(name in names for name in LABELS):
        raise BadInput(
            f"{file} has neither a column age nor gender",
            hint="labelled data needs at least one of these columns",
        )
    if not table.num_rows:
        raise BadInput(f"{file} is empty", hint="give labelled data with at least one row")
    return table


def _records(table: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()
