"""Merge extended XMP, the part of a JPEG's XMP that did not fit into one segment, into the main
packet."""

from __future__ import annotations

import re

from . import jpeg, rdf
from .tree import Edit, Node, apply

DECLARATION = re.compile(rb"""\sxmlns:([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
NOTE = "xmpNote:HasExtendedXMP"


def joined(packet: bytes, data: bytes) -> bytes:
    """Return the packet merged with the extended XMP that it refers to, if present. Raises
    Refused."""
    root = rdf.root(packet)
    known = rdf.value(root, NOTE)
    rest = None if known is None else jpeg.extended(data).get(known.encode())
    if rest is None:
        return packet
    blocks = b"".join(_standalone(rest, block) for block in rdf.root(rest).children)
    at = root.inner_end
    edits: list[Edit] = [(at, at, blocks)]
    return apply(packet, edits)


def _standalone(data: bytes, block: Node) -> bytes:
    """Return an element with the namespace declarations that it inherits."""
    own = data[block.start : block.inner]
    known = {match[1] for match in DECLARATION.finditer(own)}
    around = block.parent
    more = b""
    while around is not None:
        for match in DECLARATION.finditer(data, around.start, around.inner):
            if match[1] not in known:
                known.add(match[1])
                more += match[0]
        around = around.parent
    name = re.match(rb"<[^\s/>]+", own)
    assert name is not None
    return own[: name.end()] + more + data[block.start + name.end() : block.end]
