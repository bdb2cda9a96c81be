"""COCO detection JSON: images, and one annotation per box with age and gender in `attributes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..records import Box
from ..tables.results import Results
from .common import (
    KINDS,
    NOTICE,
    Exported,
    Settings,
    attributes,
    boxes,
    failed_note,
    name,
    readable,
    write_json,
)

SUFFIX = ".json"
CATEGORIES = [
    {"id": number, "name": kind, "supercategory": "person"}
    for number, kind in enumerate(KINDS, start=1)
]


def write(results: Results, target: Path, settings: Settings) -> Exported:
    """Write a COCO file; `settings` is not used."""
    return write_dataset(results, target, lambda found: {"attributes": found})


def write_dataset(
    results: Results, target: Path, place: Callable[[dict[str, Any]], dict[str, Any]]
) -> Exported:
    """Write COCO with the attributes where `place` puts them."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    people = 0
    for number, result in enumerate(readable(results), start=1):
        image = {"id": number, "file_name": name(result.photo, results)}
        image |= {"width": result.width, "height": result.height}
        images.append(image | ({"date_captured": str(result.taken_at)} if result.taken_at else {}))
        people += len(result.people)
        for index, kind, box, prediction in boxes(result.people):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": KINDS.index(kind) + 1,
            }
            annotation |= _shape(box) | ({} if box.score is None else {"score": box.score})
            annotations.append(annotation | place(attributes(index, prediction)))
    info = {
        "description": f"Age and gender by mivolo. {NOTICE}",
        "roots": results.roots,
        **results.made_by,
    }
    write_json(
        {"info": info, "images": images, "annotations": annotations, "categories": CATEGORIES},
        target,
    )
    return Exported((target,), len(images), people, failed_note(results))


def _shape(box: Box) -> dict[str, Any]:
    """`bbox` is left, top, width, height in pixels of the upright photo."""
    width, height = box.x2 - box.x1, box.y2 - box.y1
    return {
        "bbox": [box.x1, box.y1, width, height],
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [],
    }
