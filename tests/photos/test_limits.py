"""One budget of memory for all photos that are decoded at a time."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.logs import warned
from helpers.photos import draw_scene, save_broken, save_photo
from helpers.scans_of_jpeg import Kind, many_scans

from mivolo_cli.errors import BadInput, PhotoError
from mivolo_cli.photos import decode, opening
from mivolo_cli.photos.codes import CODES
from mivolo_cli.photos.limits import GB, HELD, MB, Budget, Limits, Share, default_memory, limits
from mivolo_cli.photos.thumbnails import thumbnail
from mivolo_cli.records import Failure, Image, Photo


def photo_of(file: Path) -> Photo:
    facts = file.stat()
    return Photo(str(file.parent), file.name, facts.st_size, facts.st_mtime_ns)


class Unlimited:
    """Room that keeps what was asked for."""

    def __init__(self, largest: int = 100 * GB, max_pixels: int = 0) -> None:
        self.largest, self.max_pixels = largest, max_pixels
        self.taken: list[int] = []

    def take(self, size: int) -> None:
        self.taken.append(size)


# Options


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2GB", 2 * GB), ("1.5g", 3 * GB // 2), ("700 MB", 700 * MB), ("512MiB", 512 * MB)],
)
def test_sizes_are_understood(text: str, expected: int) -> None:
    assert limits(text).memory == expected


@pytest.mark.parametrize("text", ["", "2", "much", "-1GB", "2TB", "511MB", "nan"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--memory") as caught:
        limits(text)
    assert "MB" in caught.value.hint


def test_the_default_is_that_of_the_machine() -> None:
    assert limits().memory == limits("auto").memory == default_memory() >= GB
    assert limits(max_pixels=7).max_pixels == 7


def test_the_parts_make_up_the_whole() -> None:
    given = Limits(2 * GB)
    assert given.ahead + given.again == given.memory
    assert given.largest + HELD == given.ahead


# The budget


def test_memory_is_lent_in_the_order_of_the_queue() -> None:
    budget = Budget(100)
    shares = [Share(budget, 100, 0) for _ in range(4)]
    order: list[int] = []

    def take(number: int, size: int) -> None:
        shares[number].take(size)
        order.append(number)

    threads = [
        threading.Thread(target=take, args=(number, size))
        for number, size in ((3, 10), (2, 10), (1, 60), (0, 60))
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    assert order == [0], "the second does not fit, and those behind it wait for their turn"
    shares[0].__exit__()
    for thread in threads:
        thread.join(10)
    assert order[0:2] == [0, 1] and sorted(order) == [0, 1, 2, 3]


def test_who_fails_before_its_turn_holds_nobody_up() -> None:
    budget = Budget(100)
    first, second = Share(budget, 100, 0), Share(budget, 100, 0)
    with first:
        pass
    second.take(500)
    assert budget._free == 0, "it is all there is"
    second.__exit__()
    assert budget._free == 100


def test_memory_is_kept_as_long_as_the_pixels() -> None:
    budget = Budget(1000)
    with Share(budget, 1000, 0) as share:
        pixels = np.zeros(300, np.uint8)
        share.take(800)
        share.keep(pixels)
    assert budget._free == 700
    view = pixels[::2]
    del pixels
    assert budget._free == 700
    del view
    gc.collect()
    assert budget._free == 1000


def test_who_keeps_everything_and_asks_for_more_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mivolo_cli.photos.limits.PATIENCE", 0.2)
    budget = Budget(10)
    first, second = Share(budget, 10, 0), Share(budget, 10, 0)
    first.take(10)
    second.take(7)
    assert len(warned(caplog, "photos.limits")) == 1
    second.__exit__()
    first.__exit__()
    assert budget._free == 10


def test_closing_ends_the_waiting() -> None:
    budget = Budget(10)
    first, second = Share(budget, 10, 0), Share(budget, 10, 0)
    first.take(10)
    caught: list[PhotoError] = []

    def wait() -> None:
        with pytest.raises(PhotoError) as error:
            second.take(1)
        caught.append(error.value)

    thread = threading.Thread(target=wait)
    thread.start()
    budget.close()
    thread.join(10)
    assert caught[0].code in CODES


# What photos need


def test_photos_are_decoded_as_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten photos, two fit at a time; whoever looks at them lets them go one by one."""
    files = [save_photo(tmp_path / f"{number}.png") for number in range(10)]
    at_once, most, lock = 0, 0, threading.Lock()

    def admitted(*arguments: object) -> int:
        nonlocal at_once, most
        scale = admit(*arguments)  # type: ignore[arg-type]
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        return scale

    admit = opening.admit
    monkeypatch.setattr(opening, "admit", admitted)
    monkeypatch.setattr(opening, "need", lambda *_: 150 * MB)
    keep = Share.keep

    def kept(share: Share, pixels: object) -> None:
        nonlocal at_once
        with lock:
            at_once -= 1
        keep(share, pixels)

    monkeypatch.setattr(Share, "keep", kept)
    images = decode.decode_all(map(photo_of, files), 6, None, Limits(512 * MB))
    assert [image.photo.path for image in images] == [file.name for file in files]
    assert most == 2


@pytest.mark.parametrize("workers", [1, 4])
def test_photos_that_fill_the_memory_pass_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Nobody waits for memory that the photo in front of it has, failures among them."""
    files = [save_photo(tmp_path / f"{number}.png") for number in range(12)]
    for number in (3, 7, 8):
        save_broken(files[number], "garbage")
    given = Limits(512 * MB)
    monkeypatch.setattr(opening, "need", lambda *_: given.largest)
    found = list(decode.decode_all(map(photo_of, files), workers, None, given))
    assert [isinstance(one, Failure) for one in found] == [n in (3, 7, 8) for n in range(12)]


def test_ending_early_lets_go_of_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [save_photo(tmp_path / f"{number}.png") for number in range(6)]
    given = Limits(512 * MB)
    monkeypatch.setattr(opening, "need", lambda *_: given.largest)
    monkeypatch.setattr(Share, "keep", lambda share, _: setattr(share, "_kept", True))  # for ever
    images = decode.decode_all(map(photo_of, files), 3, None, given)
    assert isinstance(next(images), Image)
    images.close()


def shapes() -> Iterator[tuple[str, dict[str, object]]]:
    yield "a.jpg", {}
    yield "b.jpg", {"progressive": True}
    yield "c.png", {}
    yield "d.png", {"mode": "RGBA"}
    yield "e.png", {"mode": "L"}
    yield "f.tif", {}
    yield "g.webp", {"lossless": True}
    yield "h.gif", {}
    yield "i.bmp", {}
    yield "j.avif", {"speed": 10}
    yield "k.heic", {}


def test_a_photo_that_does_not_fit_is_refused_with_a_way_out_and_jpegs_are_read_smaller(
    tmp_path: Path,
) -> None:
    for name, options in shapes():
        file = save_photo(tmp_path / name, pixels=draw_scene(800, 640), **options)  # type: ignore[arg-type]
        asked = Unlimited()
        whole = decode.decode(photo_of(file), room=asked)
        assert whole.pixels.shape == (640, 800, 3) and whole.original_size is None
        little = Unlimited(asked.taken[0] - 1)
        if name.endswith(".jpg"):
            reduced = decode.decode(photo_of(file), room=little)
            assert reduced.pixels.shape == (320, 400, 3)
            assert (reduced.width, reduced.height) == (800, 640)
            assert little.taken[0] < asked.taken[0]
            continue
        with pytest.raises(PhotoError, match="800 x 640 pixels.*--memory") as caught:
            decode.decode(photo_of(file), room=little)
        assert caught.value.code == "too_large" and little.taken == []


def test_photos_of_more_than_so_many_pixels_are_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        file = photo_of(save_photo(tmp_path / name))
        assert decode.decode(file, room=Unlimited(max_pixels=80 * 64)).width == 80
        with pytest.raises(PhotoError, match="--max-pixels allows 5119") as caught:
            decode.decode(file, room=Unlimited(max_pixels=80 * 64 - 1))
        assert caught.value.code == "too_large"


def test_a_jpeg_too_large_for_the_memory_is_read_reduced_in_its_process(tmp_path: Path) -> None:
    """108 million pixels, as phones make them, at most half of which fit."""
    file = tmp_path / "a.jpg"
    PIL.Image.new("L", (12_000, 9_000), 128).save(file, quality=20)
    found = list(decode.decode_all([photo_of(file)], 1, None, Limits(600 * MB)))
    (image,) = found
    assert isinstance(image, Image)
    assert (image.width, image.height) == (12_000, 9_000)
    assert image.pixels.shape == (4500, 6000, 3) and image.original_size == (12_000, 9_000)


@pytest.mark.parametrize("kind", ["baseline", "progressive", "fill"])
@pytest.mark.parametrize("side", [16, 640, 9400])
def test_a_jpeg_of_many_scans_is_no_photo(tmp_path: Path, kind: Kind, side: int) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(many_scans(side, side, 2000, kind))
    (failure,) = decode.decode_all([photo_of(file)], 1)
    assert isinstance(failure, Failure) and failure.code == "corrupt"
    assert "more than 200 scans" in failure.message
    assert thumbnail(photo_of(file), 64) is None
    file.write_bytes(many_scans(16, 16, 20, kind))
    (image,) = decode.decode_all([photo_of(file)], 1)
    assert isinstance(image, Image)


def test_pictures_beyond_the_limit_of_pillow_are_read(tmp_path: Path) -> None:
    """180 million pixels, more than twice as many as Pillow warns of."""
    for name, options in (("a.webp", {"method": 0}), ("b.tif", {"compression": "tiff_lzw"})):
        PIL.Image.new("RGB", (16_000, 11_200), (90, 120, 30)).save(tmp_path / name, **options)
        (image,) = decode.decode_all([photo_of(tmp_path / name)], 1, None, Limits(16 * GB))
        assert isinstance(image, Image) and image.pixels.shape == (11_200, 16_000, 3)
        (failure,) = decode.decode_all([photo_of(tmp_path / name)], 1, None, Limits(GB))
        assert isinstance(failure, Failure) and failure.code == "too_large"
        assert "16000 x 11200 pixels" in failure.message and "--memory" in failure.message
