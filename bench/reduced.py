"""Check that ages and genders are as accurate when large JPEGs are decoded at reduced size, as in a
scan.

    python bench/reduced.py faces-val.parquet [--photos 200]

Labelled faces are upscaled and pasted in pairs into generated photos of 12 megapixels; each photo
is processed at full and at reduced size. Faces found both ways are compared. The interval of the
difference in MAE is bootstrapped over faces.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
from timing import show

from mivolo_cli.datasets import read_samples
from mivolo_cli.datasets.sample import Sample
from mivolo_cli.detect.detector import Detector
from mivolo_cli.detect.load import open_detector
from mivolo_cli.photos import decode
from mivolo_cli.photos.opening import MinSize
from mivolo_cli.pipeline import stages
from mivolo_cli.pipeline.predict import Predictor
from mivolo_cli.records import Photo, Prediction, Result
from mivolo_cli.runtime.load import open_model

WIDTH, HEIGHT = 4000, 3000
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--model", default="mivolo-xs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    samples = list(read_samples([options.faces]))
    chosen = samples[:: max(1, len(samples) // (2 * options.photos))][: 2 * options.photos]
    engine, spec = open_model(options.model, "cpu")
    predictor, detector = Predictor(engine, spec), open_detector("embedded")
    truths, whole, reduced = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.photos):
            pair = chosen[2 * number : 2 * number + 2]
            file = Path(folder) / "photo.jpg"
            places = make_photo(file, pair, number)
            answers = [
                predict_at(file, min_size, detector, predictor, places)
                for min_size in (None, stages.MIN_SIZE)
            ]
            for sample, full, part in zip(pair, *answers, strict=True):
                if full and part and sample.label.age is not None:
                    truths.append((sample.label.age, sample.label.gender))
                    whole.append(full)
                    reduced.append(part)
    report(truths, whole, reduced, options)


def make_photo(file: Path, pair: list[Sample], seed: int) -> list[float]:
    """Write a JPEG with a person in each half; return their horizontal centres, as fractions of the
    width."""
    rng = np.random.default_rng(seed)
    ground = PIL.Image.fromarray(rng.integers(60, 200, (6, 8, 3), np.uint8)).resize((WIDTH, HEIGHT))
    places = []
    for left, sample in zip((0, WIDTH // 2), pair, strict=True):
        side = int(rng.integers(500, 1700))
        x, y = left + int(rng.integers(WIDTH // 2 - side)), int(rng.integers(HEIGHT - side))
        face = PIL.Image.fromarray(sample.pixels()).resize(
            (side, side), PIL.Image.Resampling.LANCZOS
        )
        ground.paste(face, (x, y))
        places.append((x + side / 2) / WIDTH)
    noise = rng.normal(0, 3, (HEIGHT, WIDTH, 1))
    PIL.Image.fromarray(
        (np.asarray(ground, np.float32) + noise).clip(0, 255).astype(np.uint8)
    ).save(file, quality=90)
    return places


def predict_at(
    file: Path,
    min_size: MinSize | None,
    detector: Detector,
    predictor: Predictor,
    places: list[float],
) -> list[Prediction | None]:
    """Return the prediction for the face nearest to each place; None if none is near."""
    photo = Photo(str(file.parent), file.name)
    size = predictor.spec.input_size
    seen = stages.detect_people(
        [decode.decode(photo, min_size)], detector, size, "face", decode=decode.decode
    )
    (result,) = stages.predict(seen, predictor)
    assert isinstance(result, Result)
    found = dict(faces(result))

    def nearest(place: float) -> float:
        return min(found, key=lambda x: abs(x - place), default=-1.0)

    near = [nearest(place) for place in places]
    return [
        found[x] if abs(x - place) < 0.1 else None for x, place in zip(near, places, strict=True)
    ]


def faces(result: Result) -> Iterator[tuple[float, Prediction | None]]:
    for person, prediction in result.people:
        if person.face is not None:
            yield (person.face.x1 + person.face.x2) / 2 / WIDTH, prediction


def report(
    truths: list[tuple[float, str | None]],
    whole: list[Prediction],
    reduced: list[Prediction],
    options: argparse.Namespace,
) -> None:
    ages = np.array([age for age, _ in truths])
    misses = {}
    rows = []
    for name, found in (("whole", whole), ("reduced", reduced)):
        misses[name] = np.abs(np.array([prediction.age for prediction in found]) - ages)
        right = [
            prediction.gender == gender
            for prediction, (_, gender) in zip(found, truths, strict=True)
        ]
        row = {"decoded": name, "faces": len(ages), "MAE": float(misses[name].mean())}
        rows.append(
            row | {"CS@5": float((misses[name] <= 5).mean()), "gender": float(np.mean(right))}
        )
    show(rows, options.json)
    worse = misses["reduced"] - misses["whole"]
    rng = np.random.default_rng(0)
    means = [rng.choice(worse, len(worse)).mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    moved = np.abs([(a.age or 0) - (b.age or 0) for a, b in zip(whole, reduced, strict=True)])
    print(f"MAE reduced less MAE whole: {worse.mean():+.2f} years ({low:+.2f} to {high:+.2f})")
    print(
        f"an age moves by {moved.mean():.2f} years on average, {np.median(moved):.2f} in the middle"
    )


if __name__ == "__main__":
    main()
