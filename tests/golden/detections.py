"""Make detections.json: what the shipped networks find on the photos of ultralytics, without
mivolo.

    pip install numpy opencv-python onnxruntime
    python tests/golden/detections.py weights FOLDER_OF_THE_PHOTOS > tests/golden/detections.json

YuNet sees the photo at half its size, padded to multiples of 32, and DEIMv2 sees it at 416 x 416.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

Numbers = np.ndarray[Any, Any]


def suppress(boxes: Numbers, scores: Numbers, threshold: float) -> list[int]:
    order = np.argsort(-scores)
    kept: list[int] = []
    for i in order:
        overlaps = []
        for j in kept:
            x1, y1 = np.maximum(boxes[i, :2], boxes[j, :2])
            x2, y2 = np.minimum(boxes[i, 2:], boxes[j, 2:])
            shared = max(x2 - x1, 0) * max(y2 - y1, 0)
            areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (boxes[i], boxes[j])]
            overlaps.append(shared / (sum(areas) - shared))
        if not overlaps or max(overlaps) <= threshold:
            kept.append(i)
    return kept


def faces(session: onnxruntime.InferenceSession, bgr: Numbers) -> Numbers:
    height, width = bgr.shape[0] // 2, bgr.shape[1] // 2
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.float32)
    padded[:height, :width] = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_AREA)
    names = [output.name for output in session.get_outputs()]
    outputs = dict(
        zip(names, session.run(None, {"input": padded.transpose(2, 0, 1)[None]}), strict=True)
    )
    rows = []
    for stride in (8, 16, 32):
        columns = padded.shape[1] // stride
        scores = np.sqrt(outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0])
        for cell in np.flatnonzero(scores > 0.6):
            place = np.array([cell % columns, cell // columns])
            offset = outputs[f"bbox_{stride}"][0, cell]
            centre, side = (place + offset[:2]) * stride, np.exp(offset[2:]) * stride
            points = (place + outputs[f"kps_{stride}"][0, cell].reshape(5, 2)) * stride
            rows.append(
                np.concatenate(
                    [centre - side / 2, centre + side / 2, [scores[cell]], points.ravel()]
                )
            )
    found = np.array(rows)
    found = found[suppress(found[:, :4], found[:, 4], 0.45)]
    found[:, [0, 1, 2, 3, *range(5, 15)]] *= 2
    return found


def persons(session: onnxruntime.InferenceSession, bgr: Numbers) -> Numbers:
    height, width = bgr.shape[:2]
    pixels = cv2.resize(bgr, (416, 416), interpolation=cv2.INTER_AREA)[..., ::-1].transpose(
        2, 0, 1
    )[None]
    size = np.array([[width, height]], np.int64)
    inputs = {"images": (pixels / 255).astype(np.float32), "orig_target_sizes": size}
    labels, boxes, scores = (output[0] for output in session.run(None, inputs))
    likely = (labels == 0) & (scores > 0.6)
    boxes, scores = boxes[likely], scores[likely]
    kept = suppress(boxes, scores, 0.5)
    return np.concatenate([boxes, scores[:, None]], axis=1)[kept]


if __name__ == "__main__":
    weights, photos = map(Path, sys.argv[1:])
    yunet, deim = (
        onnxruntime.InferenceSession(weights / name, providers=["CPUExecutionProvider"])
        for name in ("yunet-n.onnx", "deimv2-femto-416.onnx")
    )
    golden = {}
    for name in ("bus.jpg", "zidane.jpg"):
        bgr = cv2.imread(str(photos / name))
        assert bgr is not None
        golden[name] = {
            "height": bgr.shape[0],
            "width": bgr.shape[1],
            "faces": faces(yunet, bgr).round(3).tolist(),
            "persons": persons(deim, bgr).round(3).tolist(),
        }
    print(json.dumps(golden))
