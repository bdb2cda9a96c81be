"""Small pictures: upright, without metadata, and only of photos inside of their folder."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
from helpers.photos import save_broken, save_photo

from mivolo_cli.photos.thumbnails import thumbnail, thumbnails
from mivolo_cli.records import Photo


def test_a_thumbnail_is_upright_small_and_says_nothing_else(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.jpg", orientation=6, taken_at="2020:01:01 00:00:00")
    for kind in ("WEBP", "JPEG"):
        coded = thumbnail(Photo(str(tmp_path), "a.jpg"), 40, kind)
        assert coded is not None
        picture = PIL.Image.open(BytesIO(coded))
        assert (picture.format, picture.size) == (kind, (40, 32))
        assert np.allclose(np.asarray(picture.convert("RGB"))[5, 5], (200, 60, 50), atol=25)
        assert not picture.getexif() and "exif" not in picture.info


def test_small_photos_are_not_enlarged(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.png")
    coded = thumbnail(Photo(str(tmp_path), "a.png"), 1000)
    assert coded is not None and PIL.Image.open(BytesIO(coded)).size == (80, 64)


def test_photos_that_are_gone_broken_or_elsewhere_have_none(tmp_path: Path) -> None:
    save_photo(tmp_path / "secret.png")
    save_broken(tmp_path / "in" / "empty.jpg", "empty")
    save_photo(tmp_path / "in" / "a.png")
    found = [
        Photo(str(tmp_path / "in"), name)
        for name in ("a.png", "empty.jpg", "gone.jpg", "../secret.png")
    ]
    assert [picture is not None for picture in thumbnails(found, 40, "WEBP", 1)] == [
        True,
        False,
        False,
        False,
    ]
