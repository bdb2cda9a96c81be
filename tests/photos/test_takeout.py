"""Google Takeout's JSON beside photos: its names, and what it says."""

from __future__ import annotations

import json
import os
import unicodedata
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import draw_scene, save_photo

from mivolo_cli.photos import decode
from mivolo_cli.photos.limits import Limits
from mivolo_cli.photos.sandbox import Sandbox
from mivolo_cli.photos.takeout import taken_at
from mivolo_cli.records import Image, Photo

NEW_YEAR = datetime(2020, 1, 1, 12)
LONG = "Screenshot_2019-03-01-10-20-30-123_com.example.camera"


def said(timestamp: Any = "1577880000") -> str:
    taken = {"timestamp": timestamp, "formatted": "Jan 1, 2020, 12:00:00 PM UTC"}
    return json.dumps({"title": "IMG.jpg", "photoTakenTime": taken})


@pytest.mark.parametrize(
    ("photo", "beside"),
    [
        ("IMG.jpg", "IMG.jpg.json"),
        ("IMG.jpg", "IMG.jpg.supplemental-metadata.json"),
        ("IMG.jpg", "IMG.jpg.supplemental-metad.json"),
        ("IMG.jpg", "IMG.jpg.supp.json"),
        ("IMG.jpg", "IMG.jpg.s.json"),
        ("IMG.jpg", "IMG.jpg..json"),
        ("IMG.jpg", "IMG.json"),
        ("IMG(1).jpg", "IMG.jpg(1).json"),
        ("IMG(12).jpg", "IMG.jpg.supplemental-metadata(12).json"),
        ("IMG(1).jpg", "IMG.jpg.supplemental-me(1).json"),
        ("IMG(1).jpg", "IMG(1).jpg.json"),
        ("IMG-edited.jpg", "IMG.jpg.json"),
        ("IMG-edited.jpg", "IMG.HEIC.supplemental-metadata.json"),
        ("IMG-edited(1).jpg", "IMG.jpg(1).json"),
        ("IMG(1)-edited.jpg", "IMG.jpg.supplemental-metadata(1).json"),
        ("IMG-bearbeitet.jpg", "IMG.jpg.json"),
        (unicodedata.normalize("NFD", "IMG-modifié.jpg"), "IMG.jpg.json"),
        (f"{LONG[:47]}.jpg", f"{LONG[:46]}.json"),
        (
            "Ann & Bob at the lake in summer.jpg",
            "Ann & Bob at the lake in summer.jpg.supplement.json",
        ),
        ("été.jpg", unicodedata.normalize("NFD", "été.jpg.json")),
        ("IMG", "IMG.json"),
    ],
)
def test_the_file_of_a_photo_is_found(tmp_path: Path, photo: str, beside: str) -> None:
    (tmp_path / photo).touch()
    (tmp_path / beside).write_text(said())
    assert taken_at(Photo(str(tmp_path), photo)) == NEW_YEAR


@pytest.mark.parametrize(
    ("photo", "beside"),
    [
        ("IMG.jpg", "IMG.jpg(1).json"),
        ("IMG(1).jpg", "IMG.jpg.json"),
        ("IMG(1).jpg", "IMG.jpg(2).json"),
        ("IMG.jpg", "IMG2.jpg.json"),
        ("IMG2.jpg", "IMG.jpg.json"),
        ("IMG.jpg", "IMG.jpg.supplemental-metadata-2.json"),
        ("IMG-holiday.jpg", "IMG.jpg.json"),
        ("IMG-edited(1).jpg", "IMG.jpg.json"),
        ("IMG.jpg", "other/IMG.jpg.json"),
    ],
)
def test_the_file_of_another_photo_is_not_taken(tmp_path: Path, photo: str, beside: str) -> None:
    (tmp_path / beside).parent.mkdir(exist_ok=True)
    (tmp_path / beside).write_text(said())
    assert taken_at(Photo(str(tmp_path), photo)) is None


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", "7", "\xff", "[" * 100_000, said(0), said("soon"), said(None), said(10**30),
        said(-(10**11)), said("9" * 5000), json.dumps({"photoTakenTime": "2020"}), " " * 2**21,
    ],
)  # fmt: skip
def test_what_is_no_time_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "IMG.jpg.json").write_text(content, encoding="latin-1")
    assert taken_at(Photo(str(tmp_path), "IMG.jpg")) is None


def test_a_time_may_be_a_number_and_before_1970(tmp_path: Path) -> None:
    (tmp_path / "IMG.jpg.json").write_text(said(-86400))
    assert taken_at(Photo(str(tmp_path), "IMG.jpg")) == datetime(1969, 12, 31)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "IMG.jpg.json")
    assert taken_at(Photo(str(tmp_path), "IMG.jpg")) is None


def test_a_file_that_comes_later_is_seen(tmp_path: Path) -> None:
    photo = Photo(str(tmp_path), "IMG.jpg")
    assert taken_at(photo) is None
    (tmp_path / "IMG.jpg.json").write_text(said())
    os.utime(tmp_path, ns=(0, 1))
    assert taken_at(photo) == NEW_YEAR


def test_nothing_is_looked_for_in_buckets() -> None:
    assert taken_at(Photo("s3://album", "IMG.jpg")) is None


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_exif_counts_before_the_file_beside_a_photo(tmp_path: Path, suffix: str) -> None:
    for name, time in (("a", None), ("b", "2011:02:03 04:05:06")):
        file = save_photo(tmp_path / f"{name}{suffix}", taken_at=time, pixels=draw_scene())
        file.with_name(f"{file.name}.supplemental-metadata.json").write_text(said())
    photos = [Photo(str(tmp_path), f"{name}{suffix}") for name in "ab"]
    found = list(decode.decode_all(photos, 1))
    with closing(Sandbox()) as sandbox:
        found += [decode.decode_again(photo, sandbox, Limits()) for photo in photos]
    times = [image.taken_at for image in found if isinstance(image, Image)]
    assert times == [NEW_YEAR, datetime(2011, 2, 3, 4, 5, 6)] * 2
