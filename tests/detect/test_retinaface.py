"""Tests of mivolo_cli.detect.retinaface: as facexlib finds faces, with weights that are loaded and
not run."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mivolo_cli.detect import retinaface
from mivolo_cli.detect.deim import PERSON, Objects
from mivolo_cli.detect.load import open_detector
from mivolo_cli.detect.retinaface import RetinaFaceDetector, priors_of
from mivolo_cli.detect.yunet import Faces
from mivolo_cli.errors import BadInput, WeightsError
from mivolo_cli.records import Image, Photo, Pixels

facexlib = pytest.importorskip("facexlib.detection.retinaface")


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    network = facexlib.RetinaFace(network_name="mobile0.25", device="cpu")
    for (
        name,
        module,
    ) in (
        network.named_modules()
    ):  # so that scores spread over 0 to 1 and boxes stay near their place
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
            module.weight.data *= 0.05 if "Head" in name else 1
    return network


@pytest.fixture(scope="module")
def file(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights as they are published: made in parallel, so every name begins with
    `module.`."""
    path = tmp_path_factory.mktemp("weights") / "anything.pth"
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def detector(file: Path) -> RetinaFaceDetector:
    return RetinaFaceDetector(file)


def test_weights_that_are_no_numbers_are_refused(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    tensors["body.stage1.0.0.weight"][0, 0, 0, 0] = torch.nan
    torch.save(tensors, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="not finite numbers: body.stage1"):
        RetinaFaceDetector(tmp_path / "odd.pth")


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize("shape", [(96, 128), (97, 65), (33, 250)])
def test_faces_are_those_of_facexlib(
    shape: tuple[int, int], network: Any, detector: RetinaFaceDetector
) -> None:
    pixels = noise(*shape)
    with torch.inference_mode():
        expected = network.detect_faces(
            pixels[..., ::-1].copy(), conf_threshold=0.6, nms_threshold=0.4
        )
    found = detector.find_faces(pixels, score=0.6)
    assert len(found) == len(expected) > 3
    assert np.abs(found.scores - expected[:, 4]).max() < 1e-4
    assert np.abs(found.boxes - expected[:, :4]).max() < 0.01
    assert np.abs(found.points.reshape(-1, 10) - expected[:, 5:]).max() < 0.01


def test_large_photos_are_made_smaller_and_boxes_are_not(
    detector: RetinaFaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = noise(60, 80)
    large = small.repeat(3, axis=0).repeat(3, axis=1)
    expected = detector.find_faces(small, score=0.6)
    monkeypatch.setattr(retinaface, "LONGEST", 80)
    found = detector.find_faces(large, score=0.6)
    assert found.boxes.dtype == found.points.dtype == np.float32
    assert len(found) == len(expected) > 3
    assert np.abs(found.boxes - 3 * expected.boxes).max() < 0.1
    assert np.abs(found.points - 3 * expected.points).max() < 0.1


def test_priors_are_squares_around_the_cells_row_by_row() -> None:
    priors = priors_of(9, 17, steps=[8, 16], sizes=[[16, 32], [64]])
    assert priors[:4].tolist() == [[4, 4, 16, 16], [4, 4, 32, 32], [12, 4, 16, 16], [12, 4, 32, 32]]
    assert priors[-2:].tolist() == [[8, 8, 64, 64], [24, 8, 64, 64]]
    assert priors.shape == (2 * 3 * 2 + 1 * 2, 4)


def test_persons_come_from_deim_and_faces_from_retinaface(
    detector: RetinaFaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, scores = (
        np.array([[5, 5, 50, 90], [5, 5, 60, 90]], np.float32),
        np.array([0.5, 0.5], np.float32),
    )
    points = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    face = Faces(np.array([[-5, 5, 20, 30]], np.float32), np.array([0.9], np.float32), points)
    monkeypatch.setattr(
        detector._persons, "find", lambda pixels: Objects(boxes, scores, np.array([PERSON, 16]))
    )
    monkeypatch.setattr(detector, "find_faces", lambda pixels, score: face)
    (found,) = detector.detect([Image(Photo("/", "a.jpg"), noise(100, 60))])
    assert found.persons.tolist() == [[5, 5, 50, 90]] and found.person_scores.tolist() == [0.5]
    assert found.faces.tolist() == [[0, 5, 20, 30]] and found.face_scores.tolist() == [
        np.float32(0.9)
    ]
    assert np.array_equal(found.points, points)


class Built(Exception):
    """Building has begun, which is all that the test wants."""


def test_the_kind_of_network_is_read_from_the_weights(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def build(network_name: str, device: str) -> Any:
        made.append((network_name, device))
        raise Built

    monkeypatch.setattr(facexlib, "RetinaFace", build)
    torch.save({"body.layer4.0.conv1.weight": torch.zeros(1)}, tmp_path / "mobilenet.pth")
    for weights in (file, tmp_path / "mobilenet.pth"):
        with pytest.raises(Built):
            RetinaFaceDetector(weights)
    assert made == [("mobile0.25", "cpu"), ("resnet50", "cpu")]


def test_it_opens_without_a_network(
    file: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something wanted to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    detector = open_detector(str(file))
    assert (
        isinstance(detector, RetinaFaceDetector) and detector.name == "retinaface" and notes == []
    )
    assert len(detector.sha256) == 64


def test_weights_that_do_not_fit_are_refused_by_their_names(network: Any, tmp_path: Path) -> None:
    good = network.state_dict()
    cut = {name: value for name, value in good.items() if name != "fpn.output1.0.weight"}
    reshaped = good | {"ssh1.conv3X3.0.weight": torch.zeros(2, 3)}
    for tensors, complaint in (
        (cut, "fpn.output1.0.weight is missing"),
        (good | {"extra": torch.zeros(1)}, "extra is not expected"),
        (reshaped, r"ssh1.conv3X3.0.weight has the shape \(2, 3\) instead of"),
        ({"conv1.weight": torch.zeros(3)}, "is not a RetinaFace model of facexlib"),
        ({name: good[name] for name in list(good)[:200]}, "and 97 more"),
    ):
        torch.save(tensors, tmp_path / "other.pth")
        with pytest.raises(WeightsError, match=complaint):
            RetinaFaceDetector(tmp_path / "other.pth")


def test_a_file_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"body": Evil()}))
    torch.save({"body.stage3.0.0.weight": Evil()}, tmp_path / "evil.pth")
    for name in ("plain.pth", "evil.pth"):
        with pytest.raises(WeightsError):
            RetinaFaceDetector(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing.pth"):
        RetinaFaceDetector(tmp_path / "nothing.pth")
    (tmp_path / "damaged.pth").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(WeightsError, match="damaged.pth"):
        RetinaFaceDetector(tmp_path / "damaged.pth")
