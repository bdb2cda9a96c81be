"""Labelled people are found on pictures, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.photos import encode, noise

from mivolo_cli import boxes
from mivolo_cli.datasets import Sample
from mivolo_cli.datasets.labels import Label
from mivolo_cli.datasets.locate import locate
from mivolo_cli.errors import BadInput
from mivolo_cli.records import Box, Detections, Image

LARGE, SMALL = (10, 10, 40, 50), (50, 20, 60, 30)
BODY = (5, 5, 45, 90)
POINTS = np.array([[20, 20], [30, 30], [25, 30], [20, 40], [30, 40]], np.float32)
"""Of a head that leans."""


class Fixed:
    """Finds the same on every picture, and counts them."""

    name, batch, streams = "fixed", 1, 2

    def __init__(self, faces: list[Any], bodies: list[Any], sha256: str = "a") -> None:
        self.faces, self.bodies = (
            np.array(found, np.float32).reshape(-1, 4) for found in (faces, bodies)
        )
        self.sha256, self.seen = sha256, 0

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self.seen += len(images)
        scores = [np.full(len(found), 0.9, np.float32) for found in (self.bodies, self.faces)]
        points = np.repeat(POINTS[None], len(self.faces), axis=0)
        found = Detections(self.bodies, scores[0], self.faces, scores[1], points=points)
        return [found] * len(images)

    def way_up(self, pixels: Any) -> int:
        return 0


def photo(seed: int = 0, face: Box | None = None, body: Box | None = None) -> Sample:
    return Sample(f"{seed}.png", encode(noise(seed, 100, 100)), Label(30, 30), face, body)


def test_on_a_photo_the_largest_face_is_the_labelled_person() -> None:
    (found,) = locate([photo()], Fixed([SMALL, LARGE], [BODY]))
    assert found.face is not None and found.face.corners == LARGE
    assert found.body is not None and found.body.corners == BODY
    assert found.roll == pytest.approx(boxes.roll(POINTS[None])[0]) and found.label == Label(30, 30)
    assert [n.face and n.face.corners for n in found.neighbours] == [SMALL]


def test_where_nobody_has_a_face_it_is_the_largest_body() -> None:
    (found,) = locate([photo()], Fixed([], [SMALL, BODY]))
    assert found.face is None and found.body is not None and found.body.corners == BODY


def test_nobody_found_leaves_the_photo_as_it_is() -> None:
    sample = photo()
    assert locate([sample], Fixed([], [])) == [sample]


def test_a_picture_of_a_face_keeps_it_where_the_detector_sees_none() -> None:
    chip = photo(face=Box(0, 0, 100, 100))
    (found,) = locate([chip], Fixed([], [BODY]))
    assert found.face == chip.face and found.body is not None and found.body.corners == BODY
    (found,) = locate([chip], Fixed([LARGE], []))
    assert found.face is not None and found.face.corners == LARGE and found.body is None


def test_pictures_with_other_boxes_are_not_looked_at() -> None:
    detector = Fixed([LARGE], [])
    body = photo(body=Box(0, 0, 100, 100))
    chip = photo(face=Box(0, 0, 100, 100))
    assert locate([body, chip], detector, shows=("photo",)) == [body, chip]
    assert detector.seen == 0


def test_what_was_found_is_remembered_by_picture_and_detector(tmp_path: Path) -> None:
    cache, detector = tmp_path / "people.parquet", Fixed([LARGE], [BODY])
    done: list[int] = []
    first = locate([photo(1), photo(2), photo(1)], detector, cache, done.append)
    assert detector.seen == 2 and done == [3], "the same picture counts once"
    assert locate([photo(1), photo(2), photo(3)], detector, cache)[:2] == first[:2]
    assert detector.seen == 3
    other = Fixed([SMALL], [], sha256="b")
    assert locate([photo(1)], other, cache)[0].face != first[0].face and other.seen == 1
    cache.write_bytes(b"damaged")
    assert locate([photo(1)], detector, cache) == first[:1] and detector.seen == 4


def test_files_are_told_apart_by_path_size_and_time(tmp_path: Path) -> None:
    file, cache = tmp_path / "a.png", tmp_path / "people.parquet"
    file.write_bytes(encode(noise(1, 100, 100)))
    detector = Fixed([LARGE], [])
    for _ in range(2):
        locate([Sample("a.png", file, Label(3, 3))], detector, cache)
    assert detector.seen == 1
    file.write_bytes(encode(noise(2, 90, 100)))
    locate([Sample("a.png", file, Label(3, 3))], detector, cache)
    assert detector.seen == 2


def test_pictures_that_cannot_be_read_are_named() -> None:
    with pytest.raises(BadInput, match="bad.png"):
        locate([Sample("bad.png", b"nothing", Label(3, 3))], Fixed([], []))
