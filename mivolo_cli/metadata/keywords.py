"""Keywords in the lists where programs store them: which are missing, and which are ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from . import Refused, rdf, xmp
from .regions import Region
from .tree import Edit, Node, insert

SEPARATOR = ";"
"""Separates the keywords recorded in a packet."""
HIERARCHIES = {"digiKam:TagsList": "/", "lr:hierarchicalSubject": "|"}
"""List -> separator between the levels of a keyword."""
SUBJECT = "dc:subject"
"""The list that every program reads; it has no hierarchy."""
TOP = "mivolo"
"""The top level of all our hierarchical keywords."""
LISTS = {xmp.name(qualified): qualified for qualified in (*HIERARCHIES, SUBJECT)}
Words = Mapping[str, Sequence[str]]
"""Keywords by the qualified name of their list."""


def missing(root: Node, regions: Iterable[Region], *, subjects: bool) -> Words:
    """Return the keywords to add to each list; those already there are not ours. Raises Refused."""
    steps = sorted({keyword for region in regions for keyword in region.keywords})
    wanted = {
        name: [separator.join((TOP, *step)) for step in steps]
        for name, separator in HIERARCHIES.items()
    }
    if subjects:
        wanted[SUBJECT] = [" ".join(step) for step in steps]
    found = {name: _without(words, _list(root, name)) for name, words in wanted.items()}
    return {name: words for name, words in found.items() if words}


def add(data: bytes, root: Node, words: Words) -> tuple[str, list[Edit]]:
    """Return new lists with these keywords, and the edits that add them to existing lists."""
    new, edits = "", []
    for name, some in words.items():
        items = "".join(xmp.item(word, plain=True) for word in some)
        there = _list(root, name)
        if there is None:
            new += xmp.bag(name, items)
        else:
            edits.append(insert(data, there, items.encode()))
    return new, edits


def note(words: Words) -> str:
    """Join the keywords into the text that `noted` reads."""
    return SEPARATOR.join(word for some in words.values() for word in some)


def noted(text: str) -> Set[str]:
    return set(filter(None, text.split(SEPARATOR)))


def is_one_of(item: Node, words: Set[str]) -> bool:
    """Whether a list item is one of these keywords, in the form used in that list."""
    holder = item.parent.parent if item.parent else None
    if holder is None or holder.name not in LISTS or item.text.strip() not in words:
        return False
    return (LISTS[holder.name] == SUBJECT) != item.text.strip().startswith(TOP)


def _list(root: Node, name: str) -> Node | None:
    there = rdf.find_property(root, xmp.name(name))
    bag = None if there is None else rdf.bag(there)
    if there is not None and bag is None:
        raise Refused("bad_xmp", f"{name} is not a list")
    return bag


def _without(words: Sequence[str], there: Node | None) -> list[str]:
    known = set() if there is None else {item.text.strip() for item in there.children}
    return [word for word in words if word not in known]
