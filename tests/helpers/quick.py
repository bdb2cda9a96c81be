"""A scan without a model: what is said of a person shows the photo, and its place in the run that
it was done in."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from helpers.scans import scan_options
from mivolo_cli.records import Box, Failure, Image, Person, Prediction, Result
from mivolo_cli.scan import store
from mivolo_cli.scan.local_backend import LocalBackend
from mivolo_cli.scan.run import scan


class QuickBackend(LocalBackend):
    """Decodes as a scan does; greys become ages."""

    def open_components(self) -> Any:
        model = self.options.inference.model
        spec = SimpleNamespace(name="quick", to_metadata=lambda: {"mivolo": model}, input_size=32)
        return SimpleNamespace(
            predictor=SimpleNamespace(spec=spec),
            engine=SimpleNamespace(name="quick", int8_key=""),
            detector=SimpleNamespace(name="quick", sha256="0" * 64),
            model_sha256="1" * 64,
            min_size=None,
            level=False,
        )

    def results(self, images: Iterable[Image | Failure]) -> Iterator[Result | Failure]:
        for place, image in enumerate(images):
            if isinstance(image, Failure):
                yield image
                continue
            grey = float(image.pixels.mean().round())
            person = Person(Box(1, 2, 30, 40, 0.5), None)
            people = [(person, Prediction(grey + place / 1000, "female", 0.75, "face"))] * (
                int(grey) % 3
            )
            yield Result(image.photo, image.width, image.height, image.taken_at, people)


def main(folder: str, table: str, seconds: str, part: str) -> None:
    """Scan slowly, to be killed meanwhile."""
    store.PART_PHOTOS = int(part)
    options = scan_options([Path(folder)], [Path(table)], workers=1)
    scan(options, lambda _: time.sleep(float(seconds)), QuickBackend)


if __name__ == "__main__":
    main(*sys.argv[1:])
