"""Match our faces to those that other programs have marked, and extend their regions.

A second, unnamed region on a named face would make programs ask about the face again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import boxes
from ..records import Boxes
from . import rdf, xmp
from .regions import Area, People, Region, number
from .tree import Edit, Node, insert, insert_attributes
from .xmp import OURS, RDF

REGIONS, REGION_LIST = xmp.name("mwg-rs:Regions"), xmp.name("mwg-rs:RegionList")
MS_REGIONS, MS_LIST = xmp.name("MP:RegionInfo"), xmp.name("MPRI:Regions")
SIZE, EXTENSIONS = xmp.name("mwg-rs:AppliedToDimensions"), xmp.name("mwg-rs:Extensions")
NAMES = ("mwg-rs:Name", "MPReg:PersonDisplayName")
FACE_TYPES = (None, "", "Face")
MIN_IOU, MIN_SHARE = 0.2, 0.5
"""Two regions are the same face from these values on: intersection over union, and intersection
over the smaller area. Some programs mark a face from chin to brows, others the whole head."""

Fields = Sequence[tuple[str, str]]
"""Qualified names and their values."""


@dataclass(frozen=True, slots=True)
class MarkedFace:
    """A face region of another program, as an MWG or Microsoft list item."""

    item: Node
    area: Area
    is_mwg: bool

    @property
    def is_named(self) -> bool:
        return any(rdf.value(self.item, name) for name in NAMES)

    @property
    def can_be_extended(self) -> bool:
        return self._holder is None or self._is_flat or rdf.is_struct(self._holder)

    def extend(self, data: bytes, fields: Fields) -> Edit:
        """Return the edit that adds our fields to the region, in its existing notation."""
        if self._holder is None:
            inner = "".join(xmp.field(*pair) for pair in fields)
            new = xmp.element("mwg-rs:Extensions", inner, struct=True, alone=True)
            return insert(data, rdf.struct(self.item), new.encode())
        target = rdf.struct(self._holder)
        if self._is_flat:
            return insert_attributes(data, target, xmp.attributes(fields).encode())
        new = "".join(xmp.field(*pair, alone=True) for pair in fields)
        return insert(data, target, new.encode())

    @property
    def _holder(self) -> Node | None:
        """The element for our fields: the Extensions of an MWG region, or None if it has none."""
        return rdf.struct(self.item).find(EXTENSIONS) if self.is_mwg else self.item

    @property
    def _is_flat(self) -> bool:
        """Whether its fields are attributes of an empty element."""
        target = None if self._holder is None else rdf.struct(self._holder)
        return target is not None and target.closed and (RDF, "parseType") not in target.attributes


def applied_size(root: Node) -> tuple[float | None, float | None]:
    """Return width and height of the picture that a packet's regions refer to."""
    size = next((node for node in root.walk() if node.name == SIZE), None)
    width, height = (rdf.number(size, "stDim:" + side) if size else None for side in "wh")
    return width, height


def marked(root: Node, people: People) -> list[tuple[Region, MarkedFace]]:
    """Match people to the faces already marked in the packet; `people` must be in the frame of its
    regions. MWG regions take precedence, and each person is matched at most once."""
    found: list[tuple[Region, MarkedFace]] = []
    for faces in (_mwg_faces(root), _microsoft_faces(root)):
        left = [region for region in people.regions if all(region is not r for r, _ in found)]
        found += _pairs([region for region in left if region.kind], faces)
    return found


def without_named(root: Node, people: People) -> People:
    """Return the people whose faces have no name in the packet. Raises Refused."""
    framed = people.in_frame(*applied_size(root)) or people
    named = [region for region, face in marked(root, framed) if face.is_named]
    kept = [
        region
        for region, moved in zip(people.regions, framed.regions, strict=True)
        if all(moved is not other for other in named)
    ]
    return replace(people, regions=kept)


def is_extended(item: Node) -> bool:
    """Whether a region belongs to another program and contains our fields."""
    return any(
        node.name == (OURS, "Area") or (OURS, "Area") in node.attributes for node in item.walk()
    )


def area_text(area: Area) -> str:
    """Format our own area of a face, stored when extending another program's region."""
    return ", ".join(map(number, (area.x, area.y, area.w, area.h)))


def read_area(item: Node) -> Area | None:
    """Return the area written by `area_text`, or else that of the region."""
    text = rdf.value(item, "mivolo:Area")
    if text is None:
        return _mwg_area(item)
    return _area(text.split(","))


def _mwg_faces(root: Node) -> list[MarkedFace]:
    faces = []
    for item in rdf.items(rdf.find_property(root, REGIONS), REGION_LIST):
        area = _mwg_area(item)
        if area is not None and rdf.value(item, "mwg-rs:Type") in FACE_TYPES:
            faces.append(MarkedFace(item, area, True))
    return faces


def _microsoft_faces(root: Node) -> list[MarkedFace]:
    faces = []
    for item in rdf.items(rdf.find_property(root, MS_REGIONS), MS_LIST):
        corner = _area((rdf.value(item, "MPReg:Rectangle") or "").split(","))
        if corner is not None:
            area = replace(corner, x=corner.x + corner.w / 2, y=corner.y + corner.h / 2)
            faces.append(MarkedFace(item, area, False))
    return faces


def _mwg_area(item: Node) -> Area | None:
    return _area([rdf.value(item, f"stArea:{side}") or "" for side in "xywh"])


def _area(sides: Sequence[str]) -> Area | None:
    try:
        area = Area(*map(float, sides))
    except (ValueError, TypeError):
        return None
    return area if area.w > 0 and area.h > 0 else None


def _pairs(
    regions: Sequence[Region], faces: Sequence[MarkedFace]
) -> list[tuple[Region, MarkedFace]]:
    """Return the optimal assignment of regions to matching faces."""
    if not regions or not faces:
        return []
    from scipy.optimize import linear_sum_assignment  # only needed if faces are marked

    ours, theirs = _corners([r.area for r in regions]), _corners([face.area for face in faces])
    scores = boxes.iou(ours, theirs)
    smaller = np.minimum(boxes.area(ours)[:, None], boxes.area(theirs))
    same = (scores >= MIN_IOU) & (boxes.intersection(ours, theirs) >= MIN_SHARE * smaller)
    scores = np.where(same, scores, 0)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    return [
        (regions[row], faces[column])
        for row, column in zip(rows, columns, strict=True)
        if scores[row, column] > 0
    ]


def _corners(areas: Sequence[Area]) -> Boxes:
    """Return an (n, 4) array of x1, y1, x2, y2."""
    corners = [(a.x - a.w / 2, a.y - a.h / 2, a.x + a.w / 2, a.y + a.h / 2) for a in areas]
    return np.array(corners, np.float32).reshape(-1, 4)
