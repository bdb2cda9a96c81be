"""Match labelled people to scan results."""

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
"""Minimum IoU at which a person in the results is the labelled one."""
Labelled = Sample | CombinedPair
Predict = Callable[[Sequence[Labelled]], list[Prediction | None]]


def from_table(file: Path) -> Predict:
    """Return a function that looks up labelled people in scan results, by the most similar box in
    their picture.

    It logs labelled pictures that are missing from the results, and raises BadInput if all are.
    """
    by_path: dict[str, list[dict[str, Any]]] = {}
    for row in tables.read_table(file).to_pylist():
        by_path.setdefault(row["path"], []).append(row)
    paths: dict[str, list[str]] = {}
    for path in by_path:
        paths.setdefault(PurePosixPath(path).name, []).append(path)

    def rows(person: Labelled) -> list[dict[str, Any]]:
        """Find rows by the full path, or else by the file name if only one picture has it."""
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
                f"{file} lacks {len(absent)} of {len(people)} labelled people, for example "
                f"{absent[0]}: counted as not answered"
            )
        return [_match(seen, person) for seen, person in zip(found, people, strict=True)]

    return predict


def largest_row(seen: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the person with the largest face in a picture, or else with the largest body."""
    for kind in ("face", "body"):
        there = [(row, box) for row in seen if (box := box_of(row, kind)) is not None]
        if there:
            return max(there, key=lambda found: found[1].area)[0]
    return None


def _match(seen: Sequence[dict[str, Any]], person: Labelled) -> Prediction | None:
    """Return the prediction for the person whose box is most similar to the labelled one (the
    largest person if that box is the whole picture or unknown); None if there is no such person or
    no prediction."""
    assert isinstance(person, Sample)
    kind = "body" if person.face is None and person.body is not None else "face"
    wanted = person.body if kind == "body" else person.face
    if wanted is None or (kind == "face" and _is_whole(wanted, seen)):
        row = largest_row(seen)
        return None if row is None else prediction_of(row)
    there = [(row, box) for row in seen if (box := box_of(row, kind)) is not None]
    if not there:
        return None
    corners = np.array([box.corners for _, box in there], np.float32)
    likeness = boxes.iou(corners, np.array([wanted.corners], np.float32))[:, 0]
    best = int(likeness.argmax())
    if not _is_whole(wanted, seen) and likeness[best] < SAME:
        return None
    return prediction_of(there[best][0])


def _is_whole(box: Box, seen: Sequence[dict[str, Any]]) -> bool:
    """Whether a box is the whole picture."""
    return any(box.corners == (0.0, 0.0, row["width"], row["height"]) for row in seen)
