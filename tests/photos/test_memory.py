"""Pictures in memory, one by one: what can be used is read, and anything else is a failure."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from helpers.photos import draw_scene, save_photo

from mivolo_cli.photos.decode import Loaded
from mivolo_cli.photos.memory import MEMORY, Memory, is_picture
from mivolo_cli.records import Failure, Image, Photo

SCENE = draw_scene()


class Odd:
    """A file of somebody else's making."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read

    def read(self, size: int = -1) -> Any:
        return self._read()


def broken() -> Any:
    raise RuntimeError("the connection was lost")


async def later() -> bytes:
    return b""


def closed() -> io.BytesIO:
    file = io.BytesIO(b"x")
    file.close()
    return file


def failure(picture: object) -> Failure:
    (found,) = Memory().items(picture)
    assert isinstance(found, Failure)
    assert found.photo == Photo(MEMORY, "picture 0")
    return found


@pytest.mark.parametrize(
    ("picture", "code", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), "not_a_picture", "float32"),
        (np.zeros((8, 8), np.uint8), "not_a_picture", "(8, 8)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "not_a_picture", "(2, 8, 8, 3)"),
        (np.zeros((8, 8, 4), np.uint8), "not_a_picture", "(8, 8, 4)"),
        (np.zeros((0, 8, 3), np.uint8), "not_a_picture", "(0, 8, 3)"),
        (np.array(None), "not_a_picture", "object"),
        (7, "not_a_picture", "a int: give a path"),
        (None, "not_a_picture", "NoneType"),
        ({}, "not_a_picture", "dict"),
        ("", "missing", "does not exist"),
        (io.StringIO("text"), "not_a_picture", "binary mode"),
        (Odd(later), "not_a_picture", "coroutine"),
        (Odd(lambda: None), "not_a_picture", "NoneType"),
        (Odd(broken), "unreadable", "the connection was lost"),
        (closed(), "unreadable", "closed file"),
        (PIL.Image.new("RGB", (0, 5)), "not_a_picture", "no pixels"),
    ],
)
def test_what_is_no_picture_is_a_failure(picture: object, code: str, message: str) -> None:
    found = failure(picture)
    assert found.code == code
    assert message in found.message


def test_a_cut_off_picture_of_pillows_is_a_failure(tmp_path: Path) -> None:
    whole = save_photo(tmp_path / "a.jpg", pixels=draw_scene(400, 300)).read_bytes()
    picture = PIL.Image.open(io.BytesIO(whole[: len(whole) // 2]))
    assert failure(picture).code == "truncated"


def test_a_view_that_turns_bgr_into_rgb_is_a_picture() -> None:
    (found,) = Memory().items(SCENE[:, :, ::-1][:, :, ::-1][::1, ::-1])
    assert isinstance(found, Image) and found.pixels.flags.c_contiguous
    assert (found.pixels == SCENE[:, ::-1]).all()


def test_an_open_file_is_read_from_its_beginning() -> None:
    file = io.BytesIO(b"abc")
    file.seek(2)
    assert list(Memory().items(file)) == [Loaded(Photo(MEMORY, "picture 0"), b"abc")]
    assert list(Memory().items(Odd(lambda: b"abc"))) == [Loaded(Photo(MEMORY, "picture 0"), b"abc")]


def test_pictures_are_kept_until_they_are_forgotten(tmp_path: Path) -> None:
    memory = Memory()
    file = save_photo(tmp_path / "a.jpg")
    photos = [item for given in (b"abc", SCENE, 7, file) for item in memory.items(given)]
    first, second, third = (Photo(MEMORY, f"picture {number}") for number in range(3))
    assert memory.data(first) == b"abc" and memory.data(second) is None
    assert memory.kept(second) is not None and memory.kept(third) is None
    assert isinstance(photos[3], Photo) and memory.kept(photos[3]) is None
    memory.forget(first)
    memory.forget(photos[3])
    assert memory.kept(first) is None


def test_one_picture_is_told_from_several() -> None:
    assert all(
        map(is_picture, ("a", Path("a"), b"a", SCENE, io.BytesIO(), PIL.Image.new("L", (1, 1))))
    )
    assert not any(map(is_picture, (["a"], iter("a"), 7)))
