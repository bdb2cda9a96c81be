"""Find faces by several passes of YuNet: in detail, as an overview, and closer where that decides.

A face in doubt must be found again in a closer pass, with its head turned upright. The score that
it needs depends on its size and on who is around it.
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
"""The pass in detail gets the photo with this many pixels, and an elongated one with at least this
shorter side."""
MAX_SCALE = 2.0
MAX_PIXELS = 16 * DETAIL_PIXELS
"""It enlarges no photo by more, and gets none with more pixels."""
OVERVIEW = 0.3
"""Sides of the overview as a share of those of the pass in detail. Sizes below are pixels of the
pass in detail."""
LARGE_FACE = 128
"""Faces from this size on may come from the overview."""
HUGE_FACE = 400
"""In faces of this size, the pass in detail finds pieces that are none."""
SMALL_FACES, SMALL_SCORE = (16, 40), 0.30
"""YuNet gives small faces lower scores: those of the first size and below need so much less than
those of the second."""
BACKGROUND, BACKGROUND_SCORE = 0.3, 0.65
"""Faces below this share of the photo's largest need this score, however small they are: many are
out of focus."""
SURE_ANIMAL, ANIMAL_SCORE = 0.6, 0.8
"""Faces of no person inside an animal with the first score are no faces; inside another, they need
the second: heads that lie are taken for dogs and birds, too."""
CANDIDATE_SCORE = 0.45
SURE_SCORE = 0.85
"""Faces with scores in between get a closer pass."""
LEAN, LEVEL, LEVELLINGS = 8, 4, 4
"""So are faces that lean by more than the first degrees, until they lean by less than the second,
and so often at most."""
UPRIGHT_SCORE, FAR = 0.88, 45
"""Upright faces score more than the first. Others may lean so far that their points are wrong, and
are also levelled beginning with this many degrees more and less."""
TILT = 20
"""The score of a face that leans by more degrees is that of the levelled pass."""
CLOSER_REACH = 2.0
"""A closer pass over a face gets a square of this many times its longer side."""
SAME_PLACE = 0.35
"""The same face is found within this share of its longer side."""
EXPECTED = 0.08
"""The best face that can be that of a person without one needs so much less."""
HEAD_SCORE = 0.74
"""A face must score this in a closer pass over the head of a person whose face was not found
before."""
UPPER_PART, UPPER_REACH = 0.5, 1.2
"""That pass gets a square of the person's width, or of this share of the height if that is more,
and so much larger."""
UPPER_HALF, UNDER_HAT = 0.5, 1.6
"""Shares of a body's longer side, and of a face's, within which from the top the face's centre
lies."""
CONTAINED = 0.6
"""A face with this share of its area inside a box is inside."""


class FaceFinder:
    """Finds the faces of a photo whose persons and animals are known.

    `face_score` is what a large face must score; what others must is relative to it.
    """

    def __init__(self, network: YuNet, face_score: float = FACE_SCORE) -> None:
        self._network, self._face_score = network, face_score

    def find(self, photo: Scaled, persons: Boxes, animals: Objects) -> Faces:
        """The faces in a photo, reduced to the scale in detail, with persons (n, 4)."""
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
        """The faces that score enough, and those of persons who lack one."""
        sure = faces[faces.scores > self._needed(faces, scale)]
        largest = float(longer_side(sure.boxes).max(initial=0))
        expected = best_faces(faceless(persons, sure.boxes), faces)
        needed = self._needed(faces, scale, largest) - EXPECTED * expected
        found = faces[faces.scores > needed]
        others = faceless(persons, found.boxes)
        heads = Faces.merge([found[:0], *(self._find_head(pixels, person) for person in others)])
        return Faces.merge([found, heads[heads.scores > self._needed(heads, scale, largest)]])

    def _check(self, pixels: Pixels, faces: Faces, animal: NDArray[np.bool_]) -> Faces:
        """The faces with the scores of closer passes where they are in doubt, inside animals, or
        lean; leaning ones with the box and points of that pass, too."""
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
        """One face as it is found again with its head upright; none if it is not found again.

        The points of a head that leans far may lie anywhere. So where levelling by them does not
        lead to a good score, it also begins to both sides of it.
        """
        lean = float(roll(face.points)[0])
        best = self._level(pixels, face, lean)
        if best.scores.max(initial=0) < UPRIGHT_SCORE:
            sides = (self._level(pixels, face, lean + turn) for turn in (-FAR, FAR))
            sure = [found for found in sides if found.scores.max(initial=0) > UPRIGHT_SCORE]
            best = max((*sure, best), key=lambda found: float(found.scores.max(initial=0)))
        return best

    def _level(self, pixels: Pixels, face: Faces, lean: float) -> Faces:
        """The face as it is found where the picture is turned as if its head leant by this many
        degrees, and then by this many as it turns out to lean, until that changes no more."""
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
        """The faces that can be those of a person (4,)."""
        x1, y1, x2, y2 = person.tolist()
        side = max(x2 - x1, UPPER_PART * (y2 - y1))
        found = self._network.find_around(
            pixels, ((x1 + x2) / 2, y1 + side / 2), UPPER_REACH * side
        )
        return found[can_belong(person[None], found.boxes)[0] & (found.scores > HEAD_SCORE)]

    def _needed(
        self, faces: Faces, scale: float, largest: float | None = None
    ) -> NDArray[np.float32]:
        """The scores that faces of their size need (n,), where the photo's largest face has this
        longer side: that of the largest of those that score enough, unless told."""
        sides = longer_side(faces.boxes)
        needed = self._face_score - SMALL_SCORE * np.interp(sides * scale, SMALL_FACES, (1, 0))
        if largest is None:
            largest = float(sides[faces.scores > needed].max(initial=0))
        background = np.maximum(needed, BACKGROUND_SCORE)
        return np.where(sides < BACKGROUND * largest, background, needed)


def faceless(persons: Boxes, faces: Boxes) -> Boxes:
    """The persons (n, 4) whose face is none of these."""
    return persons[~can_belong(persons, faces).any(axis=1)]


def best_faces(persons: Boxes, faces: Faces) -> NDArray[np.bool_]:
    """Which faces are the best that can be those of some person (m,)."""
    scores = can_belong(persons, faces.boxes) * faces.scores
    best = np.zeros(len(faces), bool)
    if scores.size:
        best[scores.argmax(axis=1)[scores.any(axis=1)]] = True
    return best


def detail_scale(height: int, width: int) -> float:
    """The factor by which the pass in detail resizes a photo."""
    area = height * width
    scale = max(math.sqrt(DETAIL_PIXELS / area), DETAIL_SIDE / min(height, width))
    return min(scale, MAX_SCALE, math.sqrt(MAX_PIXELS / area))


def merge_scales(detail: Faces, overview: Faces, scale: float) -> Faces:
    """The candidates of both passes, each once: what scores better, and a huge face instead of its
    pieces."""
    detail, overview = (faces[faces.scores > CANDIDATE_SCORE] for faces in (detail, overview))
    sides = longer_side(overview.boxes) * scale
    pieces = np.asarray(
        (share_inside(detail.boxes, overview.boxes[sides > HUGE_FACE]) > CONTAINED).any(axis=1)
    )
    return Faces.merge([detail[~pieces], overview[sides > LARGE_FACE]])


def can_belong(persons: Boxes, faces: Boxes) -> NDArray[np.bool_]:
    """Which faces (m, 4) can be those of which persons (n, 4): (n, m).

    A face lies in the upper half of its body, or so near to the top that only hair and a hat fit
    between; it is not much wider than the body, and not tiny in comparison.
    """
    x1, y1, x2, y2 = persons.T[..., None]
    width, height = x2 - x1, y2 - y1
    x, y = centre(faces).T
    sides = longer_side(faces)
    lowest = y1 + np.maximum(UPPER_HALF * np.maximum(height, width), UNDER_HAT * sides)
    inside = (x > x1) & (x < x2) & (y > y1 - 0.05 * height) & (y < np.minimum(lowest, y2))
    return np.asarray(inside & (sides < 1.2 * width) & (sides > 0.06 * height))
