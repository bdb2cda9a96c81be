"""The XMP that a photo has itself: found wherever programs keep it, or a reason."""

from __future__ import annotations

import io
import struct
import zlib

import PIL.Image
import pytest
from helpers.photos import draw_scene
from helpers.tagging import OTHERS, chunk, encode, segment, with_packet, xmp_segment

from mivolo_cli.metadata import Refused, packet, tiff
from mivolo_cli.metadata.own_xmp import clean, mentions_us, own_xmp
from mivolo_cli.metadata.xmp import OURS

PNG, JPEG = encode("PNG"), encode("JPEG")
NAME = b"XML:com.adobe.xmp"
SPACES = b" \n" * 40


def png(kind: bytes, body: bytes) -> bytes:
    """With one more chunk behind its header."""
    return PNG[:33] + chunk(kind, body) + PNG[33:]


def profile(content: bytes) -> bytes:
    return b"\nxmp\n%8d\n%s\n" % (len(content), content.hex().encode())


def heif(format: str, content: bytes = OTHERS) -> bytes:
    target = io.BytesIO()
    PIL.Image.fromarray(draw_scene()).save(target, format, xmp=content)
    return target.getvalue()


def gif() -> bytes:
    trailer = bytes([1, *range(255, -1, -1), 0])
    data = encode("GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:at] + b"\x21\xff\x0bXMP DataXMP" + OTHERS + trailer + data[at:]


APP1 = b"http://ns.adobe.com/xap/1.0/\0" + OTHERS
PLACES = {
    "jpeg": with_packet(JPEG),
    "jpeg with stray bytes": JPEG[:20] + b"0123456789abcd" + xmp_segment(OTHERS) + JPEG[20:],
    "jpeg that breaks off": with_packet(JPEG)[: len(OTHERS) + 100],
    "the same twice": with_packet(with_packet(JPEG)),
    "utf-16": with_packet(JPEG, OTHERS.decode().encode("utf-16")),
    "utf-16 without a mark": with_packet(JPEG, OTHERS.decode().strip().encode("utf-16-be")),
    "utf-32": with_packet(JPEG, OTHERS.decode().encode("utf-32")),
    "something behind": with_packet(JPEG, OTHERS + b"\0\xff</rdf:RDF></x:xmpmeta>junk"),
    "something in front": with_packet(JPEG, b"\0junk" + OTHERS),
    "png": png(b"iTXt", NAME + b"\0\0\0\0\0" + OTHERS),
    "packed png": png(b"iTXt", NAME + b"\0\1\0\0\0" + zlib.compress(OTHERS)),
    "png in tEXt": png(b"tEXt", NAME + b"\0" + OTHERS),
    "png in zTXt": png(b"zTXt", NAME + b"\0\0" + zlib.compress(OTHERS)),
    "png profile": png(b"tEXt", b"Raw profile type xmp\0" + profile(OTHERS)),
    "packed png profile": png(
        b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(profile(OTHERS))
    ),
    "png profile APP1": png(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(profile(APP1))),
    "png that breaks off": png(b"tEXt", NAME + b"\0" + OTHERS)[:-40],
    "webp": encode("WEBP", xmp=OTHERS),
    "webp with more behind": encode("WEBP", xmp=OTHERS) + b"more",
    "tiff": tiff.write_xmp(encode("TIFF"), OTHERS),
    "gif": gif(),
    "heic": heif("HEIF"),
    "avif": heif("AVIF"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_packet_is_found_wherever_it_is(name: str) -> None:
    found = own_xmp(PLACES[name])
    assert found is not None
    assert b"Anna" in found and b'Rating="4"' in found and b"Places|Rome" in found
    packet.check(found)


@pytest.mark.parametrize("data", [JPEG, PNG, encode("WEBP"), encode("TIFF"), encode("GIF"),
                                  encode("BMP"), heif("HEIF", b""), JPEG[:100], PNG[:60], b"",
                                  with_packet(JPEG, b" \n\0"), png(b"tEXt", NAME + b"\0"),
                                  png(b"iTXt", NAME + b"\0\0\0\0\0" + SPACES)])  # fmt: skip
def test_there_is_none_where_nothing_is_said(data: bytes) -> None:
    assert own_xmp(data) is None and not mentions_us(data)


@pytest.mark.parametrize(
    "data",
    [
        with_packet(JPEG, OTHERS[:-400]),
        with_packet(JPEG, b"<broken"),
        with_packet(JPEG, OTHERS.replace(b"a remark", b"\xe4\xf6")),
        with_packet(with_packet(JPEG), OTHERS.replace(b"Anna", b"Bert")),
        png(b"iTXt", NAME + b"\0\1\0\0\0" + zlib.compress(OTHERS)[:-50]),
        tiff.write_xmp(encode("TIFF"), OTHERS)[:4] + b"\xff\xff\xff\0" + OTHERS,
        heif("HEIF").replace(b"meta", b"atem", 1),
        encode("JPEG2000") + OTHERS,
    ],
    ids=["cut", "no xml", "no utf-8", "two", "packed badly", "bad tiff", "bad boxes", "no reader"],
)
def test_one_that_cannot_be_read_is_a_reason(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        own_xmp(data)
    assert caught.value.code == "bad_xmp"


def with_extension(parts: int, **change: int) -> bytes:
    """A JPEG whose regions stand in extended XMP, under a prefix declared at its root."""
    inner = OTHERS[OTHERS.index(b" <rdf:Description rdf:about='' xmlns:mwg-rs") :]
    inner = inner[: inner.index(b"</rdf:Description>\n <rdf:Description rdf:about='' xmlns:lr")]
    rest = inner.replace(b" xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#'", b"")
    whole = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/' xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#'>"
        b"<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        + rest + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )  # fmt: skip
    main = OTHERS.replace(inner + b"</rdf:Description>", b"").replace(
        b'xmp:Rating="4"',
        b'xmp:Rating="4" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="'
        + b"A" * 32 + b'"',
    )  # fmt: skip
    step = -(-len(whole) // parts)
    pieces = [
        segment(
            0xE1,
            b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32
            + struct.pack(">II", len(whole) + change.get("length", 0), at)
            + whole[at : at + step],
        )
        for at in range(0, len(whole), step)
    ]  # fmt: skip
    return JPEG[:2] + xmp_segment(main) + b"".join(reversed(pieces)) + JPEG[2:]


@pytest.mark.parametrize("parts", [1, 3])
def test_extended_xmp_is_put_together_with_the_rest(parts: int) -> None:
    found = own_xmp(with_extension(parts))
    assert found is not None and b"Anna" in found and b"Places|Rome" in found
    assert packet.merge(found, packet.Tags(packet.Provenance(), packet.People((80, 64), [])))


def test_extended_xmp_that_nobody_can_read_is_passed_over() -> None:
    found = own_xmp(with_extension(2, length=1))
    assert found is not None and b"Anna" not in found and b"Places|Rome" in found


def test_a_packet_without_wrapping_gets_one() -> None:
    bare = OTHERS[OTHERS.index(b"<rdf:RDF") : OTHERS.index(b"</x:xmpmeta>")]
    assert clean(bare).startswith(b"<?xpacket begin") and clean(OTHERS).strip() == OTHERS.strip()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_entries_of_ours_are_noticed_in_what_is_broken(encoding: str) -> None:
    assert mentions_us(JPEG + f"<{OURS}".encode(encoding))
    assert not mentions_us(with_packet(JPEG, OTHERS))
