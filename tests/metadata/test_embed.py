"""Entries inside photos: the coded picture stays, what others wrote stays, and the way back is
tried beforehand."""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from helpers.photos import draw_scene, save_photo
from helpers.tagging import (
    OTHERS,
    chunk,
    corpus,
    encode,
    exif_block,
    make_tags,
    segment,
    with_packet,
    without_room,
    xmp_segment,
)
from PIL.MpoImagePlugin import MpoImageFile

from mivolo_cli.metadata import Refused, embed, exif, jpeg, packet, tiff, webp
from mivolo_cli.metadata.embed import CONTAINERS, Text
from mivolo_cli.metadata.packet import TagEntries
from mivolo_cli.metadata.picture import examine
from mivolo_cli.metadata.xmp import NAMESPACES

CORPUS = corpus()


def png_with(kind: bytes, body: bytes) -> bytes:
    """With one more chunk behind its header."""
    return encode("PNG")[:33] + chunk(kind, body) + encode("PNG")[33:]


every_file = pytest.mark.parametrize("name", CORPUS)
TEXT = Text("UserComment", "1 person: looks about 33")


@every_file
def test_an_awkward_file_is_tagged_and_restored(name: str) -> None:
    kind, data = CORPUS[name]
    assert embed.container(data, f"photo.{kind.lower()}") == kind
    tags = make_tags()
    done = embed.embed(data, kind, tags, TagEntries(keywords=True, microsoft=True))
    embed.check(data, done.data, kind, 1)
    found = embed.read(done.data, kind)
    assert found is not None and found.same_people(tags)
    left = embed.strip(done.data, kind)
    assert done.reversible and left.restored and left.data == data
    assert CONTAINERS[kind].read_xmp(left.data) == done.old


@every_file
def test_a_second_run_replaces_our_entries_and_nothing_else(name: str) -> None:
    kind, data = CORPUS[name]
    first = embed.embed(data, kind, make_tags(age=20.0), TagEntries(keywords=True))
    second = embed.embed(first.data, kind, make_tags(age=70.0), TagEntries())
    assert not second.unchanged
    assert embed.embed(data, kind, make_tags(age=70.0), TagEntries()).data == second.data
    again = embed.embed(second.data, kind, replace_date(make_tags(age=70.0)), TagEntries())
    assert again.unchanged and again.data == second.data


def replace_date(tags: embed.Tags) -> embed.Tags:
    return replace(tags, provenance=replace(tags.provenance, date="2030-01-01T00:00:00+00:00"))


@pytest.mark.parametrize("name", [name for name, (kind, _) in CORPUS.items() if kind != "TIFF"])
@pytest.mark.parametrize("field", ["UserComment", "ImageDescription"])
def test_an_exif_text_comes_and_goes(name: str, field: exif.Field) -> None:
    kind, data = CORPUS[name]
    text = Text(field, "1 person: looks about 33")
    done = embed.embed(data, kind, make_tags(), TagEntries(), text)
    embed.check(done.bare, done.data, kind, 1, text)
    assert text.text.encode() in done.data
    left = embed.strip(done.data, kind)
    assert left.restored and left.data == data


def test_the_extended_part_is_kept_and_regions_there_are_not_doubled() -> None:
    kind, data = CORPUS["extended xmp"]
    assert jpeg.read_extended(embed.embed(data, kind, make_tags(), TagEntries()).data) == b"<a/>"
    for name, entries in (
        ("mwg-rs", TagEntries()),
        ("MPRI", TagEntries(microsoft=True)),
        ("lr", TagEntries(keywords=True)),
    ):
        body = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + NAMESPACES[name].encode()
        with pytest.raises(Refused) as caught:
            embed.embed(data[:2] + segment(0xE1, body) + data[2:], kind, make_tags(), entries)
        assert caught.value.code == "extended_xmp"
        if name != "mwg-rs":
            embed.embed(data[:2] + segment(0xE1, body) + data[2:], kind, make_tags(), TagEntries())


def test_new_metadata_stand_where_readers_look() -> None:
    data = encode("JPEG", exif=b"Exif\0\0" + exif_block(1))
    new = embed.embed(data, "JPEG", make_tags(), TagEntries()).data
    assert new.index(b"Exif\0\0") < new.index(jpeg.XMP) < new.index(b"\xff\xdb")


@pytest.mark.parametrize(
    "kind, data, code",
    [
        ("JPEG", with_packet(encode("JPEG"), b"<broken"), "bad_xmp"),
        ("JPEG", with_packet(with_packet(encode("JPEG"))), "bad_container"),
        (
            "JPEG",
            with_packet(encode("JPEG"), OTHERS.replace(b"a remark", b"a" * 63_000)),
            "too_large",
        ),
        ("JPEG", b"\xff\xd8\xff\xe1\0\4ab??", "bad_container"),
        ("PNG", encode("PNG")[:-4], "bad_container"),
        ("WEBP", encode("WEBP") + b"more", "bad_container"),
        ("TIFF", encode("TIFF")[:4] + b"\xff\xff\xff\0" + encode("TIFF")[8:], "bad_container"),
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_refused(kind: str, data: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        embed.embed(data, kind, make_tags(), TagEntries())
    assert caught.value.code == code


def test_an_index_of_pictures_before_the_packet_is_refused() -> None:
    """It finds the pictures behind by their distance, which would change."""
    plain = encode("JPEG")
    data = plain[:2] + segment(0xE2, b"MPF\0" + bytes(20)) + xmp_segment(OTHERS) + plain[2:]
    with pytest.raises(Refused) as caught:
        embed.embed(data, "JPEG", make_tags(), TagEntries())
    assert caught.value.code == "bad_container"


def test_an_index_of_pictures_is_right_after_the_metadata_have_grown() -> None:
    """Pillow finds both pictures, and the index says how long the first one is: to its end,
    metadata included."""
    kind, data = CORPUS["mpf"]
    new = embed.embed(data, kind, make_tags(), TagEntries(keywords=True), TEXT).data
    for content in (data, new):
        picture = PIL.Image.open(io.BytesIO(content))
        assert isinstance(picture, MpoImageFile) and picture.mpinfo
        first, second = picture.mpinfo[0xB002]
        assert (picture.format, first["DataOffset"]) == ("MPO", 0)
        assert content[first["Size"] - 2 :][:4] == b"\xff\xd9\xff\xd8"
        assert first["Size"] + second["Size"] == len(content)
        picture.seek(1)
        turned = PIL.Image.fromarray(draw_scene()).rotate(180)
        assert np.abs(np.asarray(picture, int) - np.asarray(turned, int)).mean() < 3
    assert embed.strip(new, kind).data == data


def test_an_index_of_pictures_that_cannot_be_understood_is_left_as_it_is() -> None:
    plain = encode("JPEG")
    for index in (b"", bytes(20), b"II*\0\x08\0\0\0\1\0\2\xb0\7\0\xff\0\0\0\x1a\0\0\0\0\0\0\0"):
        data = plain[:2] + segment(0xE2, b"MPF\0" + index) + plain[2:]
        new = embed.embed(data, "JPEG", make_tags(), TagEntries()).data
        assert new.endswith(data[2:]) and embed.strip(new, "JPEG").data == data


def test_a_change_by_another_program_is_kept_and_no_promise_is_claimed() -> None:
    done = embed.embed(with_packet(encode("JPEG")), "JPEG", make_tags(), TagEntries())
    rated = done.data.replace(b'Rating="4"', b'Rating="1"')
    left = embed.strip(rated, "JPEG")
    assert not left.restored and b'Rating="1"' in left.data
    again = embed.embed(rated, "JPEG", make_tags(age=50.0), TagEntries())
    assert again.reversible and embed.strip(again.data, "JPEG").data == left.data


def test_what_could_not_be_promised_once_is_not_promised_later() -> None:
    data = without_room()
    first = embed.embed(data, "JPEG", make_tags(age=20.0), TagEntries(keywords=True))
    second = embed.embed(first.data, "JPEG", make_tags(age=70.0), TagEntries())
    assert not first.reversible and not second.reversible
    found = embed.read(second.data, "JPEG")
    assert found is not None and found.provenance.original_sha256 == embed.sha256(data)


def test_an_exif_change_by_another_program_is_kept() -> None:
    data = encode("JPEG", exif=b"Exif\0\0" + exif_block(1))
    done = embed.embed(data, "JPEG", make_tags(), TagEntries(), TEXT)
    block = jpeg.read_exif(done.data)
    assert block is not None
    other = jpeg.write_exif(
        done.data, tiff.write_fields(block, {0x010F: tiff.Value(2, 6, b"Other\0")})
    )
    left = embed.strip(other, "JPEG")
    assert not left.restored and b"Other" in left.data
    assert tiff.read_field(jpeg.read_exif(left.data) or b"", 0x9286, 0x8769) is None


@pytest.mark.parametrize("change", ["pixels", "exif", "xmp", "regions"])
def test_the_check_sees_what_is_wrong(change: str) -> None:
    before = with_packet(encode("JPEG", exif=b"Exif\0\0" + exif_block(1)))
    after = embed.embed(before, "JPEG", make_tags(), TagEntries()).data
    embed.check(before, after, "JPEG", 1)
    wrong = {
        "pixels": lambda: after[:-40] + bytes((after[-40] ^ 1,)) + after[-39:],
        "exif": lambda: after.replace(b"Cam\0", b"Can\0"),
        "xmp": lambda: after.replace(b"Places/Rome", b"Places/Bonn"),
        "regions": lambda: after.replace(b"<stArea:x>", b"<stArea:q>").replace(
            b"</stArea:x>", b"</stArea:q>"
        ),
    }
    with pytest.raises(Refused) as caught:
        embed.check(before, wrong[change](), "JPEG", 1)
    assert caught.value.code == "failed_check"


def test_a_simple_webp_becomes_simple_again_only_if_nothing_was_added() -> None:
    done = embed.embed(encode("WEBP"), "WEBP", make_tags(), TagEntries())
    other = webp.write_exif(done.data, exif_block(1))
    left = embed.strip(other, "WEBP")
    assert (
        not left.restored
        and webp.read_exif(left.data) == exif_block(1)
        and webp.read_xmp(left.data) is None
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    "undo",
    ["", "x", "simple x", "flags x", "flags -1", "flags 9999", "1:x", "-1:5", "0:0", "8:4:2"]
    + ["simple " + "9" * 5000, "8:" + "9" * 5000],
)
def test_undo_information_that_makes_no_sense_does_not_stop_untag(kind: Any, undo: str) -> None:
    before = encode(kind)
    tags = make_tags()
    tags = replace(tags, provenance=replace(tags.provenance, undo=undo))
    container = embed.CONTAINERS[kind]
    done = container.write_xmp(before, packet.merge(None, tags, TagEntries()))
    left = embed.strip(done, kind)
    assert container.read_xmp(left.data) is None
    was, now = (np.asarray(PIL.Image.open(io.BytesIO(data))) for data in (before, left.data))
    assert (was == now).all()


def test_raw_files_and_unknown_formats_have_no_container() -> None:
    assert embed.container(encode("TIFF"), "a.dng") is None
    assert embed.container(encode("TIFF"), "a.TIFF") == "TIFF"
    assert embed.container(encode("BMP"), "a.jpg") is None
    assert embed.container(b"", "a.jpg") is None


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".heic", ".avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_orientation_of_every_format_is_seen(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    file = save_photo(tmp_path / f"a{suffix}", orientation=orientation)
    facts = examine(file.read_bytes(), pixels=False)
    assert (facts.orientation, facts.size) == (1 if suffix == ".avif" else orientation, (80, 64))


ABOUT = OTHERS.replace(b"rdf:about=''", b"about='uuid:1'")
BLANK = {
    "jpeg": ("JPEG", with_packet(encode("JPEG"), b"")),
    "jpeg with spaces": ("JPEG", with_packet(encode("JPEG"), b" \n\0")),
    "jpeg with a frame": (
        "JPEG",
        with_packet(encode("JPEG"), b"<?xpacket begin='' id=''?>  <?xpacket end='w'?>"),
    ),
    "jpeg with an empty element": (
        "JPEG",
        with_packet(encode("JPEG"), b'<x:xmpmeta xmlns:x="adobe:ns:meta/"> </x:xmpmeta>'),
    ),
    "webp": ("WEBP", encode("WEBP", xmp=b" ")),
    "webp with an empty element": (
        "WEBP",
        encode(
            "WEBP",
            xmp=b"<?xpacket begin='' id=''?><x:xapmeta xmlns:x='adobe:ns:meta/'/>"
            b"<?xpacket end='w'?>",
        ),
    ),
    "png in tEXt with a frame": (
        "PNG",
        png_with(b"tEXt", b"XML:com.adobe.xmp\0<?xpacket begin=''?> \n<?xpacket end='w'?>\0"),
    ),
    "png": ("PNG", png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0")),
    "png in tEXt": ("PNG", png_with(b"tEXt", b"XML:com.adobe.xmp\0")),
    "packed png": ("PNG", png_with(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(b" "))),
    "tiff": ("TIFF", tiff.write_xmp(encode("TIFF"), b"      ")),
}


@pytest.mark.parametrize("name", BLANK)
def test_our_packet_takes_the_place_of_one_that_says_nothing(name: str) -> None:
    kind, data = BLANK[name]
    done = embed.embed(data, kind, make_tags(), TagEntries())
    embed.check(done.bare, done.data, kind, 1)
    assert done.reversible and done.data.count(b"com.adobe.xmp") <= 1
    assert embed.strip(done.data, kind).data == data and embed.read(data, kind) is None


@pytest.mark.parametrize("empty", [b"<rdf:Bag/>", b"<rdf:Bag></rdf:Bag>", b"<rdf:Seq />"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_empty_lists_are_restored_to_the_byte(kind: str, empty: bytes) -> None:
    packet = re.sub(rb"<rdf:Bag>\s*<rdf:li><rdf:Desc.*?</rdf:Bag>", empty, OTHERS, flags=re.DOTALL)
    data = CONTAINERS[kind].write_xmp(encode(kind), packet)
    done = embed.embed(data, kind, make_tags(), TagEntries(keywords=True, microsoft=True))
    assert done.reversible and embed.strip(done.data, kind).data == data


WEBP = encode("WEBP")
PICTURE = webp._chunks(WEBP)[0]
AWKWARD_WEBP = {
    "simple": WEBP,
    "simple with more": webp._file([PICTURE, (b"ABCD", b"xyz")]),
    "simple with exif": webp._file([PICTURE, (b"EXIF", exif_block(1))]),
    "flags without chunks": webp._file(
        [(b"VP8X", bytes((0x0C, 0, 0, 0)) + b"\x4f\0\0\x3f\0\0"), PICTURE]
    ),
    "chunks without flags": webp._file(
        [(b"VP8X", bytes(4) + b"\x4f\0\0\x3f\0\0"), PICTURE, (b"XMP ", OTHERS)]
    ),
    "exif as in jpeg": webp._file(
        [
            (b"VP8X", bytes((8, 0, 0, 0)) + b"\x4f\0\0\x3f\0\0"),
            PICTURE,
            (b"EXIF", b"Exif\0\0" + exif_block(1)),
        ]
    ),
}


@pytest.mark.parametrize("name", AWKWARD_WEBP)
@pytest.mark.parametrize("text", [None, TEXT])
def test_a_webp_is_restored_and_not_written_twice(name: str, text: Text | None) -> None:
    data = AWKWARD_WEBP[name]
    done = embed.embed(data, "WEBP", make_tags(), TagEntries(), text)
    assert done.reversible and embed.strip(done.data, "WEBP").data == data
    again = embed.embed(done.data, "WEBP", replace_date(make_tags()), TagEntries(), text)
    assert again.unchanged and again.data == done.data


def test_the_packets_own_about_is_taken_over_without_prefix_too() -> None:
    done = embed.embed(with_packet(encode("JPEG"), ABOUT), "JPEG", make_tags(), TagEntries())
    assert b'rdf:about="uuid:1"' in done.new and done.reversible


@pytest.mark.parametrize("text", ["Raw profile type exif", "Raw profile type APP1"])
def test_exif_in_a_text_chunk_is_not_hidden(text: str) -> None:
    block = (b"Exif\0\0" if text.endswith("APP1") else b"") + exif_block(1)
    profile = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    data = png_with(b"zTXt", text.encode() + b"\0\0" + zlib.compress(profile))
    with pytest.raises(Refused) as caught:
        embed.embed(data, "PNG", make_tags(), TagEntries(), TEXT)
    assert caught.value.code == "exif_in_text"
    assert embed.embed(data, "PNG", make_tags(), TagEntries()).reversible


def test_exif_without_room_for_a_text_is_a_reason_about_exif() -> None:
    full = segment(0xE1, b"Exif\0\0" + exif_block(1, bytes(65_300)))
    data = encode("JPEG")[:2] + full + encode("JPEG")[2:]
    long = Text("UserComment", "x" * 400)
    with pytest.raises(Refused) as caught:
        embed.embed(data, "JPEG", make_tags(), TagEntries(), long)
    assert caught.value.code == "bad_exif"


def test_exif_is_compared_but_for_the_field_that_was_written() -> None:
    before = encode("JPEG", exif=b"Exif\0\0" + exif_block(1))
    after = embed.embed(before, "JPEG", make_tags(), TagEntries(), TEXT).data
    embed.check(before, after, "JPEG", 1, TEXT)
    with pytest.raises(Refused) as caught:
        embed.check(before, after.replace(b"Cam\0", b"Can\0"), "JPEG", 1, TEXT)
    assert caught.value.code == "bad_exif"


def test_a_second_picture_that_is_cut_off_is_no_obstacle() -> None:
    data = CORPUS["mpf"][1][:-300]
    done = embed.embed(data, "JPEG", make_tags(), TagEntries())
    embed.check(data, done.data, "JPEG", 1)
    assert embed.strip(done.data, "JPEG").data == data
    damaged = CORPUS["mpf"][1]
    damaged = damaged[: damaged.index(b"\xff\xda") + 40] + bytes(400)
    with pytest.raises(Refused):
        examine(damaged[:200], pixels=True)


def heic(exif: int, turn: bytes) -> bytes:
    """A HEIC whose EXIF and boxes say different things of its orientation."""
    file = io.BytesIO()
    PIL.Image.fromarray(draw_scene()).save(file, "HEIF", exif=orientation_exif(6))
    data = file.getvalue()
    at = data.index(b"irot")
    assert data[at + 4] == 3
    data = data[:at] + turn + data[at + 5 :]
    for order in "<>":
        field = struct.Struct(order + "HHLH").pack
        data = data.replace(field(0x0112, 3, 1, 6), field(0x0112, 3, 1, exif))
    return data


def orientation_exif(orientation: int) -> bytes:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(
    "exif, turn, orientation, size",
    [(6, b"irot\3", 6, (64, 80)), (6, b"free\0", 1, (80, 64)), (1, b"irot\3", 1, (64, 80)),
     (3, b"irot\3", 1, (64, 80)), (3, b"irot\2", 3, (80, 64))],
)  # fmt: skip
def test_exif_turns_no_heic_that_its_boxes_do_not_turn(
    exif: int, turn: bytes, orientation: int, size: tuple[int, int]
) -> None:
    facts = examine(heic(exif, turn), pixels=True)
    assert (facts.orientation, facts.size) == (orientation, size)
