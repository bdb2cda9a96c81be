"""Raw files, which are refused by name or by content, and PNG files with long texts, which are
not."""

from __future__ import annotations

import zlib
from pathlib import Path

import PIL.Image
import pytest
from helpers.photos import draw_scene, save_photo
from PIL.PngImagePlugin import PngInfo

from mivolo_cli.errors import PhotoError
from mivolo_cli.photos.codes import CODES
from mivolo_cli.photos.decode import decode
from mivolo_cli.records import Image, Photo


def read(file: Path) -> Image:
    return decode(Photo(str(file.parent), file.name))


@pytest.mark.parametrize("name", ["a.dng", "b.NEF", "c.cr3", "d.raf"])
@pytest.mark.parametrize("start", [b"II*\0" + bytes(60), b"FUJIFILMCCD-RAW " + bytes(60)])
def test_raw_files_have_a_code_of_their_own(tmp_path: Path, name: str, start: bytes) -> None:
    (tmp_path / name).write_bytes(start)
    with pytest.raises(PhotoError, match="camera raw") as error:
        read(tmp_path / name)
    assert error.value.code == "raw" and "raw" in CODES


def test_a_tiff_that_begins_with_a_thumbnail_is_raw_under_any_name(tmp_path: Path) -> None:
    for kind, name in ((1, "thumbnail.tif"), (0, "whole.tif")):
        save_photo(tmp_path / name, tiffinfo={254: kind})
    with pytest.raises(PhotoError) as error:
        read(tmp_path / "thumbnail.tif")
    assert error.value.code == "raw"
    assert read(tmp_path / "whole.tif").width == 80


def test_other_formats_under_the_name_of_a_raw_file_are_read(tmp_path: Path) -> None:
    assert read(save_photo(tmp_path / "a.nef", "JPEG")).width == 80
    (tmp_path / "empty.nef").touch()
    with pytest.raises(PhotoError) as error:
        read(tmp_path / "empty.nef")
    assert error.value.code == "empty"


@pytest.mark.parametrize("size", [1 << 10, 3 << 20, 80 << 20])
@pytest.mark.parametrize("kind", ["zTXt", "iTXt"])
def test_texts_of_any_length_are_passed_over(tmp_path: Path, size: int, kind: str) -> None:
    texts = PngInfo()
    texts.add_text("short", "kept")
    if kind == "zTXt":
        texts.add_text("long", "x" * size, zip=True)
    else:
        texts.add_itxt("long", "x" * size, zip=True)
    file = save_photo(tmp_path / "a.png", pnginfo=texts, orientation=6)
    image = read(file)
    assert (image.pixels == draw_scene()).all() and file.stat().st_size < 1 << 20


def test_a_long_text_behind_the_picture_is_passed_over(tmp_path: Path) -> None:
    file = save_photo(tmp_path / "a.png")
    data = b"long\0\0" + zlib.compress(b"x" * (3 << 20))
    chunk = b"zTXt" + data
    text = len(data).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    whole = file.read_bytes()
    file.write_bytes(whole[:-12] + text + whole[-12:])
    assert (read(file).pixels == draw_scene()).all()


def test_a_long_colour_profile_is_passed_over(tmp_path: Path) -> None:
    file = save_photo(tmp_path / "a.png", icc_profile=bytes(3 << 20))
    with pytest.raises(ValueError, match="too large"):
        PIL.Image.open(file).load()
    assert (read(file).pixels == draw_scene()).all()
