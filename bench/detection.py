"""Measure how many faces and persons the detectors find in labelled photos, their false positives
and their cost.

Data are Parquet files with `image` (struct of `bytes`, `path`) and any of: `persons` (boxes x1, y1,
x2, y2, and `crowd`), `faces` (boxes), `face_points` (a labelled person's nose and eyes, each x, y
and `visible`). An empty list means that there is nobody, null that nothing is known.

    python bench/detection.py persons.parquet faces.parquet --detector embedded --json found.json

A face labelled by points counts as found if a box of plausible size contains the nose; its size is
three times the distance from the nose to the farther eye. Sizes are longer sides in pixels of the
photo. `judged` counts people passed to the age model on photos that show nobody. `--detector` takes
the values of `mivolo scan`, and the files of candidates.py.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pyarrow.parquet
from candidates import open_candidate
from numpy.typing import NDArray
from timing import show

from mivolo_cli import boxes as arithmetic
from mivolo_cli.detect.detector import Detector
from mivolo_cli.detect.load import open_detector
from mivolo_cli.pipeline.crops import cut
from mivolo_cli.pipeline.pair import pair
from mivolo_cli.records import Boxes, Detections, Image, Photo

PERSON_IOU, FACE_IOU = 0.5, 0.4
EDGES = (0, 16, 32, 64, 128, 256, 100_000)
IN_CROWD = 0.5
"""Minimum share of a person's box inside a crowd's at which the person is ignored."""
LARGEST_FACE = 12
"""In multiples of the distance from the nose to the eye."""
MODEL_SIZE = 112


@dataclass
class Count:
    """Counts of found and labelled objects by size, and of false positives."""

    found: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    labelled: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    wrong: int = 0

    def add(self, sizes: NDArray[np.float32], found: NDArray[np.bool_], wrong: int = 0) -> None:
        for size, seen in zip(sizes, found, strict=True):
            edge = max(edge for edge in EDGES if edge <= size)
            self.labelled[edge] += 1
            self.found[edge] += int(seen)
        self.wrong += wrong

    def recall(self, min_size: int = 0, most: int = EDGES[-1]) -> float | None:
        labelled = sum(count for edge, count in self.labelled.items() if min_size <= edge < most)
        found = sum(count for edge, count in self.found.items() if min_size <= edge < most)
        return 100 * found / labelled if labelled else None

    @property
    def precision(self) -> float | None:
        found = sum(self.found.values())
        return 100 * found / (found + self.wrong) if found + self.wrong else None


@dataclass
class Score:
    """The counts for one detector."""

    persons: Count = field(default_factory=Count)
    faces: Count = field(default_factory=Count)
    clear_faces: Count = field(default_factory=Count)
    photos: int = 0
    empty_photos: int = 0
    judged: int = 0
    seconds: float = 0

    def add(self, row: dict[str, Any], image: Image, detector: Detector) -> None:
        started = time.process_time()
        (found,) = detector.detect([image])
        self.seconds += time.process_time() - started
        self.photos += 1
        if row.get("persons") is not None:
            self._add_persons(row["persons"], found)
        if row.get("faces") is not None:
            _match(self.faces, found.faces, _boxes(row["faces"]), FACE_IOU)
        if row.get("face_points") is not None:
            self._add_points(row["face_points"], found)
        if row.get("persons") == []:
            self.empty_photos += 1
            self.judged += sum(
                crops.used is not None for crops in cut(image.pixels, pair(found), MODEL_SIZE)
            )

    def _add_persons(self, labels: list[dict[str, Any]], found: Detections) -> None:
        crowds = _boxes([label for label in labels if label["crowd"]])
        truth = _boxes([label for label in labels if not label["crowd"]])
        share = (
            arithmetic.intersection(found.persons, crowds) / arithmetic.area(found.persons)[:, None]
        )
        _match(
            self.persons,
            found.persons,
            truth,
            PERSON_IOU,
            np.asarray((share > IN_CROWD).any(axis=1)),
        )

    def _add_points(self, people: list[list[dict[str, Any]]], found: Detections) -> None:
        sides = (found.faces[:, 2:] - found.faces[:, :2]).max(axis=1, initial=0)
        for points in people:
            seen_points = [
                np.array((p["x"], p["y"]), np.float32) for p in points[:3] if p["visible"]
            ]
            if len(seen_points) < 2 or not points[0]["visible"]:
                continue
            nose, *eyes = seen_points
            distance = max(float(np.linalg.norm(eye - nose)) for eye in eyes)
            holds = ((found.faces[:, :2] <= nose) & (nose <= found.faces[:, 2:])).all(axis=1)
            seen = (holds & (sides < LARGEST_FACE * max(distance, 2))).any()
            self.clear_faces.add(np.array([3 * distance]), np.array([seen]))

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Return a row for all sizes, and one for each size."""
        sizes = [(0, EDGES[-1]), *zip(EDGES, EDGES[1:], strict=False), (64, EDGES[-1])]
        for min_size, most in sizes:
            label = (
                "all"
                if most - min_size == EDGES[-1]
                else f"{min_size}-{most}"
                if most < EDGES[-1]
                else f"{min_size}-"
            )
            yield {
                "detector": name,
                "size": label,
                "persons %": self.persons.recall(min_size, most),
                "faces %": self.faces.recall(min_size, most),
                "clear faces %": self.clear_faces.recall(min_size, most),
                "clear faces": sum(
                    n for edge, n in self.clear_faces.labelled.items() if min_size <= edge < most
                ),
            }

    def summary(self, name: str) -> dict[str, Any]:
        return {
            "detector": name,
            "person precision %": self.persons.precision,
            "face precision %": self.faces.precision,
            "judged": self.judged,
            "empty photos": self.empty_photos,
            "core-ms a photo": 1000 * self.seconds / max(self.photos, 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path, help="Parquet files")
    parser.add_argument(
        "--detector", action="append", help="name, weights, or candidate; repeatable"
    )
    parser.add_argument("--precision", default="auto", help="of the embedded detectors")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    scores = {
        name: measure(name, arguments.data, arguments.precision)
        for name in arguments.detector or ["embedded"]
    }
    show([row for name, score in scores.items() for row in score.rows(name)], None)
    print()
    show([score.summary(name) for name, score in scores.items()], None)
    if arguments.json:
        found = {
            name: {**score.summary(name), "sizes": [*score.rows(name)]}
            for name, score in scores.items()
        }
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


def measure(name: str, data: list[Path], precision: str = "auto") -> Score:
    """Return the score of a detector on the photos in these files."""
    detector = open_candidate(Path(name)) or open_detector(name, precision=precision)
    detector.detect([Image(Photo("", ""), np.zeros((480, 640, 3), np.uint8))])
    score = Score()
    for file in data:
        for row in pyarrow.parquet.read_table(file).to_pylist():
            picture = PIL.Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
            score.add(row, Image(Photo("", row["image"]["path"]), np.array(picture)), detector)
    return score


def _boxes(labels: list[dict[str, Any]]) -> Boxes:
    corners = [[label[name] for name in ("x1", "y1", "x2", "y2")] for label in labels]
    return np.array(corners, np.float32).reshape(-1, 4)


def _match(
    count: Count,
    found: Boxes,
    truth: Boxes,
    min_iou: float,
    ignored: NDArray[np.bool_] | None = None,
) -> None:
    """Match each found box, best first, with the unmatched labelled box that it overlaps most."""
    overlaps = arithmetic.iou(found, truth)
    taken = np.zeros(len(truth), bool)
    right = np.zeros(len(found), bool)
    for index, overlap in enumerate(overlaps):
        free = np.where(taken, 0, overlap)
        if free.max(initial=0) >= min_iou:
            right[index] = taken[free.argmax()] = True
    wrong = ~right if ignored is None else ~right & ~ignored
    count.add((truth[:, 2:] - truth[:, :2]).max(axis=1, initial=0), taken, int(wrong.sum()))


if __name__ == "__main__":
    main()
