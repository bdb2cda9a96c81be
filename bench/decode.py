"""Compare the CPU time of several ways to decode a JPEG at the size that a scan uses, in one run.

    python bench/decode.py [--megapixels 4 12 48 108] [--runs 3] [--json decode.json]

`scan` is photos.decode as a scan calls it (Pillow with libjpeg-turbo, reduced while decoding,
including the profile and EXIF); `Pillow` is its decoding alone; `OpenCV` and, if that package is
installed, `simplejpeg` decode at the same scale. Runs alternate, and medians of the CPU time are
reported. The last columns are the mean differences between their pixels and those of the scan.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from timing import make_scenes, show

from mivolo_cli.photos.decode import decode
from mivolo_cli.pipeline.stages import MIN_SIZE
from mivolo_cli.records import Photo

simplejpeg: Any = import_module("simplejpeg") if find_spec("simplejpeg") else None
"""Not a dependency."""
REDUCED = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""OpenCV flags by scale; the reduced ones return BGR."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, nargs="*", default=[4, 12, 48, 108])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        (scene,) = make_scenes(Path(place), 1, 12.0)
        rows = [
            measured(scene, megapixels, progressive, options.runs)
            for megapixels in options.megapixels
            for progressive in (False, True)
        ]
    show(rows, options.json)


def measured(scene: Path, megapixels: float, progressive: bool, runs: int) -> dict[str, Any]:
    file = scene.with_name("resized.jpg")
    with PIL.Image.open(scene) as picture:
        factor = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
        size = round(picture.width * factor), round(picture.height * factor)
        picture.resize(size).save(file, quality=90, progressive=progressive)
    data = file.read_bytes()
    image = decode(Photo(str(file.parent), file.name), MIN_SIZE)
    scale = round(size[0] / image.pixels.shape[1])
    ways: dict[str, Callable[[], Any]] = {
        "scan": lambda: decode(Photo(str(file.parent), file.name), MIN_SIZE),
        "Pillow": lambda: with_pillow(data, scale),
        "OpenCV": lambda: with_opencv(data, scale),
    }
    if simplejpeg is not None:
        ways["simplejpeg"] = lambda: with_simplejpeg(data, image.pixels.shape[:2])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append(1000 * (time.process_time() - began))
    kind = "progressive" if progressive else "baseline"
    row: dict[str, Any] = {"megapixels": megapixels, "JPEG": kind, "read at 1/": scale}
    row |= {f"{name}, core-ms": statistics.median(values) for name, values in times.items()}
    return row | {
        f"{name} differs by": float(np.abs(image.pixels.astype(np.int16) - ways[name]()).mean())
        for name in ways.keys() - {"scan", "Pillow"}
    }


def with_pillow(data: bytes, scale: int) -> PIL.Image.Image:
    picture = PIL.Image.open(BytesIO(data))
    picture.draft(None, (picture.width // scale, picture.height // scale))
    picture.load()
    return picture


def with_opencv(data: bytes, scale: int) -> np.ndarray:
    """Return RGB pixels."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[scale])
    assert pixels is not None
    return pixels if scale == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def with_simplejpeg(data: bytes, shape: tuple[int, int]) -> np.ndarray:
    """RGB, of the smallest size that is not below this height and width."""
    pixels: np.ndarray = simplejpeg.decode_jpeg(data, min_height=shape[0], min_width=shape[1])
    return pixels


if __name__ == "__main__":
    main()
