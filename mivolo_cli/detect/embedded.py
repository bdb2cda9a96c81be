"""The default detector: DEIMv2 for persons and YuNet for faces, both shipped with the package."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..boxes import area, iou, share_inside
from ..model.registry import sha256
from ..records import Boxes, Detections, Image, Pixels
from . import deim, yunet
from .deim import PERSON_SCORE, Deim, Objects
from .detector import best_way_up, detections, turned
from .faces import FACE_SCORE, SURE_ANIMAL, SURE_SCORE, FaceFinder, can_belong, detail_scale
from .resize import Scaled
from .yunet import YuNet

WAY_UP_SIDE, WAY_UP_SCORE = 320, 0.75
"""Longer side of the photo in pixels, and minimum face score, for choosing the way up."""
SAME_AS_ANIMAL, ANIMAL_SHARE = 0.7, 0.8
"""A person without a face is an animal if an animal box overlaps it with at least this IoU and has
at least this share of its score."""
WEAK_PERSON, IN_ANIMAL = 0.45, 0.6
"""Persons below this score are part of a sure animal if this share of their area is inside it."""
ALONE_SCORE = 0.5
"""Persons without a face that score less are not judged: in the labelled COCO photos, all six were
knees, an arm, or people already judged by their face."""
COVERED, PART, SIMILAR = 0.8, 0.6, 4
"""A body without a face is a duplicate if it covers the share COVERED of a body with a face, or
lies inside one with the share PART of its own area, unless one is SIMILAR times as large as the
other: people may stand in front of one another."""


class EmbeddedDetector:
    """Person and face detector that uses the two files shipped with the package, or files of the
    same names in a folder.

    `face_score` is the minimum score of large faces (lower for small ones: see faces.py),
    `person_score` that of persons, both 0 to 1. With any `precision` but fp32, it runs in bf16 if
    the processor supports that: it detects as many in three quarters of the time.
    """

    name, batch = "embedded", 1

    def __init__(
        self,
        place: Path | None = None,
        face_score: float = FACE_SCORE,
        person_score: float = PERSON_SCORE,
        precision: str = "fp32",
    ) -> None:
        self.persons = Deim(place and place / deim.FILE, precision)
        self.faces = YuNet(place and place / yunet.FILE, precision)
        self._finder = FaceFinder(self.faces, face_score)
        self._person_score = person_score
        files = sha256(self.persons.file) + sha256(self.faces.file)
        self.sha256 = hashlib.sha256(files.encode()).hexdigest()
        self.streams = os.cpu_count() or 1

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """See Detector.detect. Each call runs on one core."""
        return [self._detect(image) for image in images]

    def way_up(self, pixels: Pixels) -> int:
        """See Detector.way_up. Runs a small face detection pass in each of the four
        orientations."""
        scale = min(1.0, WAY_UP_SIDE / max(pixels.shape[:2]))
        found = [self.faces.find(turned(pixels, way), scale).scores for way in range(4)]
        return best_way_up([scores[scores > WAY_UP_SCORE] for scores in found])

    def _detect(self, image: Image) -> Detections:
        scale = detail_scale(*image.pixels.shape[:2])
        photo = Scaled.of(image.pixels, scale)
        objects = self.persons.find(photo)
        persons = without_parts_of_animals(objects.persons(self._person_score), objects.animals)
        faces = self._finder.find(photo, persons.boxes, objects.animals)
        persons = real_persons(persons, faces.boxes, objects.animals)
        size = image.width, image.height
        found = detections(
            persons.boxes, persons.scores, faces.boxes, faces.scores, *size, faces.points
        )
        return replace(
            found,
            upscaled=scale > 1,
            pairable=can_belong(found.persons, found.faces),
            doubtful=bool(found.face_scores.max(initial=0) < SURE_SCORE),
            alone_score=ALONE_SCORE,
        )


def without_parts_of_animals(persons: Objects, animals: Objects) -> Objects:
    """Drop weak persons inside sure animals: a dog's head and chest may look like a person."""
    sure = animals[animals.scores > SURE_ANIMAL]
    inside = (share_inside(persons.boxes, sure.boxes) > IN_ANIMAL).any(axis=1)
    return persons[np.asarray(~inside | (persons.scores > WEAK_PERSON))]


def real_persons(persons: Objects, faces: Boxes, animals: Objects) -> Objects:
    """Drop persons without a face that are animals or duplicates of someone with a face."""
    possible = can_belong(persons.boxes, faces)
    areas = area(persons.boxes)
    owners = (
        np.where(possible, areas[:, None], np.inf)[:, possible.any(axis=0)].argmin(axis=0)
        if len(areas)
        else []
    )
    owns, judged = np.isin(np.arange(len(areas)), owners), persons.boxes[owners]
    same = iou(persons.boxes, animals.boxes) > SAME_AS_ANIMAL
    animal = (same & (animals.scores > ANIMAL_SHARE * persons.scores[:, None])).any(axis=1)
    ratio = areas[:, None] / area(judged)
    covers = (share_inside(judged, persons.boxes).T > COVERED) & (ratio < SIMILAR)
    part = (
        (share_inside(persons.boxes, judged) > PART)
        & (ratio > 1 / SIMILAR)
        & ~possible.any(axis=1, keepdims=True)
    )
    return persons[owns | ~(animal | (covers | part).any(axis=1))]
