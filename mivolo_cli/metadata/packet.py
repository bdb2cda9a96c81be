"""Merge, remove and read our entries in an XMP packet. Every byte written by others stays the same.

Our entries are regions that contain anything in our namespace, the keywords that we recorded, and
properties in our namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, fields, replace
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from . import Refused, faces, keywords, rdf, xmp
from .faces import MS_LIST, MS_REGIONS, NAMES, REGION_LIST, REGIONS, SIZE
from .rdf import LI
from .regions import SUMMARY, People, Region, number
from .tree import Edit, Node, apply, insert, without_attributes
from .xmp import OURS, RDF, SKELETON

REGION_TEXT = xmp.name("mwg-rs:Description")
FRAME = rb"\s*+(?:<\?xpacket[^>]*\?>\s*+)*+"
BLANK = re.compile(FRAME + rb"(?:<(\w+:x[ma]pmeta)\b[^>]*(?:/>|>\s*+</\1\s*+>))?" + FRAME)
PADDING = b" \t\r\n\0"
NamedFaces = Literal["extend", "leave"]
TAGS = {"model": "mivolo:ModelName"}
"""ExifTool would show `Model` as the camera of a photo without one."""
FORMER_TAGS = {"model": "mivolo:Model"}
"""As written by version 0.1."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Our properties of the whole photo. Byte counts and hashes refer to the file before our first
    change.

    `scanned_bytes` is the size in the results; `undo` and `exif_undo` are what containers and EXIF
    need to restore their original form; `exif_text` is our text in the EXIF field `exif_field`.
    `keywords` are those that we added, separated by `;`, and not those that were there before.
    `kept` holds the original packet if removing our entries does not restore it.
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
    kept: str = ""

    @property
    def is_reversible(self) -> bool:
        """Whether removing our entries restores the original bytes."""
        return self.reversible == "True"


@dataclass(frozen=True, slots=True)
class TagEntries:
    """Which entries to write besides the regions: hierarchical keywords and, with `subjects`,
    dc:subject. `named_faces`: whether the regions of named faces are extended or left alone."""

    keywords: bool = False
    microsoft: bool = False
    subjects: bool = False
    named_faces: NamedFaces = "extend"


@dataclass(frozen=True, slots=True)
class Tags:
    """Our entries in a packet."""

    provenance: Provenance
    people: People

    def same_people(self, other: Tags) -> bool:
        """Whether both have the same predictions at the same places, from the same model."""
        framed = other.people.in_frame(*self.people.size) or other.people
        return self.same_model(other) and _comparable(self.people) == _comparable(framed)

    def same_model(self, other: Tags) -> bool:
        """Whether both may come from one model: tables other than Parquet may not name it."""
        return len({self.provenance.model_sha256, other.provenance.model_sha256} - {""}) < 2


def merge(packet: bytes | None, tags: Tags, entries: TagEntries = TagEntries()) -> bytes:
    """Add our entries to the packet, which must not contain any yet (`remove` first).

    Raises Refused if the packet cannot be parsed, or has regions of a picture of another shape.
    """
    data = SKELETON if packet is None else packet
    root = rdf.root(data)
    people = _framed(root, tags.people)
    # Text is only inserted, so every byte of others stays. Additions to existing elements are
    # separate edits; everything else is collected in `new`, a single block at the end.
    edits, left = _extensions_of_others(data, root, people, tags.provenance)
    words = (
        keywords.missing(root, people.regions, subjects=entries.subjects)
        if entries.keywords
        else {}
    )
    # `remove` must remove only our keywords, so only those that were missing are recorded.
    new = _provenance(replace(tags.provenance, keywords=keywords.note(words)))
    for more, some in (
        _new_regions(data, root, left, tags.provenance),
        _new_rectangles(data, root, left) if entries.microsoft else ("", []),
        keywords.add(data, root, words),
    ):
        new, edits = new + more, edits + some
    # XMP requires the same rdf:about in all blocks of a packet.
    start = f"<rdf:Description{xmp.declarations(new)} rdf:about={quoteattr(rdf.about(root))}>"
    block = f"{start}{new}</rdf:Description>"
    return apply(data, [*edits, insert(data, root, block.encode())])


def remove(packet: bytes) -> bytes | None:
    """Remove our entries from the packet; None if we created it and nothing remains. Raises
    Refused."""
    root = rdf.root(packet)
    ours = keywords.noted(_text(root, _tag("keywords")))
    left = apply(packet, list(_removals(packet, root, ours)))
    return None if left == SKELETON else left


def read(packet: bytes) -> Tags | None:
    """Return our entries, or None if there are none. Raises Refused if the packet cannot be
    parsed."""
    root = rdf.root(packet)
    if not any(map(_uses_our_namespace, root.walk())):
        return None
    found = {field.name: _text(root, _tag(field.name)) for field in fields(Provenance)}
    found |= {name: found[name] or _text(root, tag) for name, tag in FORMER_TAGS.items()}
    nodes = [node for node in root.walk() if _is_region(node) and _contains_ours(node)]
    width, height = faces.applied_size(root)
    regions = [region for node in nodes if (region := _read_region(node)) is not None]
    return Tags(Provenance(**found), People((int(width or 0), int(height or 0)), regions))


def count_own(packet: bytes) -> int:
    """Count our own MWG regions, not our extensions of others' regions."""
    items = (node for node in rdf.root(packet).walk() if _is_region(node, {REGION_LIST}))
    return sum(_contains_ours(item) and not faces.is_extended(item) for item in items)


def check(packet: bytes) -> None:
    """Raise Refused if the packet cannot be parsed."""
    rdf.root(packet)


def is_blank(packet: bytes) -> bool:
    """Whether a packet contains nothing that a program could lose."""
    return BLANK.fullmatch(packet.removeprefix(b"\xef\xbb\xbf").strip(PADDING)) is not None


def without_named(packet: bytes | None, tags: Tags) -> Tags:
    """Return the tags without people whose faces have a name in the packet. Raises Refused."""
    if packet is None:
        return tags
    return replace(tags, people=faces.without_named(rdf.root(packet), tags.people))


def _framed(root: Node, people: People) -> People:
    """Convert people to the frame of the existing regions. Refuse if that is a picture of another
    shape: our regions or the existing ones would be misplaced."""
    width, height = faces.applied_size(root)
    framed = people.in_frame(width, height)
    if framed is None:
        size = f"{people.size[0]} x {people.size[1]}"
        raise Refused("other_size", f"{width:.0f} x {height:.0f}, while this one is {size}")
    return framed


def _extensions_of_others(
    data: bytes, root: Node, people: People, provenance: Provenance
) -> tuple[list[Edit], People]:
    """Return the edits that extend face regions of other programs, and the people left."""
    pairs = faces.marked(root, people)
    edits = [
        face.extend(data, _person(region, provenance, alone=False))
        for region, face in pairs
        if face.can_be_extended
    ]
    left = [region for region in people.regions if all(region is not done for done, _ in pairs)]
    return edits, replace(people, regions=left)


def _provenance(provenance: Provenance) -> str:
    named = ((field.name, getattr(provenance, field.name)) for field in fields(Provenance))
    return xmp.element("mivolo:Version", "1") + "".join(
        xmp.field(_tag(name), value) for name, value in named
    )


def _new_regions(
    data: bytes, root: Node, people: People, provenance: Provenance
) -> tuple[str, list[Edit]]:
    """Return a new list of regions, or the edit that appends them to the existing one: digiKam
    stops reading at the first region without a name."""
    items = "".join(_region(region, provenance) for region in people.regions)
    there = rdf.find_property(root, REGIONS)
    if there is not None:
        edit = rdf.add_to_list(data, there, REGION_LIST, "mwg-rs:RegionList", items)
        return "", [edit] if items else []
    width, height = people.size
    size = (
        xmp.element("stDim:w", str(width))
        + xmp.element("stDim:h", str(height))
        + xmp.element("stDim:unit", "pixel")
    )
    inner = xmp.element("mwg-rs:AppliedToDimensions", size, struct=True) + xmp.bag(
        "mwg-rs:RegionList", items
    )
    return (xmp.element("mwg-rs:Regions", inner, struct=True) if items else ""), []


def _new_rectangles(data: bytes, root: Node, people: People) -> tuple[str, list[Edit]]:
    """Return the same people as Microsoft regions, for programs that read only these."""
    items = "".join(map(_rectangle, people.regions))
    there = rdf.find_property(root, MS_REGIONS)
    if not items:
        return "", []
    if there is not None:
        return "", [rdf.add_to_list(data, there, MS_LIST, "MPRI:Regions", items)]
    return xmp.element("MP:RegionInfo", xmp.bag("MPRI:Regions", items), struct=True), []


def _region(region: Region, provenance: Provenance) -> str:
    area = "".join(
        xmp.element(f"stArea:{side}", number(getattr(region.area, side))) for side in "xywh"
    )
    area += xmp.element("stArea:unit", "normalized")
    inner = xmp.element("mwg-rs:Area", area, struct=True) + xmp.field("mwg-rs:Type", region.kind)
    inner += xmp.element("mwg-rs:Description", escape(region.summary))
    said = "".join(xmp.field(*pair) for pair in _person(region, provenance, alone=True))
    return xmp.item(inner + xmp.element("mwg-rs:Extensions", said, struct=True))


def _person(region: Region, provenance: Provenance, *, alone: bool) -> faces.Fields:
    """Return our fields for a person; in another program's region, also our area of the face."""
    pairs: list[tuple[str, str | float | None]] = [
        ("Age", region.age), ("AgeLow", region.age_low), ("AgeHigh", region.age_high),
        ("Gender", region.gender), ("GenderScore", region.gender_score),
        ("SeenFrom", region.used), ("ModelName", provenance.model), ("Date", provenance.date),
        ("Area", None if alone else faces.area_text(region.area)),
    ]  # fmt: skip
    return [
        (f"mivolo:{key}", number(value) if isinstance(value, float) else str(value or ""))
        for key, value in pairs
    ]


def _rectangle(region: Region) -> str:
    corner = ", ".join(map(number, region.area.corner))
    return xmp.item(xmp.element("MPReg:Rectangle", corner) + xmp.element("mivolo:Region", "1"))


def _tag(field: str) -> str:
    """Return a field's XMP name, e.g. `mivolo:OriginalSHA256` for `original_sha256`."""
    words = field.title().replace("_", "").replace("Sha", "SHA").replace("Exif", "EXIF")
    return TAGS.get(field, f"mivolo:{words}")


def _uses_our_namespace(node: Node) -> bool:
    return node.name[0] == OURS or any(name[0] == OURS for name in node.attributes)


def _contains_ours(node: Node) -> bool:
    """Whether the element uses our namespace anywhere; that makes a region ours."""
    return any(map(_uses_our_namespace, node.walk()))


def _is_region(item: Node, lists: Set[tuple[str, str]] = frozenset((REGION_LIST, MS_LIST))) -> bool:
    holder = item.parent.parent if item.name == LI and item.parent else None
    return holder is not None and holder.name in lists


def _removals(data: bytes, node: Node, words: Set[str]) -> Iterator[Edit]:
    for child in node.children:
        if _is_ours(child, words):
            yield child.start, child.end, b""
        else:
            yield from without_attributes(data, child, OURS)
            yield from _removals(data, child, words)


def _is_ours(node: Node, words: Set[str]) -> bool:
    """Whether the element contains nothing of others."""
    if node.name[0] == OURS:
        return True
    if node.name == LI:
        own = _is_region(node) and _contains_ours(node) and not _is_theirs(node)
        return own or keywords.is_one_of(node, words)
    if node.name == REGION_TEXT:
        return (
            node.parent is not None
            and _contains_ours(node.parent)
            and node.text.startswith(SUMMARY)
        )
    if not node.children or any(name[0] not in (RDF, OURS) for name in node.attributes):
        return False
    ours = [_is_ours(child, words) for child in node.children]
    return any(ours) and all(
        own or child.name == SIZE for own, child in zip(ours, node.children, strict=True)
    )


def _is_theirs(item: Node) -> bool:
    """Whether another program created the region, or someone has since given it a name or a
    description of their own; then only our fields are removed."""
    words = rdf.value(item, "mwg-rs:Description")
    named = any(rdf.value(item, name) for name in NAMES)
    return faces.is_extended(item) or named or bool(words and not words.startswith(SUMMARY))


def _text(root: Node, tag: str) -> str:
    """Return a property of the photo itself, not of a region."""
    wanted = xmp.name(tag)
    for block in root.children:
        if wanted in block.attributes:
            return block.attributes[wanted]
        found = block.find(wanted)
        if found is not None:
            return found.text.strip()
    return ""


def _read_region(item: Node) -> Region | None:
    area, age = faces.read_area(item), rdf.number(item, "mivolo:Age")
    if age is None or area is None:
        return None
    score, low, high = (
        rdf.number(item, f"mivolo:{key}") for key in ("GenderScore", "AgeLow", "AgeHigh")
    )
    gender, used = rdf.value(item, "mivolo:Gender"), rdf.value(item, "mivolo:SeenFrom")
    extends = faces.is_extended(item)
    kind = "Face" if extends else rdf.value(item, "mwg-rs:Type") or ""
    return Region(area, kind, age, gender, score, low, high, used, extends)


def _comparable(people: People) -> object:
    regions = [
        (
            number(r.age),
            r.gender,
            r.kind,
            *(number(side) for side in (r.area.x, r.area.y, r.area.w, r.area.h)),
        )
        for r in people.regions
    ]
    return sorted(map(str, regions))
