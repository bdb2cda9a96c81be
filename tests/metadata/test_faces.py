"""Faces that others have marked: extended in every way of writing them, or left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.photos import save_photo
from helpers.tagging import FACE, encode, exiftool, make_tags, row, with_packet

from mivolo_cli.metadata import embed, packet, regions
from mivolo_cli.metadata.packet import TagEntries, Tags, merge, read, remove
from mivolo_cli.metadata.regions import Area

AREA = "stArea:x='0.26' stArea:y='0.4' stArea:w='0.3' stArea:h='0.55' stArea:unit='normalized'"
"""Anna's head, a little larger than the face that a detector sees there."""
FAR = AREA.replace("0.26", "0.8")
RECTANGLE = "0.11, 0.125, 0.3, 0.55"
MWG = {
    "description": f"<rdf:li><rdf:Description mwg-rs:Name='Anna' mwg-rs:Type='Face'>"
    f"<mwg-rs:Area {AREA}/></rdf:Description></rdf:li>",
    "resource": f"<rdf:li rdf:parseType='Resource'><mwg-rs:Area {AREA}/>"
    "<mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:li>",
    "no type": f"<rdf:li rdf:parseType='Resource'><mwg-rs:Area {AREA}/>"
    "<mwg-rs:Name>Anna</mwg-rs:Name></rdf:li>",
    "no name": f"<rdf:li rdf:parseType='Resource'><mwg-rs:Area {AREA}/>"
    "<mwg-rs:Type>Face</mwg-rs:Type></rdf:li>",
    "extended": f"<rdf:li rdf:parseType='Resource'><mwg-rs:Area {AREA}/>"
    "<mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Extensions rdf:parseType='Resource'>"
    "<foo:roll>4</foo:roll></mwg-rs:Extensions></rdf:li>",
    "extended by attributes": f"<rdf:li rdf:parseType='Resource'><mwg-rs:Area {AREA}/>"
    "<mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Extensions foo:roll='4' /></rdf:li>",
    "extended by a description": f"<rdf:li rdf:parseType='Resource'><mwg-rs:Area {AREA}/>"
    "<mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Extensions><rdf:Description foo:roll='4'/>"
    "</mwg-rs:Extensions></rdf:li>",
    "extended by nothing": f"<rdf:li rdf:parseType='Resource'><mwg-rs:Area {AREA}/>"
    "<mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Extensions rdf:parseType='Resource'>"
    "</mwg-rs:Extensions></rdf:li>",
}
MICROSOFT = {
    "attributes": f"<rdf:li MPReg:Rectangle='{RECTANGLE}' MPReg:PersonDisplayName='Anna'/>",
    "resource": f"<rdf:li rdf:parseType='Resource'><MPReg:Rectangle>{RECTANGLE}</MPReg:Rectangle>"
    "<MPReg:PersonDisplayName>Anna</MPReg:PersonDisplayName></rdf:li>",
    "description": f"<rdf:li><rdf:Description MPReg:Rectangle='{RECTANGLE}' "
    "MPReg:PersonDisplayName='Anna'/></rdf:li>",
}
FORMS = [*(("mwg", form) for form in MWG), *(("microsoft", form) for form in MICROSOFT)]


def packet_of(kind: str, item: str, size: tuple[int, int] = (80, 64)) -> bytes:
    """A packet with one region of somebody else's."""
    if kind == "mwg":
        inner = (
            f"<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:AppliedToDimensions "
            f"stDim:w='{size[0]}' stDim:h='{size[1]}' stDim:unit='pixel'/>"
            f"<mwg-rs:RegionList><rdf:Bag>{item}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
        )
    else:
        inner = (
            "<MP:RegionInfo rdf:parseType='Resource'><MPRI:Regions><rdf:Bag>"
            f"{item}</rdf:Bag></MPRI:Regions></MP:RegionInfo>"
        )
    return (
        "<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        "<rdf:Description rdf:about='' xmlns:foo='http://foo.example/1.0/'"
        " xmlns:mwg-rs='http://www.metadataworkinggroup.com/schemas/regions/'"
        " xmlns:stArea='http://ns.adobe.com/xmp/sType/Area#'"
        " xmlns:stDim='http://ns.adobe.com/xap/1.0/sType/Dimensions#'"
        " xmlns:MP='http://ns.microsoft.com/photo/1.2/'"
        " xmlns:MPRI='http://ns.microsoft.com/photo/1.2/t/RegionInfo#'"
        " xmlns:MPReg='http://ns.microsoft.com/photo/1.2/t/Region#'>"
        f"{inner}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    ).encode()


def item_of(kind: str, form: str) -> str:
    return (MWG if kind == "mwg" else MICROSOFT)[form]


@pytest.mark.parametrize("kind, form", FORMS)
@pytest.mark.parametrize("entries", [TagEntries(), TagEntries(microsoft=True)])
def test_the_region_of_a_face_is_extended_and_no_second_one_made(
    kind: str, form: str, entries: TagEntries
) -> None:
    before, tags = packet_of(kind, item_of(kind, form)), make_tags()
    new = merge(before, tags, entries)
    assert new.count(b"<rdf:li") == before.count(b"<rdf:li") and packet.count_own(new) == 0
    assert b"looks about" not in new and b"mivolo:Area" in new
    found = read(new)
    assert found is not None and found.same_people(tags) and found.people.regions[0].extends


@pytest.mark.parametrize("kind, form", FORMS)
def test_a_photo_with_an_extended_region_is_restored_to_the_byte(kind: str, form: str) -> None:
    data = with_packet(encode("JPEG"), packet_of(kind, item_of(kind, form)))
    done = embed.embed(data, "JPEG", make_tags(), TagEntries())
    embed.check(done.bare, done.data, "JPEG", done.added)
    assert done.added == 0 and done.reversible
    assert embed.strip(done.data, "JPEG").data == data
    again = embed.embed(done.data, "JPEG", make_tags(age=70.0), TagEntries())
    assert embed.strip(again.data, "JPEG").data == data


@pytest.mark.parametrize("kind, form", FORMS)
def test_a_named_face_is_left_alone_on_request(kind: str, form: str) -> None:
    before = packet_of(kind, item_of(kind, form))
    left = packet.without_named(before, make_tags()).people.regions
    assert len(left) == (form == "no name")


def test_others_on_the_photo_get_regions_of_their_own() -> None:
    tags = make_tags()
    child = replace(tags.people.regions[0], area=Area(0.8, 0.4, 0.1, 0.2), age=4.0)
    both = replace(tags, people=replace(tags.people, regions=[*tags.people.regions, child]))
    new = merge(packet_of("mwg", MWG["resource"]), both)
    found = read(new)
    assert found is not None and [region.extends for region in found.people.regions] == [
        True,
        False,
    ]
    assert packet.count_own(new) == 1 and found.same_people(both)


@pytest.mark.parametrize(
    "item",
    [
        MWG["resource"].replace(AREA, FAR),
        MWG["resource"].replace("Face", "Pet"),
        MWG["resource"].replace("0.3'", "0.9'").replace("0.55'", "0.9'"),
        MWG["resource"].replace(AREA, "stArea:x='0.26'"),
    ],
    ids=["elsewhere", "a pet", "the whole picture", "without a place"],
)
def test_what_is_not_the_same_face_is_not_extended(item: str) -> None:
    before = packet_of("mwg", item)
    new = merge(before, make_tags())
    assert packet.count_own(new) == 1 and remove(new) == before
    assert len(packet.without_named(before, make_tags()).people.regions) == 1


def test_a_region_that_cannot_be_extended_is_left_alone() -> None:
    item = MWG["extended by nothing"].replace("Extensions rdf:parseType='Resource'", "Extensions")
    new = merge(packet_of("mwg", item), make_tags())
    assert b"mivolo:Age" not in new and packet.count_own(new) == 0


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_regions_that_are_shares_of_the_upright_picture_are_understood(orientation: int) -> None:
    """Anna's region is where the face is on the picture as it is seen, 80 x 64."""
    people = regions.people([row()], orientation)
    tags = Tags(make_tags().provenance, people)
    before = packet_of("mwg", MWG["resource"])
    assert people.size == (64, 80)
    found = read(merge(before, tags))
    assert found is not None and found.people.regions[0].extends and found.same_people(tags)
    elsewhere = packet_of("mwg", MWG["resource"].replace(AREA, FAR))
    found = read(merge(elsewhere, tags))
    assert found is not None and found.same_people(tags)
    x1, y1, x2, y2 = FACE
    area = found.people.regions[0].area
    assert (area.x, area.y) == pytest.approx(((x1 + x2) / 160, (y1 + y2) / 128))


def test_exiftool_reads_the_extension_beside_the_name(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "a.jpg")
    photo.write_bytes(with_packet(photo.read_bytes(), packet_of("mwg", MWG["extended"])))
    photo.write_bytes(embed.embed(photo.read_bytes(), "JPEG", make_tags(), TagEntries()).data)
    (entry,) = exiftool("-warning", "-validate", "-XMP-mwg-rs:all", photo)
    (region,) = entry["XMP-mwg-rs:RegionInfo"]["RegionList"]
    said = region["Extensions"]
    assert (region["Name"], said["XMP-mivolo:Age"], said["XMP-foo:Roll"]) == ("Anna", 33.4, 4)
    assert "ExifTool:Warning" not in entry
