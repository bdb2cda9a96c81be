"""Checkpoints of ultralytics, made in a process of their own: the library changes the one that
imports it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MAKE = """
import sys
import torch
from ultralytics import YOLO
from ultralytics.nn.tasks import DetectionModel

torch.set_num_threads(1)
torch.manual_seed(0)
kind, file = sys.argv[1:]
model = YOLO(kind)
model.model = DetectionModel(kind, nc=2, verbose=False)
model.model.names = {0: "person", 1: "face"}
model.save(file)
"""


def save_checkpoint(file: Path, kind: str = "yolov8n.yaml") -> Path:
    """A small detector of persons and faces with seeded random weights, as ultralytics saves it."""
    quiet = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
    environment = {**os.environ, **quiet, "YOLO_CONFIG_DIR": str(file.parent)}
    command = [sys.executable, "-c", MAKE, kind, str(file)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return file
