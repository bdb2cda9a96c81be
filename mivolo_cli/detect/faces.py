"""Detect faces in several passes of YuNet: in detail, as an overview, and in close-ups of doubtful
ones.

A doubtful face must be detected again in a close-up, with its head turned upright. The score it
needs depends on its size and on the people around it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..boxes import centre, longer_side, roll, share_inside
from ..records import Boxes, Pixels
from .deim import Objects
from .resize import Scaled
from .yunet import Faces, YuNet

FACE_SCORE = 0.80
DETAIL_PIXELS = 800 * 600
DETAIL_SIDE = 416
"""The detail pass resizes the photo to this many pixels; the shorter side of an elongated photo is
at least DETAIL_SIDE."""
MAX_SCALE = 2.0
MAX_PIXELS = 16 * DETAIL_PIXELS
"""Limits of the detail pass: upscaling factor, and pixels of its input."""
OVERVIEW = 0.3
"""Scale of the overview pass relative to the detail pass. Sizes below are in pixels of the detail
pass."""
LARGE_FACE = 128
"""Faces of at least this size may come from the overview pass."""
HUGE_FACE = 400
"""Inside larger faces, the detail pass detects fragments that are not faces."""
SMALL_FACES, SMALL_SCORE = (16, 40), 0.30
"""YuNet gives small faces lower scores: their threshold is lower by SMALL_SCORE up to the first
size, and not lower from the second on."""
BACKGROUND, BACKGROUND_SCORE = 0.3, 0.65
"""Faces smaller than this share of the photo's largest must score at least BACKGROUND_SCORE,
however small they are: many are out of focus."""
SURE_ANIMAL, ANIMAL_SCORE = 0.6, 0.8
"""A face without a person inside an animal that scores above SURE_ANIMAL is discarded; inside any
other animal, it must score ANIMAL_SCORE: heads of people lying down are also taken for dogs and
birds."""
CANDIDATE_SCORE = 0.45
SURE_SCORE = 0.85
"""Faces that score between these two get a close-up pass."""
LEAN, LEVEL, LEVELLINGS = 8, 4, 4
"""Faces that lean by more than LEAN degrees also get one. They are levelled until the angle changes
by less than LEVEL degrees, at most LEVELLINGS times."""
UPRIGHT_SCORE, FAR = 0.88, 45
"""Upright faces score above UPRIGHT_SCORE. Others may lean so far that their landmarks are wrong,
so levelling also starts FAR degrees to either side."""
TILT = 20
"""A face that leans by more degrees takes the score of the levelled pass."""
CLOSER_REACH = 2.0
"""Side of the square for a close-up, as a multiple of the face's longer side."""
SAME_PLACE = 0.35
"""Maximum distance between two detections of the same face, as a share of its longer side."""
EXPECTED = 0.08
"""The threshold is lower by this for the best face that can belong to a person without one."""
HEAD_SCORE = 0.74
"""Minimum face score in a close-up of the head of a person whose face was not detected before."""
UPPER_PART, UPPER_REACH = 0.5, 1.2
"""That close-up is a square of UPPER_REACH times the person's width, or times the share UPPER_PART
of the height if that is more."""
UPPER_HALF, UNDER_HAT = 0.5, 1.6
"""Maximum distance of a face's centre from the top of the body, as a share of the body's longer
side and of the face's; the larger one applies."""
CONTAINED = 0.6
"""A face with at least this share of its area inside a box is inside it."""


class FaceFinder:
    """Face detector for photos whose persons and animals are known.

    `face_score` is the minimum score of a large face; other thresholds are relative to it.
    """

    def __init__(self, network: YuNet, face_score: float = FACE_SCORE) -> None:
        self._network, self._face_score = network, face_score

    def find(self, photo: Scaled, persons: Boxes, animals: Objects) -> Faces:
        """Detect faces in a photo scaled for the detail pass, given persons (n, 4) and animals."""
        pixels, scale = photo.pixels, detail_scale(*photo.pixels.shape[:2])
        factor = scale / photo.scale
        detail, overview = (
            self._network.find(photo.small, wanted).scaled(1 / photo.scale)
            for wanted in (factor, factor * OVERVIEW)
        )
        seen = merge_scales(detail, overview, scale)
        alone = ~can_belong(persons, seen.boxes).any(axis=0, keepdims=True).T
        inside = alone & (share_inside(seen.boxes, animals.boxes) > CONTAINED)  # faces, animals
        real = np.asarray(~(inside & (animals.scores > SURE_ANIMAL)).any(axis=1))
        doubted = np.asarray(inside.any(axis=1))[real]
        checked = self._check(pixels, seen[real], doubted)
        return self._accept_all(
            pixels, checked[~doubted | (checked.scores > ANIMAL_SCORE)], persons, scale
        )

    def _accept_all(self, pixels: Pixels, faces: Faces, persons: Boxes, scale: float) -> Faces:
        """Return the faces that score enough, including those found by searching for the faces of
        persons without one."""
        sure = faces[faces.scores > self._needed(faces, scale)]
        largest = float(longer_side(sure.boxes).max(initial=0))
        expected = best_faces(faceless(persons, sure.boxes), faces)
        needed = self._needed(faces, scale, largest) - EXPECTED * expected
        found = faces[faces.scores > needed]
        others = faceless(persons, found.boxes)
        heads = Faces.merge([found[:0], *(self._find_head(pixels, person) for person in others)])
        return Faces.merge([found, heads[heads.scores > self._needed(heads, scale, largest)]])

    def _check(self, pixels: Pixels, faces: Faces, animal: NDArray[np.bool_]) -> Faces:
        """Update the scores of faces that are doubtful, inside animals or leaning with those of
        close-ups. Leaning faces also take the box and landmarks of the close-up."""
        scores, points, boxes = faces.scores.copy(), faces.points.copy(), faces.boxes.copy()
        leaning = abs(roll(points))
        doubtful = (scores < SURE_SCORE) | animal
        for index in np.flatnonzero(doubtful | (leaning > LEAN) | (scores < UPRIGHT_SCORE)):
            again = self._find_upright(pixels, faces[index : index + 1])
            second = float(again.scores.max(initial=0))
            if len(again) and abs(roll(again.points)[0]) > LEAN:
                points[index], boxes[index] = again.points[0], again.boxes[0]
                leaning[index] = abs(roll(again.points)[0])
            if leaning[index] > TILT:
                scores[index] = second if doubtful[index] else max(second, scores[index])
            elif doubtful[index]:
                scores[index] = (scores[index] + second) / 2
        return Faces(boxes, scores, points)

    def _find_upright(self, pixels: Pixels, face: Faces) -> Faces:
        """Detect one face again with its head upright; empty if it is not detected again.

        The landmarks of a head that leans far may be wrong. If levelling by them does not lead to a
        good score, it also starts from both sides.
        """
        lean = float(roll(face.points)[0])
        best = self._level(pixels, face, lean)
        if best.scores.max(initial=0) < UPRIGHT_SCORE:
            sides = (self._level(pixels, face, lean + turn) for turn in (-FAR, FAR))
            sure = [found for found in sides if found.scores.max(initial=0) > UPRIGHT_SCORE]
            best = max((*sure, best), key=lambda found: float(found.scores.max(initial=0)))
        return best

    def _level(self, pixels: Pixels, face: Faces, lean: float) -> Faces:
        """Detect a face again with the picture turned by `lean` degrees, then by the lean measured
        in the result, until that no longer changes."""
        side = float(longer_side(face.boxes)[0])
        middle, level = centre(face.boxes)[0], face[:0]
        for _ in range(LEVELLINGS):
            found = self._network.find_around(
                pixels, tuple(middle.tolist()), CLOSER_REACH * side, lean
            )
            found = found[np.hypot(*(centre(found.boxes) - middle).T) < SAME_PLACE * side]
            if not len(found):
                break
            before, lean = lean, float(roll(found.points)[0])
            if found.scores[0] > level.scores.max(initial=0):
                level = found[:1]
            if abs(lean - before) < LEVEL:
                break
        return level

    def _find_head(self, pixels: Pixels, person: Boxes) -> Faces:
        """Search the upper part of a person (4,) for faces that can belong to them."""
        x1, y1, x2, y2 = person.tolist()
        side = max(x2 - x1, UPPER_PART * (y2 - y1))
        found = self._network.find_around(
            pixels, ((x1 + x2) / 2, y1 + side / 2), UPPER_REACH * side
        )
        return found[can_belong(person[None], found.boxes)[0] & (found.scores > HEAD_SCORE)]

    def _needed(
        self, faces: Faces, scale: float, largest: float | None = None
    ) -> NDArray[np.float32]:
        """Return the thresholds (n,) of faces by size. `largest` is the longer side of the photo's
        largest face; by default, that of the largest face that scores enough."""
        sides = longer_side(faces.boxes)
        needed = self._face_score - SMALL_SCORE * np.interp(sides * scale, SMALL_FACES, (1, 0))
        if largest is None:
            largest = float(sides[faces.scores > needed].max(initial=0))
        background = np.maximum(needed, BACKGROUND_SCORE)
        return np.where(sides < BACKGROUND * largest, background, needed)


def faceless(persons: Boxes, faces: Boxes) -> Boxes:
    """Return the persons (n, 4) to whom none of the faces can belong."""
    return persons[~can_belong(persons, faces).any(axis=1)]


def best_faces(persons: Boxes, faces: Faces) -> NDArray[np.bool_]:
    """Return a mask (m,) of the faces that are the best candidate for some person."""
    scores = can_belong(persons, faces.boxes) * faces.scores
    best = np.zeros(len(faces), bool)
    if scores.size:
        best[scores.argmax(axis=1)[scores.any(axis=1)]] = True
    return best


def detail_scale(height: int, width: int) -> float:
    """Return the factor by which the detail pass resizes a photo."""
    area = height * width
    scale = max(math.sqrt(DETAIL_PIXELS / area), DETAIL_SIDE / min(height, width))
    return min(scale, MAX_SCALE, math.sqrt(MAX_PIXELS / area))


def merge_scales(detail: Faces, overview: Faces, scale: float) -> Faces:
    """Merge the candidates of both passes: the best score of duplicates, and huge faces instead of
    their fragments."""
    detail, overview = (faces[faces.scores > CANDIDATE_SCORE] for faces in (detail, overview))
    sides = longer_side(overview.boxes) * scale
    pieces = np.asarray(
        (share_inside(detail.boxes, overview.boxes[sides > HUGE_FACE]) > CONTAINED).any(axis=1)
    )
    return Faces.merge([detail[~pieces], overview[sides > LARGE_FACE]])


def can_belong(persons: Boxes, faces: Boxes) -> NDArray[np.bool_]:
    """Return which faces (m, 4) can belong to which persons (n, 4), as a mask (n, m).

    A face lies in the upper half of its body, or so near the top that only hair and a hat fit in
    between. It is not much wider than the body, and not tiny in comparison.
    """
    x1, y1, x2, y2 = persons.T[..., None]
    width, height = x2 - x1, y2 - y1
    x, y = centre(faces).T
    sides = longer_side(faces)
    lowest = y1 + np.maximum(UPPER_HALF * np.maximum(height, width), UNDER_HAT * sides)
    inside = (x > x1) & (x < x2) & (y > y1 - 0.05 * height) & (y < np.minimum(lowest, y2))
    return np.asarray(inside & (sides < 1.2 * width) & (sides > 0.06 * height))
