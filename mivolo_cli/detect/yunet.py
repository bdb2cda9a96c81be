"""YuNet-n: face detection with five landmarks each, at any image size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import boxes as arithmetic
from ..model.registry import find
from ..records import Boxes, Pixels, Points
from ..runtime.openvino_engine import OnnxEngine
from .resize import halve, resize

NAME = "yunet-n"
FILE = f"{NAME}.onnx"
STRIDES = (8, 16, 32)
IOU = 0.45
"""Boxes with a higher IoU are the same face; as published."""
LOWEST_SCORE = 0.3
"""Candidates that score lower are discarded."""
CLOSER_SIZE = 160
"""Side in pixels of a close-up: the network tells faces from other things best at 80 pixels."""
REACH = 0.75
"""Half the side of the region cropped around a turned square, as a share of the square's side."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Boxes (n, 4) and points (n, 5, 2) in pixels (see Detections.points) and scores (n,), all
    float32, best first."""

    boxes: Boxes
    scores: NDArray[np.float32]
    points: Points

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, kept: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Faces:
        """Return the faces selected by a mask, indices or a slice."""
        return Faces(self.boxes[kept], self.scores[kept], self.points[kept])

    def scaled(self, factor: float) -> Faces:
        """Scale boxes and points to a picture this many times as large."""
        return Faces(self.boxes * factor, self.scores, self.points * factor)

    @staticmethod
    def merge(parts: Sequence[Faces]) -> Faces:
        """Merge the faces of several passes, keeping the best score of duplicates."""
        boxes = np.concatenate([part.boxes for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        points = np.concatenate([part.points for part in parts])
        return Faces(boxes, scores, points)[arithmetic.nms(boxes, scores, IOU)]


class YuNet:
    """Face detector; uses the weights shipped with the package unless given a file."""

    def __init__(self, file: Path | None = None, precision: str = "fp32") -> None:
        self.file = file or find(NAME)
        self._engine = OnnxEngine(self.file, precision=precision)
        closer = (1, 3, CLOSER_SIZE, CLOSER_SIZE)
        self._closer = OnnxEngine(self.file, precision=precision, shape=closer)

    def find(self, pixels: Pixels, scale: float) -> Faces:
        """Detect faces in pixels (height, width, 3) RGB, resized by this factor for the network.

        Detection works best on faces of 10 to 300 pixels after resizing.
        """
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        bottom, right = -height % STRIDES[-1], -width % STRIDES[-1]
        resized = resize(pixels, width, height)
        padded = cv2.copyMakeBorder(resized, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        engine = self._closer if padded.shape[:2] == (CLOSER_SIZE, CLOSER_SIZE) else self._engine
        outputs = engine.run(cv2.dnn.blobFromImage(padded, swapRB=True))
        faces = self._decode(outputs, padded.shape[1])
        factor = np.array((pixels.shape[1] / width, pixels.shape[0] / height), np.float32)
        return Faces(faces.boxes * np.tile(factor, 2), faces.scores, faces.points * factor)

    def find_around(
        self, pixels: Pixels, centre: tuple[float, float], side: float, degrees: float = 0
    ) -> Faces:
        """Detect faces in a square of the pixels, which may extend beyond them.

        The square is turned about its centre so that a head leaning clockwise by this many degrees
        becomes upright. The boxes returned are not turned: the network's boxes are moved to the
        centres in the original picture.
        """
        (x, y), reach = centre, REACH * side
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        part = pixels[top : max(top + 1, int(y + reach)), left : max(left + 1, int(x + reach))]
        shrunk = 1.0
        while shrunk * side >= 2 * CLOSER_SIZE and min(part.shape[:2]) > 1:
            part, shrunk = halve(part), shrunk / 2  # turning would skip pixels
        middle = (x - left) * shrunk, (y - top) * shrunk
        turn = cv2.getRotationMatrix2D(middle, degrees, CLOSER_SIZE / side / shrunk)
        turn[:, 2] += CLOSER_SIZE / 2 - np.array(middle)
        found = self.find(cv2.warpAffine(part, turn, (CLOSER_SIZE, CLOSER_SIZE)), 1)
        back = cv2.invertAffineTransform(turn).astype(np.float32)
        places = np.concatenate((found.points, arithmetic.centre(found.boxes)[:, None]), axis=1)
        places = (places @ back[:, :2].T + back[:, 2]) / shrunk + np.array((left, top))  # n, 6, 2
        half = (found.boxes[:, 2:] - found.boxes[:, :2]) / 2 * side / CLOSER_SIZE
        boxes = np.concatenate((places[:, 5] - half, places[:, 5] + half), axis=1)
        return Faces(boxes.astype(np.float32), found.scores, places[:, :5].astype(np.float32))

    def _decode(self, outputs: Sequence[NDArray[np.float32]], width: int) -> Faces:
        """Decode faces in pixels of an input of this width; outputs are classes, objects, boxes,
        points by stride."""
        parts = []
        for index, stride in enumerate(STRIDES):
            classes, objects, offsets, points = (
                output[0] for output in outputs[index :: len(STRIDES)]
            )
            scores = np.sqrt(classes[:, 0].clip(0, 1) * objects[:, 0].clip(0, 1))
            likely = np.flatnonzero(scores > LOWEST_SCORE)
            y, x = np.divmod(likely, width // stride)
            cells = np.stack((x, y), axis=1).astype(np.float32)
            centres, half = (
                (cells + offsets[likely, :2]) * stride,
                np.exp(offsets[likely, 2:]) * stride / 2,
            )
            boxes = np.concatenate((centres - half, centres + half), axis=1)
            parts.append(
                Faces(
                    boxes,
                    scores[likely],
                    (cells[:, None] + points[likely].reshape(-1, 5, 2)) * stride,
                )
            )
        return Faces.merge(parts)
