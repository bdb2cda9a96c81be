"""Compare the photos per second of a whole scan with a plain loop, in the same run.

    python bench/scan.py [--photos 96] [--megapixels 12] [--loop 8] [--json scan.json]

The plain loop decodes each photo at full size, detects people, and runs MiVOLO photo by photo, in
PyTorch at fp32, with the same weights. Both are run with the embedded detectors and model, and with
YOLOv8x and mivolo_d1 (random weights; people are those that the embedded detector finds, so that
both sides do the same work). Runs alternate several times, and medians are reported. The
core-seconds of the stages are measured one stage at a time; their sum divided by the number of
cores is the minimum time of a scan.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stages import measure
from timing import make_scenes, random_model, show

from mivolo_cli.detect import yolo
from mivolo_cli.detect.load import open_detector
from mivolo_cli.photos import decode
from mivolo_cli.pipeline.crops import cut
from mivolo_cli.pipeline.options import InferenceOptions
from mivolo_cli.pipeline.pair import pair
from mivolo_cli.pipeline.predict import Predictor
from mivolo_cli.records import Detections, Image, Photo
from mivolo_cli.runtime.load import open_model
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan.local_backend import LocalBackend
from mivolo_cli.scan.options import ScanOptions

EMBEDDED = "mivolo-xs"


class RandomYolo:
    """Does the work of YOLOv8x, but returns what the embedded detector found, since random weights
    find nobody."""

    name, sha256 = "random yolov8x", "0" * 64

    def __init__(
        self, file: Path, seen: dict[str, Detections], engine: str = "auto", precision: str = "fp32"
    ) -> None:
        self._yolo = yolo.YoloDetector(file, engine=engine, precision=precision)
        self.batch, self.streams = self._yolo.batch, self._yolo.streams
        self._seen = seen

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        self._yolo.detect(images)
        return [scaled(self._seen[image.photo.path], image.width, image.height) for image in images]


def detect_all(files: Sequence[Path]) -> dict[str, Detections]:
    """Return the embedded detector's detections by photo, as fractions of width and height."""
    detector, seen = open_detector("embedded"), {}
    for file in files:
        image = decode.decode(Photo(str(file.parent), file.name))
        seen[file.name] = scaled(detector.detect([image])[0], 1 / image.width, 1 / image.height)
    return seen


def scaled(found: Detections, x: float, y: float) -> Detections:
    by = np.array((x, y, x, y), np.float32)
    return replace(found, persons=found.persons * by, faces=found.faces * by, upscaled=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--loop", type=int, default=8, help="photos of the plain loops")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often everything is run, for medians"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = make_scenes(folder / "photos", options.photos, options.megapixels)
        few = files[: options.loop]
        d1 = str(random_model(folder, "mivolo_d1_224"))
        weights = random_yolo(folder)
        seen = detect_all(few)
        plain, large = RandomYolo(weights, seen, "torch"), RandomYolo(weights, seen)
        rounded = RandomYolo(weights, seen, precision="bf16")
        embedded = open_detector("embedded")
        works: dict[str, tuple[Sequence[Path], Callable[[], float]]] = {
            "scan, embedded": (files, lambda: scan(files)),
            "loop, embedded": (few, lambda: plain_loop(few, embedded, EMBEDDED)),
            "scan, YOLOv8x and d1": (few, lambda: scan(few, large, d1)),
            "loop, YOLOv8x and d1": (few, lambda: plain_loop(few, plain, d1)),
            "scan in bf16, YOLOv8x and d1": (few, lambda: scan(few, rounded, d1, "bf16")),
        }
        rounds = [[work() for _, work in works.values()] for _ in range(options.rounds)]
        medians = [statistics.median(taken) for taken in zip(*rounds, strict=True)]
        rows = [
            row(what, taken, len(of))
            for (what, (of, _)), taken in zip(works.items(), medians, strict=True)
        ]
        show(rows, options.json)
        pace = [entry["photos/s"] for entry in rows]
        print(f"embedded scan / embedded loop: {pace[0] / pace[1]:.2f} (wanted: 2)")
        print(f"embedded scan / loop with YOLOv8x and d1: {pace[0] / pace[3]:.1f} (wanted: 15)")
        print(f"scan / loop, both with YOLOv8x and d1: {pace[2] / pace[3]:.2f} (wanted: 2.5)")
        print(
            "scan in bf16 / loop in fp32, both with YOLOv8x and d1:"
            f" {pace[4] / pace[3]:.2f} (wanted: 2.5)"
        )
        stages = measure(files[:32])
        limit = 1000 * (os.cpu_count() or 1) / stages["all stages"]
        show([{"stage": name, "core-ms a photo": value} for name, value in stages.items()], None)
        print(
            f"limit {limit:.1f} photos/s;"
            f" the scan reaches {pace[0] / limit:.0%} of it (wanted: 70 %)"
        )


def row(what: str, seconds: float, count: int) -> dict[str, Any]:
    return {"what": what, "photos": count, "seconds": seconds, "photos/s": count / seconds}


def scan(
    files: Sequence[Path], detector: Any = None, model: str = EMBEDDED, precision: str = "auto"
) -> float:
    """Return the seconds of a scan after loading; `detector` can replace the embedded one."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "people.csv")
        names = [file.name for file in files]
        inference = InferenceOptions(model=model, precision=precision)
        options = ScanOptions([files[0].parent], [table], inference=inference, include=names)
        opened = LocalBackend(options)
        if detector is not None:
            opened.components = replace(opened.components, detector=detector)
        started = time.perf_counter()
        progress = scanning.scan(options, backend=lambda _: opened)
        taken = time.perf_counter() - started
        assert progress.photos == len(files) and progress.people >= len(files), progress
        return taken


def plain_loop(files: Sequence[Path], detector: Any, model: str) -> float:
    engine, spec = open_model(model, "cpu", engine="torch")
    predictor = Predictor(engine, spec)
    started = time.perf_counter()
    for file in files:
        image = decode.decode(Photo(str(file.parent), file.name))
        people = pair(detector.detect([image])[0])
        predictor.predict(cut(image.pixels, people, spec.input_size))
    return time.perf_counter() - started


def random_yolo(folder: Path) -> Path:
    """Create a YOLOv8x with the published model's classes; it is trusted, since it is made here."""
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true", YOLO_VERBOSE="false")
    from ultralytics.nn.tasks import DetectionModel

    network = DetectionModel("yolov8x.yaml", nc=2, verbose=False)
    network.names = {0: "person", 1: "face"}
    file = folder / "yolov8x.pt"
    torch.save({"model": network.half(), "train_args": {}}, file)
    yolo.require_trusted_pickle = lambda file: None
    return file


if __name__ == "__main__":
    main()
