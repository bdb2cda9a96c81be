"""Shared by the benchmarks: many small files, and scans with made-up predictions instead of a
model's."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image

from mivolo_cli.pipeline.options import InferenceOptions
from mivolo_cli.records import Box, Failure, Image, Person, Prediction, Result
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan.backend import Backend
from mivolo_cli.scan.local_backend import LocalBackend
from mivolo_cli.scan.options import Progress, ScanOptions
from mivolo_cli.scan.run import open_backend


def make_files(folder: Path, photos: int, folders: int, broken: int) -> None:
    """Write small PNG and JPEG files of 64 pictures into the folders; `broken` of them are
    truncated or not pictures."""
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
    """Encode a picture as PNG and as JPEG."""
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


class MadeUp(LocalBackend):
    """Predicts without a model, from the photo's brightness and its position in the part."""

    def open_components(self) -> Any:
        spec = SimpleNamespace(name="made up", to_metadata=lambda: {"mivolo": "made up"})
        return SimpleNamespace(
            predictor=SimpleNamespace(spec=spec),
            engine=SimpleNamespace(name="made up", int8_key=""),
            detector=SimpleNamespace(name="made up", sha256="0" * 64),
            model_sha256="1" * 64,
            min_size=None,
        )

    def results(self, images: Iterable[Image | Failure]) -> Iterator[Result | Failure]:
        places = count()
        for image in images:
            place = next(places)  # enumerate would hold the image while requesting the next one
            if isinstance(image, Failure):
                yield image
                continue
            age = float(np.float32(image.pixels.mean() / 4 + place / 1000))
            person, prediction = (
                Person(Box(1, 1, 20, 20, 0.5), None),
                Prediction(age, "male", 0.75, "face"),
            )
            people = [(person, prediction)] * (place % 3)
            result = Result(image.photo, image.width, image.height, image.taken_at, people)
            del image  # frees its memory for the next one
            yield result


def scan(
    paths: Sequence[Path],
    outputs: Sequence[Path],
    backend: Callable[[ScanOptions], Backend] = open_backend,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    **options: Any,
) -> Progress:
    """Scan with these fields of ScanOptions and InferenceOptions."""
    names = {option.name for option in fields(InferenceOptions)} & set(options)
    inference = InferenceOptions(**{name: options.pop(name) for name in names})
    asked = ScanOptions(paths, outputs, inference=inference, **options)
    return scanning.scan(asked, on_progress, backend)


def make_up(paths: Sequence[Path], outputs: Sequence[Path], **options: Any) -> Progress:
    """Scan with made-up predictions."""
    return scan(paths, outputs, MadeUp, **options)


if __name__ == "__main__":  # run as a program, to be timed or killed
    make_up([Path(sys.argv[1])], [Path(file) for file in sys.argv[2:]])
