"""Predictions as MWG regions, in the frame stored in the file.

The Metadata Working Group's guidelines (2.0, section 5.9) define a region by centre, width and
height, as fractions of the stored picture, before EXIF's orientation is applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..records import people_of

MIN_SIDE = 1e-6
DIGITS = 6
SHAPE_TOLERANCE = 0.02
SWAPPED = (5, 6, 7, 8)
"""Orientations that swap width and height."""
INVERSE = {6: 8, 8: 6}
"""Orientation -> its inverse, where that is a different one."""
SUMMARY = "looks about"
"""How our descriptions of people begin; any other description is not ours."""


@dataclass(frozen=True, slots=True)
class Area:
    """Centre, width and height as fractions of the stored picture, each from 0 to 1."""

    x: float
    y: float
    w: float
    h: float

    @property
    def corner(self) -> tuple[float, float, float, float]:
        """Left, top, width and height, as in Microsoft's rectangles."""
        return self.x - self.w / 2, self.y - self.h / 2, self.w, self.h


@dataclass(frozen=True, slots=True)
class Region:
    """One person: `kind` is Face, or empty for a body; ages are in years, the score is from 0.5 to
    1."""

    area: Area
    kind: str
    age: float
    gender: str | None = None
    gender_score: float | None = None
    age_low: float | None = None
    age_high: float | None = None
    used: str | None = None
    extends: bool = False
    """Whether it extends another program's region."""

    @property
    def summary(self) -> str:
        """A readable summary: `looks about 34 (28 to 41), male (97 %)`."""
        text = f"{SUMMARY} {self.age:.0f}"
        if self.age_low is not None and self.age_high is not None:
            text += f" ({self.age_low:.0f} to {self.age_high:.0f})"
        if self.gender is not None:
            score = (
                ""
                if self.gender_score is None
                else f" ({self.gender_score:.0%})".replace("%", " %")
            )
            text += f", {self.gender}{score}"
        return text

    @property
    def keywords(self) -> list[tuple[str, str]]:
        """Levels of a keyword below `mivolo`: age by decade, and gender."""
        ten = int(self.age // 10) * 10
        return [("age", f"{ten}-{ten + 9}"), *([("gender", self.gender)] if self.gender else [])]


@dataclass(frozen=True, slots=True)
class People:
    """The regions of one photo. `size` is (width, height) of the stored picture, which EXIF's
    `orientation` turns upright."""

    size: tuple[int, int]
    regions: Sequence[Region]
    orientation: int = 1

    def in_frame(self, width: float | None, height: float | None) -> People | None:
        """Return the regions as fractions of a picture of this size: the stored one, or the upright
        one that some programs measure. None if it has neither shape."""
        if not width or not height or _same_shape(self.size, (width, height)):
            return self
        if self.orientation not in SWAPPED or not _same_shape(self.size[::-1], (width, height)):
            return None
        turned = [replace(region, area=self._upright(region.area)) for region in self.regions]
        return People(self.size[::-1], turned)

    def _upright(self, area: Area) -> Area:
        return _turned(area, INVERSE.get(self.orientation, self.orientation))


def summary(regions: Iterable[Region]) -> str:
    """Return a readable summary, independent of the order in which regions were read."""
    return "; ".join(sorted(region.summary for region in regions))


def people(rows: Sequence[Mapping[str, Any]], orientation: int, *, bodies: bool = False) -> People:
    """Build regions from the rows of one photo: everyone with an age and a face; with `bodies`,
    also people without a visible face."""
    width, height = rows[0]["width"], rows[0]["height"]
    found = []
    for person, prediction in people_of(rows):
        box = person.face or (person.body if bodies else None)
        if prediction is None or prediction.age is None or box is None:
            continue
        area = stored_area(box.corners, (width, height), orientation)
        if area is not None:
            found.append(Region(area, "Face" if person.face else "", **asdict(prediction)))
    size = (height, width) if orientation in SWAPPED else (width, height)
    return People(size, found, orientation)


def stored_area(
    corners: tuple[float, float, float, float], size: tuple[int, int], orientation: int
) -> Area | None:
    """Convert a box (xyxy) in the upright picture of `size` (width, height) to an area of the
    stored one.

    None if no part of the box is in the picture.
    """
    width, height = size
    x1, x2 = (min(max(value / width, 0.0), 1.0) for value in corners[0::2])
    y1, y2 = (min(max(value / height, 0.0), 1.0) for value in corners[1::2])
    if x2 - x1 < MIN_SIDE or y2 - y1 < MIN_SIDE:
        return None
    return _turned(Area((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), orientation)


def _turned(area: Area, orientation: int) -> Area:
    """Convert an area from the upright to the stored picture."""
    x, y, w, h = area.x, area.y, area.w, area.h
    s, t = {
        2: (1 - x, y), 3: (1 - x, 1 - y), 4: (x, 1 - y),
        5: (y, x), 6: (y, 1 - x), 7: (1 - y, 1 - x), 8: (1 - y, x),
    }.get(orientation, (x, y))  # fmt: skip
    return Area(s, t, h, w) if orientation in SWAPPED else Area(s, t, w, h)


def _same_shape(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] / one[1] * other[1] / other[0] - 1) <= SHAPE_TOLERANCE


def number(value: float) -> str:
    """Format with at most six decimals: a tenth of a pixel on the largest photos."""
    return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")
