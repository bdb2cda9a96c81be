"""Open a detector by name or by its weights file."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..model import registry
from ..runtime.device import each_gpu
from .detector import YOLO_SUFFIXES, Detector, SharedDetector

NAMES = ("embedded", "given", "yolo", "retinaface")
RETINAFACE_SUFFIXES = (".pth",)


def open_detector(
    name_or_path: str,
    *,
    boxes: Path | None = None,
    weights: Path | None = None,
    device: str = "cpu",
    engine: str = "auto",
    precision: str = "fp32",
    face_score: float | None = None,
    person_score: float | None = None,
) -> Detector:
    """Open a detector by its name, or by the name or path of its weights.

    `boxes` is the table for `given`; `weights` replaces the registered file of `yolo` and
    `retinaface`; `device` is a PyTorch device or several GPUs (see device.each_gpu); `engine` is as
    for an age model; `precision` applies to embedded (bf16 for all but fp32, where supported) and
    to yolo in OpenVINO (fp32 for auto and int8). `face_score` and `person_score` (0 to 1) are
    minimum scores; None means the detector's defaults. `given` ignores them and returns all boxes.
    Raises BadInput or WeightsError. No pickle is opened unless it is trusted.
    """
    limits = {"face_score": face_score, "person_score": person_score}
    chosen: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    name = name_or_path
    if name not in NAMES:
        weights = _weights(name_or_path)
        name = _reader(weights)
    if name == "given":
        if boxes is None:
            raise BadInput(
                "the detector `given` needs a table of boxes",
                hint="add --boxes FILE (CSV or Parquet)",
            )
        from .given import GivenDetector

        return GivenDetector(boxes)
    if boxes is not None:
        raise BadInput(
            f"the detector {name!r} does not take a table of boxes", hint="use --detector given"
        )
    if name == "embedded":
        from .embedded import EmbeddedDetector

        return EmbeddedDetector(precision=precision, **chosen)
    of_gpus: list[Detector] = [
        _open(name, weights, gpu, engine, precision, chosen) for gpu in each_gpu(device)
    ]
    return of_gpus[0] if len(of_gpus) == 1 else SharedDetector(of_gpus)


def _open(
    name: str,
    weights: Path | None,
    device: str,
    engine: str,
    precision: str,
    limits: dict[str, Any],
) -> Detector:
    if name == "yolo":
        from .yolo import YoloDetector

        return YoloDetector(weights, device, engine, precision, **limits)
    from .retinaface import RetinaFaceDetector

    return RetinaFaceDetector(weights, device, engine, **limits)


def _weights(name_or_path: str) -> Path:
    """Return the weights file of a detector. Raises BadInput if neither such a name nor such a file
    exists."""
    path = Path(name_or_path)
    if path.exists():
        return path
    entry = registry.known().get(name_or_path)
    if entry is not None and entry.kind == "detector" and not entry.embedded:
        return registry.find(name_or_path)
    if path.suffix or path.name != name_or_path:
        raise BadInput(
            f"no such detector file: {path}", hint="check the path, or use --detector embedded"
        )
    near = difflib.get_close_matches(name_or_path, NAMES, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"use {', '.join(NAMES)} or the path of a detector's weights"
    )
    raise BadInput(f"unknown detector: {name_or_path!r}", hint=hint)


def _reader(weights: Path) -> str:
    """Return the name of the detector that reads this type of weights. Raises BadInput if none
    does."""
    if weights.name.lower().endswith(YOLO_SUFFIXES):
        return "yolo"
    if weights.name.lower().endswith(RETINAFACE_SUFFIXES):
        return "retinaface"
    known = ", ".join((*YOLO_SUFFIXES, *RETINAFACE_SUFFIXES))
    raise BadInput(f"{weights} is not a detector", hint=f"the weights of detectors end in {known}")
