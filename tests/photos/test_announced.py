"""The size that WebP and JPEG XL files announce, and JPEG XL from header to pixels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from helpers.photos import TO_STORED, draw_scene, save_photo
from helpers.require import require
from helpers.tagging import rows_of, write_results

from mivolo_cli.errors import PhotoError
from mivolo_cli.metadata import picture, sidecar
from mivolo_cli.photos.announced import announced
from mivolo_cli.photos.decode import decode, decode_all
from mivolo_cli.photos.formats import formats_of
from mivolo_cli.photos.limits import MB, Limits
from mivolo_cli.records import Failure, Image, Photo
from mivolo_cli.tagging.tag import TagOptions, tag

SIZES = [(80, 64), (8, 8), (256, 256), (257, 256), (1000, 1), (1920, 1080), (511, 1023), (7000, 9)]


def read(file: Path) -> Image | Failure:
    (found,) = decode_all([Photo(str(file.parent), file.name)], 1)
    return found


def coded(picture: PIL.Image.Image, format: str, **options: object) -> BytesIO:
    target = BytesIO()
    picture.save(target, format, **options)
    target.seek(0)
    return target


def jxl(picture: PIL.Image.Image | None = None, **options: object) -> bytes:
    require("pillow_jxl")
    return coded(picture or PIL.Image.fromarray(draw_scene()), "JXL", **options).read()


def turned_jxl(orientation: int) -> bytes:
    """A picture of the scene that its own header turns upright, as only other encoders write it:
    its header says that all is as usual; this says so word by word, but for the orientation."""
    data = jxl(PIL.Image.fromarray(draw_scene()).transpose(TO_STORED[orientation]), quality=95)
    bits, at = int.from_bytes(data[2:], "little"), 1 + 5 + 3
    at += 0 if bits >> 6 & 7 else 5  # a width, where it is not a known share of the height
    assert data.startswith(b"\xff\x0a") and bits & 1 and bits >> at & 3 == 3, "small, and as usual"
    head = bits & (1 << at) - 1
    end = -(-(at + 2) // 8)
    words = [
        (0, 1), (1, 1), (orientation - 1, 3), (0, 3),  # not as usual; no size, preview, animation
        (0, 1), (0, 2), (1, 1), (0, 2),  # whole numbers of 8 bits, no further channels
        (1, 1), (1, 1), (1, 1), (0, 2), (1, 1),  # colours, tones, extensions, transforms as usual
    ]  # fmt: skip
    for value, count in words:
        head |= value << at
        at += count
    return data[:2] + head.to_bytes(-(-at // 8), "little") + data[2 + end :]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["lossy", "lossless", "alpha"])
def test_a_webp_announces_its_size(size: tuple[int, int], kind: str) -> None:
    mode = "RGBA" if kind == "alpha" else "RGB"
    pixels = PIL.Image.new(mode, size, (1, 2, 3, 4)[: len(mode)])
    found = announced(file := coded(pixels, "WEBP", lossless=kind != "lossy"))
    assert found is not None and (found.size, found.mode) == (size, mode)
    assert file.tell() == 0


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("boxes", [False, True])
def test_a_jpeg_xl_announces_its_size(size: tuple[int, int], boxes: bool) -> None:
    data = jxl(PIL.Image.new("RGB", size), use_container=boxes, effort=1)
    found = announced(BytesIO(data))
    assert found is not None and (found.format, found.size) == ("JXL", size)
    assert formats_of(data[:32]) == ["JXL"]


def test_boxes_may_stand_before_the_picture() -> None:
    data = jxl(use_container=True)
    place = data.index(b"jxlc") - 4
    text = (1000).to_bytes(4, "big") + b"xml " + bytes(992)
    found = announced(BytesIO(data[:place] + text + data[place:]))
    assert found is not None and found.size == (80, 64)
    part = data[:place] + (99).to_bytes(4, "big") + b"jxlp" + bytes(4) + data[place + 8 :]
    found = announced(BytesIO(part))
    assert found is not None and found.size == (80, 64)


def test_other_formats_announce_nothing() -> None:
    for format in ("JPEG", "PNG", "TIFF", "GIF", "BMP"):
        assert announced(coded(PIL.Image.new("RGB", (8, 8)), format)) is None
    assert announced(BytesIO(b"RIFF\0\0\0\0WEBPJUNK" + bytes(60))) is None
    assert announced(BytesIO()) is None


@pytest.mark.parametrize("data", [b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), b"\xff\x0a"])
def test_a_broken_jpeg_xl_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jxl").write_bytes(data)
    failure = read(tmp_path / "a.jxl")
    assert isinstance(failure, Failure) and failure.code in ("corrupt", "no_decoder")


def test_memory_is_asked_for_before_the_file_is_opened(tmp_path: Path) -> None:
    """16000 x 16000 pixels in a file of a few hundred bytes."""
    data = jxl(PIL.Image.new("L", (256, 256)), effort=1)
    bits = int.from_bytes(data[2:], "little")
    assert bits & 1 and bits >> 6 & 7 == 1, "small and square"
    (tmp_path / "a.jxl").write_bytes(
        data[:2] + (0 | 2 << 1 | (16_000 - 1) << 3 | 1 << 21).to_bytes(4, "little") + data[4:]
    )
    PIL.Image.new("RGB", (16_000, 11_200)).save(tmp_path / "b.webp", method=0, quality=1)
    for name, size in (("a.jxl", "16000 x 16000"), ("b.webp", "16000 x 11200")):
        (failure,) = decode_all([Photo(str(tmp_path), name)], 1, None, Limits(512 * MB))
        assert isinstance(failure, Failure) and failure.code == "too_large"
        assert size in failure.message and "--memory" in failure.message
        (failure,) = decode_all([Photo(str(tmp_path), name)], 1, None, Limits(max_pixels=9))
        assert isinstance(failure, Failure) and "--max-pixels allows 9" in failure.message


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"use_container": True}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_jpeg_xl_is_read(tmp_path: Path, options: dict[str, bool], mode: str) -> None:
    scene = PIL.Image.fromarray(draw_scene()).convert(mode)
    (tmp_path / "a.jxl").write_bytes(jxl(scene, **options))
    image = read(tmp_path / "a.jxl")
    assert isinstance(image, Image)
    assert np.abs(image.pixels.astype(int) - np.asarray(scene.convert("RGB"))).mean() < 2


@pytest.mark.parametrize("orientation", TO_STORED)
def test_the_header_of_jpeg_xl_turns_it_and_exif_does_not(tmp_path: Path, orientation: int) -> None:
    require("pillow_jxl")
    (tmp_path / "a.jxl").write_bytes(turned_jxl(orientation))
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2001:02:03 04:05:06"
    scene = PIL.Image.fromarray(draw_scene())
    (tmp_path / "b.jxl").write_bytes(jxl(scene, exif=exif.tobytes()))
    for name in ("a.jxl", "b.jxl"):
        image = read(tmp_path / name)
        assert isinstance(image, Image) and image.pixels.shape == (64, 80, 3)
        assert np.abs(image.pixels.astype(int) - draw_scene()).mean() < 2
        facts = picture.examine((tmp_path / name).read_bytes(), name, pixels=False)
        assert (facts.size, facts.orientation) == ((80, 64), 1)
        assert (image.taken_at is not None) == (name == "b.jxl")


def test_a_jpeg_in_jpeg_xl_is_turned_by_its_exif(tmp_path: Path) -> None:
    require("pillow_jxl")
    with PIL.Image.open(save_photo(tmp_path / "a.jpg", orientation=6)) as photo:
        photo.save(tmp_path / "a.jxl", lossless_jpeg=True)
    image = read(tmp_path / "a.jxl")
    assert isinstance(image, Image) and image.pixels.shape == (64, 80, 3)
    assert np.abs(image.pixels.astype(int) - draw_scene()).mean() < 9
    facts = picture.examine((tmp_path / "a.jxl").read_bytes(), "a.jxl", pixels=False)
    assert (facts.size, facts.orientation) == ((80, 64), 1)


def test_without_the_extra_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + bytes(60))
    opening = {name: plugin for name, plugin in PIL.Image.OPEN.items() if name != "JXL"}
    monkeypatch.setattr("PIL.Image.OPEN", opening)
    with pytest.raises(PhotoError, match=r"pip install 'mivolo-cli\[jxl\]'") as caught:
        decode(Photo(str(tmp_path), "a.jxl"))
    assert caught.value.code == "no_decoder"


def test_tags_of_jpeg_xl_go_into_a_sidecar(tmp_path: Path) -> None:
    file = tmp_path / "a.jxl"
    file.write_bytes(jxl())
    before = file.read_bytes()
    tally = tag(TagOptions(write_results(tmp_path / "people.parquet", rows_of(file))))
    assert tally.statuses == {"sidecar": 1} and file.read_bytes() == before
    assert sidecar.path(file).exists()
