"""Decoding photos, the broken ones included; the walk is in test_walking.py."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

from mivolo_cli import storage
from mivolo_cli.errors import BadInput, PhotoError
from mivolo_cli.photos import decode
from mivolo_cli.photos.codes import CODES, diagnosis
from mivolo_cli.records import Failure, Image, Photo, Pixels

MakePhoto = Callable[..., Path]
MakeBroken = Callable[..., Path]
SUFFIXES = (".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".avif", ".heic", ".jp2")
WITH_EXIF = (".jpg", ".png", ".webp", ".tif", ".avif", ".heic")


def read(file: Path) -> Image:
    return decode.decode(Photo(str(file.parent), file.name))


def code(file: Path) -> str:
    with pytest.raises(PhotoError) as caught:
        read(file)
    assert str(caught.value).startswith(CODES[caught.value.code])
    return caught.value.code


def difference(pixels: np.ndarray, expected: np.ndarray) -> float:
    """Mean absolute difference; the scene turned any wrong way is over 30 away."""
    assert pixels.shape == expected.shape
    return float(np.abs(pixels.astype(int) - expected).mean())


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_no_photos(tmp_path: Path, kind: str) -> None:
    """A walk leaves them out, but a table may name them."""
    if kind == "pipe":
        os.mkfifo(tmp_path / "a.jpg")
    else:
        (tmp_path / "a.jpg").symlink_to("/dev/zero")
    assert code(tmp_path / "a.jpg") == "not_a_file"


# What a decoded photo is


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels, suffix: str
) -> None:
    file = make_photo(tmp_path / f"photo{suffix}")
    content = file.read_bytes()
    image = read(file)
    assert difference(image.pixels, scene) < 6
    assert (
        image.pixels.dtype == np.uint8
        and image.pixels.flags.c_contiguous
        and image.pixels.flags.writeable
    )
    assert (image.width, image.height) == (80, 64)
    assert file.read_bytes() == content


def test_jpeg_2000_is_read_as_a_bare_stream_too(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels
) -> None:
    file = make_photo(tmp_path / "photo.j2k", "JPEG2000", no_jp2=True)
    assert file.read_bytes().startswith(b"\xff\x4f\xff\x51")
    assert difference(read(file).pixels, scene) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", WITH_EXIF)
def test_every_orientation_is_turned_upright(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels, suffix: str, orientation: int
) -> None:
    options = {"compression": "tiff_lzw"} if suffix == ".tif" and orientation % 2 else {}
    file = make_photo(tmp_path / f"photo{suffix}", orientation=orientation, **options)
    assert difference(read(file).pixels, scene) < 6


def test_heic_that_says_twice_how_it_is_turned_is_turned_once(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels
) -> None:
    file = make_photo(tmp_path / "photo.heic", orientation=6)
    exif_says_6 = (
        b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00",
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06",
    )
    content = file.read_bytes()
    assert b"irot" in content and any(tag in content for tag in exif_says_6)
    assert difference(read(file).pixels, scene) < 6


def test_heic_is_turned_by_its_own_property_alone(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels
) -> None:
    """The format's standard tells readers not to turn by EXIF."""
    file = make_photo(tmp_path / "photo.heic", orientation=1)
    content = file.read_bytes()
    changed = content.replace(
        b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01", b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"
    )
    assert changed != content
    file.write_bytes(changed)
    assert difference(read(file).pixels, scene) < 6


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_avif_and_heic_of_the_brand_they_share(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels, suffix: str
) -> None:
    file = make_photo(tmp_path / f"photo{suffix}")
    content = file.read_bytes()
    file.write_bytes(content[:8] + b"mif1" + content[12:])
    assert difference(read(file).pixels, scene) < 6


@pytest.mark.parametrize(
    "actual", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF", "JPEG2000"]
)
def test_content_decides_and_not_the_name(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels, actual: str
) -> None:
    for name in ("photo.jpg", "photo.heic", "photo"):
        assert difference(read(make_photo(tmp_path / name, actual)).pixels, scene) < 6


@pytest.mark.parametrize(
    ("suffix", "options"), [(".gif", {}), (".webp", {"lossless": True}), (".png", {}), (".tif", {})]
)
def test_first_frame_of_animations(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels, suffix: str, options: dict[str, bool]
) -> None:
    others = [PIL.Image.new("RGB", (80, 64), colour) for colour in ("black", "white")]
    file = make_photo(tmp_path / f"moving{suffix}", save_all=True, append_images=others, **options)
    with PIL.Image.open(file) as picture:
        picture.seek(2)  # there are three
    assert difference(read(file).pixels, scene) < 3


def test_first_picture_of_a_stereo_photo(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels
) -> None:
    file = make_photo(
        tmp_path / "stereo.jpg",
        "MPO",
        save_all=True,
        append_images=[PIL.Image.new("RGB", (80, 64))],
    )
    assert difference(read(file).pixels, scene) < 6


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_files(tmp_path: Path, make_photo: MakePhoto, suffix: str) -> None:
    file = make_photo(
        tmp_path / f"print{suffix}", pixels=PIL.Image.new("CMYK", (32, 32), (255, 0, 0, 51))
    )
    assert np.allclose(read(file).pixels, (0, 204, 204), atol=3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_a_channel(tmp_path: Path, suffix: str) -> None:
    levels = np.array([0, 257, 25700, 65535], np.uint16)
    colour = np.zeros((1, 4, 3), np.uint16)
    colour[0, :, 0] = levels
    for picture, channel in ((colour[..., ::-1], 0), (levels[None], 1)):
        file = tmp_path / f"deep{picture.ndim}{suffix}"
        file.write_bytes(cv2.imencode(suffix, picture)[1].tobytes())
        assert read(file).pixels[0, :, channel].tolist() == [0, 1, 100, 255]


def test_floating_point_tiff(tmp_path: Path, make_photo: MakePhoto) -> None:
    file = make_photo(tmp_path / "float.tif", pixels=np.array([[0, 0.5, 1]], np.float32))
    assert read(file).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_lab_tiff(tmp_path: Path, make_photo: MakePhoto) -> None:
    lab = PIL.Image.merge("LAB", [PIL.Image.new("L", (4, 4), value) for value in (136, 208, 195)])
    assert np.allclose(
        read(make_photo(tmp_path / "lab.tif", pixels=lab)).pixels, (255, 0, 0), atol=12
    )


def test_transparent_places_are_white(tmp_path: Path, make_photo: MakePhoto) -> None:
    clear = PIL.Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    for name, options in (
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.gif", {}),
        ("a.tif", {}),
    ):
        assert (read(make_photo(tmp_path / name, pixels=clear, **options)).pixels == 255).all()


# When it was taken


@pytest.mark.parametrize("suffix", WITH_EXIF)
def test_time_of_the_photo(tmp_path: Path, make_photo: MakePhoto, suffix: str) -> None:
    file = make_photo(tmp_path / f"photo{suffix}", taken_at="2019:05:04 10:20:30", orientation=6)
    assert read(file).taken_at == datetime(2019, 5, 4, 10, 20, 30)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({0x9003: "0000:00:00 00:00:00"}, None),
        ({0x9003: "    :  :     :  :  "}, None),
        ({0x9003: "2019:02:31 10:00:00"}, None),
        ({0x9003: "0001:01:01 00:00:00"}, None),
        ({0x9003: "yesterday"}, None),
        ({0x9003: "2019-05-04T10:20:30"}, datetime(2019, 5, 4, 10, 20, 30)),
        (
            {0x9003: "0000:00:00 00:00:00", 0x9004: "2018:01:02 03:04:05"},
            datetime(2018, 1, 2, 3, 4, 5),
        ),
        ({0x0132: "2017:01:02 03:04:05"}, datetime(2017, 1, 2, 3, 4, 5)),
        (
            {0x0132: "2017:01:02 03:04:05", 0x9004: "2018:01:02 03:04:05"},
            datetime(2018, 1, 2, 3, 4, 5),
        ),
        ({0x9003: b"\xff\xfe\x00nonsense"}, None),
    ],
)
def test_first_time_that_makes_sense(
    tmp_path: Path, make_photo: MakePhoto, tags: dict[int, Any], expected: datetime | None
) -> None:
    exif = PIL.Image.Exif()
    exif[0x8769] = {tag: value for tag, value in tags.items() if tag != 0x0132}
    if 0x0132 in tags:
        exif[0x0132] = tags[0x0132]
    assert read(make_photo(tmp_path / "photo.jpg", exif=exif.tobytes())).taken_at == expected


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("cut", [8, 14, 20, 30, 45, 60])
def test_damaged_exif_does_not_cost_the_photo(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels, suffix: str, cut: int
) -> None:
    exif = PIL.Image.Exif()
    exif[0x8769] = {0x9003: "2019:05:04 10:20:30"}
    whole = exif.tobytes()
    if suffix == ".tif":
        file = make_photo(tmp_path / "photo.tif", exif=whole)
        content = bytearray(file.read_bytes())
        pointer = content.index(b"\x69\x87\x04\x00\x01\x00\x00\x00") + 8
        content[pointer : pointer + 4] = (len(content) - cut).to_bytes(4, "little")
        file.write_bytes(content)
    else:
        file = make_photo(
            tmp_path / f"photo{suffix}", exif=whole[:cut] + b"\xff" * (len(whole) - cut)
        )
    assert difference(read(file).pixels, scene) < 6


def test_orientation_survives_damage_elsewhere_in_exif(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels
) -> None:
    file = make_photo(tmp_path / "photo.jpg", orientation=6, taken_at="2019:05:04 10:20:30")
    content = file.read_bytes()
    pointer = content.index(b"\x87\x69\x00\x04\x00\x00\x00\x01") + 8
    file.write_bytes(content[:pointer] + b"\xff\xff\xff\x00" + content[pointer + 4 :])
    image = read(file)
    assert difference(image.pixels, scene) < 6 and image.taken_at is None


# What cannot be read


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("empty", "empty"),
        ("text", "not_a_picture"),
        ("truncated", "truncated"),
        ("bomb", "too_large"),
        ("garbage", "corrupt"),
    ],
)
def test_broken_files_have_stable_codes(
    tmp_path: Path, make_broken: MakeBroken, kind: str, expected: str
) -> None:
    assert code(make_broken(tmp_path / "photo.jpg", kind)) == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_half_a_file_is_truncated(tmp_path: Path, make_photo: MakePhoto, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    file = make_photo(tmp_path / f"photo{suffix}", pixels=noise)
    content = file.read_bytes()
    for share in (0.5, 0.9):
        file.write_bytes(content[: int(len(content) * share)])
        # the decoder of JPEG 2000 does not tell what is missing from what is damaged
        assert code(file) == ("corrupt" if suffix == ".jp2" else "truncated")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_bytes_give_a_photo_or_a_code(
    tmp_path: Path, make_photo: MakePhoto, scene: Pixels, suffix: str
) -> None:
    file = make_photo(
        tmp_path / f"photo{suffix}",
        orientation=6,
        taken_at="2019:05:04 10:20:30",
        pixels=scene[::4, ::4],
    )
    content = file.read_bytes()
    random = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 6):
            damaged[place] = random.integers(0, 256)
        file.write_bytes(damaged)
        try:
            assert read(file).pixels.ndim == 3
        except PhotoError as error:
            assert error.code in CODES


def test_the_limit_stays_when_a_library_switches_pillows_off(
    tmp_path: Path, make_broken: MakeBroken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    assert code(make_broken(tmp_path / "photo.png", "bomb")) == "too_large"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "too_large"),
        (RecursionError("deep"), "corrupt"),
        (OSError(5, "Input/output error"), "unreadable"),
        (PIL.Image.DecompressionBombError(), "too_large"),
    ],
)
def test_failures_while_decoding(
    tmp_path: Path,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: str,
) -> None:
    def fail(picture: PIL.Image.Image) -> None:
        raise error

    file = make_photo(tmp_path / "photo.png")
    monkeypatch.setattr(decode, "to_rgb", fail)
    assert code(file) == expected
    (failure,) = decode.decode_all([Photo(str(tmp_path), "photo.png")], 1)
    assert isinstance(failure, Failure) and failure.code == expected


def test_vanished_file(tmp_path: Path) -> None:
    assert code(tmp_path / "gone.jpg") == "missing"
    assert code(tmp_path / "gone" / "gone.jpg") == "missing"


def test_file_without_permission(
    tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: Path) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    file = make_photo(tmp_path / "photo.jpg")
    monkeypatch.setattr(storage, "open_file", refuse)  # root may read everything
    assert code(file) == "no_permission"


def test_folder_named_like_a_photo(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    assert code(tmp_path / "folder.jpg") == "not_a_file"


def test_decoding_works_whatever_takes_the_place_of_pillows_open(
    tmp_path: Path, make_photo: MakePhoto, make_broken: MakeBroken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ultralytics does it, to install packages for files that it cannot identify."""
    photo, text = make_photo(tmp_path / "photo.jpg"), make_broken(tmp_path / "text.jpg", "text")
    monkeypatch.delattr(PIL.Image, "open")
    assert read(photo).width == 80
    assert code(text) == "not_a_picture"


def test_nothing_is_printed(tmp_path: Path, make_photo: MakePhoto, make_broken: MakeBroken) -> None:
    for kind in ("empty", "text", "truncated", "bomb", "garbage"):
        make_broken(tmp_path / f"{kind}.jpg", kind)
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\0" + b"\x0f\x01\x02\0\xff\xff\0\0" * 9
    make_photo(tmp_path / "exif.jpg", exif=exif)
    make_photo(tmp_path / "palette.png", mode="P", transparency=bytes(range(256)))
    for suffix, compression in (("a", "tiff_lzw"), ("b", "jpeg"), ("c", "raw")):
        file = make_photo(tmp_path / f"{suffix}.tif", compression=compression)
        content = bytearray(file.read_bytes())
        content[60:400:7] = bytes(len(content[60:400:7]))
        file.write_bytes(content)
    script = (
        "import sys; from pathlib import Path; import PIL.Image;"
        "from mivolo_cli.photos import decode, walk;"
        "PIL.Image.MAX_IMAGE_PIXELS = 6000;"
        "done = list(decode.decode_all(walk.walk([Path(sys.argv[1])]), 2));"
        "sys.exit(len(done) != 10)"
    )
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", script, tmp_path], capture_output=True, text=True
    )
    assert (run.stderr, run.stdout, run.returncode) == ("", "", 0)


# Many at once


def test_photos_come_out_in_order_with_failures_in_their_place(
    tmp_path: Path, make_photo: MakePhoto, make_broken: MakeBroken
) -> None:
    names = [f"{index:02}.png" for index in range(20)]
    for index, name in enumerate(names):
        make_photo(tmp_path / name, pixels=np.full((4, 4, 3), index, np.uint8))
    make_broken(tmp_path / names[7], "empty")
    stream: list[Photo | Failure] = [Photo(str(tmp_path), name) for name in names]
    stream[3] = Failure(Photo(str(tmp_path), names[3]), "no_permission", "not allowed")
    results = list(decode.decode_all(stream, 3))
    assert [result.photo.path for result in results] == names
    assert results[3] is stream[3]
    assert isinstance(results[7], Failure) and results[7].code == "empty"
    assert all(
        result.pixels[0, 0, 0] == i for i, result in enumerate(results) if isinstance(result, Image)
    )


def test_decoding_is_parallel_and_a_slow_first_photo_stays_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second_began = threading.Event()

    def fake(photo: Photo, *_: object) -> Image:
        if photo.path == "second":
            second_began.set()
        assert second_began.wait(30), "the photos were decoded one after the other"
        return Image(photo, np.zeros((1, 1, 3), np.uint8))

    monkeypatch.setattr(decode, "decode", fake)
    results = decode.decode_all([Photo("/", "first"), Photo("/", "second")], 2)
    assert [result.photo.path for result in results] == ["first", "second"]


def test_no_more_photos_are_pulled_than_fit(tmp_path: Path, make_photo: MakePhoto) -> None:
    file = make_photo(tmp_path / "photo.png")
    pulled = 0

    def endless() -> Iterator[Photo]:
        nonlocal pulled
        while True:
            pulled += 1
            yield Photo(str(tmp_path), file.name)

    results = decode.decode_all(endless(), 2)
    assert pulled == 0
    for given in range(1, 6):
        next(results)
        assert pulled - given < 4
    results.close()
    assert pulled <= 8


def test_closing_early_ends_the_threads(tmp_path: Path, make_photo: MakePhoto) -> None:
    file = make_photo(tmp_path / "photo.png")
    results = decode.decode_all([Photo(str(tmp_path), file.name)] * 50, 4)
    next(results)
    assert any(thread.name.startswith("decode") for thread in threading.enumerate())
    results.close()
    assert not any(thread.name.startswith("decode") for thread in threading.enumerate())


def test_an_error_of_the_source_comes_through(tmp_path: Path, make_photo: MakePhoto) -> None:
    file = make_photo(tmp_path / "photo.png")

    def source() -> Iterator[Photo]:
        yield Photo(str(tmp_path), file.name)
        raise BadInput("the list ends in the middle")

    with pytest.raises(BadInput):
        list(decode.decode_all(source(), 2))
    assert not any(thread.name.startswith("decode") for thread in threading.enumerate())


@pytest.mark.parametrize(
    "number, code",
    [(errno.EINVAL, "corrupt"), (errno.EOVERFLOW, "corrupt"), (errno.EIO, "unreadable")],
)
def test_what_a_decoder_says_in_the_systems_words_is_damage(number: int, code: str) -> None:
    assert diagnosis(OSError(number, os.strerror(number)))[0] == code


@pytest.mark.parametrize(
    "error",
    [
        struct.error("required argument is not an integer"),
        TypeError("'NoneType' object is not subscriptable"),
        IndexError("index out of range"),
        KeyError(3),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "invalid start byte"),
        PIL.UnidentifiedImageError("cannot identify image file <_io.BytesIO object at 0x7f01>"),
        ValueError("int() argument must be a string"),
    ],
    ids=repr,
)
def test_no_insides_of_python_are_told(error: Exception) -> None:
    assert diagnosis(error) == ("corrupt", CODES["corrupt"])


def test_what_a_decoder_says_of_the_picture_is_told() -> None:
    said = SyntaxError("broken PNG file\n(chunk b'IEND')")
    assert diagnosis(said)[1].endswith(": broken PNG file (chunk b'IEND')")
