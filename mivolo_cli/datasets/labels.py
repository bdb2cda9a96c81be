"""Labels of a person: an age or an age range, and a gender. Parsing of their usual notations."""

from __future__ import annotations

import re
from dataclasses import dataclass

OLDEST = 116.0
"""Upper end of open-ended age ranges, in years: the oldest age in UTKFace."""
OLDEST_BELIEVABLE = 122.0
"""The longest documented life, in years; a higher label is a mistake."""
GENDERS = {
    "male": ("male", "m", "man", "men", "boy"),
    "female": ("female", "f", "woman", "women", "girl"),
}
UNKNOWN = ("", "u", "unknown", "none", "nan", "null", "-1", "-1.0", "-")
NUMBER = r"(-?\d+(?:\.\d+)?)"
RANGE = re.compile(rf"[(\[]?\s*{NUMBER}\s*(?:-|–|,|to)\s*{NUMBER}\s*[)\]]?")
AT_LEAST = re.compile(rf"{NUMBER}\s*\+|(?:>=|from)\s*{NUMBER}")
OVER = re.compile(rf"(?:>|over|more than|above)\s*{NUMBER}")
UNDER = re.compile(rf"(?:<|under|less than|below)\s*{NUMBER}")


@dataclass(frozen=True, slots=True)
class Label:
    """Ages in completed years, from `age_low` to `age_high`: equal if the exact age is known, None
    if it is unknown."""

    age_low: float | None = None
    age_high: float | None = None
    gender: str | None = None

    @property
    def age(self) -> float | None:
        """The age, if it is known exactly."""
        return self.age_low if self.age_low == self.age_high else None

    @property
    def is_range(self) -> bool:
        return self.age_low != self.age_high

    @property
    def is_empty(self) -> bool:
        return self.age_low is None and self.gender is None


def parse_gender(value: object) -> str | None:
    """Return `male` or `female`, or None for words that mean unknown. Raises ValueError for other
    words."""
    word = _word(value)
    if word in UNKNOWN:
        return None
    for gender, words in GENDERS.items():
        if word in words:
            return gender
    raise ValueError(f"unknown gender {value!r}: write male, female, or leave it empty")


def parse_age(value: object) -> tuple[float, float] | None:
    """Return the lowest and the highest age of a number or a range, as written in data sets.

    Ranges: 25-32, (25, 32), 25 to 32, 60+, more than 70, under 3. None if the age is unknown;
    raises ValueError for anything else and for ages that people do not reach.

    >>> parse_age("(25, 32)"), parse_age("more than 70"), parse_age(30)
    ((25.0, 32.0), (71.0, 116.0), (30.0, 30.0))
    """
    word = _word(value)
    if word in UNKNOWN:
        return None
    low, high = _ends(word, value)
    return age_range(low, high)


def age_range(low: float, high: float) -> tuple[float, float]:
    """Return the ends unchanged. Raises ValueError if they are not a range of human ages."""
    if not 0 <= low <= high <= OLDEST_BELIEVABLE:
        shown = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        raise ValueError(f"{shown} is not a human age: ages run from 0 to {OLDEST_BELIEVABLE:g}")
    return low, high


def _ends(word: str, value: object) -> tuple[float, float]:
    if (match := RANGE.fullmatch(word)) is not None:
        return float(match[1]), float(match[2])
    if (match := AT_LEAST.fullmatch(word)) is not None:
        return float(match[1] or match[2]), OLDEST
    if (match := OVER.fullmatch(word)) is not None:
        return float(match[1]) + 1, OLDEST
    if (match := UNDER.fullmatch(word)) is not None:
        return 0.0, float(match[1]) - 1
    try:
        return float(word), float(word)
    except ValueError:
        raise ValueError(f"{value!r} is not an age: write years (30) or a range (25-32)") from None


def _word(value: object) -> str:
    return "" if value is None else str(value).strip().lower()
