"""Large JPEGs are read smaller where that tells as much, and the answers stay."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import PIL.Image
from conftest import draw_scene, save_photo

from mivolo_cli import photos
from mivolo_cli.records import Photo


def test_a_large_jpeg_may_be_read_smaller(tmp_path: Path) -> None:
    scene = draw_scene(900, 700)
    for orientation in (None, 6):
        file = save_photo(tmp_path / "a.jpg", pixels=scene, orientation=orientation, taken_at="2020:01:31 12:00:00")
        photo = Photo(str(tmp_path), "a.jpg")
        for least, shape in (
            (0, (700, 900)),
            (901, (700, 900)),
            (450, (350, 450)),
            (300, (350, 450)),
            (225, (175, 225)),
        ):
            image = photos.decode(photo, least)
            assert image.pixels.shape[:2] == shape and (image.width, image.height) == (900, 700)
            assert (image.whole is None) == (shape == (700, 900))
            assert image.taken_at == datetime(2020, 1, 31, 12)
            small = np.asarray(PIL.Image.fromarray(scene).resize(shape[::-1], PIL.Image.Resampling.BOX), int)
            assert np.abs(image.pixels - small).mean() < 3
        file.unlink()


def test_other_formats_are_always_read_whole(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.png", pixels=draw_scene(900, 700))
    image = photos.decode(Photo(str(tmp_path), "a.png"), 100)
    assert image.pixels.shape == (700, 900, 3) and image.whole is None
