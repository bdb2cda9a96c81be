"""Boxes of HEIC and AVIF: how the picture is turned, and its XMP."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.photos import draw_scene, save_photo
from helpers.tagging import OTHERS

from mivolo_cli.photos import bmff
from mivolo_cli.photos.bmff import BrokenBoxes
from mivolo_cli.photos.decode import decode
from mivolo_cli.records import Photo


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_is_the_one_that_the_decoder_makes(tmp_path: Path, orientation: int) -> None:
    file = save_photo(tmp_path / "a.heic", orientation=orientation)
    assert bmff.orientation(file.read_bytes()) == orientation
    pixels = decode(Photo(str(tmp_path), "a.heic")).pixels.astype(int)
    assert np.abs(pixels - draw_scene()).mean() < 8


def encoded(format: str) -> bytes:
    target = io.BytesIO()
    PIL.Image.fromarray(draw_scene()).save(target, format, xmp=OTHERS)
    return target.getvalue()


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_xmp_is_found_in_items_and_behind_them(format: str) -> None:
    data = encoded(format)
    assert bmff.packets(data) == [OTHERS]
    box = b"uuid" + bmff.XMP_UUID + b"<x/>"
    assert bmff.packets(data + (len(box) + 4).to_bytes(4, "big") + box) == [OTHERS, b"<x/>"]
    assert bmff.orientation(data) == 1


def test_xmp_of_another_picture_is_not_the_photos() -> None:
    """As that of a gain map: it describes an item which is not the main picture."""
    data = encoded("HEIF")
    at = data.index(b"cdsc") + 8
    other = data[:at] + b"\0\x63" + data[at + 2 :]
    assert bmff.packets(other) == []


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_broken_boxes_are_an_error_and_never_another_one(format: str) -> None:
    data = encoded(format)
    for broken in (b"", data[:40], data.replace(b"meta", b"atem", 1)):
        with pytest.raises(BrokenBoxes):
            bmff.packets(broken)
    random = np.random.default_rng(0)
    for _ in range(300):
        wrong = bytearray(data[:600])
        for at in random.integers(0, 600, 3):
            wrong[at] = random.integers(0, 256)
        for read in (bmff.packets, bmff.orientation):
            with suppress(BrokenBoxes):
                read(bytes(wrong) + data[600:])
