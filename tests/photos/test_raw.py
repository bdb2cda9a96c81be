"""Camera raw files, by their previews."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.photos import draw_scene
from helpers.raw import dng, save_dng
from helpers.require import require
from helpers.tagging import exiftool, rows_of, segment, write_results

from mivolo_cli.errors import PhotoError
from mivolo_cli.metadata.lookup import tags_of
from mivolo_cli.metadata.picture import examine
from mivolo_cli.photos import raw
from mivolo_cli.photos.decode import decode, decode_all
from mivolo_cli.photos.limits import MB, Limits
from mivolo_cli.records import Failure, Image, Photo
from mivolo_cli.tagging.tag import TagOptions, tag

UPRIGHT = {1: 0, 3: 2, 6: 3, 8: 1}
"""EXIF's orientation -> by how many quarters numpy turns the stored picture upright."""


@pytest.fixture(autouse=True)
def with_rawpy() -> None:
    require("rawpy")


def scene() -> PIL.Image.Image:
    return PIL.Image.fromarray(draw_scene()).resize((1500, 1200))


def read(file: Path) -> Image | Failure:
    facts = file.stat()
    photo = Photo(str(file.parent), file.name, facts.st_size, facts.st_mtime_ns)
    (found,) = decode_all([photo], 1)
    return found


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.dng", "b.NEF", "c.tif"])
def test_it_is_the_large_preview_upright(tmp_path: Path, orientation: int, name: str) -> None:
    image = read(save_dng(tmp_path / name, scene(), orientation=orientation))
    assert isinstance(image, Image) and image.taken_at == datetime(2021, 5, 4, 10, 11, 12)
    expected = np.rot90(np.asarray(scene()), UPRIGHT[orientation])
    assert image.pixels.shape == expected.shape == (image.height, image.width, 3)
    assert np.abs(image.pixels.astype(int) - expected).mean() < 5


def test_the_preview_may_have_exif_of_its_own(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x0132] = 3, "2001:02:03 04:05:06"
    own = segment(0xE1, b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
    image = read(save_dng(tmp_path / "a.dng", scene(), exif=own))
    assert isinstance(image, Image) and image.taken_at == datetime(2001, 2, 3, 4, 5, 6)
    assert (image.pixels[0, 0].astype(int) - np.asarray(scene())[-1, -1] < 9).all()


def test_a_time_that_nobody_knows_is_none(tmp_path: Path) -> None:
    image = read(save_dng(tmp_path / "a.dng", scene(), taken=""))
    assert isinstance(image, Image) and image.taken_at is None


def test_small_previews_are_refused(tmp_path: Path) -> None:
    failure = read(save_dng(tmp_path / "a.dng", scene().resize((160, 120))))
    assert isinstance(failure, Failure) and failure.code == "raw"
    assert "160 x 120 pixels" in failure.message and "scan JPEGs" in failure.message


@pytest.mark.parametrize("length", [9, 100, 50_000])
def test_broken_ones_are_refused(tmp_path: Path, length: int) -> None:
    file = tmp_path / "a.dng"
    file.write_bytes(dng(scene())[:length])
    failure = read(file)
    assert isinstance(failure, Failure) and failure.code in ("raw", "truncated")


def test_the_limits_are_those_of_other_photos(tmp_path: Path) -> None:
    file = save_dng(tmp_path / "a.dng", scene().resize((9000, 9000)), quality=10)
    photo = Photo(str(tmp_path), file.name)
    (image,) = decode_all([photo], 1, None, Limits(512 * MB))
    assert isinstance(image, Image) and (image.width, image.height) == (9000, 9000)
    assert image.pixels.shape == (4500, 4500, 3)
    (failure,) = decode_all([photo], 1, None, Limits(512 * MB, max_pixels=80_000_000))
    assert isinstance(failure, Failure) and failure.code == "too_large"


def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "is_available", lambda: False)
    file = save_dng(tmp_path / "a.dng", scene())
    with pytest.raises(PhotoError, match=r"pip install 'mivolo-cli\[raw\]'") as caught:
        decode(Photo(str(tmp_path), file.name))
    assert caught.value.code == "raw"


def test_the_photo_is_never_written_to(tmp_path: Path) -> None:
    file = save_dng(tmp_path / "a.dng", scene(), orientation=6)
    before = file.read_bytes()
    assert examine(before, "a.dng", pixels=False).size == (1200, 1500)
    rows = rows_of(file, width=1200, height=1500)
    table = write_results(tmp_path / "people.parquet", rows)
    tally = tag(TagOptions(table))
    assert (tally.photos, tally.statuses["sidecar"]) == (1, 1) and file.read_bytes() == before
    found = tags_of(file)
    assert found is not None and found.people.size == (1500, 1200), "as it is stored"
    (entry,) = exiftool("-XMP-mwg-rs:all", file.with_name("a.dng.xmp"))
    area = entry["XMP-mwg-rs:RegionInfo"]["RegionList"][0]["Area"]
    # FACE, turned as the stored picture is: 10, 8, 30, 40 of 1200 x 1500 upright pixels
    assert area["X"] == pytest.approx(24 / 1500) and area["Y"] == pytest.approx(1 - 20 / 1200)
