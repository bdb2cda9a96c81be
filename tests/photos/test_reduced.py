"""Large JPEGs are read smaller where that tells as much, and the answers stay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.photos import assets, draw_scene, save_photo
from helpers.scans import scan_options

from mivolo_cli.detect.embedded import EmbeddedDetector
from mivolo_cli.photos import decode
from mivolo_cli.pipeline.stages import MIN_SIZE
from mivolo_cli.records import Detections, Image, Photo
from mivolo_cli.scan.run import scan
from mivolo_cli.tables import read_table


@pytest.mark.parametrize(
    ("width", "height", "seen"),
    [
        (3264, 2448, 1632),
        (4000, 3000, 2000),
        (3198, 2000, 3198),
        (6400, 1280, 3200),
        (8000, 830, 8000),
        (4000, 2, 4000),
    ],
)
def test_as_small_as_detectors_look(tmp_path: Path, width: int, height: int, seen: int) -> None:
    save_photo(tmp_path / "a.jpg", pixels=np.zeros((height, width, 3), np.uint8))
    image = decode.decode(Photo(str(tmp_path), "a.jpg"), MIN_SIZE)
    assert (image.width, image.height) == (width, height)
    assert image.pixels.shape[1] == seen


def test_a_large_jpeg_may_be_read_smaller(tmp_path: Path) -> None:
    scene = draw_scene(900, 700)
    for orientation in (None, 6):
        file = save_photo(
            tmp_path / "a.jpg",
            pixels=scene,
            orientation=orientation,
            taken_at="2020:01:31 12:00:00",
        )
        photo = Photo(str(tmp_path), "a.jpg")
        for min_size, shape in (
            (None, (700, 900)),
            ((451, 1), (700, 900)),
            ((450, 350), (350, 450)),
            ((450, 351), (700, 900)),
            ((300, 1), (350, 450)),
            ((225, 175), (175, 225)),
        ):
            image = decode.decode(photo, min_size)
            assert image.pixels.shape[:2] == shape and (image.width, image.height) == (900, 700)
            assert (image.original_size is None) == (shape == (700, 900))
            assert image.taken_at == datetime(2020, 1, 31, 12)
            small = np.asarray(
                PIL.Image.fromarray(scene).resize(shape[::-1], PIL.Image.Resampling.BOX), int
            )
            assert np.abs(image.pixels - small).mean() < 3
        file.unlink()


def test_other_formats_are_always_read_whole(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.png", pixels=draw_scene(900, 700))
    image = decode.decode(Photo(str(tmp_path), "a.png"), (100, 100))
    assert image.pixels.shape == (700, 900, 3) and image.original_size is None


@pytest.mark.slow
def test_a_scan_reads_large_jpegs_smaller_unless_asked_not_to(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = PIL.Image.open(assets() / "zidane.jpg")
    save_photo(tmp_path / "photos" / "a.jpg", pixels=people.resize((3840, 2160)))
    sizes: list[int] = []
    detect = EmbeddedDetector.detect

    def watched(self: EmbeddedDetector, images: Sequence[Image]) -> list[Detections]:
        sizes.extend(image.pixels.shape[1] for image in images)
        return detect(self, images)

    monkeypatch.setattr(EmbeddedDetector, "detect", watched)
    tables = []
    for full in (False, True):
        table = tmp_path / f"{full}.parquet"
        scan(
            scan_options(
                [tmp_path / "photos"],
                [table],
                model=str(tiny_model),
                device="cpu",
                full_resolution=full,
            )
        )
        tables.append(read_table(table).to_pylist())
    assert sizes == [1920, 3840]
    for reduced, whole in zip(*tables, strict=True):
        assert (
            (reduced["width"], reduced["height"])
            == (whole["width"], whole["height"])
            == (3840, 2160)
        )
        for edge in ("face_x1", "face_y2", "body_x2", "body_y1"):
            assert reduced[edge] == pytest.approx(whole[edge], abs=3840 * 0.01)
