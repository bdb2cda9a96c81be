"""Find labelled people again in the results of a scan."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .. import boxes, tables
from ..datasets import Sample
from ..datasets.pairs import CombinedPair
from ..errors import BadInput
from ..records import Box, Prediction, box_of, prediction_of

logger = logging.getLogger(__name__)
SAME = 0.3
"""IoU from which a person in the results is the labelled one."""
Labelled = Sample | CombinedPair
Predict = Callable[[Sequence[Labelled]], list[Prediction | None]]


def from_table(file: Path) -> Predict:
    """Look the labelled people up in the results of a scan: on a picture the one whose box is most
    like theirs.

    Labelled pictures that are not in the results are logged. Raises BadInput where none is.
    """
    by_path: dict[str, list[dict[str, Any]]] = {}
    for row in tables.read_table(file).to_pylist():
        by_path.setdefault(row["path"], []).append(row)
    paths: dict[str, list[str]] = {}
    for path in by_path:
        paths.setdefault(PurePosixPath(path).name, []).append(path)

    def rows(person: Labelled) -> list[dict[str, Any]]:
        """By the whole path, or else by the file's name where only one picture has it."""
        same_name = paths.get(PurePosixPath(person.name).name, [])
        return by_path.get(person.name) or (by_path[same_name[0]] if len(same_name) == 1 else [])

    def predict(people: Sequence[Labelled]) -> list[Prediction | None]:
        found = [rows(person) for person in people]
        if not any(found):
            raise BadInput(
                f"{file} has none of the labelled pictures",
                hint="scan the pictures under the names that the labels have",
            )
        absent = [person.name for person, there in zip(people, found, strict=True) if not there]
        if absent:
            logger.warning(
                f"{file} does not have {len(absent)} of {len(people)} labelled people,"
                f" as {absent[0]}: not answered"
            )
        return [_match(seen, person) for seen, person in zip(found, people, strict=True)]

    return predict


def _match(seen: Sequence[dict[str, Any]], person: Labelled) -> Prediction | None:
    """The prediction for the person with the box most like the labelled one (the largest where that
    is the whole picture, or unknown); None where nobody is there, or nothing was told."""
    assert isinstance(person, Sample)
    if not seen:
        return None
    kind = "body" if person.face is None and person.body is not None else "face"
    wanted = person.body if kind == "body" else person.face
    whole = Box(0.0, 0.0, float(seen[0]["width"] or 0), float(seen[0]["height"] or 0))
    is_whole = wanted is None or wanted.corners == whole.corners
    there = [(row, box) for row in seen if (box := box_of(row, kind)) is not None]
    if not there and is_whole:  # seen from the body only
        there = [(row, box) for row in seen if (box := box_of(row, "body")) is not None]
    if not there:
        return None
    corners = np.array([box.corners for _, box in there], np.float32)
    target = whole.corners if wanted is None else wanted.corners
    likeness = boxes.iou(corners, np.array([target], np.float32))[:, 0]
    best = int(likeness.argmax())
    if not is_whole and likeness[best] < SAME:
        return None
    return prediction_of(there[best][0])
