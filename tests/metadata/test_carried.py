"""What a new sidecar takes over from a photo's EXIF and IPTC."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import PIL.Image
import pyexiv2
import pytest
from helpers.photos import draw_scene
from helpers.require import require
from helpers.tagging import OTHERS, chunk, encode, exiftool, rows_of, with_packet, write_results

from mivolo_cli.metadata import Refused, judge
from mivolo_cli.metadata.carried import own_metadata
from mivolo_cli.metadata.own_exif import own_exif
from mivolo_cli.metadata.own_xmp import own_xmp
from mivolo_cli.tagging.tag import TagOptions, tag
from mivolo_cli.tagging.untag import UntagOptions, untag

ANNA = "Anna & Böb <3"


def block(order: str = "<", **fields: Any) -> bytes:
    """EXIF of a photo that somebody has described, with other fields by tag (`x4746=3`)."""
    exif = PIL.Image.Exif()
    exif.endian = order
    texts = {0x9C9B: "Ein Tag am Meer", 0x9C9C: "no", 0x9C9E: f"Meer; {ANNA};Meer", 0x9C9D: "no"}
    main: dict[int, Any] = {tag: text.encode("utf-16-le") + b"\0\0" for tag, text in texts.items()}
    main |= {0x010E: b"An der K\xc3\xbcste\0", 0x013B: b"M. Muster;Eve\0", 0x8298: b"(c) M\0"}
    main |= {0x4746: 4, 0x4749: 75}
    for name, value in (
        main | {int(name[1:], 16): value for name, value in fields.items()}
    ).items():
        exif[name] = value
    details = exif.get_ifd(0x8769)
    details |= {0x9003: "2020:01:31 12:00:00", 0x9291: "25", 0x9011: "+02:00"}
    details |= {0x9004: "2020:02:01 00:00:00"}
    exif.get_ifd(0x8825).update({1: "S", 2: (33.0, 30.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)})
    return exif.tobytes().removeprefix(b"Exif\0\0")


EXPECTED = {
    "Xmp.dc.title": {'lang="x-default"': "Ein Tag am Meer"},
    "Xmp.dc.description": {'lang="x-default"': "An der Küste"},
    "Xmp.dc.rights": {'lang="x-default"': "(c) M"},
    "Xmp.dc.subject": ["Meer", ANNA],
    "Xmp.dc.creator": ["M. Muster", "Eve"],
    "Xmp.xmp.Rating": "4",
    "Xmp.MicrosoftPhoto.Rating": "75",
    "Xmp.exif.DateTimeOriginal": "2020-01-31T12:00:00.25+02:00",
    "Xmp.photoshop.DateCreated": "2020-01-31T12:00:00.25+02:00",
    "Xmp.xmp.CreateDate": "2020-02-01T00:00:00",
    "Xmp.exif.GPSLatitude": "33,30.60000000S",
    "Xmp.exif.GPSLongitude": "151,12.00000000E",
}


def profile(content: bytes) -> bytes:
    text = b"\nexif\n%8d\n%s\n" % (len(content), content.hex().encode())
    return chunk(b"tEXt", b"Raw profile type exif\0" + text)


def photo(kind: str, exif: bytes) -> bytes:
    if kind == "png profile":
        data = encode("PNG")
        return data[:33] + profile(b"Exif\0\0" + exif) + data[33:]
    if kind == "JPEG2000":
        content = b"JpgTiffExif->JP2" + exif
        return encode("JPEG2000") + (8 + len(content)).to_bytes(4, "big") + b"uuid" + content
    if kind == "JXL":
        require("pillow_jxl")
    return encode(kind, exif=b"Exif\0\0" * (kind in ("JPEG", "WEBP")) + exif)


def said(data: bytes) -> dict[str, Any]:
    packet = own_metadata(data)
    if packet is None:
        return {}
    with pyexiv2.ImageData(packet) as sidecar:
        return dict(sidecar.read_xmp())


KINDS = ["HEIF", "AVIF", "WEBP", "PNG", "png profile", "JPEG", "TIFF", "JPEG2000", "JXL"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", "<>")
def test_what_exif_says_is_carried_over(kind: str, order: str) -> None:
    if kind == "TIFF" and order == ">":
        pytest.skip("Pillow writes no such TIFF")
    text = b"Ko" if kind == "TIFF" else b"K\xc3\xbcste"  # Pillow's TIFFs have no other letters
    data = photo(kind, block(order, x10e=b"An der " + text + b"\0"))
    assert own_xmp(data) is None
    described = {"Xmp.dc.description": {'lang="x-default"': f"An der {text.decode()}"}}
    assert said(data) == EXPECTED | described


def test_what_xmp_says_stays() -> None:
    packet = OTHERS.replace(b"foo:secret='a&amp;b'", b"foo:secret='' xmp:CreateDate='2001-01-01'")
    for kind in ("HEIF", "JPEG"):
        data = encode(kind, exif=b"Exif\0\0" + block(), xmp=packet)
        found = said(data)
        assert (found["Xmp.xmp.Rating"], found["Xmp.xmp.CreateDate"]) == ("4", "2001-01-01")
        assert found["Xmp.dc.subject"] == ["Meer", ANNA]
        whole = own_metadata(encode(kind, exif=b"Exif\0\0" + block(x4746=1), xmp=packet))
        assert whole is not None and b'xmp:Rating="4"' in whole and b"<xmp:Rating>" not in whole
    assert own_metadata(with_packet(encode("JPEG"))) == OTHERS


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ({"x4746": 0, "x4749": 99}, "xmp.Rating", "5"),
        ({"x4746": 0, "x4749": 25}, "xmp.Rating", "2"),
        ({"x4746": 0, "x4749": 1}, "xmp.Rating", "1"),
        ({"x4746": 0, "x4749": 0}, "xmp.Rating", None),
        ({"x4746": 9000, "x4749": 0}, "xmp.Rating", None),
        ({"x10e": b"K\xfcste\0"}, "dc.description", {'lang="x-default"': "Küste"}),
        ({"x10e": b"a\x01b\x1b[2Jc\0"}, "dc.description", {'lang="x-default"': "ab[2Jc"}),
        ({"x10e": b"   \0"}, "dc.description", {'lang="x-default"': "no"}),
        ({"x13b": b"\0"}, "dc.creator", ["no"]),
        ({"x9c9e": "a;;b ;".encode("utf-16-le")}, "dc.subject", ["a", "b"]),
        ({"x9c9e": b""}, "dc.subject", None),
    ],
)
def test_odd_fields_are_understood(fields: dict[str, Any], name: str, expected: object) -> None:
    assert said(encode("HEIF", exif=block(**fields))).get(f"Xmp.{name}") == expected


@pytest.mark.parametrize("order", "<>")
def test_a_comment_has_its_own_characters(order: str) -> None:
    encoding = "utf-16-le" if order == "<" else "utf-16-be"
    for content, text in (
        (b"ASCII\0\0\0a walk", "a walk"),
        (b"UNICODE\0" + "Küste".encode(encoding), "Küste"),
        (b"JIS\0\0\0\0\0xxx", None),
    ):
        exif = PIL.Image.Exif()
        exif.endian = order
        exif.get_ifd(0x8769)[0x9286] = content
        exif[0x4746] = 1
        found = said(encode("HEIF", exif=exif.tobytes()))
        assert found.get("Xmp.dc.description", {}).get('lang="x-default"') == text


def test_iptc_is_carried_over_where_exif_says_nothing() -> None:
    with pyexiv2.ImageData(encode("JPEG")) as image:
        image.modify_iptc({"Iptc.Application2.Keywords": ["Meer", ANNA],
                           "Iptc.Application2.ObjectName": "Küste"})  # fmt: skip
        data = image.get_bytes()
    found = said(data)
    assert found["Xmp.dc.subject"] == ["Meer", ANNA]
    assert found["Xmp.dc.title"] == {'lang="x-default"': "Küste"}


@pytest.mark.parametrize("kind", ["HEIF", "JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_photos_without_words_begin_with_nothing(kind: str) -> None:
    assert own_metadata(encode(kind)) is None


@pytest.mark.parametrize("cut", [0, 4, 12, 40, 200])
def test_broken_exif_says_nothing(cut: int) -> None:
    whole = block()
    broken = encode("JPEG", exif=b"Exif\0\0" + whole[:cut].ljust(len(whole), b"\xff"))
    assert set(said(broken)) <= set(EXPECTED)
    data = encode("HEIF", exif=whole)
    for at in range(0, len(data), 97):
        own_exif(data[:at])


def test_compressed_xmp_of_jpeg_xl_is_not_hidden() -> None:
    require("pillow_jxl")
    data = encode("JXL", use_container=True)
    packed = b"brobxml \x0b\x02\x80abc"
    with pytest.raises(Refused) as caught:
        own_metadata(data + (4 + len(packed)).to_bytes(4, "big") + packed)
    assert caught.value.code == "bad_xmp"
    plain = (8 + len(OTHERS)).to_bytes(4, "big") + b"xml " + OTHERS
    assert said(data + plain)["Xmp.xmp.Rating"] == "4"


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_exiftool_finds_it_in_the_sidecar(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    target = io.BytesIO()
    PIL.Image.fromarray(draw_scene()).save(target, suffix[1:].replace("heic", "HEIF"), exif=block())
    file.write_bytes(target.getvalue())
    table = write_results(tmp_path / "people.parquet", rows_of(file))
    assert tag(TagOptions(table)).statuses == {"sidecar": 1}
    sidecar = tmp_path / f"a{suffix}.xmp"
    fields = ("Rating", "RatingPercent", "Title", "Description", "Subject", "Creator")
    (entry,) = exiftool("-validate", "-warning", *(f"-XMP:{field}" for field in fields), sidecar)
    assert entry == {
        "SourceFile": str(sidecar), "XMP-xmp:Rating": 4, "XMP-microsoft:RatingPercent": 75,
        "XMP-dc:Title": "Ein Tag am Meer", "XMP-dc:Description": "An der Küste",
        "XMP-dc:Subject": ["Meer", ANNA], "XMP-dc:Creator": ["M. Muster", "Eve"],
        "ExifTool:Validate": "OK",
    }  # fmt: skip
    (place,) = exiftool("-n", "-XMP:GPSLatitude", "-XMP:GPSLongitude", sidecar)
    assert place["XMP-exif:GPSLatitude"] == pytest.approx(-33.51)
    assert place["XMP-exif:GPSLongitude"] == pytest.approx(151.2)
    assert judge.properties(sidecar.read_bytes()).regions == 1
    assert tag(TagOptions(table)).statuses == {"unchanged": 1}
    assert untag(UntagOptions([file])).statuses == {"restored": 1} and not sidecar.exists()
