"""How good the embedded model is as users run it: `mivolo scan` over labelled pictures, then `mivolo eval`.

    python bench/accuracy.py faces-val.parquet bodies-val.parquet

Faces are scanned as photos with the default detectors; bodies with the whole picture as given person box.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mivolo_cli.datasets import Sample, read_samples


def main(files: Sequence[str]) -> None:
    if not files:
        sys.exit(__doc__)
    for file in files:
        samples = read_samples([Path(file)])
        for crop in sorted({sample.crop for sample in samples}):
            measure(file, crop, [sample for sample in samples if sample.crop == crop])


def measure(file: str, crop: str, samples: Sequence[Sample]) -> None:
    with tempfile.TemporaryDirectory() as place:
        photos, table = Path(place, "photos"), Path(place, "people.parquet")
        for sample in samples:
            target = photos / sample.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(sample.encoded)
        boxes = [] if crop == "face" else ["--boxes", str(write_boxes(samples, Path(place, "boxes.csv")))]
        mivolo("scan", str(photos), "-o", str(table), *boxes)
        mivolo("eval", file, "--predictions", str(table))


def write_boxes(samples: Sequence[Sample], file: Path) -> Path:
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("path", "kind", "x1", "y1", "x2", "y2"))
        for sample in samples:
            height, width = sample.pixels().shape[:2]
            writer.writerow((sample.name, "person", 0, 0, width, height))
    return file


def mivolo(*arguments: str) -> None:
    command = [sys.executable, "-m", "mivolo_cli", *arguments]
    print("$ mivolo", *arguments, flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
