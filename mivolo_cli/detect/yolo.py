"""Any ultralytics model that knows persons or faces, such as the one published with MiVOLO."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import platformdirs
import torch  # before ultralytics, so that it reads the number of threads that the user chose

from ..engines import fallback_note, first_line
from ..errors import BadInput, WeightsError
from ..records import Detections, Image, Pixels
from ..weights import find, require_trusted_pickle, sha256
from . import YOLO_SUFFIXES, detections

PUBLISHED = "yolov8x-person-face"
SCORE = 0.4
IOU = 0.7
"""Both as published with MiVOLO."""
SIZE = 640
CLASSES = ("person", "face")
SAFE_SUFFIXES = (".onnx", "_openvino_model")
"""Formats that are only data; to open any other one is to run what is inside it."""
TASKS = ("detect", "segment", "pose")
"""Kinds of ultralytics models that answer with upright boxes."""


class YoloDetector:
    """Persons and faces from a model of ultralytics, loaded and tried out when it is made.

    Without a file, the registered weights that MiVOLO was published with. Raises WeightsError for a file that could
    run code and that nobody vouched for, before ultralytics sees it.
    """

    name = "yolo"

    def __init__(self, file: Path | None = None, device: str = "cpu") -> None:
        file = find(PUBLISHED) if file is None else file
        if not file.exists():
            raise BadInput(f"there is no detector file {file}", hint="check the path")
        if not file.name.lower().endswith(YOLO_SUFFIXES):
            raise BadInput(f"{file} is not a model of ultralytics", hint=f"they end in {', '.join(YOLO_SUFFIXES)}")
        if not file.name.lower().endswith(SAFE_SUFFIXES):
            require_trusted_pickle(file)
        self.sha256 = _sha256(file)
        self.notes: list[str] = []
        self._device = device
        self._model = _load(file)
        self._try_out(file)
        self._classes = self._known_classes(file)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Detections:
        found = self._predict(image.pixels, classes=list(self._classes.values()))
        kinds = found.cls.cpu().numpy().astype(int)
        boxes, scores = found.xyxy.cpu().numpy(), found.conf.cpu().numpy()
        masks = (kinds == self._classes.get(name, -1) for name in CLASSES)
        persons, faces = ((boxes[mask], scores[mask]) for mask in masks)
        return detections(*persons, *faces, image.width, image.height)

    def _predict(self, pixels: Pixels, **options: Any) -> Any:
        """ultralytics' boxes for pixels (height, width, 3) RGB; a GPU that fails is left for the CPU, once.

        One photo at a time: in a batch of several sizes they would be padded otherwise, and found otherwise.
        """
        try:
            return self._predict_on_device(pixels, options)
        except RuntimeError as error:
            if self._device == "cpu":
                raise
            self.notes.append(fallback_note(self._device, error))
            self._device = "cpu"
        return self._predict_on_device(pixels, options)

    def _predict_on_device(self, pixels: Pixels, options: dict[str, Any]) -> Any:
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        with _undisturbed():
            results = self._model.predict(
                bgr, conf=SCORE, iou=IOU, imgsz=SIZE, device=self._device, verbose=False, save=False, **options
            )
        return results[0].boxes

    def _try_out(self, file: Path) -> None:
        """Answer once, so that a model that cannot work here is found before any work begins."""
        if self._model.task not in TASKS:
            raise BadInput(
                f"{file} is a model to {self._model.task}, not to detect", hint=f"use one to {', '.join(TASKS)}"
            )
        try:
            self._predict(np.zeros((64, 64, 3), np.uint8))
        except (ImportError, OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise _cannot(file, error) from error

    def _known_classes(self, file: Path) -> dict[str, int]:
        """The model's numbers of the classes person and face. Raises BadInput where it has neither."""
        names = {str(name).strip().lower(): int(number) for number, name in self._model.names.items()}
        known = {name: names[name] for name in CLASSES if name in names}
        if not known:
            raise BadInput(
                f"{file} finds neither persons nor faces but {', '.join(sorted(names)[:10])}",
                hint="use a model with a class named person or face",
            )
        self.notes += [f"{file.name} has no class {name}, so it finds none" for name in CLASSES if name not in known]
        return known


def _load(file: Path) -> Any:
    """The model, from an ultralytics that installs nothing, calls nobody and writes only to our cache."""
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true", YOLO_VERBOSE="false")
    os.environ.setdefault("YOLO_CONFIG_DIR", platformdirs.user_cache_dir("mivolo", appauthor=False))
    os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "true")  # even a trusted file may only hold a model
    with _undisturbed():
        try:
            from ultralytics import YOLO
        except ImportError as error:
            raise BadInput(f"{file.name} needs the package ultralytics", hint="pip install ultralytics") from error
        try:
            return YOLO(file)
        except (ImportError, OSError, RuntimeError, TypeError, ValueError, AttributeError, LookupError) as error:
            raise _cannot(file, error) from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    """ultralytics sets the whole process to few threads: put back what others rely on."""
    variable = os.environ.get("OMP_NUM_THREADS")
    threads, opencv_threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        if variable is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        torch.set_num_threads(threads)
        cv2.setNumThreads(opencv_threads)


def _cannot(file: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"ultralytics cannot run {file}: {first_line(error)} ({type(error).__name__})",
        hint="is the file whole? .onnx needs onnxruntime installed; a .pt with layers of its own needs the environment "
        "variable ULTRALYTICS_SAFE_LOAD=false",
    )


def _sha256(file: Path) -> str:
    """The hash of a file, or of all files of a folder and their names."""
    if file.is_file():
        return sha256(file)
    parts = sorted(part for part in file.rglob("*") if part.is_file())
    lines = [f"{sha256(part)} {part.relative_to(file).as_posix()}\n" for part in parts]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
