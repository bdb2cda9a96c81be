"""Directories of TIFF: others' entries keep their order, however odd it is."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from helpers.tagging import OTHERS, encode, exif_block, exiftool, make_tags, segment

from mivolo_cli.metadata import Refused, embed, tiff
from mivolo_cli.metadata.embed import Text
from mivolo_cli.metadata.packet import TagEntries

ZERO = bytes(12)


def reordered(block: bytes, zeros: int = 1, backwards: bool = False) -> bytes:
    """A TIFF whose first directory, again at its end, has all-zero entries behind the others."""
    layout = tiff._layout(block)
    at = layout.number(block, 4, 4)
    entries, _ = tiff._entries(block, layout, at)
    entries = [*(reversed(entries) if backwards else entries), *[ZERO] * zeros]
    directory = layout.write(len(entries), 2) + b"".join(entries) + bytes(4)
    return block[:4] + layout.write(len(block), 4) + block[8:] + directory


def tags_of(block: bytes) -> list[int]:
    layout = tiff._layout(block)
    entries, _ = tiff._entries(block, layout, layout.number(block, 4, 4))
    return [layout.tag(entry) for entry in entries]


@pytest.mark.parametrize("zeros", [1, 3])
def test_entries_keep_their_order(zeros: int) -> None:
    block = reordered(encode("TIFF"), zeros, backwards=True)
    new = tiff.write_xmp(block, OTHERS)
    assert [tag for tag in tags_of(new) if tag != tiff.XMP_TAG] == tags_of(block)
    assert tags_of(tiff.write_xmp(encode("TIFF"), OTHERS)) == sorted(
        [*tags_of(encode("TIFF")), tiff.XMP_TAG]
    )
    assert tags_of(tiff.write_xmp(new, b"other")) == tags_of(new)
    assert tags_of(tiff.write_xmp(new, None)) == tags_of(block)


def test_a_field_that_is_there_twice_is_not_written() -> None:
    block = tiff.write_xmp(encode("TIFF"), OTHERS)
    layout = tiff._layout(block)
    entries, _ = tiff._entries(block, layout, layout.number(block, 4, 4))
    twice = [*entries, next(entry for entry in entries if layout.tag(entry) == tiff.XMP_TAG)]
    directory = layout.write(len(twice), 2) + b"".join(twice) + bytes(4)
    block = block[:4] + layout.write(len(block), 4) + block[8:] + directory
    with pytest.raises(Refused, match="twice"):
        tiff.write_xmp(block, b"other")


@pytest.mark.parametrize("zeros", [1, 2])
def test_exiftool_reads_a_directory_with_zero_entries_as_before(tmp_path: Path, zeros: int) -> None:
    plain = encode("JPEG")
    exif = segment(0xE1, b"Exif\0\0" + reordered(exif_block(1), zeros))
    files = {"a.jpg": plain[:2] + exif + plain[2:], "a.tif": reordered(encode("TIFF"), zeros)}
    for name, data in files.items():
        kind = "JPEG" if name.endswith("jpg") else "TIFF"
        text = Text("UserComment", "1 person") if kind == "JPEG" else None
        done = embed.embed(data, kind, make_tags(), TagEntries(), text)
        embed.check(data, done.data, kind, 1, text)
        assert done.reversible
        (tmp_path / name).write_bytes(data)
        (tmp_path / f"new-{name}").write_bytes(done.data)
        (before,) = exiftool("-IFD0:all", "-ExifIFD:all", tmp_path / name)
        (after,) = exiftool("-IFD0:all", "-ExifIFD:all", tmp_path / f"new-{name}")
        known = {key: value for key, value in before.items() if key != "SourceFile"}
        assert len(known) > 2 and known.items() <= after.items()


def test_numbers_are_written_in_the_order_of_the_file() -> None:
    for order in "<>":
        block = exif_block(6, order=order)
        value = tiff.read_field(block, 0x0112)
        assert value is not None and value.content == struct.pack(order + "H", 6)
