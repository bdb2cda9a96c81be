"""A text in EXIF: nothing else moves, nothing of others is lost."""

from __future__ import annotations

import piexif
import pytest
from helpers.tagging import exif_block

from mivolo_cli.metadata import Refused, exif, tiff

NOTE = bytes(range(256)) * 20


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("field", list(exif.FIELDS))
def test_the_text_is_there_and_the_maker_note_where_it_was(field: exif.Field, order: str) -> None:
    block = exif_block(6, NOTE, order)
    new = exif.with_text(block, field, "looks about 33", (80, 64), overwrite=False)
    assert new.index(NOTE) == block.index(NOTE)
    read = piexif.load(b"Exif\0\0" + new)
    directory, tag, _ = exif.FIELDS[field]
    assert read[directory][tag].endswith(b"looks about 33")
    assert read["0th"][piexif.ImageIFD.Orientation] == 6
    assert exif.restored(new, exif.revert_info(block)) == block
    bare = exif.without_text(new, field, "looks about 33")
    assert tag not in piexif.load(b"Exif\0\0" + bare)[directory]


@pytest.mark.parametrize("field", list(exif.FIELDS))
def test_a_photo_without_exif_gets_a_sound_block(field: exif.Field) -> None:
    new = exif.with_text(None, field, "looks about 33", (80, 64), overwrite=False)
    read = piexif.load(b"Exif\0\0" + new)
    assert (read["Exif"][0xA002], read["Exif"][0xA003], read["Exif"][0x9000]) == (80, 64, b"0232")
    assert exif.restored(new, exif.revert_info(None)) is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_missing_exif_directory_is_made_in_the_order_of_the_block(order: str) -> None:
    start = b"II*\0" if order == "<" else b"MM\0*"
    block = tiff.write_fields(start + bytes(12), {0x010F: tiff.Value(2, 4, b"Cam\0")})
    read = piexif.load(
        b"Exif\0\0" + exif.with_text(block, "UserComment", "x", (80, 64), overwrite=False)
    )
    assert read["Exif"][0xA002] == 80 and read["0th"][0x010F] == b"Cam"


def test_a_text_of_others_is_replaced_only_if_that_is_asked_for() -> None:
    block = exif.with_text(
        exif_block(), "ImageDescription", "Rome, 2020", (80, 64), overwrite=False
    )
    with pytest.raises(Refused) as caught:
        exif.with_text(block, "ImageDescription", "looks about 33", (80, 64), overwrite=False)
    assert caught.value.code == "exif_taken"
    new = exif.with_text(block, "ImageDescription", "looks about 33", (80, 64), overwrite=True)
    assert exif.restored(new, exif.revert_info(block)) == block
    assert exif.without_text(block, "ImageDescription", "looks about 33") == block


@pytest.mark.parametrize("blank", [b"ASCII\0\0\0", b"UNICODE\0    ", bytes(40), b"        "])
def test_a_blank_comment_is_no_text(blank: bytes) -> None:
    block = tiff.write_fields(exif_block(), {0x9286: tiff.Value(7, len(blank), blank)}, 0x8769)
    new = exif.with_text(block, "UserComment", "x", (80, 64), overwrite=False)
    assert exif.restored(new, exif.revert_info(block)) == block


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", b"no tiff at all, but long enough", exif_block()[:60]]
)
def test_an_unsound_block_is_refused(block: bytes) -> None:
    with pytest.raises(Refused) as caught:
        exif.with_text(block, "UserComment", "x", (80, 64), overwrite=False)
    assert caught.value.code in ("bad_exif", "bad_container")


def test_a_block_that_others_have_cut_is_not_restored() -> None:
    block = exif_block()
    with pytest.raises(Refused):
        exif.restored(block[:40], exif.revert_info(block))
