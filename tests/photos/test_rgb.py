"""Colours: the numbers that come out of every kind of pixel."""

from __future__ import annotations

import struct

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from mivolo_cli.photos import rgb
from mivolo_cli.photos.rgb import to_pixels, to_rgb


def pixel(picture: PIL.Image.Image) -> tuple[int, ...]:
    converted = to_rgb(picture)
    assert converted.mode == "RGB"
    return tuple(np.array(converted)[0, 0].tolist())


def solid(mode: str, value: float | tuple[int, ...]) -> PIL.Image.Image:
    return PIL.Image.new(mode, (4, 4), value)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
    ],
)
def test_modes_become_the_rgb_that_they_mean(
    mode: str, value: float | tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    assert pixel(solid(mode, value)) == expected


def test_lab_is_converted_through_its_profile() -> None:
    red = PIL.Image.merge(
        "LAB", [solid("L", value) for value in (136, 208, 195)]
    )  # L 53, a 80, b 67
    assert np.allclose(pixel(red), (255, 0, 0), atol=12)  # 8 bits of Lab are coarse


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bits_are_divided_by_257_and_not_clipped(dtype: str) -> None:
    values = np.array([[0, 257, 400, 25700, 65535]], dtype)
    mode = "I;16B" if dtype == ">u2" else "I;16"
    picture = PIL.Image.frombytes(mode, (5, 1), values.tobytes())
    assert np.array(to_rgb(picture))[0, :, 1].tolist() == [0, 1, 2, 100, 255]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("float32", [0, 0.5, 1], [0, 128, 255]),
        ("float32", [0, 0.25, 0.5], [0, 64, 128]),
        ("float32", [0, 2, 4], [0, 128, 255]),
        ("float32", [-1, 0, 1], [0, 128, 255]),
        ("float32", [float("nan"), float("inf"), 1], [0, 255, 255]),
        ("float32", [float("nan"), float("nan"), float("nan")], [0, 0, 0]),
        ("int32", [0, 100, 255], [0, 100, 255]),
        ("int32", [0, 25700, 60000], [0, 100, 233]),
        ("int32", [0, 200_000, 1_000_000], [0, 51, 255]),
    ],
)
def test_values_without_a_known_range_are_scaled(
    dtype: str, values: list[float], expected: list[int]
) -> None:
    picture = PIL.Image.fromarray(np.array([values], dtype))
    assert picture.mode in "FI"
    assert np.array(to_rgb(picture))[0, :, 0].tolist() == expected


def test_palette_with_and_without_transparency() -> None:
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    assert np.array(to_rgb(picture)).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    picture.info["transparency"] = 1
    assert np.array(to_rgb(picture)).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_one_colour_marked_as_transparent_is_white() -> None:
    picture = PIL.Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8))
    picture.info["transparency"] = (1, 2, 3)
    assert np.array(to_rgb(picture)).tolist() == [[[255, 255, 255], [9, 9, 9]]]


def test_embedded_profile_is_applied() -> None:
    for mode, value in (("RGB", (255, 0, 0)), ("RGBA", (255, 0, 0, 255))):
        picture = solid(mode, value)
        picture.info["icc_profile"] = profile(order="GRB")
        assert np.allclose(pixel(picture), (0, 255, 0), atol=3)


def test_profile_of_grey_pictures_is_applied() -> None:
    picture = solid("L", 128)
    picture.info["icc_profile"] = profile(order="", gamma=1.0)
    assert np.allclose(pixel(picture), 188, atol=2)  # linear 0.5, as sRGB writes it


@pytest.mark.parametrize("broken", [b"", b"nonsense", b"\0" * 200])
def test_broken_profile_is_ignored(broken: bytes) -> None:
    picture = solid("RGB", (10, 20, 30))
    picture.info["icc_profile"] = broken
    assert pixel(picture) == (10, 20, 30)


def test_profile_for_another_kind_of_picture_is_ignored() -> None:
    picture = solid("L", 90)
    picture.info["icc_profile"] = profile(order="GRB")
    assert pixel(picture) == (90, 90, 90)
    picture = solid("CMYK", (255, 0, 0, 0))
    picture.info["icc_profile"] = profile(order="GRB")
    assert pixel(picture) == (0, 255, 255)


def test_srgb_profile_changes_nothing() -> None:
    picture = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(np.array(to_rgb(picture)), np.array(picture))


def profile(order: str, gamma: float = 2.2) -> bytes:
    """A small ICC profile: sRGB's primaries, dealt out to the channels in that order; grey without
    an order."""
    primaries = {
        "R": (0.4361, 0.2225, 0.0139),
        "G": (0.3851, 0.7169, 0.0971),
        "B": (0.1431, 0.0606, 0.7141),
    }
    curve = b"curv" + struct.pack(">IIH2x", 0, 1, round(gamma * 256))
    tags = {
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        b"desc": b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(79),
    }
    tags |= {f"{channel}TRC".encode(): curve for channel in ("rgb" if order else "k")}
    tags |= {
        f"{channel}XYZ".encode(): _xyz(*primaries[name])
        for channel, name in zip("rgb", order, strict=False)
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = b"RGB " if order else b"GRAY"
    header = struct.pack(
        ">I4s4s4s4s4s", start + len(body), b"", b"\x02\x40\0\0", b"mntr", space, b"XYZ "
    )
    header += bytes(12) + b"acsp" + bytes(28) + _xyz(0.9642, 1.0, 0.8249)[8:]
    return header.ljust(128, b"\0") + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ " + struct.pack(">I3i", 0, *(round(value * 65536) for value in values))


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (100, 33), (3, 2000), (301, 1000)])
def test_pixels_are_those_of_the_picture_however_it_is_cut_into_strips(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rgb, "STRIP", 1000)
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    found = to_pixels(PIL.Image.fromarray(pixels))
    assert found.dtype == np.uint8 and found.flags.c_contiguous and (found == pixels).all()
