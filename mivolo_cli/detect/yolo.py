"""Any ultralytics model with the classes person or face, such as the one published with MiVOLO."""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import platformdirs
import torch  # before ultralytics, so that torch sees the user's number of threads
from torch import Tensor, nn

from ..errors import BadInput, WeightsError
from ..model.checkpoint import require_finite
from ..model.registry import find, require_trusted_pickle, sha256
from ..records import Detections, Image, Pixels
from ..runtime.engines import AUTO, choose_engine, fallback_note, first_line
from ..runtime.graph_cache import NotConverted, graph_of, open_graph
from ..runtime.openvino_engine import OpenVinoEngine, check_graph, import_openvino
from .detector import MOST, YOLO_SUFFIXES, by_shape, detections, way_up_by_faces

logger = logging.getLogger(__name__)
PUBLISHED = "yolov8x-person-face"
SCORE = 0.4
IOU = 0.7
"""Both as published with MiVOLO."""
SIZE = 640
FEW = 2
"""Number of photos in a batch on a CPU; larger batches are no faster."""
CLASSES = ("person", "face")
SAFE_SUFFIXES = (".onnx", "_openvino_model")
"""Formats that contain only data; loading any other can execute code from the file."""
GRAPH_SUFFIXES = (".onnx", ".xml")
TASKS = ("detect", "segment", "pose")
"""Tasks of ultralytics models that return upright boxes."""


class YoloDetector:
    """Person and face detector from an ultralytics model, which is loaded and tested on
    construction.

    Uses the registered weights published with MiVOLO unless given a file. On a CPU, the network of
    a .pt file runs in OpenVINO, inside ultralytics' own pre- and postprocessing. If it cannot be
    converted, or fails there, it runs in PyTorch. Raises WeightsError for an untrusted file that
    could execute code, before ultralytics opens it.
    """

    name, streams = "yolo", 1

    def __init__(
        self,
        file: Path | None = None,
        device: str = "cpu",
        engine: str = "auto",
        precision: str = "fp32",
        face_score: float = SCORE,
        person_score: float = SCORE,
    ) -> None:
        file = find(PUBLISHED) if file is None else file
        if not file.exists():
            raise BadInput(f"no such detector file: {file}", hint="check the path")
        if not file.name.lower().endswith(YOLO_SUFFIXES):
            raise BadInput(
                f"{file} is not a model of ultralytics",
                hint=f"they end in {', '.join(YOLO_SUFFIXES)}",
            )
        if not file.name.lower().endswith(SAFE_SUFFIXES):
            require_trusted_pickle(file)
        self.sha256 = _sha256(file)
        self._device = device
        self._scores = dict(zip(CLASSES, (person_score, face_score), strict=True))
        self.batch = FEW if device == "cpu" else MOST
        self._model = _load(file)
        if isinstance(self._model.model, nn.Module):
            require_finite(self._model.model.state_dict(), file)
        self._predictor: type | None = None
        if choose_engine(engine, device, precision) == "openvino" and isinstance(
            self._model.model, nn.Module
        ):
            self._convert("fp32" if precision in (AUTO, "int8") else precision)
        self._try_out(file)
        for graph in file.glob("*.xml") if file.is_dir() else [file]:
            if graph.suffix.lower() in GRAPH_SUFFIXES:
                check_graph(graph)
        self._classes = self._known_classes(file)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        options = {"classes": list(self._classes.values())}
        boxes = by_shape(images, lambda pixels: self._predict(pixels, options))
        return [self._sorted(image, found) for image, found in zip(images, boxes, strict=True)]

    def way_up(self, pixels: Pixels) -> int:
        return way_up_by_faces(self, pixels)

    def _sorted(self, image: Image, found: Any) -> Detections:
        """Convert ultralytics' boxes."""
        kinds = found.cls.cpu().numpy().astype(int)
        boxes, scores = found.xyxy.cpu().numpy(), found.conf.cpu().numpy()
        masks = (
            (kinds == self._classes.get(name, -1)) & (scores >= self._scores[name])
            for name in CLASSES
        )
        persons, faces = ((boxes[mask], scores[mask]) for mask in masks)
        return detections(*persons, *faces, image.width, image.height)

    def _predict(self, pixels: list[Pixels], options: dict[str, Any]) -> list[Any]:
        """Return ultralytics' boxes for photos (height, width, 3) RGB of one shape; photos of
        different shapes would be padded.

        If a batch fails, its photos are retried one by one. If a photo then fails, the detector
        switches from the GPU to the CPU, or from OpenVINO to PyTorch, once.
        """
        try:
            return self._answers(pixels, options)
        except RuntimeError as error:
            if len(pixels) > 1:
                return [boxes for one in pixels for boxes in self._predict([one], options)]
            if self._predictor is not None:
                logger.warning(fallback_note("openvino", "torch", error))
            elif self._device != "cpu":
                logger.warning(fallback_note(self._device, "the CPU", error))
            else:
                raise
        self._predictor, self._device, self._model.predictor = None, "cpu", None
        return self._answers(pixels, options)

    def _answers(self, pixels: list[Pixels], options: dict[str, Any]) -> list[Any]:
        bgr = [np.ascontiguousarray(picture[..., ::-1]) for picture in pixels]
        own = {} if self._predictor is None else {"predictor": self._predictor}
        fixed = {
            "conf": min(self._scores.values()),
            "iou": IOU,
            "imgsz": SIZE,
            "device": self._device,
            "verbose": False,
            "save": False,
        }
        with _undisturbed():
            results = self._model.predict(bgr, batch=len(bgr), **fixed, **own, **options)
        return [result.boxes for result in results]

    def _convert(self, precision: str) -> None:
        """Run the network in OpenVINO if it can be converted."""
        if self._model.task != "detect":  # other tasks have several outputs
            return
        try:
            graph, _ = open_graph(
                f"yolo-{self.sha256[:16]}-{_version()}",
                precision,
                lambda: (_graph(self._model), {}),
            )
        except NotConverted as error:
            logger.warning(f"{error}: the detector runs in PyTorch instead, with the same results")
            return
        self._predictor = _predictor(graph)

    def _try_out(self, file: Path) -> None:
        """Run a test prediction, so that an unusable model is detected before the run starts."""
        if self._model.task not in TASKS:
            raise BadInput(
                f"{file} is a model for the task {self._model.task}, not for detection",
                hint=f"use a model for {', '.join(TASKS)}",
            )
        try:
            self._predict([np.zeros((64, 64, 3), np.uint8)], {})
        except (ImportError, OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise _cannot(file, error) from error

    def _known_classes(self, file: Path) -> dict[str, int]:
        """Return the model's indices of the classes person and face. Raises BadInput if it has
        neither."""
        names = {
            str(name).strip().lower(): int(number) for number, name in self._model.names.items()
        }
        known = {name: names[name] for name in CLASSES if name in names}
        if not known:
            raise BadInput(
                f"{file} detects neither persons nor faces, but {', '.join(sorted(names)[:10])}",
                hint="use a model with a class named person or face",
            )
        for name in CLASSES:
            if name not in known:
                logger.warning(f"{file.name} has no class {name}, so none are found")
        return known


def _load(file: Path) -> Any:
    """Load the model, with ultralytics kept from installing packages, accessing the network and
    writing outside our cache."""
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true", YOLO_VERBOSE="false")
    os.environ.setdefault("YOLO_CONFIG_DIR", platformdirs.user_cache_dir("mivolo", appauthor=False))
    os.environ.setdefault(
        "ULTRALYTICS_SAFE_LOAD", "true"
    )  # even a trusted file may contain nothing but a model
    with suppress(ImportError):
        import_openvino()  # before ultralytics does, with its telemetry disabled
    with _undisturbed():
        try:
            from ultralytics import YOLO
        except ImportError as error:
            raise BadInput(
                f"{file.name} needs the package ultralytics", hint="pip install ultralytics"
            ) from error
        try:
            return YOLO(file)
        except (
            ImportError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
            AttributeError,
            LookupError,
        ) as error:
            raise _cannot(file, error) from error


def _version() -> str:
    import ultralytics

    return f"ultralytics-{ultralytics.__version__}"


def _graph(model: Any) -> Any:
    """Convert the network to a graph for any h and w: (n, 3, h, w) in 0 to 1 -> (n, 4 + classes,
    boxes) or (n, boxes, 6)."""
    network = copy.deepcopy(model.model).float().eval()
    head = network.model[-1]
    head.export = head.dynamic = True  # predictions only, for any input shape
    head.format = "openvino"
    return graph_of(network, (torch.zeros(1, 3, 64, 96),), [[-1, 3, -1, -1]])


def _predictor(graph: OpenVinoEngine) -> type:
    """Return an ultralytics predictor class that runs this graph instead of the network."""
    from ultralytics.models.yolo.detect import DetectionPredictor

    class OnGraph(DetectionPredictor):
        def inference(self, im: Tensor, *args: Any, **options: Any) -> Tensor:
            return torch.from_numpy(graph.run(im.numpy()))

    return OnGraph


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Restore the process-wide numbers of threads that ultralytics changes."""
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
        hint="is the file complete? .onnx needs onnxruntime installed; "
        "a .pt with layers of its own needs the environment variable ULTRALYTICS_SAFE_LOAD=false",
    )


def _sha256(file: Path) -> str:
    """Return the hash of a file, or of a folder's file names and contents."""
    if file.is_file():
        return sha256(file)
    parts = sorted(part for part in file.rglob("*") if part.is_file())
    lines = [f"{sha256(part)} {part.relative_to(file).as_posix()}\n" for part in parts]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
