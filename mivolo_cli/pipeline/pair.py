"""Match faces to bodies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import boxes
from ..records import Boxes, Detections, Person

MIN_PAIR_SCORE = 0.0001


def match(
    persons: Boxes, faces: Boxes, pairable: NDArray[np.bool_] | None = None
) -> list[tuple[int, int]]:
    """Return the assignment with the highest total score as (person, face) indices, omitting those
    without a partner.

    A pair's score is the mean of its IoU and of the share of the face inside the person, on boxes
    truncated to whole pixels (as published). `pairable` (persons, faces) restricts the possible
    pairs.
    """
    persons, faces = np.trunc(persons), np.trunc(faces)
    face_area = np.maximum(boxes.area(faces), 1e-9)
    score = (boxes.iou(persons, faces) + boxes.intersection(persons, faces) / face_area) / 2
    if pairable is not None:
        score = np.where(pairable, score, 0)
    best = zip(*_assignment(score), strict=True)
    return [
        (int(person), int(face)) for person, face in best if score[person, face] > MIN_PAIR_SCORE
    ]


def _assignment(score: NDArray[np.floating]) -> tuple[NDArray[np.intp], ...]:
    """Return rows and columns of the best assignment. SciPy, which is slow to import, is only
    needed if someone has several possible partners."""
    possible = score > 0
    if possible.sum(axis=0).max(initial=0) <= 1 and possible.sum(axis=1).max(initial=0) <= 1:
        return possible.nonzero()
    from scipy.optimize import linear_sum_assignment

    return tuple(linear_sum_assignment(score, maximize=True))


def pair(detections: Detections) -> list[Person]:
    """Return people from left to right, so that each detected face and body belongs to exactly
    one."""
    bodies = detections.boxes(detections.persons, detections.person_scores)
    faces = detections.boxes(detections.faces, detections.face_scores)
    matches = match(detections.persons, detections.faces, detections.pairable)
    rolls = [None if np.isnan(lean) else lean for lean in boxes.roll(detections.points).tolist()]
    people = [Person(faces[face], bodies[person], rolls[face]) for person, face in matches]
    matched_bodies, matched_faces = {person for person, _ in matches}, {face for _, face in matches}
    unsure = detections.person_scores < detections.alone_score
    people += [
        Person(None, body, judged=not unsure[index])
        for index, body in enumerate(bodies)
        if index not in matched_bodies
    ]
    people += [
        Person(face, None, rolls[index])
        for index, face in enumerate(faces)
        if index not in matched_faces
    ]
    return sorted(people, key=_place)


def _place(person: Person) -> tuple[float, float, float]:
    box = person.body or person.face
    assert box is not None  # a person has at least one of them
    return box.x1 + box.x2, box.y1, box.y2
