"""Person detectors that were considered for the embedded detector, for `bench/detection.py`.

Each takes the ONNX file published by its authors (Apache-2.0): `yolox-nano-416.onnx` of
Megvii-BaseDetection/YOLOX, `nanodet-g-coco-416.onnx` of RangiLyu/nanodet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mivolo_cli import boxes as arithmetic
from mivolo_cli.detect.detector import detections
from mivolo_cli.detect.resize import resize
from mivolo_cli.records import Boxes, Detections, Image, Pixels
from mivolo_cli.runtime.openvino_engine import OnnxEngine

SIZE = 416
STRIDES = (8, 16, 32)
PERSON = 0
IOU = 0.6
BINS = np.arange(11, dtype=np.float32)
"""NanoDet's distance bins, in strides: a side's distance is their weighted mean."""
Found = tuple[Boxes, NDArray[np.float32]]


class Candidate:
    """Detects persons in one pass over a whole photo, with at least this score.

    `find` returns boxes (n, 4) in pixels of the photo and scores (n,), unsorted."""

    batch, streams, sha256 = 1, 1, ""

    def __init__(self, name: str, find: Callable[[Pixels], Found], score: float) -> None:
        self.name, self._find, self._score = name, find, score

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """See Detector.detect."""
        return [self._detect(image) for image in images]

    def way_up(self, pixels: Pixels) -> int:
        """Return 0: person boxes do not show the orientation."""
        return 0

    def _detect(self, image: Image) -> Detections:
        boxes, scores = self._find(image.pixels)
        likely = scores >= self._score
        boxes, scores = boxes[likely], scores[likely]
        kept = arithmetic.nms(boxes, scores, IOU)
        return detections(boxes[kept], scores[kept], [], [], image.width, image.height)


def yolox(engine: OnnxEngine) -> Callable[[Pixels], Found]:
    """Run YOLOX-nano: letterboxed at the top left, BGR from 0 to 255."""
    cells = np.concatenate([_cells(stride) for stride in STRIDES])
    steps = np.concatenate([np.full((len(_cells(s)), 1), s, np.float32) for s in STRIDES])

    def find(pixels: Pixels) -> Found:
        ratio = min(SIZE / side for side in pixels.shape[:2])
        height, width = (max(1, round(side * ratio)) for side in pixels.shape[:2])
        canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
        canvas[:height, :width] = resize(pixels, width, height)[..., ::-1]
        answer = engine.run(canvas.astype(np.float32).transpose(2, 0, 1)[None])[0][0]
        centres, half = (answer[:, :2] + cells) * steps, np.exp(answer[:, 2:4]) * steps / 2
        boxes = np.concatenate((centres - half, centres + half), axis=1) / ratio
        return boxes.astype(np.float32), answer[:, 4] * answer[:, 5 + PERSON]

    return find


def nanodet(engine: OnnxEngine) -> Callable[[Pixels], Found]:
    """Run NanoDet-g: stretched, RGB, with ImageNet normalisation."""
    normal = cv2.dnn.Image2BlobParams()
    normal.swapRB, normal.mean = True, (103.53, 116.28, 123.675)
    normal.scalefactor = 1 / 57.375, 1 / 57.12, 1 / 58.395

    def find(pixels: Pixels) -> Found:
        blob = cv2.dnn.blobFromImageWithParams(resize(pixels, SIZE, SIZE), normal)
        outputs = {output.shape[1:]: output[0] for output in engine.run(blob)}
        boxes, scores = zip(*(_nanodet_stride(outputs, s) for s in STRIDES), strict=True)
        height, width = pixels.shape[:2]
        scale = np.array((width, height, width, height), np.float32) / SIZE
        return (np.concatenate(boxes) * scale).astype(np.float32), np.concatenate(scores)

    return find


def _nanodet_stride(outputs: dict[tuple[int, ...], NDArray[np.float32]], stride: int) -> Found:
    cells = len(_cells(stride))
    weights = np.exp(outputs[cells, 4 * len(BINS)].reshape(-1, 4, len(BINS)))
    distances = stride * (weights @ BINS) / weights.sum(axis=2)
    centres = (_cells(stride) + 0.5) * stride
    boxes = np.concatenate((centres - distances[:, :2], centres + distances[:, 2:]), axis=1)
    return boxes.astype(np.float32), outputs[cells, 80][:, PERSON]


def _cells(stride: int) -> NDArray[np.float32]:
    """Return the columns and rows of a stride's cells, in row-major order: (n * n, 2)."""
    y, x = np.indices((SIZE // stride, SIZE // stride), np.float32)
    return np.stack((x.ravel(), y.ravel()), axis=1)


CANDIDATES = {"yolox-nano": (yolox, 0.25), "nanodet-g": (nanodet, 0.30)}
"""By prefix of the file name, with the score threshold for a precision of about 70 %."""


def open_candidate(file: Path) -> Candidate | None:
    """Return the candidate for a file; None if it is not one."""
    for name, (kind, score) in CANDIDATES.items():
        if file.name.startswith(name):
            return Candidate(name, kind(OnnxEngine(file)), score)
    return None
