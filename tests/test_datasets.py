"""Labelled pictures in Parquet files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as PillowImage

from mivolo_cli.datasets import COLUMNS, MAX_AGE, Sample, read_samples
from mivolo_cli.errors import BadInput
from mivolo_cli.records import Pixels


def encoded(pixels: Pixels, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(pixels).convert(mode).save(file, "PNG")
    return file.getvalue()


PIXELS = np.random.default_rng(5).integers(1, 256, (60, 80, 3), np.uint8)
PNG = encoded(PIXELS)


def row(**changes: Any) -> dict[str, Any]:
    image = {"bytes": PNG, "path": "faces/1.png"}
    return {"image": image, "crop": "face", "age": 30.0, "age_min": 30.0, "age_max": 30.0, "gender": "male"} | changes


TYPES = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("crop", pa.string()),
        ("age", pa.float64()),
        ("age_min", pa.float64()),
        ("age_max", pa.float64()),
        ("gender", pa.string()),
    ]
)


def write(file: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=TYPES), file)
    return file


def test_all_rows_of_all_files_in_order(tmp_path: Path) -> None:
    one = write(tmp_path / "a.parquet", row(), row(crop="body", age=None, age_min=17.0, age_max=30.0, gender="female"))
    two = write(tmp_path / "b.parquet", row(gender=None, age=4.0))
    assert read_samples([one, two]) == [
        Sample("faces/1.png", PNG, "face", 30.0, 30.0, 30.0, "male"),
        Sample("faces/1.png", PNG, "body", None, 17.0, 30.0, "female"),
        Sample("faces/1.png", PNG, "face", 4.0, 4.0, 4.0, None),
    ]


@pytest.mark.parametrize(
    "low, high, expected",
    [(17.0, None, (17, MAX_AGE)), (None, 16.0, (0, 16)), (None, None, (0, MAX_AGE)), (17.0, 30.0, (17, 30))],
)
def test_a_range_may_be_open(tmp_path: Path, low: float | None, high: float | None, expected: tuple) -> None:
    (sample,) = read_samples([write(tmp_path / "a.parquet", row(age=None, age_min=low, age_max=high))])
    assert (sample.age, sample.age_low, sample.age_high) == (None, *expected)


def test_an_exact_age_overrules_the_range(tmp_path: Path) -> None:
    (sample,) = read_samples([write(tmp_path / "a.parquet", row(age=25.0, age_min=17.0, age_max=30.0))])
    assert (sample.age, sample.age_low, sample.age_high) == (25, 25, 25)


def test_further_columns_do_no_harm(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([row()], schema=TYPES).append_column("race", pa.array(["unknown"]))
    pq.write_table(table, tmp_path / "a.parquet")
    assert len(read_samples([tmp_path / "a.parquet"])) == 1


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    pq.write_table(pa.Table.from_pylist([row()], schema=TYPES).drop_columns([column]), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=f"column {column}$") as caught:
        read_samples([tmp_path / "a.parquet"])
    assert column in caught.value.hint


@pytest.mark.parametrize("content", [None, b"", b"path,age\na.jpg,3\n"])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "a.parquet"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.parquet"):
        read_samples([file])


def test_pixels_are_rgb_whatever_is_stored() -> None:
    assert (Sample("", PNG, "face", 1, 1, 1, None).pixels() == PIXELS).all()
    grey = Sample("", encoded(PIXELS, "L"), "face", 1, 1, 1, None).pixels()
    assert grey.shape == (60, 80, 3) and (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("crop", ["face", "body"])
def test_the_whole_picture_is_the_input(crop: str) -> None:
    crops = Sample("", PNG, crop, 1, 1, 1, None).crops(80)
    assert crops.used == crop
    picture = crops.face if crop == "face" else crops.body
    assert picture is not None and picture.shape == (80, 80, 3)
    assert (picture[20:60] > 0).mean() > 0.95 and picture[:9].max() == 0


def test_a_body_too_small_for_a_scan_is_too_small_here() -> None:
    assert Sample("", encoded(PIXELS[:40]), "body", 1, 1, 1, None).crops(80).used is None
