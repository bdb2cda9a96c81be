"""Tests of mivolo_cli.detect: anyone's boxes are made fit, and a detector is found by its name or
by its file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.photos import draw_scene
from numpy.typing import NDArray

from mivolo_cli.detect.detector import (
    SharedDetector,
    best_way_up,
    detections,
    turned,
    way_up_by_faces,
    without_small_faces,
)
from mivolo_cli.detect.load import open_detector
from mivolo_cli.errors import BadInput, WeightsError
from mivolo_cli.model import registry
from mivolo_cli.records import Detections, Image, Photo, Pixels

NONE = np.zeros((0, 4)), np.zeros(0)


def persons(
    boxes: Any, scores: Any, width: int = 100, height: int = 50
) -> tuple[list[list[float]], list[float]]:
    found = detections(boxes, scores, *NONE, width, height)
    assert found.persons.dtype == found.person_scores.dtype == np.float32
    return found.persons.tolist(), found.person_scores.tolist()


def test_importing_it_imports_no_detector() -> None:
    heavy = (
        "{'torch', 'cv2', 'openvino', 'ultralytics', 'facexlib', 'pyarrow.csv', 'pyarrow.parquet'}"
    )
    check = f"import sys, mivolo_cli.detect; print({heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "set()\n"


@pytest.mark.parametrize(
    "boxes",
    [
        [[1, 2, 3, 4]],
        [(1.0, 2.0, 3.0, 4.0)],
        np.array([[1, 2, 3, 4]], np.int64),
        np.array([1, 2, 3, 4], np.float64),
        torch.tensor([[1, 2, 3, 4]]),
    ],
)
def test_anything_like_an_array_enters(boxes: Any) -> None:
    assert persons(boxes, [0.5]) == ([[1, 2, 3, 4]], [0.5])


def test_nothing_is_a_valid_answer() -> None:
    found = detections([], [], [], None, 10, 10)
    assert found.persons.shape == found.faces.shape == (0, 4)
    assert found.person_scores.shape == found.face_scores.shape == (0,)


def test_persons_and_faces_are_kept_apart() -> None:
    found = detections([[0, 0, 9, 9]], [0.25], [[1, 1, 2, 2], [3, 3, 4, 4]], [0.5, 0.75], 10, 10)
    assert found.persons.tolist() == [[0, 0, 9, 9]] and found.person_scores.tolist() == [0.25]
    assert found.faces.tolist() == [[3, 3, 4, 4], [1, 1, 2, 2]] and found.face_scores.tolist() == [
        0.75,
        0.5,
    ]


def test_boxes_are_clipped_to_the_photo() -> None:
    assert persons([[-5, -6, 200, 300]], [1]) == ([[0, 0, 100, 50]], [1])


def test_scores_are_clipped_to_what_tables_allow() -> None:
    boxes = [[0, 0, 9, 9]] * 3
    found = detections(boxes, [1.0000001, -0.5, float("nan")], [], [], 20, 20)
    assert found.person_scores[:2].tolist() == [1, 0] and np.isnan(found.person_scores[2])


def test_boxes_without_area_or_sense_are_dropped_with_their_scores() -> None:
    bad = [
        [5, 5, 5, 9],
        [9, 5, 5, 9],
        [100, 0, 120, 9],
        [np.nan, 0, 5, 5],
        [0, 0, np.inf, 5],
        [-9, -9, 0, 0],
    ]
    assert persons([*bad, [1, 1, 2, 2]], [0.9] * len(bad) + [0.25]) == ([[1, 1, 2, 2]], [0.25])


def test_the_best_come_first_and_unknown_scores_keep_their_order() -> None:
    boxes = [[x, 0, x + 1, 1] for x in range(6)]
    found, scores = persons(boxes, [np.nan, 0.5, np.nan, 0.75, 0.5, 0.0])
    assert [box[0] for box in found] == [3, 1, 4, 5, 0, 2]
    assert scores[:4] == [0.75, 0.5, 0.5, 0.0] and np.isnan(scores[4:]).all()
    assert persons(boxes, None)[0] == boxes


def test_the_caller_keeps_its_arrays() -> None:
    boxes = np.array([[-1, 0, 5, 5], [1, 1, 2, 2]], np.float32)
    before = boxes.copy()
    detections(boxes, [0.1, 0.2], boxes, [0.1, 0.2], 4, 4)
    assert np.array_equal(boxes, before)


def test_boxes_and_scores_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 boxes came with 1 scores"):
        persons([[0, 0, 1, 1]] * 2, [0.5])


def test_an_unknown_name_is_answered_with_the_near_one() -> None:
    with pytest.raises(BadInput, match="'embeded'") as caught:
        open_detector("embeded")
    assert caught.value.hint == "did you mean embedded?"
    with pytest.raises(BadInput) as caught:
        open_detector("sonar")
    assert "embedded, given, yolo, retinaface" in caught.value.hint


@pytest.mark.parametrize("path", ["nothing.pt", "some/where", "nothing.pth", "nothing.tiff"])
def test_a_missing_file_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadInput, match="no such detector file"):
        open_detector(str(tmp_path / path))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BadInput, match="is not a detector") as caught:
        open_detector(str(tmp_path / "model.safetensors"))
    assert ".pt" in caught.value.hint and ".pth" in caught.value.hint


def test_given_and_boxes_need_each_other(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs a table") as caught:
        open_detector("given")
    assert "--boxes" in caught.value.hint
    with pytest.raises(BadInput, match="'embedded' does not take a table"):
        open_detector("embedded", boxes=tmp_path / "boxes.csv")


@pytest.mark.parametrize("file", ["my.pt", "my.PT", "my.engine", "my.torchscript"])
def test_a_model_that_could_run_code_is_refused_unread(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    (tmp_path / file).write_bytes(b"evil")
    with pytest.raises(WeightsError, match="not trusted yet") as caught:
        open_detector(str(tmp_path / file))
    assert "--trust" in caught.value.hint


def test_registered_weights_open_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path))
    for name in ("retinaface-mobile0.25", "retinaface", "yolo", "yolov8x-person-face"):
        with pytest.raises(WeightsError, match="have not been downloaded yet") as caught:
            open_detector(name)
        assert "mivolo weights" in caught.value.hint


def test_an_age_model_or_half_a_detector_is_no_detector() -> None:
    for name in ("mivolo-xs", "deimv2-femto-416"):
        assert name in registry.known()
        with pytest.raises(BadInput, match="unknown detector"):
            open_detector(name)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    monkeypatch.setitem(sys.modules, "facexlib.detection.retinaface", None)
    (tmp_path / "my.onnx").write_bytes(b"x")
    with pytest.raises(BadInput, match="package ultralytics"):
        open_detector(str(tmp_path / "my.onnx"))
    (tmp_path / "my.pth").write_bytes(b"x")
    with pytest.raises(BadInput, match="package facexlib"):
        open_detector(str(tmp_path / "my.pth"))


def test_several_gpus_share_the_photos_and_their_answers_keep_the_order() -> None:
    all_at_work = threading.Barrier(3)

    class Fake:
        name, sha256, batch, streams = "fake", "0" * 64, 2, 1

        def __init__(self, way: int) -> None:
            self.way, self.seen = way, 0

        def detect(self, images: Sequence[Image]) -> list[Detections]:
            all_at_work.wait(10)
            self.seen += len(images)
            return [
                detections([(0, 0, image.width, 1)], None, [], None, image.width, image.height)
                for image in images
            ]

        def way_up(self, pixels: Pixels) -> int:
            return self.way

    gpus = [Fake(3), Fake(3), Fake(3)]
    shared = SharedDetector(gpus)
    images = [
        Image(Photo("/", f"{width}"), np.zeros((2, width, 3), np.uint8)) for width in range(1, 8)
    ]
    assert (shared.batch, shared.streams) == (2, 3)
    with ThreadPoolExecutor(shared.streams) as pool:
        answers = list(pool.map(shared.detect, (images[:2], images[2:4], images[4:])))
    assert [found.persons[0, 2] for answer in answers for found in answer] == list(range(1, 8))
    assert sorted(gpu.seen for gpu in gpus) == [2, 2, 3]
    assert shared.name == "fake" and shared.way_up(images[0].pixels) == 3


def scores(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("found", "way"),
    [
        ([scores(0.5), scores(), scores(0.9), scores()], 2),
        ([scores(0.9), scores(0.6, 0.6), scores(), scores()], 1),
        ([scores(), scores(), scores(), scores(0.1)], 3),
        ([scores(0.9), scores(0.9), scores(0.9), scores(0.9)], 0),
        ([scores(), scores(), scores(), scores()], 0),
        ([scores(0.9), scores(np.nan), scores(0.9), scores()], 1),
    ],
    ids=["best", "more", "only", "equal", "none", "unknown scores count fully"],
)
def test_faces_are_best_where_their_scores_have_the_largest_sum(
    found: list[NDArray[np.float32]], way: int
) -> None:
    assert best_way_up(found) == way


@pytest.mark.parametrize("way", range(4))
def test_the_way_up_is_that_in_which_a_detector_finds_faces(way: int) -> None:
    """It is given all four ways at once, and finds a face only on the upright photo."""
    asked: list[int] = []

    class Fake:
        name, sha256, batch, streams = "fake", "0" * 64, 4, 1

        def detect(self, images: Sequence[Image]) -> list[Detections]:
            asked.append(len(images))
            return [self._detect(image) for image in images]

        def way_up(self, pixels: Pixels) -> int:
            return way_up_by_faces(self, pixels)

        def _detect(self, image: Image) -> Detections:
            assert image.pixels.flags.c_contiguous
            faces = [(5, 5, 9, 9)] if np.array_equal(image.pixels, upright) else []
            return detections([], None, faces, None, image.width, image.height)

    upright = draw_scene()
    detector = Fake()
    assert detector.way_up(turned(upright, -way)) == way and asked == [4]
    assert detector.way_up(np.zeros((60, 80, 3), np.uint8)) == 0


@pytest.mark.parametrize("quarters", range(-4, 5))
def test_pixels_are_turned_counter_clockwise(quarters: int) -> None:
    pixels = draw_scene()
    assert np.array_equal(turned(pixels, quarters), np.rot90(pixels, quarters))
    assert turned(pixels, quarters).flags.c_contiguous


def test_points_stay_with_their_faces() -> None:
    boxes, points = [[5, 5, 5, 9], [1, 1, 9, 9], [2, 2, 300, 30]], np.arange(30).reshape(3, 5, 2)
    found = detections(*NONE, boxes, [0.9, 0.5, 0.75], 100, 50, points)
    assert found.points.dtype == np.float32 and found.points.tolist() == [
        points[2].tolist(),
        points[1].tolist(),
    ]
    assert np.isnan(detections(*NONE, boxes, [0.9, 0.5, 0.75], 100, 50).points).all()
    with pytest.raises(ValueError, match="3 faces came with points of 2"):
        detections(*NONE, boxes, None, 100, 50, points[:2])


def test_small_faces_are_left_out_with_all_that_belongs_to_them() -> None:
    found = detections(
        [[0, 0, 90, 40]],
        [1],
        [[0, 0, 9, 9], [0, 0, 8, 10]],
        [0.5, 0.75],
        100,
        50,
        np.ones((2, 5, 2)),
    )
    found = replace(found, pairable=np.array([[True, False]]))
    left = without_small_faces(found, 9.5)
    assert (
        left.faces.tolist() == [[0, 0, 8, 10]]
        and left.face_scores.tolist() == [0.75]
        and len(left.persons) == 1
    )
    assert (
        left.points.shape == (1, 5, 2)
        and left.pairable is not None
        and left.pairable.tolist() == [[True]]
    )
