"""Glob patterns for paths, matched in linear time.

All positions in the pattern that can match are tracked while reading the path, and each step is
cached. Regular expressions would try combinations of repeated stars one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..errors import BadInput

PARTS = re.compile(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^]]*\])")
MAX_STEPS = 10_000
"""Maximum number of cached steps per pattern."""
Fits = Callable[[str], bool]
Places = frozenset[int]
"""The positions in a pattern that a text may lead to; empty if it cannot match."""


@dataclass(frozen=True, slots=True)
class _Token:
    """Transitions from a position: a character that `fits` leads to the next one, one that `keeps`
    stays at this one. `skips` are offsets of positions that are reached without a character."""

    fits: Fits
    keeps: Fits = lambda letter: False
    skips: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Glob:
    """A pattern such as `*.jpg`, `trip/**`, `**/raw/*.png` or `[a-c]?.png`. Case is ignored, and
    only `**` extends into subfolders. Raises BadInput for an invalid pattern."""

    pattern: str
    tokens: tuple[_Token, ...] = field(init=False)
    start: Places = field(init=False)
    _steps: dict[tuple[Places, str], Places] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(_tokens(self.pattern)))
        object.__setattr__(self, "start", self._with_skipped({0}))

    def after(self, places: Places, text: str) -> Places:
        """Return the positions that the text leads to from these."""
        for letter in text.lower():
            step = places, letter
            found = self._steps.get(step)
            if found is None:
                if len(self._steps) >= MAX_STEPS:
                    self._steps.clear()
                found = self._steps[step] = self._step(places, letter)
            places = found
        return places

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches the pattern."""
        return self.ends(self.after(self.start, text))

    def ends(self, places: Places) -> bool:
        """Return whether a text that led to these positions matches if nothing follows."""
        return len(self.tokens) in places

    def _step(self, places: Places, letter: str) -> Places:
        found = set()
        for place in places:
            if place < len(self.tokens):
                token = self.tokens[place]
                found |= {place} if token.keeps(letter) else set()
                found |= {place + 1} if token.fits(letter) else set()
        return self._with_skipped(found)

    def _with_skipped(self, places: set[int]) -> Places:
        found, waiting = set(places), list(places)
        while waiting:
            place = waiting.pop()
            skips = self.tokens[place].skips if place < len(self.tokens) else ()
            waiting += {place + skip for skip in skips} - found
            found.update(waiting)
        return frozenset(found)


def _tokens(pattern: str) -> Iterable[_Token]:
    for number, part in enumerate(PARTS.split(pattern)):
        if number % 2 == 0:
            yield from (_Token(letter.__eq__) for letter in part.lower())
        elif part == "**/":  # nothing, or anything that ends with a slash
            yield _Token(_is_none, skips=(1, 2))
            yield _Token(_is_slash, keeps=_is_any)
        elif part == "**":
            yield _Token(_is_none, keeps=_is_any, skips=(1,))
        elif part == "*":
            yield _Token(_is_none, keeps=_is_no_slash, skips=(1,))
        else:
            yield _Token(_is_no_slash if part == "?" else _choice(pattern, part))


def _choice(pattern: str, brackets: str) -> Fits:
    """Return a test for `[a-z]` or `[!a-z]`."""
    inside = brackets[1:-1]
    negated = inside.startswith("!")
    escaped = re.sub(r"[\\\[\]&~|^]", r"\\\g<0>", inside[negated:])
    try:
        choice = re.compile(f"[{'^/' if negated else ''}{escaped}]", re.IGNORECASE)
    except re.error as error:
        raise BadInput(
            f"invalid pattern {pattern!r}: {error}",
            hint="write [[] for a literal bracket",
        ) from error
    return lambda letter: choice.fullmatch(letter) is not None


def _is_slash(letter: str) -> bool:
    return letter == "/"


def _is_no_slash(letter: str) -> bool:
    return letter != "/"


def _is_any(letter: str) -> bool:
    return True


def _is_none(letter: str) -> bool:
    return False
