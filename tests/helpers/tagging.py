"""What the tests of metadata share: rows of results, packets of other programs, and a corpus of
awkward files."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
from PIL.PngImagePlugin import PngInfo

from helpers.photos import draw_scene
from mivolo_cli.metadata import tiff
from mivolo_cli.metadata.packet import Provenance, Tags
from mivolo_cli.metadata.regions import People, Region, stored_area
from mivolo_cli.records import SCHEMA
from mivolo_cli.tables import open_sinks

SHA = "ab" * 32
MODEL = {"model": "mivolo-xs", "model_sha256": SHA}
OTHERS = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Somebody 1.0'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <!-- a remark -->
 <rdf:Description rdf:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating="4"
   xmlns:foo='http://foo.example/1.0/' foo:secret='a&amp;b'>
  <foo:deep rdf:parseType='Resource'><foo:x>1</foo:x></foo:deep>
 </rdf:Description>
 <rdf:Description rdf:about='' xmlns:mwg-rs='http://www.metadataworkinggroup.com/schemas/regions/'
   xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#' xmlns:stDim='http://ns.adobe.com/xap/1.0/sType/Dimensions#'>
  <mwg-rs:Regions rdf:parseType='Resource'>
   <mwg-rs:AppliedToDimensions rdf:parseType='Resource'>
    <stDim:w>80</stDim:w><stDim:h>64</stDim:h><stDim:unit>pixel</stDim:unit>
   </mwg-rs:AppliedToDimensions>
   <mwg-rs:RegionList><rdf:Bag>
    <rdf:li><rdf:Description mwg-rs:Name="Anna" mwg-rs:Type="Face"><mwg-rs:Area
      stArea:x="0.75" stArea:y="0.5"
      stArea:w="0.125" stArea:h="0.25" stArea:unit="normalized"/></rdf:Description></rdf:li>
   </rdf:Bag></mwg-rs:RegionList>
  </mwg-rs:Regions>
 </rdf:Description>
 <rdf:Description rdf:about='' xmlns:lr='http://ns.adobe.com/lightroom/1.0/'
   xmlns:digiKam='http://www.digikam.org/ns/1.0/'>
  <lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Rome</rdf:li></rdf:Bag></lr:hierarchicalSubject>
  <digiKam:TagsList><rdf:Seq><rdf:li>Places/Rome</rdf:li></rdf:Seq></digiKam:TagsList>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
                                                            \n<?xpacket end='w'?>"""
"""A packet of an 80 x 64 photo with a named region, a rating, keywords, and a namespace that nobody
knows."""
FACE = (10.0, 8.0, 30.0, 40.0)
"""A face on the upright photo, in pixels."""


def row(
    path: str = "a.jpg", root: str = "/", person: int | None = 0, **values: Any
) -> dict[str, Any]:
    """A row of the results: a man of 33 with a face at FACE on a photo of 80 x 64."""
    known: dict[str, Any] = {"width": 80, "height": 64, "person": person, "status": "ok"}
    if person is not None:
        known |= {"age": 33.4, "gender": "male", "gender_score": 0.97, "used": "face+body"}
        known |= dict(zip(("face_x1", "face_y1", "face_x2", "face_y2"), FACE, strict=True))
    return dict.fromkeys(SCHEMA.names) | {"path": path, "root": root} | known | values


def rows_of(
    photo: Path, people: Sequence[dict[str, Any]] = ({},), **values: Any
) -> list[dict[str, Any]]:
    """Rows of a photo that is there, as a scan would write them."""
    info = photo.stat()
    known = {"bytes": info.st_size, "mtime_ns": info.st_mtime_ns, **values}
    return [
        row(photo.name, str(photo.parent), number, **known, **person)
        for number, person in enumerate(people)
    ]


def write_results(
    file: Path, rows: Sequence[dict[str, Any]], metadata: dict[str, str] = MODEL
) -> Path:
    with open_sinks([file], metadata) as sinks:
        sinks.write(rows)
    return file


def make_tags(orientation: int = 1, size: tuple[int, int] = (80, 64), **values: Any) -> Tags:
    """One man at FACE on an upright picture of that size."""
    area = stored_area(FACE, size, orientation)
    assert area is not None
    region = Region(
        area,
        "Face",
        **{"age": 33.4, "gender": "male", "gender_score": 0.97, "used": "face", **values},
    )
    provenance = Provenance("mivolo-xs", SHA, "2026-01-01T00:00:00+00:00", scanned_bytes="1")
    return Tags(provenance, People(size[::-1] if orientation >= 5 else size, [region]))


def encode(format: str, picture: PIL.Image.Image | None = None, **options: Any) -> bytes:
    target = io.BytesIO()
    (picture or PIL.Image.fromarray(draw_scene())).save(target, format, **options)
    return target.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def xmp_segment(packet: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


def exif_block(orientation: int = 1, maker_note: bytes = b"", order: str = "<") -> bytes:
    """A TIFF block that a camera might write: its maker note, if any, in the middle."""
    size = ">" if order == ">" else "<"
    block = (b"MM\0*" if order == ">" else b"II*\0") + bytes(12)
    fields = {
        0x0112: tiff.Value(3, 1, struct.pack(size + "H", orientation)),
        0x010F: tiff.Value(2, 4, b"Cam\0"),
    }
    block = tiff.write_fields(block, fields)
    taken = tiff.Value(2, 20, b"2020:01:31 12:00:00\0")
    note = {0x927C: tiff.Value(7, len(maker_note), maker_note)} if maker_note else {}
    return tiff.write_fields(block, {0x9003: taken, **note}, 0x8769)


def with_packet(data: bytes, packet: bytes = OTHERS) -> bytes:
    """A JPEG with this XMP packet right at its start."""
    return data[:2] + xmp_segment(packet) + data[2:]


def corpus() -> dict[str, tuple[str, bytes]]:
    """Name -> container and content: files as programs and cameras write them that are easy to
    damage."""
    scene = PIL.Image.fromarray(draw_scene())
    frames = [scene, scene.transpose(PIL.Image.Transpose.ROTATE_180)]
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    plain, notes = encode("JPEG", icc_profile=profile), PngInfo()
    notes.add_text("Description", "a walk")
    notes.add_itxt("Title", "Grüße", zip=True)
    notes.add_text("Comment", "long " * 50, zip=True)
    exif = segment(0xE1, b"Exif\0\0" + exif_block(1, bytes(range(256)) * 235))
    second = segment(0xE1, b"Exif\0\0" + exif_block(1, order=">"))
    extended = segment(
        0xE1,
        b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", 4, 0) + b"<a/>",
    )
    photoshop = segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x05abcde\0")
    start, rest = plain[:2], plain[2:]
    png = encode("PNG", icc_profile=profile, pnginfo=notes)
    packed = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(OTHERS, 1))
    return {
        "plain": ("JPEG", plain),
        "xmp before exif": ("JPEG", start + xmp_segment(OTHERS) + exif + rest),
        "fill bytes": (
            "JPEG",
            start + b"\xff\xff\xff" + exif + b"\xff\xff" + xmp_segment(OTHERS) + b"\xff" + rest,
        ),
        "two exif segments": ("JPEG", start + exif + second + rest),
        "maker notes of 60 KB": ("JPEG", start + exif + rest),
        "trailer": ("JPEG", plain + b"\0\0SEFT" + bytes(300)),
        "mpf": ("JPEG", encode("MPO", save_all=True, append_images=frames[1:])),
        "photoshop block that is cut": ("JPEG", start + photoshop + rest),
        "comment": ("JPEG", start + segment(0xFE, "Grüße".encode("latin-1")) + rest),
        "extended xmp": ("JPEG", start + xmp_segment(OTHERS) + extended + rest),
        "progressive": ("JPEG", encode("JPEG", progressive=True)),
        "cmyk": ("JPEG", encode("JPEG", scene.convert("CMYK"))),
        "packet with nul at its end": ("JPEG", with_packet(plain, OTHERS + b"\0")),
        "png with text": ("PNG", png),
        "png with late xmp": (
            "PNG",
            png[:-12] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + OTHERS) + png[-12:],
        ),
        "png with packed xmp": ("PNG", png[:33] + packed + png[33:]),
        "palette png": ("PNG", encode("PNG", scene.convert("P"))),
        "interlaced png": ("PNG", interlaced()),
        "animated png": ("PNG", encode("PNG", scene, save_all=True, append_images=frames[1:])),
        "webp": ("WEBP", encode("WEBP")),
        "lossless webp": ("WEBP", encode("WEBP", scene.convert("RGBA"), lossless=True)),
        "webp with exif": (
            "WEBP",
            encode("WEBP", icc_profile=profile, exif=exif_block(1), xmp=OTHERS),
        ),
        "animated webp": (
            "WEBP",
            encode("WEBP", save_all=True, append_images=frames[1:], duration=[40, 80]),
        ),
        "tiff": ("TIFF", encode("TIFF")),
        "packed tiff": ("TIFF", encode("TIFF", compression="tiff_lzw")),
        "pages": ("TIFF", encode("TIFF", save_all=True, append_images=[frames[1].copy()])),
        "tiff with xmp": ("TIFF", tiff.write_xmp(encode("TIFF"), OTHERS)),
        "motorola": ("TIFF", motorola()),
    }


def without_room() -> bytes:
    """A JPEG whose packet has an empty list, and no room for a copy of itself: after keywords were
    added, it cannot be restored to the byte."""
    noise = base64.b64encode(np.random.default_rng(0).bytes(30_000))
    start, end = OTHERS.index(b"<digiKam:TagsList>"), OTHERS.index(b"</digiKam:TagsList>")
    packet = OTHERS[:start] + b"<digiKam:TagsList><rdf:Bag/>" + OTHERS[end:]
    return with_packet(encode("JPEG"), packet.replace(b"a remark", noise))


def interlaced() -> bytes:
    """An 80 x 64 grey PNG in Adam7's seven passes, which Pillow does not write."""
    passes = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    grey = draw_scene().mean(axis=2).astype("uint8")
    lines = [b"\0" + line.tobytes() for x, y, dx, dy in passes for line in grey[y::dy, x::dx]]
    header = chunk(b"IHDR", struct.pack(">2I5B", 80, 64, 8, 0, 0, 0, 1))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"".join(lines)))
        + chunk(b"IEND", b"")
    )


def motorola() -> bytes:
    """A grey TIFF with its numbers the other way round, its directory behind the pixels."""
    pixels = draw_scene().mean(axis=2).astype("uint8").tobytes()
    short = {256: 80, 257: 64, 258: 8, 259: 1, 262: 1, 277: 1, 278: 64}
    fields = {tag: tiff.Value(3, 1, struct.pack(">H", value)) for tag, value in short.items()}
    places = {
        273: tiff.Value(4, 1, struct.pack(">L", 8)),
        279: tiff.Value(4, 1, struct.pack(">L", len(pixels))),
    }
    return tiff.write_fields(b"MM\0*\0\0\0\0" + pixels, fields | places)


def exiftool(*arguments: object) -> Any:
    """What exiftool says, as JSON; the test is skipped where it is not installed, but not in CI."""
    if shutil.which("exiftool") is None:
        assert "CI" not in os.environ, "exiftool is missing: apt-get install libimage-exiftool-perl"
        pytest.skip("exiftool is not installed")
    command = ["exiftool", "-struct", "-json", "-G1", *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
