"""Which JPEGs and PNGs are decoded at once, and which in a process with limits."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.photos import save_photo
from helpers.scans_of_jpeg import Kind, many_scans

from mivolo_cli.photos.plain import is_plain_jpeg, is_plain_png

MANY = 10**8


def plain(file: Path, most: int = MANY) -> bool:
    with file.open("rb") as opened:
        return (is_plain_png if file.suffix == ".png" else is_plain_jpeg)(opened, most)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [10, 40_000])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_of_one_scan_is_plain(
    tmp_path: Path, progressive: bool, size: int, mode: str
) -> None:
    file = save_photo(
        tmp_path / "a.jpg",
        mode=mode,
        orientation=6,
        progressive=progressive,
        comment=b"x" * size,
        restart_marker_rows=1,
    )
    assert plain(file) != progressive


@pytest.mark.parametrize("kind", ["baseline", "progressive", "fill"])
def test_a_jpeg_of_many_scans_is_not(tmp_path: Path, kind: Kind) -> None:
    file = tmp_path / "a.jpg"
    for scans in (3, 2000):
        file.write_bytes(many_scans(64, 64, scans, kind))
        assert not plain(file)
    PIL.Image.open(file).load()


def jpeg(tmp_path: Path) -> bytes:
    return save_photo(tmp_path / "whole.jpg").read_bytes()


@pytest.mark.parametrize(
    "start",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8" + (b"\xff\xe1" + struct.pack(">H", 2)) * 2000,
        b"\xff\xd8" + (b"\xff\xe1" + struct.pack(">H", 12) + b"Exif\0\0MM\0*") * 2,
        b"\xff\xd8\xff\xe0\0\0",
        b"\xff\xd8\0",
        b"\xff\xd8\xff\xcc\0\4\0\0",
    ],
    ids=["short", "endless", "much EXIF", "no length", "no marker", "arithmetic"],
)
def test_odd_beginnings_are_not_plain(tmp_path: Path, start: bytes) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(start + jpeg(tmp_path)[2:])
    if start == b"\xff\xd8\xff":
        file.write_bytes(start)
    assert not plain(file)


def test_large_photos_and_much_metadata_are_not_plain(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        file = save_photo(tmp_path / name)
        assert plain(file) and plain(file, 80 * 64) and not plain(file, 80 * 64 - 1)
    noise = np.random.default_rng(0).integers(0, 255, 100_000, np.uint8).tobytes()
    assert not plain(save_photo(tmp_path / "b.png", icc_profile=noise))
    file.write_bytes(file.read_bytes()[:60])
    assert plain(file), "what is cut off is quick"
