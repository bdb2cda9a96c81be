"""Shared by all formats: options, summaries, people's boxes in order, and names of photos."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import new_file
from ..records import Box, Failure, Person, Photo, Prediction, Result
from ..tables.results import Results

KINDS = ("person", "face")
"""The classes of boxes; a body's box is called person, as in COCO and in MiVOLO's detectors."""
NOTICE = "A model's estimates of how old people look, not of who they are."


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of single formats: `copy_photos` (YOLO); `thumbnails` (XLSX), the longer side in
    pixels, 0 for none; `url` (Label Studio), the prefix of photo paths in the addresses served."""

    copy_photos: bool = True
    thumbnails: int = 0
    url: str = "/data/local-files/?d="


@dataclass(frozen=True, slots=True)
class Exported:
    """Summary of an export, and notes for the user; `failed` is the number of photos that should
    have been included."""

    files: tuple[Path, ...]
    photos: int
    people: int
    notes: tuple[str, ...] = ()
    failed: int = 0


def readable(results: Results) -> Iterator[Result]:
    """Return the photos that were read; those that failed have no size and are not part of a data
    set."""
    return (
        result
        for result in results
        if isinstance(result, Result) and result.width and result.height
    )


def boxes(
    people: Sequence[tuple[Person, Prediction | None]],
) -> Iterator[tuple[int, str, Box, Prediction | None]]:
    """Yield all boxes of a photo: the person's index, one of KINDS, the box, and the person's
    prediction."""
    for index, (person, prediction) in enumerate(people):
        for kind, box in zip(KINDS, (person.body, person.face), strict=True):
            if box is not None:
                yield index, kind, box, prediction


def attributes(index: int, prediction: Prediction | None) -> dict[str, Any]:
    """Return the person's number in the photo and the prediction; unknown attributes are None."""
    names = ("age", "age_low", "age_high", "gender", "gender_score", "used")
    return {"person": index, **{name: getattr(prediction, name, None) for name in names}}


def name(photo: Photo, results: Results) -> str:
    """Return the photo's path below the root if there is only one, or its full path if there are
    several."""
    return photo.path if len(results.roots) == 1 else photo.address


def failed_note(results: Results) -> tuple[str, ...]:
    """Return a line about skipped photos, if there are any."""
    failed = sum(isinstance(result, Failure) for result in results)
    return (f"photos skipped because they could not be read: {failed}",) if failed else ()


def write_json(data: Any, target: Path) -> None:
    with new_file(target) as temporary:
        temporary.write_text(
            json.dumps(data, ensure_ascii=False, allow_nan=False), encoding="utf-8"
        )
