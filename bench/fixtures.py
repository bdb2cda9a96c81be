"""What the measurements share: many small files, and scans whose answers are made up in place of a
model's."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image

from mivolo_cli.records import Box, Failure, Image, Person, Prediction, Result
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan.options import Progress, ScanOptions


def make_files(folder: Path, photos: int, folders: int, broken: int) -> None:
    """Small PNG and JPEG files spread over the folders, no two alike; `broken` of them are cut or
    are no picture."""
    contents = [encode(number) for number in range(64)]
    for number in range(photos):
        name, content = (
            ("png", contents[number % 64][0]) if number % 2 else ("jpg", contents[number % 64][1])
        )
        if broken and number % (photos // broken) == 0:
            content = (content[: len(content) // 2], b"no picture", b"")[number % 3]
        file = folder / f"{number % folders:04}" / f"{number:07}.{name}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def encode(number: int) -> tuple[bytes, bytes]:
    """A picture as PNG and as JPEG."""
    pixels = (
        np.random.default_rng(number)
        .integers(0, 255, (6, 8, 3), np.uint8)
        .repeat(8, 0)
        .repeat(8, 1)
    )
    coded = []
    for name in ("PNG", "JPEG"):
        PIL.Image.fromarray(pixels).save(buffer := io.BytesIO(), name)
        coded.append(buffer.getvalue())
    return coded[0], coded[1]


def made_up_results() -> None:
    """From now on scans answer without a model: by the photo's brightness and its place in the
    part."""
    scanning.open_tools, scanning.results = _open_tools, _results


def scan(paths: Sequence[Path], outputs: Sequence[Path], **options: Any) -> Progress:
    return scanning.scan(ScanOptions(paths, outputs, **options))


def _open_tools(options: ScanOptions) -> Any:
    spec = SimpleNamespace(name="made up", to_metadata=lambda: {"mivolo": "made up"})
    detector = SimpleNamespace(name="made up", sha256="0" * 64, notes=[])
    predictor, engine = SimpleNamespace(spec=spec), SimpleNamespace(notes=[])
    return SimpleNamespace(
        predictor=predictor, engine=engine, detector=detector, model_sha256="1" * 64, notes=[]
    )


def _results(
    images: Iterable[Image | Failure], options: ScanOptions, tools: Any
) -> Iterator[Result | Failure]:
    for place, image in enumerate(images):
        if isinstance(image, Failure):
            yield image
            continue
        age = float(np.float32(image.pixels.mean() / 4 + place / 1000))
        people = [(Person(Box(1, 1, 20, 20, 0.5), None), Prediction(age, "male", 0.75, "face"))] * (
            place % 3
        )
        yield Result(image.photo, image.width, image.height, image.taken_at, people)


if __name__ == "__main__":  # a whole program, for its time or to be killed
    made_up_results()
    scan([Path(sys.argv[1])], [Path(file) for file in sys.argv[2:]])
