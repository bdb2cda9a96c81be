"""XMP packets, sidecars and whole files with metadata that lie: an answer or a reason of ours, and
no damage ever.

As in test_fuzz.py, MIVOLO_FUZZ=20000 runs each harness that many times.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.fuzz import damaged, often
from helpers.tagging import OTHERS, corpus, make_tags
from hypothesis import given
from hypothesis import strategies as st

from mivolo_cli.metadata import Refused, embed, packet, sidecar
from mivolo_cli.metadata.embed import Text
from mivolo_cli.metadata.packet import TagEntries

CORPUS = {name: found for name, found in corpus().items() if len(found[1]) < 20_000}
OURS = packet.merge(OTHERS, make_tags(), TagEntries(keywords=True, microsoft=True))
PIECES = st.sampled_from(
    [
        b"<rdf:li>",
        b"</rdf:li>",
        b"<rdf:Bag/>",
        b"<mwg-rs:RegionList>",
        b"<mivolo:Age>1</mivolo:Age>",
        b"<!--",
        b"-->",
    ]
    + [
        b"<![CDATA[",
        b"]]>",
        b"<?x ",
        b"?>",
        b"<!DOCTYPE a>",
        b"&#0;",
        b"&amp;",
        b"&x;",
        b'"',
        b"'",
        b">",
        b"/>",
        b"\0",
    ]
    + [
        b"<rdf:RDF>",
        b"</rdf:RDF>",
        b" xmlns:rdf='x'",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"<a>" * 300,
        b"mivolo|age|30-39",
    ]
)
ENTRIES = st.builds(TagEntries, st.booleans(), st.booleans())


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Ours or others' packet, damaged, or with pieces of packets in the wrong places."""
    whole = draw(st.sampled_from((OURS, OTHERS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(whole)))
        whole = whole[:at] + draw(PIECES) + whole[at + draw(st.integers(0, 30)) :]
    return draw(damaged(whole)) if draw(st.booleans()) else whole


@often
@given(packets(), ENTRIES)
def test_packets(content: bytes, entries: TagEntries) -> None:
    """What can be read can be taken out, and nothing of ours is left; what is put in comes out to
    the byte."""
    try:
        left = packet.remove(content)
    except Refused as error:
        assert error.code == "bad_xmp"
        return
    assert left is None or packet.read(left) is None
    try:
        merged = packet.merge(left, make_tags(), entries)
    except Refused as error:
        assert error.code in ("bad_xmp", "other_size")
        return
    found = packet.read(merged)
    assert found is not None and make_tags().people.regions[0] in found.people.regions
    assert packet.remove(merged) == left


@often
@given(content=packets(), entries=ENTRIES)
def test_sidecars(tmp_path: Path, content: bytes, entries: TagEntries) -> None:
    photo = tmp_path / "a.heic"
    sidecar.path(photo).write_bytes(content)
    try:
        before = sidecar.strip(content)
        done = sidecar.plan(photo, lambda: None, make_tags(), entries)
    except Refused as error:
        assert error.code in ("bad_xmp", "other_size")
        return
    left = sidecar.strip(done.new)
    assert left.tags is not None and left.restored == done.reversible
    assert not done.reversible or left.data == before.data


@pytest.mark.parametrize("name", CORPUS)
@often
@given(data=st.data())
def test_files_with_metadata(name: str, data: st.DataObject) -> None:
    """A damaged file is refused, or it is tagged, and what was promised holds."""
    kind, whole = CORPUS[name]
    content = data.draw(damaged(whole))
    text = data.draw(st.sampled_from((None, Text("UserComment", "1 person"))))
    try:
        done = embed.embed(content, kind, make_tags(), TagEntries(keywords=True), text)
        embed.check(done.bare, done.data, kind, 1, text)
    except Refused:
        return
    left = embed.strip(done.data, kind)
    assert left.tags is not None and left.restored == done.reversible
    assert not left.restored or left.data == content
