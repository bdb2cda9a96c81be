"""XMP packets: others' bytes stay, ours come and go, in every way of writing RDF."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from helpers.tagging import OTHERS, make_tags
from hypothesis import given, settings
from hypothesis import strategies as st

from mivolo_cli.metadata import Refused
from mivolo_cli.metadata.packet import (
    Provenance,
    TagEntries,
    Tags,
    is_blank,
    merge,
    read,
    remove,
)
from mivolo_cli.metadata.regions import Area, People, Region
from mivolo_cli.metadata.xmp import OURS, SKELETON

ALL = TagEntries(keywords=True, microsoft=True)
share = st.floats(0.01, 0.99)
regions = st.builds(
    Region,
    st.builds(Area, share, share, share, share),
    st.sampled_from(("Face", "")),
    st.floats(0, 116),
    st.sampled_from((None, "male", "female")),
    st.none() | st.floats(0.5, 1),
)
text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)


def without_ours(packet: bytes, new: bytes) -> bool:
    """Whether the new packet is the old one with something put in at some places."""
    at = 0
    for part in re.split(rb"(?=<)", packet):
        found = new.find(part.rstrip(), at)
        if found < 0:
            return False
        at = found + len(part.rstrip())
    return True


@pytest.mark.parametrize("packet", [None, OTHERS], ids=["new", "others"])
@pytest.mark.parametrize("entries", [TagEntries(), ALL], ids=["plain", "all"])
def test_what_is_merged_can_be_read_and_taken_out_to_the_byte(
    packet: bytes | None, entries: TagEntries
) -> None:
    tags = make_tags()
    new = merge(packet, tags, entries)
    assert remove(new) == packet
    found = read(new)
    assert found is not None
    assert (replace(found.provenance, keywords=""), found.people) == (tags.provenance, tags.people)
    assert bool(found.provenance.keywords) == entries.keywords
    assert without_ours(packet or SKELETON, new)
    assert (b"MPReg:Rectangle" in new) == (b"mivolo/age/30-39" in new) == entries.microsoft


@settings(max_examples=40, deadline=None)
@given(
    st.lists(regions, min_size=1, max_size=4),
    st.booleans(),
    st.booleans(),
    text,
    st.sampled_from((None, OTHERS)),
)
def test_any_set_of_regions_comes_back_and_goes(
    found: list[Region], keywords: bool, microsoft: bool, model: str, packet: bytes | None
) -> None:
    tags = Tags(Provenance(model=model.strip(), model_sha256="1"), People((80, 64), found))
    new = merge(packet, tags, TagEntries(keywords, microsoft))
    back = read(new)
    assert back is not None and back.same_people(tags)
    assert back.provenance.model == model.strip()
    assert remove(new) == packet
    assert b"mwg-rs:Name>" not in new


def test_new_regions_stand_behind_those_of_others() -> None:
    assert merge(OTHERS, make_tags()).index(b"Anna") < merge(OTHERS, make_tags()).index(
        b"mivolo:Age"
    )


def test_lists_of_others_get_our_items_and_keep_theirs() -> None:
    new = merge(OTHERS, make_tags(), ALL)
    assert new.count(b"<lr:hierarchicalSubject>") == new.count(b"<digiKam:TagsList>") == 1
    assert new.count(b"RegionList>") == 2
    assert b"<rdf:li>Places|Rome</rdf:li><rdf:li" in new


@pytest.mark.parametrize("size", [(160, 128), (81, 64)])
def test_regions_of_a_picture_of_the_same_shape_are_merged(size: tuple[int, int]) -> None:
    assert remove(merge(OTHERS, make_tags(size=size))) == OTHERS


def test_regions_of_a_picture_of_another_shape_are_left_alone() -> None:
    with pytest.raises(Refused) as caught:
        merge(OTHERS, make_tags(orientation=6))
    assert caught.value.code == "other_size"


AS_ADOBE = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:q="{OURS}"
 xmlns:m="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:a="http://ns.adobe.com/xmp/sType/Area#"
 xmp:Rating="3" q:Version="1" q:Model="mivolo-xs" q:ModelSHA256="12" q:Reversible="True">
<m:Regions rdf:parseType="Resource"><m:RegionList><rdf:Bag>
<rdf:li><rdf:Description m:Type="Face" m:Description="looks about 33">
<m:Area a:x="0.5" a:y="0.5" a:w="0.1" a:h="0.2"/>
<m:Extensions q:Age="33.4" q:Gender="male"/></rdf:Description></rdf:li>
<rdf:li><rdf:Description m:Name="Bob" m:Type="Face">
<m:Area a:x="0.1" a:y="0.5" a:w="0.1" a:h="0.2"/>
</rdf:Description></rdf:li>
</rdf:Bag></m:RegionList></m:Regions></rdf:Description></rdf:RDF></x:xmpmeta>""".encode()
"""Our entries as another program may write them again, with prefixes of its own."""


@pytest.mark.parametrize("side", ["inf", "nan", "1e999", "x", ""])
def test_a_picture_size_that_is_no_number_is_unknown(side: str) -> None:
    tags = make_tags()
    width, height = tags.people.size
    packet = merge(None, tags).replace(f"<stDim:w>{width}<".encode(), f"<stDim:w>{side}<".encode())
    found = read(packet)
    assert found is not None and found.people.size == (0, height)


def test_entries_that_another_program_has_written_again_are_known() -> None:
    found = read(AS_ADOBE)
    assert found is not None
    assert found.provenance == Provenance(model="mivolo-xs", model_sha256="12", reversible="True")
    assert [(region.age, region.gender) for region in found.people.regions] == [(33.4, "male")]
    left = remove(AS_ADOBE)
    assert left is not None and read(left) is None
    assert b"q:" not in left.replace(b"xmlns:q", b"") and b"looks about" not in left
    assert b'xmp:Rating="3"' in left and b'm:Name="Bob"' in left


def test_a_region_of_ours_that_got_a_name_is_kept() -> None:
    named = merge(None, make_tags()).replace(
        b"<mwg-rs:Type>", b"<mwg-rs:Name>Carla</mwg-rs:Name><mwg-rs:Type>"
    )
    left = remove(named)
    assert left is not None
    assert b"Carla" in left and b"stArea:x" in left
    assert OURS.encode() not in re.sub(rb"xmlns:\w+=\S+", b"", left) and b"looks about" not in left


def test_a_description_that_somebody_has_changed_is_theirs() -> None:
    told = re.sub(rb"looks about[^<]*", b"my uncle", merge(None, make_tags()))
    left = remove(told)
    assert left is not None and b"my uncle" in left and b"stArea:x" in left
    assert read(left) is None


def test_keywords_that_somebody_else_has_put_there_stay() -> None:
    theirs = OTHERS.replace(b"Places/Rome", b"mivolo/age/30-39</rdf:li><rdf:li>mivolo/best")
    new = merge(theirs, make_tags(), ALL)
    assert new.count(b"mivolo/age/30-39</rdf:li>") == 1 and b"mivolo|age|30-39</rdf:li>" in new
    assert remove(new) == theirs
    found = read(new)
    assert found is not None
    assert found.provenance.keywords == "mivolo/gender/male;mivolo|age|30-39;mivolo|gender|male"
    assert remove(new.replace(b"Places|Rome", b"mivolo|holiday")) == theirs.replace(
        b"Places|Rome", b"mivolo|holiday"
    )


@pytest.mark.parametrize(
    "packet",
    [b"", b"<a", b"<a/>", OTHERS[:-200],
     OTHERS.replace(b"</rdf:Bag></mwg-rs", b"</rdf:Bog></mwg-rs"),
     OTHERS.decode().encode("utf-16"), b"<!DOCTYPE a><a/>"],
)  # fmt: skip
def test_a_packet_that_cannot_be_understood_is_not_touched(packet: bytes) -> None:
    for step in (lambda: merge(packet, make_tags()), lambda: read(packet), lambda: remove(packet)):
        with pytest.raises(Refused) as caught:
            step()
        assert caught.value.code == "bad_xmp"


def test_regions_that_stand_twice_are_refused() -> None:
    start, end = (
        OTHERS.index(b"<mwg-rs:Regions"),
        OTHERS.index(b"</mwg-rs:Regions>") + len(b"</mwg-rs:Regions>"),
    )
    with pytest.raises(Refused, match="twice|2 times"):
        merge(OTHERS[:end] + OTHERS[start:end] + OTHERS[end:], make_tags())


@pytest.mark.parametrize("empty", [b"<rdf:Bag/>", b"<rdf:Bag></rdf:Bag>", b"<rdf:Seq />"])
def test_an_empty_list_is_filled(empty: bytes) -> None:
    packet = re.sub(rb"<rdf:Bag>\s*<rdf:li><rdf:Desc.*?</rdf:Bag>", empty, OTHERS, flags=re.DOTALL)
    found = read(merge(packet, make_tags()))
    assert found is not None and len(found.people.regions) == 1


def test_texts_cannot_break_out_of_their_element() -> None:
    tags = replace(make_tags(), provenance=Provenance(model='</x> & "<y/>" ]]>'))
    assert remove(merge(OTHERS, tags)) == OTHERS
    found = read(merge(OTHERS, tags))
    assert found is not None and found.provenance.model == tags.provenance.model


def test_the_subject_of_the_packet_is_taken_over() -> None:
    packet = OTHERS.replace(b"rdf:about=''", b"rdf:about='uuid:1'")
    assert merge(packet, make_tags()).count(b"uuid:1") == packet.count(b"uuid:1") + 1


def test_flat_keywords_go_into_the_list_that_every_program_reads() -> None:
    entries = TagEntries(keywords=True, subjects=True)
    new = merge(OTHERS, make_tags(), entries)
    assert new.count(b"age 30-39</rdf:li>") == 1 and b"dc:subject" in new
    assert remove(new) == OTHERS and merge(OTHERS, make_tags(), TagEntries(keywords=True)) != new
    theirs = new.replace(b"gender male", b"mivolo/gender/male")
    left = remove(theirs)
    assert left is not None and left.count(b"mivolo/gender/male") == 1  # somebody else's by now
    known = remove(merge(left, make_tags(), entries))
    assert known == left


def test_packets_that_say_nothing_are_known_in_no_time() -> None:
    spaces = b" " * 1_000_000
    frame = b"<?xpacket begin=''?>%s<?xpacket end='w'?>"
    empty = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>%s</x:xmpmeta>"
    for blank in (spaces, frame % spaces, empty % spaces, frame % (empty % b""), b"<x:xmpmeta />"):
        assert is_blank(blank)
        assert not is_blank(blank + b"x") and not is_blank(b"x" + blank)
    assert not is_blank(OTHERS)
    assert not is_blank(frame % (empty % b"<x/>") + spaces)
