"""Tests of mivolo_cli.detect.yolo: results pass through, and ultralytics is kept from everything it
should not do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mivolo_cli.detect import yolo
from mivolo_cli.detect.yolo import YoloDetector
from mivolo_cli.errors import BadInput, WeightsError
from mivolo_cli.model.registry import Record, remember, sha256
from mivolo_cli.records import Detections, Image, Photo

REAL = """
import json, logging, sys
from pathlib import Path
import numpy as np
from mivolo_cli.detect import yolo
from mivolo_cli.errors import WeightsError
from mivolo_cli.records import Image, Photo

class Listener(logging.Handler):
    def emit(self, record):
        notes.append(record.getMessage())

notes = []
logging.getLogger("mivolo_cli").addHandler(Listener())
folder = Path(sys.argv[1])
yolo.require_trusted_pickle = lambda file: None
(folder / "broken.pt").write_bytes(b"hello")
answers = {}
for name in ("broken.pt", "broken.onnx"):
    (folder / name).write_bytes(b"hello")
    try:
        yolo.YoloDetector(folder / name)
    except WeightsError as error:
        answers[name] = str(error)

import cv2, torch  # from here on ultralytics is as the detector left it
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel
threads = torch.get_num_threads(), cv2.getNumThreads()
torch.manual_seed(0)
model = YOLO("yolov8n.yaml")
model.model = DetectionModel("yolov8n.yaml", nc=2, verbose=False)
model.model.names = {0: "person", 1: "Face"}
model.save(folder / "tiny.pt")

scores = {"face_score": 1e-4, "person_score": 1e-4}  # random weights are sure of nothing
pixels = np.random.default_rng(0).integers(0, 255, (120, 90, 3), np.uint8)
image = Image(Photo("/", "a.jpg"), pixels)
wide = Image(Photo("/", "b.jpg"), np.ascontiguousarray(pixels.transpose(1, 0, 2)))
detector = yolo.YoloDetector(folder / "tiny.pt", **scores)
found = detector.detect([image])[0]
answers["on a graph"] = detector._predictor is not None and notes == []

def numbers(found):
    parts = found.persons, found.person_scores, found.faces
    return [number for part in parts for number in part.ravel().tolist()]

answers["alone"] = [numbers(detector.detect([one])[0]) for one in (image, wide)]
answers["together"] = [numbers(one) for one in detector.detect([image, wide, image])]
plain = yolo.YoloDetector(folder / "tiny.pt", engine="torch", **scores)
assert plain._predictor is None
answers["torch"] = [numbers(plain.detect([one])[0]) for one in (image, wide)]

def ill(*_):
    raise RuntimeError("ill")

yolo.OpenVinoEngine.run = ill
answers["after failing"] = [numbers(one) for one in detector.detect([image, wide, image])]
answers["notes"] = notes
answers["threads kept"] = threads == (torch.get_num_threads(), cv2.getNumThreads())
bgr, settings = pixels[..., ::-1].copy(), {"conf": 1e-4, "iou": 0.7, "verbose": False}
boxes = YOLO(folder / "tiny.pt").predict(bgr, **settings)[0].boxes
answers["direct"] = sorted(boxes.conf.tolist(), reverse=True)
scores = [*found.person_scores.tolist(), *found.face_scores.tolist()]
answers["adapter"] = sorted(scores, reverse=True)
print(json.dumps(answers))
"""


class FakeModel:
    """Stands for ultralytics' model: remembers how it was asked and answers with fixed boxes."""

    def __init__(self, names: dict[int, str], task: str = "detect", broken_on: str = "") -> None:
        self.names, self.task, self.broken_on = names, task, broken_on
        self.model = self.predictor = None
        self.calls: list[tuple[list[np.ndarray], dict[str, Any]]] = []

    def predict(self, bgr: list[np.ndarray], **options: Any) -> list[Any]:
        if options["device"] == self.broken_on:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.calls.append((bgr, options))
        boxes = torch.tensor(
            [[1, 1, 9, 9], [2, 2, 5, 5], [0, 0, 99, 9], [3, 3, 4, 4]], dtype=torch.float32
        )
        conf, cls = torch.tensor([0.5, 0.75, 0.9, 0.6]), torch.tensor([2.0, 0.0, 2.0, 1.0])
        return [SimpleNamespace(boxes=SimpleNamespace(xyxy=boxes, conf=conf, cls=cls)) for _ in bgr]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"x")
    return tmp_path / "model.onnx"


def opened(
    model: FakeModel, file: Path, monkeypatch: pytest.MonkeyPatch, device: str = "cpu"
) -> YoloDetector:
    monkeypatch.setattr(yolo, "_load", lambda file: model)
    return YoloDetector(file, device)


def detect(detector: YoloDetector, *pixels: np.ndarray) -> list[Detections]:
    return detector.detect([Image(Photo("/", "a.jpg"), picture) for picture in pixels])


def test_results_pass_through_by_the_names_of_the_classes(
    file: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = opened(FakeModel({0: "FACE", 1: "dog", 2: " Person"}), file, monkeypatch)
    (found,) = detect(detector, np.zeros((10, 20, 3), np.uint8))
    assert found.persons.tolist() == [[0, 0, 20, 9], [1, 1, 9, 9]]
    assert found.person_scores.tolist() == [np.float32(0.9), 0.5]
    assert found.faces.tolist() == [[2, 2, 5, 5]] and found.face_scores.tolist() == [0.75]
    assert (detector.name, detector.sha256, notes) == ("yolo", sha256(file), [])


def test_photos_of_one_shape_are_shown_together_in_bgr_with_the_published_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeModel({0: "person", 1: "face"})
    red, other = np.zeros((4, 5, 3), np.uint8), np.zeros((7, 8, 3), np.uint8)
    red[..., 0] = 200
    assert len(detect(opened(model, file, monkeypatch), red, other, red)) == 3
    _, (first, options), (second, _) = model.calls  # the first call tried the model out
    assert [len(first), len(second)] == [2, 1]
    assert (
        first[0].shape == (4, 5, 3)
        and first[0][0, 0].tolist() == [0, 0, 200]
        and first[0].flags.c_contiguous
    )
    assert second[0].shape == (7, 8, 3)
    expected = {
        "conf": 0.4,
        "iou": 0.7,
        "imgsz": 640,
        "device": "cpu",
        "verbose": False,
        "save": False,
        "batch": 2,
    }
    assert options == expected | {"classes": [0, 1]}
    model.calls.clear()
    detect(opened(model, file, monkeypatch), *[red] * 20)
    assert [len(bgr) for bgr, _ in model.calls[1:]] == [8, 8, 4]


def test_a_batch_that_a_gpu_does_not_hold_is_tried_photo_by_photo(
    file: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Small(FakeModel):
        def predict(self, bgr: list[np.ndarray], **options: Any) -> list[Any]:
            if len(bgr) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().predict(bgr, **options)

    model = Small({0: "person", 1: "face"})
    detector = opened(model, file, monkeypatch, device="cuda:0")
    assert len(detect(detector, *[np.zeros((10, 10, 3), np.uint8)] * 3)) == 3
    assert [options["device"] for _, options in model.calls] == ["cuda:0"] * 4
    assert notes == []


def test_a_model_of_one_class_works_and_says_so(
    file: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = opened(FakeModel({0: "cat", 1: "dog", 2: "person"}), file, monkeypatch)
    (found,) = detect(detector, np.zeros((10, 10, 3), np.uint8))
    assert len(found.persons) == 2 and len(found.faces) == 0
    assert notes == ["model.onnx has no class face, so none are found"]


def test_a_model_of_other_things_is_refused_with_their_names(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="neither persons nor faces, but cat, dog") as caught:
        opened(FakeModel({0: "dog", 1: "cat"}), file, monkeypatch)
    assert "person or face" in caught.value.hint


def test_a_model_that_does_not_detect_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="a model for the task classify"):
        opened(FakeModel({0: "person"}, task="classify"), file, monkeypatch)


def test_a_gpu_that_fails_gives_way_to_the_cpu_once(
    file: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeModel({0: "person", 1: "face"}, broken_on="cuda:0")
    detector = opened(model, file, monkeypatch, device="cuda:0")
    detect(detector, *[np.zeros((10, 10, 3), np.uint8)] * 2)
    assert [options["device"] for _, options in model.calls] == ["cpu"] * 2
    (note,) = notes
    assert note.startswith("cuda:0 failed (CUDA out of memory)") and "CPU" in note


def test_a_model_that_fails_on_the_cpu_is_refused_before_any_work(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        WeightsError, match=r"cannot run .*model.onnx: CUDA out of memory \(OutOfMemoryError\)"
    ):
        opened(FakeModel({0: "person"}, broken_on="cpu"), file, monkeypatch)


def test_only_what_is_trusted_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path / "home"))
    seen: list[Path] = []

    def load(file: Path) -> FakeModel:
        seen.append(file)
        return FakeModel({0: "person", 1: "face"})

    monkeypatch.setattr(yolo, "_load", load)
    model = tmp_path / "model.PT"
    model.write_bytes(b"pickle")
    with pytest.raises(WeightsError, match="not trusted yet"):
        YoloDetector(model)
    assert seen == []
    remember("model.PT", Record("model", "detector", sha256(model), trusted=True))
    YoloDetector(model)
    assert seen == [model]
    model.write_bytes(b"another pickle")
    with pytest.raises(WeightsError, match="not trusted yet"):
        YoloDetector(model)
    assert seen == [model]


def test_what_is_missing_or_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such detector file: .*nothing.pt"):
        YoloDetector(tmp_path / "nothing.pt")
    (tmp_path / "model.yaml").write_bytes(b"nc: 2")
    with pytest.raises(BadInput, match="not a model of ultralytics") as caught:
        YoloDetector(tmp_path / "model.yaml")
    assert ".onnx" in caught.value.hint


def test_a_folder_is_hashed_with_all_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "best_openvino_model"
    folder.mkdir()
    hashes = []
    for name, content in (
        ("best.xml", b"a"),
        ("best.bin", b"b"),
        ("best.bin", b"c"),
        ("metadata.yaml", b"d"),
    ):
        (folder / name).write_bytes(content)
        hashes.append(opened(FakeModel({0: "person"}), folder, monkeypatch).sha256)
    assert len(set(hashes)) == 4


def test_the_real_ultralytics_works_in_silence_and_writes_to_our_cache_alone(
    tmp_path: Path,
) -> None:
    home, models = tmp_path / "home", tmp_path / "models"
    home.mkdir()
    models.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("YOLO_", "ULTRALYTICS_", "XDG_"))
    }
    root = str(Path(yolo.__file__).parents[2])
    run = subprocess.run(
        [sys.executable, "-c", REAL, str(models)],
        env=kept | {"HOME": str(home), "PYTHONPATH": root, "XDG_CACHE_HOME": str(home / "cache")},
        cwd=models,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    (line,) = run.stdout.splitlines()
    assert run.stderr == ""
    answers = json.loads(line)
    assert "cannot run" in answers["broken.pt"] and "cannot run" in answers["broken.onnx"]
    assert answers["threads kept"]
    assert answers["on a graph"] and len(answers["alone"][0]) > 100
    for again in ("together", "after failing"):
        for number, place in enumerate((0, 1, 0)):
            np.testing.assert_allclose(answers[again][number], answers["torch"][place], atol=1e-3)
    np.testing.assert_allclose(answers["alone"][0], answers["torch"][0], atol=1e-3)
    np.testing.assert_allclose(answers["alone"][1], answers["torch"][1], atol=1e-3)
    assert answers["notes"] == ["openvino failed (ill): continuing with torch"]
    assert len(answers["adapter"]) > 20
    assert np.allclose(answers["adapter"], answers["direct"], atol=1e-5)
    written = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    graph = {name for name in written if name.startswith("home/cache/mivolo/converted/yolo-")}
    assert len(graph) == 3
    written -= graph
    assert written <= {
        "home/cache/mivolo/Ultralytics/settings.json",
        "models/broken.pt",
        "models/broken.onnx",
        "models/tiny.pt",
    }
