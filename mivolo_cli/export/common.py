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
    """`copy_photos` is YOLO's; `thumbnails` XLSX's, their longer side in pixels, 0 for none; `url`
    Label Studio's, what stands before a photo's path in the address that its server gives."""

    copy_photos: bool = True
    thumbnails: int = 0
    url: str = "/data/local-files/?d="


@dataclass(frozen=True, slots=True)
class Exported:
    """How much was written, where, and what the user should know; `failed` photos should have been
    in it, too."""

    files: tuple[Path, ...]
    photos: int
    people: int
    notes: tuple[str, ...] = ()
    failed: int = 0


def readable(results: Results) -> Iterator[Result]:
    """The photos that were read; those that failed have no size and no place in a data set."""
    return (
        result
        for result in results
        if isinstance(result, Result) and result.width and result.height
    )


def boxes(
    people: Sequence[tuple[Person, Prediction | None]],
) -> Iterator[tuple[int, str, Box, Prediction | None]]:
    """All boxes of a photo: the person's index, one of KINDS, the box, and what was predicted of
    the person."""
    for index, (person, prediction) in enumerate(people):
        for kind, box in zip(KINDS, (person.body, person.face), strict=True):
            if box is not None:
                yield index, kind, box, prediction


def attributes(index: int, prediction: Prediction | None) -> dict[str, Any]:
    """The person's number on the photo and the prediction, each attribute None if it is unknown."""
    names = ("age", "age_low", "age_high", "gender", "gender_score", "used")
    return {"person": index, **{name: getattr(prediction, name, None) for name in names}}


def name(photo: Photo, results: Results) -> str:
    """The photo's path below the one root that all share, or its whole path where there are several
    roots."""
    return photo.path if len(results.roots) == 1 else photo.address


def failed_note(results: Results) -> tuple[str, ...]:
    """A line about skipped photos, if there are any."""
    failed = sum(isinstance(result, Failure) for result in results)
    return (f"photos skipped because they could not be read: {failed}",) if failed else ()


def write_json(data: Any, target: Path) -> None:
    with new_file(target) as temporary:
        temporary.write_text(
            json.dumps(data, ensure_ascii=False, allow_nan=False), encoding="utf-8"
        )
