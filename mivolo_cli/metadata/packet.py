"""An XMP packet with our entries in it: merge, take out, read. Every byte that others wrote stays
as it is.

Ours are: regions with something of our namespace inside, the keywords that we noted, and properties
of our namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, fields, replace
from itertools import chain
from xml.sax.saxutils import escape, quoteattr

from . import Refused, xmp
from .regions import SUMMARY, Area, People, Region, number
from .tree import Edit, Node, NotXml, apply, insert, parse, without_attributes
from .xmp import OURS, RDF, SKELETON

LISTS = ("Bag", "Seq", "Alt")
SHAPE_TOLERANCE = 0.02
REGIONS, REGION_LIST, SIZE = (
    xmp.name("mwg-rs:Regions"),
    xmp.name("mwg-rs:RegionList"),
    xmp.name("mwg-rs:AppliedToDimensions"),
)
MS_REGIONS, MS_LIST = xmp.name("MP:RegionInfo"), xmp.name("MPRI:Regions")
QUALIFIED = {
    xmp.name(qualified): qualified for qualified in ("digiKam:TagsList", "lr:hierarchicalSubject")
}
KEYWORDS = dict(zip(QUALIFIED, "/|", strict=True))
SEPARATOR = ";"
DESCRIPTION, LI, REGION_TEXT = (
    xmp.name("rdf:Description"),
    xmp.name("rdf:li"),
    xmp.name("mwg-rs:Description"),
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What we say of the whole photo. Byte counts and hashes are of the file before we wrote to it.

    `scanned_bytes` is the size that the results say; `undo` and `exif_undo` are what containers and
    EXIF need to become again what they were; `exif_text` is what stands in the EXIF field
    `exif_field`. `keywords` are those that we added, separated by `;`: others like them were there
    before, and stay.
    """

    model: str = ""
    model_sha256: str = ""
    date: str = ""
    original_sha256: str = ""
    original_bytes: str = ""
    scanned_bytes: str = ""
    reversible: str = ""
    undo: str = ""
    keywords: str = ""
    exif_field: str = ""
    exif_text: str = ""
    exif_sha256: str = ""
    exif_undo: str = ""

    @property
    def is_reversible(self) -> bool:
        """Whether taking our entries out gives the original bytes back."""
        return self.reversible == "True"


@dataclass(frozen=True, slots=True)
class TagEntries:
    """Which entries to write besides the regions."""

    keywords: bool = False
    microsoft: bool = False


@dataclass(frozen=True, slots=True)
class Tags:
    """Our entries in a packet."""

    provenance: Provenance
    people: People

    def same_people(self, other: Tags) -> bool:
        """Whether both say the same of the same places, by the same model."""
        return _comparable(self) == _comparable(other)


def merge(packet: bytes | None, tags: Tags, entries: TagEntries = TagEntries()) -> bytes:
    """The packet with our entries added; it must hold none yet (`remove` first).

    Raises Refused for a packet that cannot be understood, and where regions of another shape of
    picture are there.
    """
    data = SKELETON if packet is None else packet
    rdf = _rdf(data)
    # Text is only inserted, so that every byte of others stays. What goes into a list that is
    # there already is an edit of its own; all the rest is gathered in `new`, one block of ours at
    # the end.
    keywords = _missing_keywords(rdf, tags.people.regions) if entries.keywords else {}
    edits: list[Edit] = []
    # `remove` must take out our keywords and no others: only those that were missing are noted.
    new = _provenance(
        replace(tags.provenance, keywords=SEPARATOR.join(chain.from_iterable(keywords.values())))
    )
    # A packet has one list of regions: ours must join it, and fit the size it was made for. They
    # go behind the others, since digiKam stops reading at the first region without a name.
    regions = _property(rdf, REGIONS)
    items = "".join(_region(region, tags.provenance) for region in tags.people.regions)
    if regions is None:
        new += _new_regions(tags.people, items)
    else:
        _check_size(regions, tags.people.size)
        edits.append(_add_to_list(data, regions, REGION_LIST, "mwg-rs:RegionList", items))
    # The same people once more in Microsoft's terms, for programs that read only these.
    if entries.microsoft:
        rectangles = "".join(map(_rectangle, tags.people.regions))
        there = _property(rdf, MS_REGIONS)
        if there is None:
            new += xmp.element("MP:RegionInfo", xmp.bag("MPRI:Regions", rectangles), struct=True)
        else:
            edits.append(_add_to_list(data, there, MS_LIST, "MPRI:Regions", rectangles))
    # Programs keep the same keywords under different names, each a list that may be there or not.
    for name, words in keywords.items():
        items = "".join(xmp.item(word, plain=True) for word in words)
        bag = _list_of_keywords(rdf, name)
        if bag is None:
            new += xmp.bag(QUALIFIED[name], items)
        else:
            edits.append(insert(data, bag, items.encode()))
    # XMP asks that all blocks of a packet are about the same thing.
    about = next(
        (
            node.attributes.get((RDF, "about"), "")
            for node in rdf.children
            if node.name == DESCRIPTION
        ),
        "",
    )
    start = f"<rdf:Description{xmp.declarations(new)} rdf:about={quoteattr(about)}>"
    block = f"{start}{new}</rdf:Description>"
    return apply(data, [*edits, insert(data, rdf, block.encode())])


def remove(packet: bytes) -> bytes | None:
    """The packet without our entries; None where nothing remains of one that we made. Raises
    Refused."""
    rdf = _rdf(packet)
    left = apply(packet, list(_removals(packet, rdf, _keywords(rdf))))
    return None if left == SKELETON else left


def read(packet: bytes) -> Tags | None:
    """Our entries, or None where there are none. Raises Refused for a packet that cannot be
    understood."""
    rdf = _rdf(packet)
    if not any(map(_speaks_ours, rdf.walk())):
        return None
    found = {field.name: _text(rdf, field.name) for field in fields(Provenance)}
    nodes = [
        node for node in rdf.walk() if node.name == LI and _is_region(node) and _mentions(node)
    ]
    size = next((node for node in rdf.walk() if node.name == SIZE), None)
    width, height = (_number(size, "stDim:" + side) if size else None for side in "wh")
    regions = [region for node in nodes if (region := _read_region(node)) is not None]
    return Tags(Provenance(**found), People((int(width or 0), int(height or 0)), regions))


def reads_elsewhere(packet: bytes) -> bool:
    """Whether the packet says that extended XMP holds more."""
    return _value(_rdf(packet), "xmpNote:HasExtendedXMP") is not None


def _rdf(packet: bytes) -> Node:
    try:
        root = parse(packet)
    except NotXml as error:
        raise Refused("bad_xmp", str(error)) from error
    found = next((node for node in root.walk() if node.name == (RDF, "RDF")), None)
    if found is None:
        raise Refused("bad_xmp", "it has no rdf:RDF")
    return found


def _property(rdf: Node, name: tuple[str, str]) -> Node | None:
    found = [node for about in rdf.children for node in about.children if node.name == name]
    if len(found) > 1:
        raise Refused("bad_xmp", f"{name[1]} is there {len(found)} times")
    return found[0] if found else None


def _struct(node: Node) -> Node:
    """The element that holds the fields of a structure, in either of RDF's two ways of writing
    one."""
    inner = node.find(DESCRIPTION)
    return node if inner is None else inner


def _list(node: Node) -> Node | None:
    return next(
        (child for child in node.children if child.name[0] == RDF and child.name[1] in LISTS), None
    )


def _add_to_list(
    data: bytes, holder: Node, name: tuple[str, str], qualified: str, items: str
) -> Edit:
    """The edit that adds items to the list called `name` of a structure, and the list if it is not
    there."""
    struct = _struct(holder)
    there = struct.find(name)
    if there is not None:
        bag = _list(there)
        if bag is None:
            raise Refused("bad_xmp", f"{name[1]} is no list")
        return insert(data, bag, items.encode())
    if (RDF, "resource") in holder.attributes:
        raise Refused("bad_xmp", f"{holder.name[1]} is no structure")
    return insert(data, struct, xmp.bag(qualified, items, alone=True).encode())


def _check_size(regions: Node, size: tuple[int, int]) -> None:
    """Refuse where others' regions are shares of a picture of another shape: ours would be
    misplaced, or theirs."""
    there = next((node for node in regions.walk() if node.name == SIZE), None)
    width, height = (_number(there, "stDim:" + side) if there else None for side in "wh")
    if width and height and abs(width / height * size[1] / size[0] - 1) > SHAPE_TOLERANCE:
        raise Refused(
            "other_size", f"{width:.0f} x {height:.0f}, while this one is {size[0]} x {size[1]}"
        )


def _provenance(provenance: Provenance) -> str:
    named = ((field.name, getattr(provenance, field.name)) for field in fields(Provenance))
    return xmp.element("mivolo:Version", "1") + "".join(
        xmp.field(_tag(name), value) for name, value in named
    )


def _new_regions(people: People, items: str) -> str:
    width, height = people.size
    size = (
        xmp.element("stDim:w", str(width))
        + xmp.element("stDim:h", str(height))
        + xmp.element("stDim:unit", "pixel")
    )
    inner = xmp.element("mwg-rs:AppliedToDimensions", size, struct=True) + xmp.bag(
        "mwg-rs:RegionList", items
    )
    return xmp.element("mwg-rs:Regions", inner, struct=True)


def _region(region: Region, provenance: Provenance) -> str:
    area = "".join(
        xmp.element(f"stArea:{side}", number(getattr(region.area, side))) for side in "xywh"
    )
    area += xmp.element("stArea:unit", "normalized")
    inner = xmp.element("mwg-rs:Area", area, struct=True) + xmp.field("mwg-rs:Type", region.kind)
    inner += xmp.element("mwg-rs:Description", escape(region.summary))
    inner += xmp.element("mwg-rs:Extensions", _extensions(region, provenance), struct=True)
    return xmp.item(inner)


def _extensions(region: Region, provenance: Provenance) -> str:
    pairs: list[tuple[str, str | float | None]] = [
        ("Age", region.age), ("AgeLow", region.age_low), ("AgeHigh", region.age_high),
        ("Gender", region.gender), ("GenderScore", region.gender_score),
        ("SeenFrom", region.used), ("Model", provenance.model), ("Date", provenance.date),
    ]  # fmt: skip
    texts = (
        (key, number(value) if isinstance(value, float) else str(value or ""))
        for key, value in pairs
    )
    return "".join(xmp.field(f"mivolo:{key}", value) for key, value in texts)


def _rectangle(region: Region) -> str:
    corner = ", ".join(map(number, region.area.corner))
    return xmp.item(xmp.element("MPReg:Rectangle", corner) + xmp.element("mivolo:Region", "1"))


def _missing_keywords(rdf: Node, regions: Iterable[Region]) -> dict[tuple[str, str], list[str]]:
    """The keywords that each list has to get; what somebody has put into it stays theirs."""
    steps = sorted({keyword for region in regions for keyword in region.keywords})
    missing = {}
    for name, separator in KEYWORDS.items():
        bag = _list_of_keywords(rdf, name)
        there = set() if bag is None else {item.text.strip() for item in bag.children}
        wanted = [separator.join(("mivolo", *step)) for step in steps]
        missing[name] = [word for word in wanted if word not in there]
    return {name: words for name, words in missing.items() if words}


def _list_of_keywords(rdf: Node, name: tuple[str, str]) -> Node | None:
    there = _property(rdf, name)
    bag = None if there is None else _list(there)
    if there is not None and bag is None:
        raise Refused("bad_xmp", f"{name[1]} is no list")
    return bag


def _tag(field: str) -> str:
    """`model_sha256` is called `mivolo:ModelSHA256`."""
    return "mivolo:" + field.title().replace("_", "").replace("Sha", "SHA").replace("Exif", "EXIF")


def _speaks_ours(node: Node) -> bool:
    return node.name[0] == OURS or any(name[0] == OURS for name in node.attributes)


def _mentions(node: Node) -> bool:
    """Whether something of our namespace is in the element; that makes a region ours."""
    return any(map(_speaks_ours, node.walk()))


def _is_region(item: Node) -> bool:
    holder = item.parent.parent if item.parent else None
    return holder is not None and holder.name in (REGION_LIST, MS_LIST)


def _removals(data: bytes, node: Node, keywords: Set[str]) -> Iterator[Edit]:
    for child in node.children:
        if _is_ours(child, keywords):
            yield child.start, child.end, b""
        else:
            yield from without_attributes(data, child, OURS)
            yield from _removals(data, child, keywords)


def _is_ours(node: Node, keywords: Set[str]) -> bool:
    """Whether nothing in the element is anybody else's."""
    if node.name[0] == OURS:
        return True
    if node.name == LI:
        return (_is_region(node) and _mentions(node) and not _is_adopted(node)) or _is_keyword(
            node, keywords
        )
    if node.name == REGION_TEXT:
        return node.parent is not None and _mentions(node.parent) and node.text.startswith(SUMMARY)
    if not node.children or any(name[0] not in (RDF, OURS) for name in node.attributes):
        return False
    ours = [_is_ours(child, keywords) for child in node.children]
    return any(ours) and all(
        own or child.name == SIZE for own, child in zip(ours, node.children, strict=True)
    )


def _is_adopted(item: Node) -> bool:
    """Whether somebody has since given the region a name, or their own words: it is theirs then,
    and only ours go."""
    words = _value(item, "mwg-rs:Description")
    named = any(_value(item, name) for name in ("mwg-rs:Name", "MPReg:PersonDisplayName"))
    return named or bool(words and not words.startswith(SUMMARY))


def _is_keyword(item: Node, keywords: Set[str]) -> bool:
    holder = item.parent.parent if item.parent else None
    return holder is not None and holder.name in KEYWORDS and item.text.strip() in keywords


def _keywords(rdf: Node) -> Set[str]:
    """Those that we added; the separator in them tells which list."""
    return set(filter(None, _text(rdf, "keywords").split(SEPARATOR)))


def _value(node: Node, name: str) -> str | None:
    """The first simple property of this name in or below the element, be it written as an element
    or an attribute."""
    wanted = xmp.name(name)
    for inner in node.walk():
        if wanted in inner.attributes:
            return inner.attributes[wanted]
        if inner.name == wanted:
            return inner.text.strip()
    return None


def _text(rdf: Node, field: str) -> str:
    """A property of the photo itself, not of one of its regions."""
    wanted = xmp.name(_tag(field))
    for about in rdf.children:
        if wanted in about.attributes:
            return about.attributes[wanted]
        found = about.find(wanted)
        if found is not None:
            return found.text.strip()
    return ""


def _number(node: Node, name: str) -> float | None:
    try:
        return float(_value(node, name) or "")
    except ValueError:
        return None


def _read_region(item: Node) -> Region | None:
    sides = [_number(item, f"stArea:{side}") for side in "xywh"]
    age = _number(item, "mivolo:Age")
    if age is None or any(side is None for side in sides):
        return None
    score, low, high = (
        _number(item, f"mivolo:{key}") for key in ("GenderScore", "AgeLow", "AgeHigh")
    )
    area = Area(*(side for side in sides if side is not None))
    gender, used = _value(item, "mivolo:Gender"), _value(item, "mivolo:SeenFrom")
    return Region(area, _value(item, "mwg-rs:Type") or "", age, gender, score, low, high, used)


def _comparable(tags: Tags) -> object:
    regions = [
        (
            number(r.age),
            r.gender,
            r.kind,
            *(number(side) for side in (r.area.x, r.area.y, r.area.w, r.area.h)),
        )
        for r in tags.people.regions
    ]
    return tags.provenance.model_sha256, sorted(map(str, regions))
