"""Elements and their places in the bytes."""

from __future__ import annotations

import pytest

from mivolo_cli.metadata.tree import NotXml, apply, insert, parse, without_attributes

XML = b"""<?x y?><a xmlns='u:a' xmlns:b="u:b" b:k="1>2" j='"'>"""
XML += b"""<b:c/><!-- <c> --><c >t\xc3\xbc<d></d>u</c></a>\n"""


def test_every_element_knows_its_bytes() -> None:
    root = parse(XML)
    assert root.name == ("u:a", "a")
    assert root.attributes[("u:b", "k")] == "1>2"
    first, second = root.children
    assert XML[first.start : first.end] == b"<b:c/>"
    assert first.closed and not second.closed
    assert XML[second.start : second.end] == b"<c >t\xc3\xbc<d></d>u</c>"
    assert XML[second.inner : second.inner_end] == b"t\xc3\xbc<d></d>u"
    assert second.text == "tüu"
    assert second.children[0].name == ("u:a", "d")
    assert [node.name[1] for node in root.walk()] == ["a", "c", "c", "d"]
    assert root.find(("u:a", "c"), ("u:a", "d")) is second.children[0]
    assert root.find(("u:a", "x"), ("u:a", "d")) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"<a>", b"<a/><b/>", b"<a>\xff</a>", b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
        b"<!DOCTYPE a SYSTEM 'http://127.0.0.1/x'><a/>", "<a/>".encode("utf-16"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_safely_is_refused(data: bytes) -> None:
    with pytest.raises(NotXml):
        parse(data)


def test_edits_are_made_at_their_places() -> None:
    assert (
        apply(b"0123456789", [(8, 9, b""), (2, 4, b"x"), (4, 4, b"a"), (4, 4, b"b")])
        == b"01xab45679"
    )
    with pytest.raises(ValueError, match="overlap"):
        apply(b"0123456789", [(2, 5, b""), (4, 6, b"")])


def test_an_element_that_is_closed_at_once_is_opened() -> None:
    data = b"<x:a xmlns:x='u' b='/' />"
    assert (
        apply(data, [insert(data, parse(data), b"<n/>")]) == b"<x:a xmlns:x='u' b='/' ><n/></x:a>"
    )


def test_attributes_go_by_namespace_whatever_the_prefix() -> None:
    data = b"<a xmlns:q='u:q' xmlns:r='u:r' r:k='1'\n q:k = \"2\" q:l='3'/>"
    assert (
        apply(data, without_attributes(data, parse(data), "u:q")) == b"<a xmlns:r='u:r' r:k='1'/>"
    )
    assert without_attributes(data, parse(data), "u:x") == []
