"""Globs: what they match, and that no pattern makes it slow."""

from __future__ import annotations

import random
import re
from time import monotonic

import pytest

from mivolo_cli.errors import BadInput
from mivolo_cli.photos.globs import PARTS, Glob

AS_REGEX = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "[ab]": "[ab]"}
AS_REGEX |= {"[!a]": "[^/a]", "[]a]": r"[\]a]"}
PIECES = [*AS_REGEX, "a", "B", "/", ".", "\n"]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*.jpg", "a.JPG", True),
        ("*.JPG", "a/b.jpg", False),
        ("**/*.jpg", "a/b/c.jpg", True),
        ("**/*.jpg", "c.jpg", True),
        ("**/c.jpg", "abc.jpg", False),
        ("a/**", "a/", True),
        ("a/**", "a", False),
        ("a**", "a/b", True),
        ("?.png", "/.png", False),
        ("[!b].png", "/.png", False),
        ("Ä*.png", "ä/x.png", False),
        ("Ä*.png", "äx.png", True),
        ("[abc", "[abc", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_what_a_glob_matches(pattern: str, text: str, expected: bool) -> None:
    assert Glob(pattern).matches(text) == expected


def test_globs_match_as_the_regular_expressions_they_stand_for() -> None:
    chance, matched = random.Random(1), 0
    for _ in range(20_000):
        glob = Glob("".join(chance.choices(PIECES, k=chance.randrange(7))))
        text = "".join(chance.choices("ab/AB.\n]", k=chance.randrange(8)))
        parts = PARTS.split(glob.pattern)
        regex = "".join(AS_REGEX.get(part) or re.escape(part) for part in parts)
        expected = re.fullmatch(regex, text, re.IGNORECASE | re.DOTALL) is not None
        assert glob.matches(text) == expected, (glob.pattern, text)
        matched += expected
    assert matched > 500


@pytest.mark.parametrize(
    "pattern", ["**/" * 60 + "x", "*a" * 60 + "b", "**a" * 60 + "b", "**/a/" * 40 + "b", "**" * 300]
)
def test_no_pattern_takes_long(pattern: str) -> None:
    began = monotonic()
    glob = Glob(pattern)
    for number in range(20):
        glob.matches("a/" * 500 + "a" * 200 + str(number))
    assert monotonic() - began < 5


def test_a_pattern_of_many_ways_does_not_fill_the_memory() -> None:
    glob, chance = Glob("**a" + "?" * 24), random.Random(1)
    for _ in range(20):
        glob.matches("".join(chance.choices("ab", k=2000)))
    assert len(glob._steps) <= 10_000


def test_a_pattern_that_cannot_be_understood_is_refused() -> None:
    with pytest.raises(BadInput, match=re.escape("'[z-a].jpg'")) as caught:
        Glob("[z-a].jpg")
    assert "[[]" in caught.value.hint
