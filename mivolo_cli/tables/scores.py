"""Skip people with low detection scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..records import SCHEMA

ABOUT_PHOTO = ("path", "root", "bytes", "mtime_ns", "width", "height", "taken_at", "status")
"""Columns that are set for a photo without people."""


def with_min_score(table: pa.Table, min_score: float) -> pa.Table:
    """Drop people whose face score, or body score if no face was found, is too low.

    Boxes without a score are kept. A photo without remaining people keeps one row, `no_people`.
    """
    score = pc.coalesce(table["face_score"], table["body_score"])
    certain = pc.fill_null(pc.greater_equal(score, min_score), True)
    photos = pc.binary_join_element_wise(table["root"], table["path"], "\0")
    served = photos.filter(certain).unique()
    first = pc.equal(pc.fill_null(table["person"], 0), 0)
    lonely = pc.and_(first, pc.invert(pc.is_in(photos, served)))
    kept = table.set_column(
        SCHEMA.get_field_index("status"),
        SCHEMA.field("status"),
        pc.if_else(lonely, "no_people", table["status"]),
    )
    for name in set(SCHEMA.names) - set(ABOUT_PHOTO):
        column = pc.if_else(lonely, pa.scalar(None, SCHEMA.field(name).type), kept[name])
        kept = kept.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)
    return kept.filter(pc.or_(certain, lonely)).replace_schema_metadata(table.schema.metadata)


def is_certain(row: Mapping[str, Any], min_score: float) -> bool:
    """Whether a row is kept, by the same rule."""
    score = row["body_score"] if row["face_score"] is None else row["face_score"]
    return score is None or bool(score >= min_score)
