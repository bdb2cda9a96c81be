"""Read an XMP packet as RDF, in any of RDF's notations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from . import Refused, xmp
from .tree import Edit, Node, NotXml, insert, parse
from .xmp import RDF

LISTS = ("Bag", "Seq", "Alt")
DESCRIPTION, LI = xmp.name("rdf:Description"), xmp.name("rdf:li")
ABOUT = ((RDF, "about"), ("", "about"))
"""The attribute for the subject of a block; old programs write it without a prefix."""


def root(packet: bytes) -> Node:
    """Return the rdf:RDF element of a packet. Raises Refused."""
    try:
        tree = parse(packet)
    except NotXml as error:
        raise Refused("bad_xmp", str(error)) from error
    found = next((node for node in tree.walk() if node.name == (RDF, "RDF")), None)
    if found is None:
        raise Refused("bad_xmp", "it has no rdf:RDF")
    return found


def about(root: Node) -> str:
    """Return the first rdf:about of the packet's blocks that is not empty."""
    blocks = (node for node in root.children if node.name == DESCRIPTION)
    said = (node.attributes.get(name, "") for node in blocks for name in ABOUT)
    return next(filter(None, said), "")


def find_property(root: Node, name: tuple[str, str]) -> Node | None:
    """Return a property of the photo. Raises Refused if it occurs twice."""
    found = [node for block in root.children for node in block.children if node.name == name]
    if len(found) > 1:
        raise Refused("bad_xmp", f"{name[1]} occurs {len(found)} times")
    return found[0] if found else None


def struct(node: Node) -> Node:
    """Return the element with the fields of a structure, in either RDF notation."""
    inner = node.find(DESCRIPTION)
    return node if inner is None else inner


def is_struct(node: Node) -> bool:
    """Whether a field can be added to the result of `struct`."""
    return node.find(DESCRIPTION) is not None or (RDF, "parseType") in node.attributes


def bag(node: Node) -> Node | None:
    """Return the list in a property."""
    return next(
        (child for child in node.children if child.name[0] == RDF and child.name[1] in LISTS), None
    )


def items(holder: Node | None, name: tuple[str, str]) -> Sequence[Node]:
    """Return the items of the list `name` in a structure."""
    inner = None if holder is None else struct(holder).find(name)
    found = None if inner is None else bag(inner)
    return [] if found is None else found.children


def add_to_list(
    data: bytes, holder: Node, name: tuple[str, str], qualified: str, items: str
) -> Edit:
    """Return the edit that adds items to the list `name` in a structure, creating it if missing.
    Raises Refused."""
    inner = struct(holder)
    there = inner.find(name)
    if there is not None:
        found = bag(there)
        if found is None:
            raise Refused("bad_xmp", f"{name[1]} is not a list")
        return insert(data, found, items.encode())
    if (RDF, "resource") in holder.attributes:
        raise Refused("bad_xmp", f"{holder.name[1]} is not a structure")
    return insert(data, inner, xmp.bag(qualified, items, alone=True).encode())


def value(node: Node, name: str) -> str | None:
    """Return the first simple property of this name in or below the element, written as an element
    or an attribute."""
    wanted = xmp.name(name)
    for inner in node.walk():
        if wanted in inner.attributes:
            return inner.attributes[wanted]
        if inner.name == wanted:
            return inner.text.strip()
    return None


def number(node: Node, name: str) -> float | None:
    """Return the value if it is a finite number."""
    try:
        found = float(value(node, name) or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None
