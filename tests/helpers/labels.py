"""Labelled pictures in Parquet, as data sets have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.photos import encode, noise

LABELS = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("crop", pa.string()),
        *((name, pa.float64()) for name in ("age", "age_min", "age_max")),
        ("gender", pa.string()),
    ]
)
"""Labelled pictures in Parquet, as data sets have them."""


def label_row(
    path: str = "1.png", crop: str = "face", age: float | None = 30.0, **changes: Any
) -> dict[str, Any]:
    """A row of a man in noise, 20 to 40 years old where the age is None; the path seeds the
    picture."""
    image = {"bytes": encode(noise(sum(path.encode()))), "path": path}
    return {
        "image": image,
        "crop": crop,
        "age": age,
        "age_min": 20.0,
        "age_max": 40.0,
        "gender": "male",
    } | changes


def write_labels(file: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=LABELS), file)
    return file
