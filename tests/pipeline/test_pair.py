"""Faces and bodies find each other, as in the published inference."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.heads import points_of

from mivolo_cli.pipeline.pair import match, pair
from mivolo_cli.records import Boxes, Detections

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "crops.json").read_text("utf-8"))
BODY = [100, 100, 200, 400]
HEAD = [130, 110, 170, 160]


def boxes(corners: Sequence[Sequence[float]]) -> Boxes:
    return np.array(corners, np.float32).reshape(-1, 4)


def detections(persons: Sequence[Sequence[float]], faces: Sequence[Sequence[float]]) -> Detections:
    unknown = [np.full(len(found), np.nan, np.float32) for found in (persons, faces)]
    return Detections(boxes(persons), unknown[0], boxes(faces), unknown[1])


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"seed {case['image']['seed']}")
def test_pairs_are_those_of_the_published_inference(case: dict[str, Any]) -> None:
    people = pair(detections(case["persons"], case["faces"]))
    faces, bodies = boxes(case["faces"]).tolist(), boxes(case["persons"]).tolist()
    found = {
        (
            None if person.face is None else faces.index(list(person.face.corners)),
            None if person.body is None else bodies.index(list(person.body.corners)),
        )
        for person in people
    }
    assert found == {(row["face"], row["body"]) for row in case["rows"]}
    assert len(people) == len(case["rows"])


def test_a_face_inside_a_body_belongs_to_it() -> None:
    assert match(boxes([BODY]), boxes([HEAD])) == [(0, 0)]


def test_a_face_outside_all_bodies_stays_alone() -> None:
    assert match(boxes([BODY]), boxes([[300, 100, 340, 150]])) == []
    assert match(boxes([BODY]), boxes([[200, 100, 240, 150]])) == []  # it touches


def test_the_total_is_best_even_where_the_best_single_pair_is_not_taken() -> None:
    wide, narrow = [0, 0, 200, 300], [60, 0, 140, 150]
    first, second = (
        [80, 10, 120, 60],
        [10, 10, 50, 60],
    )  # the first fits both, the second only the wide one
    assert sorted(match(boxes([wide, narrow]), boxes([first, second]))) == [(0, 1), (1, 0)]


def test_a_small_face_inside_wins_over_a_large_one_half_outside() -> None:
    body, inside, large = [0, 0, 100, 100], [40, 10, 60, 30], [60, 10, 140, 90]
    assert match(boxes([body]), boxes([large, inside])) == [(0, 1)]


def test_fractions_of_a_pixel_do_not_count() -> None:
    assert match(boxes([[0, 0, 10.9, 10]]), boxes([[10.2, 0, 20, 10]])) == []
    assert match(boxes([[0, 0, 11, 10]]), boxes([[10.2, 0, 20, 10]])) == [(0, 0)]


def test_an_empty_face_belongs_to_nobody() -> None:
    with np.errstate(all="raise"):
        assert match(boxes([BODY]), boxes([[150.1, 150, 150.9, 160]])) == []


def test_everybody_is_one_person_and_they_go_from_left_to_right() -> None:
    other = [400, 100, 480, 400]
    lonely = [300, 100, 340, 150]
    people = pair(detections([other, BODY], [lonely, HEAD]))
    assert [person.face and person.face.corners for person in people] == [
        tuple(HEAD),
        tuple(lonely),
        None,
    ]
    assert [person.body and person.body.corners for person in people] == [
        tuple(BODY),
        None,
        tuple(other),
    ]


def test_a_person_stands_where_the_body_is() -> None:
    leaning = [150, 100, 250, 400], [210, 110, 250, 160]
    face_between = [190, 500, 220, 550]
    people = pair(detections([leaning[0]], [leaning[1], face_between]))
    assert [person.body is not None for person in people] == [True, False]


def test_nobody_gives_nobody() -> None:
    assert pair(detections([], [])) == []
    assert len(pair(detections([BODY], []))) == 1
    assert len(pair(detections([], [HEAD]))) == 1


def test_a_person_has_the_roll_of_the_own_face() -> None:
    """One face is with a body, and one is alone; a body without a face has none."""
    lonely, beside = [300, 100, 340, 150], [400, 100, 480, 400]
    found = replace(detections([beside, BODY], [lonely, HEAD]), points=points_of(-170, 35))
    assert [person.face is not None for person in pair(found)] == [True, True, False]
    assert [person.roll for person in pair(found)] == [
        pytest.approx(35, abs=1e-3),
        pytest.approx(-170, abs=1e-3),
        None,
    ]


def test_a_face_without_points_has_no_roll() -> None:
    found = detections([BODY], [HEAD, [300, 100, 340, 150]])
    assert [person.roll for person in pair(found)] == [None, None]
    known = points_of(20, np.nan)
    assert [person.roll is None for person in pair(replace(found, points=known))] == [False, True]


def test_a_face_is_not_paired_with_a_body_that_it_cannot_belong_to() -> None:
    found = detections([BODY], [HEAD])
    assert len(pair(found)) == 1
    assert len(pair(replace(found, pairable=np.array([[False]])))) == 2


def test_a_person_without_a_face_is_judged_only_if_the_detector_is_sure_enough() -> None:
    found = detections([BODY, [300, 0, 400, 300], [500, 0, 600, 300], [700, 0, 800, 300]], [HEAD])
    scores = np.array([0.4, 0.4, 0.5, np.nan], np.float32)
    people = pair(replace(found, person_scores=scores, alone_score=0.5))
    assert [person.judged for person in people] == [True, False, True, True]
    assert all(person.judged for person in pair(replace(found, person_scores=scores)))


def test_who_has_no_choice_is_paired_as_the_best_total_does() -> None:
    """SciPy's import takes longer than a photo, so it is only asked where somebody has a choice."""
    from scipy.optimize import linear_sum_assignment

    from mivolo_cli.pipeline import pair as module

    rng = np.random.default_rng(4)
    for count in range(60):
        shape = int(rng.integers(0, 5)), int(rng.integers(0, 5))
        score = (rng.random(shape) * (rng.random(shape) < 0.3)).astype(np.float32)
        found, best = (
            {(int(i), int(j)) for i, j in zip(*way(score), strict=True) if score[i, j] > 0}
            for way in (module._assignment, lambda s: linear_sum_assignment(s, maximize=True))
        )
        assert found == best, f"{count}: {score}"


def test_pairs_without_a_choice_need_no_scipy() -> None:
    code = (
        "import sys, numpy as np; from mivolo_cli.pipeline.pair import match\n"
        f"bodies, heads = np.float32([{BODY}, [300, 100, 400, 400]]), np.float32([{HEAD}])\n"
        "assert match(bodies, heads) == [(0, 0)] and match(bodies, heads[:0]) == []\n"
        "assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
