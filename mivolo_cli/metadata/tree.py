"""Parse XML with the byte range of every element, so that a change touches only what it must.

Serialising a tree changes quotes and white space, and sometimes content, but other programs'
entries must keep every byte. Only the standard library's expat reports where an element starts.
Documents with a DOCTYPE, and thus entities, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

TAG_END = re.compile(rb"""(?:[^"'>]|"[^"]*"|'[^']*')*>""")
MAX_DEPTH = 100
"""Maximum nesting of elements; XMP needs a dozen."""
Edit = tuple[int, int, bytes]
"""Start and end of the bytes to replace, and their replacement."""


class NotXml(ValueError):
    """The data is not XML that can be edited safely."""


@dataclass(slots=True)
class Node:
    """An element. Names are (namespace, local name); offsets are in bytes, of the element (`start`,
    `end`) and of its content (`inner`, `inner_end`)."""

    name: tuple[str, str]
    attributes: dict[tuple[str, str], str]
    start: int
    inner: int
    parent: Node | None = None
    inner_end: int = 0
    end: int = 0
    depth: int = 0
    text: str = ""
    children: list[Node] = field(default_factory=list)

    @property
    def closed(self) -> bool:
        """Whether it is written as `<a/>`, and so has no content."""
        return self.inner_end == self.end

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, *names: tuple[str, str]) -> Node | None:
        """Return the first child with the first name, its first child with the second, and so
        on."""
        node: Node | None = self
        for name in names:
            node = (
                next((child for child in node.children if child.name == name), None)
                if node
                else None
            )
        return node


def parse(data: bytes) -> Node:
    """Return the root element, with offsets into `data`, which must be UTF-8. Raises NotXml."""
    body = data.rstrip(b"\0")
    parser = expat.ParserCreate("utf-8", " ")
    roots: list[Node] = []
    state: list[Node | None] = [None]

    def start(name: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        match = TAG_END.match(body, at)
        if match is None:
            raise NotXml("a tag does not end")
        named = {_split(key): value for key, value in attributes.items()}
        node = Node(_split(name), named, at, match.end(), state[0])
        node.depth = 0 if state[0] is None else state[0].depth + 1
        if node.depth > MAX_DEPTH:
            raise NotXml(f"more than {MAX_DEPTH} elements lie inside of each other")
        (roots if state[0] is None else state[0].children).append(node)
        state[0] = node

    def end(name: str) -> None:
        node = state[0]
        assert node is not None
        if body[node.inner - 2 : node.inner] == b"/>":
            node.inner_end = node.end = node.inner
        else:
            node.inner_end = parser.CurrentByteIndex
            node.end = body.index(b">", node.inner_end) + 1
        state[0] = node.parent

    def text(data: str) -> None:
        if state[0] is not None:
            state[0].text += data

    def refuse(*_: object) -> None:
        raise NotXml("it has a DOCTYPE")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        body.decode("utf-8")
        parser.Parse(body, True)
    except (expat.ExpatError, UnicodeDecodeError) as error:
        raise NotXml(str(error)) from error
    return roots[0]


def apply(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Apply the edits; those at the same place are inserted in the given order. None may
    overlap."""
    out, done = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if start < done:
            raise ValueError("two edits overlap")
        out += [data[done:start], new]
        done = end
    return b"".join([*out, data[done:]])


def insert(data: bytes, node: Node, new: bytes) -> Edit:
    """Return the edit that puts `new` at the end of an element's content."""
    if not node.closed:
        return node.inner_end, node.inner_end, new
    tag = data[node.start : node.end]
    name = re.match(rb"<([^\s/>]+)", tag)
    assert name is not None
    return node.start, node.end, tag[:-2] + b">" + new + b"</" + name[1] + b">"


def insert_attributes(data: bytes, node: Node, new: bytes) -> Edit:
    """Return the edit that inserts attributes, each with a leading space, after the name of an
    element."""
    name = re.match(rb"<[^\s/>]+", data[node.start : node.end])
    assert name is not None
    at = node.start + name.end()
    return at, at, new


def without_attributes(data: bytes, node: Node, namespace: str) -> list[Edit]:
    """Return the edits that remove all attributes of a namespace, and its declaration, from a start
    tag, each with the space before it."""
    if not any(name[0] == namespace for name in node.attributes):
        return []
    declared = rb"""xmlns:([^\s=]+)\s*=\s*["']%s["']""" % re.escape(namespace.encode())
    prefixes = b"|".join(map(re.escape, re.findall(declared, data)))
    value = rb"""\s*=\s*(?:"[^"]*"|'[^']*')"""
    own = rb"\s+(?:xmlns:(?:%s)|(?:%s):[^\s=]+)" % (prefixes, prefixes) + value
    tag = data[node.start : node.inner]
    return [
        (node.start + found.start(), node.start + found.end(), b"")
        for found in re.finditer(own, tag)
    ]


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition(" ")
    return namespace, local
