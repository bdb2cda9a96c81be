"""What lies behind the picture of a JPEG, and is found by its distance from the start."""

from __future__ import annotations

import struct
from typing import Literal

import pytest
from helpers.tagging import encode, exif_block, make_tags, segment

from mivolo_cli.metadata import Refused, embed, tiff
from mivolo_cli.metadata.packet import TagEntries

PLAIN, PREVIEW = encode("JPEG"), encode("JPEG", quality=30)
HEADER = b"OLYMPUS\0II\3\0"
Order = Literal["<", ">"]


def with_preview(base: str, order: Order, preview: bytes = PREVIEW, shift: int = 0) -> bytes:
    """A camera's JPEG with a preview behind it; its EXIF says where, counted from `base`."""

    def build(number: int) -> bytes:
        block = exif_block(1, HEADER + bytes(90), order=order)
        value = tiff.Value(4, 1, struct.pack(order + "L", number))
        block = tiff.write_fields(block, {0xC0DE: value}, 0x8769)
        return PLAIN[:2] + segment(0xE1, b"Exif\0\0" + block) + PLAIN[2:]

    data = build(1)
    start = data.index(b"Exif\0\0") + 6
    origin = {"file": 0, "tiff": start, "note": data.index(HEADER)}[base]
    return build(len(data) - origin + shift) + preview


def afcp(order: Order) -> bytes:
    mark = b"AXS!" if order == ">" else b"AXS*"
    at = len(PLAIN)
    record = mark + struct.pack(order + "HH", 256, 1) + b"IPTC" + struct.pack(order + "LL", 3, at)
    return PLAIN + record + b"abc" + mark + struct.pack(order + "LL", at, 0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("base", ["file", "tiff", "note"])
def test_a_preview_that_the_camera_counts_to_is_not_moved(base: str, order: Order) -> None:
    minolta = b"\1" + PREVIEW[1:]
    for data in (with_preview(base, order), with_preview(base, order, minolta)):
        with pytest.raises(Refused, match="data after the picture") as caught:
            embed.embed(data, "JPEG", make_tags(), TagEntries())
        assert caught.value.code == "bad_container"


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_afcp_trailer_is_not_moved(order: Order) -> None:
    with pytest.raises(Refused, match="data after the picture"):
        embed.embed(afcp(order), "JPEG", make_tags(), TagEntries())


@pytest.mark.parametrize(
    "data",
    [
        PLAIN + bytes(64),
        PLAIN + b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 8,
        PLAIN + b"AXS!" + bytes(20),
        with_preview("tiff", "<", preview=b""),
        with_preview("tiff", "<", shift=5),
        encode("JPEG", progressive=True) + PREVIEW,
    ],
    ids=["zeros", "video", "no AFCP", "nothing", "elsewhere", "progressive"],
)
def test_what_nobody_counts_to_may_move(data: bytes) -> None:
    done = embed.embed(data, "JPEG", make_tags(), TagEntries())
    assert done.reversible and embed.strip(done.data, "JPEG").data == data
