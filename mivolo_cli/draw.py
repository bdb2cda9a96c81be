"""Draw boxes and labels on a copy of the photo: one colour per person, with text readable on any
background."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from .atomic import Kind, draft, may_replace, reported
from .errors import BadInput
from .records import Box, Person, Photo, Pixels, Prediction, same_file, whole_years

Colour = tuple[int, int, int]
Rect = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels; right and bottom are exclusive."""
Cover = NDArray[np.floating]
"""Coverage of each pixel, 0 to 1."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Annotated = Sequence[tuple[Person, Prediction | None]]

PALETTE: tuple[Colour, ...] = (
    (38, 147, 255),
    (255, 165, 30),
    (85, 255, 230),
    (42, 16, 240),
    (156, 42, 74),
    (77, 195, 255),
    (230, 76, 0),
    (199, 102, 168),
    (200, 255, 77),
    (122, 46, 158),
)
"""Any two colours are distinguishable with the three kinds of colour blindness, especially
neighbours in the list."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
RIM = 0.4
"""Opacity of the rim around lines and labels: black around bright colours and white around dark
ones, so that each is visible on photos as bright or dark as itself."""
MIN_TEXT, MIN_SMALL_TEXT = 11, 10
JPEG_QUALITY = 92
JPEG_MAX_SIDE = 65_500
MARK = b"drawn by mivolo"
"""A comment that distinguishes drawings from photos."""
START = 4096
LONGEST_NAME = 255
"""Maximum length of a file name in bytes on common file systems."""


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels of the picture drawn on."""

    text: int
    line: int

    @property
    def rim(self) -> int:
        return max(1, self.line // 3)

    @property
    def radius(self) -> int:
        return 2 * self.line


@dataclass(frozen=True, slots=True)
class Caption:
    """Texts side by side, each with its size in pixels, the largest first."""

    parts: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        return self.parts[0][1]

    @property
    def starts(self) -> list[int]:
        """The left edge of each part, followed by the label's width."""
        lefts = [round(0.45 * self.size)]
        for text, size in self.parts:
            lefts.append(lefts[-1] + round(font(size).getlength(text) + 0.3 * self.size))
        return [*lefts[:-1], lefts[-1] + round(0.15 * self.size)]

    @property
    def baseline(self) -> int:
        """The baseline of the letters, from the label's top."""
        return round(0.32 * self.size - font(self.size).getbbox("0f", anchor="ls")[1])

    @property
    def extent(self) -> tuple[int, int]:
        """Width and height."""
        return self.starts[-1], self.baseline + round(0.32 * self.size)


def annotate(pixels: Pixels, people: Annotated) -> Pixels:
    """Return a copy of `pixels` (height, width, 3) with a face box, a body box and a label for each
    person.

    A face and its body share a colour. People without a prediction get dashed boxes and a question
    mark.
    """
    canvas = np.array(pixels)
    height, width = canvas.shape[:2]
    style = choose_style(width, height, people)
    for kind in ("body", "face"):
        for index, (person, prediction) in enumerate(people):
            box: Box | None = getattr(person, kind)
            if box is not None:
                _draw_frame(
                    canvas,
                    _whole(box, width, height),
                    style,
                    colour(index),
                    dashed=prediction is None,
                )
    for index, label, place in place_labels(width, height, people, style):
        _draw_label(canvas, label, place, style, colour(index))
    return canvas


def colour(index: int) -> Colour:
    """Return the colour of the person at this index."""
    return PALETTE[index % len(PALETTE)]


def text_colour(background: Colour) -> Colour:
    """Return black or white, whichever contrasts more."""
    return max(BLACK, WHITE, key=lambda text: contrast(text, background))


def contrast(a: Colour, b: Colour) -> float:
    """Return the contrast ratio of WCAG 2, from 1 to 21."""
    darker, lighter = sorted((_luminance(a), _luminance(b)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(rgb: Colour) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (value / 255 for value in rgb)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def choose_style(width: int, height: int, people: Annotated) -> Style:
    """Choose text in proportion to the picture, but smaller for small people, so that crowds stay
    readable."""
    side = (width * height) ** 0.5
    faces = [0.3 * (person.face.x2 - person.face.x1) for person, _ in people if person.face]
    bodies = [
        0.2 * (person.body.x2 - person.body.x1)
        for person, _ in people
        if person.body and not person.face
    ]
    fitting = float(np.median(faces + bodies)) if faces or bodies else side
    text = max(MIN_TEXT, round(min(side / 42, max(fitting, side / 80))))
    return Style(text, max(1, round(text / 8)))


@lru_cache(maxsize=16)
def font(size: int) -> Font:
    """Return the font that ships with Pillow."""
    return ImageFont.load_default(size)


def labels(prediction: Prediction | None, size: int) -> list[Caption]:
    """Return possible labels, the longest first."""
    if prediction is None:
        return [Caption((("?", size),))]
    age = (_age(prediction), size)
    if prediction.gender is None or prediction.gender_score is None:
        return [Caption((age,))]
    gender = (prediction.gender, size)
    sure = (
        f"{min(99, round(100 * prediction.gender_score))}%",
        max(MIN_SMALL_TEXT, round(0.72 * size)),
    )
    return [Caption((age, gender, sure)), Caption((age, gender)), Caption((age,))]


def _age(prediction: Prediction) -> str:
    """Return the age in whole years, or the interval if there is no age."""
    if prediction.age is not None:
        return str(whole_years(prediction.age))
    return f"{prediction.age_low or 0:.0f}-{prediction.age_high or 0:.0f}"


def place_labels(
    width: int, height: int, people: Annotated, style: Style
) -> Iterator[tuple[int, Caption, Rect]]:
    """Yield each person's index, label and place, inside the picture, and off faces and other
    labels if possible."""
    faces = [_whole(person.face, width, height) for person, _ in people if person.face is not None]
    taken: list[Rect] = []
    for index, (person, prediction) in enumerate(people):
        box = person.face or person.body
        fitting = [
            x
            for x in labels(prediction, style.text)
            if x.extent[0] <= width and x.extent[1] <= height
        ]
        if box is None or not fitting:
            continue
        anchor = _whole(box, width, height)
        places = _places(anchor, fitting[0].extent, style, inside=person.face is None)
        inside = [_moved_inside(place, width, height) for place in places]
        taken.append(_best(inside, taken, faces))
        yield index, fitting[0], taken[-1]


def _places(anchor: Rect, extent: tuple[int, int], style: Style, inside: bool) -> Iterator[Rect]:
    """Yield possible places of a label of this width and height near the anchor, the best first."""
    left, top, right, bottom = anchor
    width, height = extent
    gap = style.rim + style.line
    middle = (left + right - width) // 2
    above, below = top - gap - height, bottom + gap
    spots = [(middle, above), (left, above), (right - width, above)]
    if inside:
        spots += [(middle, top + style.line + gap), (middle, bottom - style.line - gap - height)]
    spots += [
        (right + gap, top),
        (left - gap - width, top),
        (middle, below),
        (left, below),
        (right - width, below),
    ]
    spots += [(right + gap, bottom - height), (left - gap - width, bottom - height)]
    spots += [(middle, above - step * (height + gap)) for step in (1, 2)]
    spots += [(middle, below + step * (height + gap)) for step in (1, 2)]
    for x, y in spots:
        yield x, y, x + width, y + height


def _moved_inside(place: Rect, width: int, height: int) -> Rect:
    left, top, right, bottom = place
    across = max(0, -left) - max(0, right - width)
    down = max(0, -top) - max(0, bottom - height)
    return left + across, top + down, right + across, bottom + down


def _best(places: Sequence[Rect], placed: Sequence[Rect], faces: Sequence[Rect]) -> Rect:
    """Return the place that hides least; labels count double, and ties go to the earlier place."""
    hidden = 2 * _overlaps(places, placed) + _overlaps(places, faces)
    return places[int(hidden.argmin())]


def _overlaps(places: Sequence[Rect], others: Sequence[Rect]) -> NDArray[np.int64]:
    """Return the total area of each place covered by the others."""
    a = np.array(places, np.int64).reshape(-1, 1, 4)
    b = np.array(others, np.int64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(
        a[..., :2], b[..., :2]
    )  # places, others, 2
    return np.maximum(sides, 0).prod(axis=2).sum(axis=1)


def _whole(box: Box, width: int, height: int) -> Rect:
    """Return the box in whole pixels, at least one, inside the picture."""
    left, top = min(max(round(box.x1), 0), width - 1), min(max(round(box.y1), 0), height - 1)
    return (
        left,
        top,
        min(max(round(box.x2), left + 1), width),
        min(max(round(box.y2), top + 1), height),
    )


def _draw_frame(canvas: Pixels, rect: Rect, style: Style, colour: Colour, dashed: bool) -> None:
    """Draw a line just inside the rect, with rounded corners and rims on both sides."""
    for part, along in _edges(rect, style, canvas.shape[1], canvas.shape[0]):
        depth = _depth(part, rect, style.radius)
        dashes = _dashes(part, rect, style, along) if dashed else 1.0
        rim = np.clip(depth + style.rim + 0.5, 0, 1) * np.clip(
            style.line + style.rim + 0.5 - depth, 0, 1
        )
        _blend(canvas, part, text_colour(colour), RIM * rim * dashes)
        _blend(
            canvas,
            part,
            colour,
            np.clip(depth + 0.5, 0, 1) * np.clip(style.line + 0.5 - depth, 0, 1) * dashes,
        )


def _edges(rect: Rect, style: Style, width: int, height: int) -> Iterator[tuple[Rect, int]]:
    """Yield disjoint parts of the picture that a frame touches, each with the axis along which its
    line runs (0: x)."""
    left, top, right, bottom = (
        rect[0] - style.rim,
        rect[1] - style.rim,
        rect[2] + style.rim,
        rect[3] + style.rim,
    )
    reach = style.radius + style.line + 2 * style.rim + 1
    upper, lower = min(top + reach, bottom), max(bottom - reach, min(top + reach, bottom))
    inner, outer = min(left + reach, right), max(right - reach, min(left + reach, right))
    for part, along in (
        ((left, top, right, upper), 0),
        ((left, lower, right, bottom), 0),
        ((left, upper, inner, lower), 1),
        ((outer, upper, right, lower), 1),
    ):
        yield (max(part[0], 0), max(part[1], 0), min(part[2], width), min(part[3], height)), along


def _depth(part: Rect, rect: Rect, radius: float) -> NDArray[np.floating]:
    """Return how far inside the rounded rect the centre of each pixel of the part is; negative
    outside."""
    left, top, right, bottom = rect
    radius = min(radius, (right - left) / 2, (bottom - top) / 2)
    x, y = _centres(part)
    across = np.abs(x - (left + right) / 2) - (right - left) / 2 + radius
    down = np.abs(y - (top + bottom) / 2) - (bottom - top) / 2 + radius
    return (
        radius
        - np.hypot(np.maximum(across, 0), np.maximum(down, 0))
        - np.minimum(np.maximum(across, down), 0)
    )


def _dashes(part: Rect, rect: Rect, style: Style, along: int) -> Cover:
    """Return 1 on dashes and 0 between them; both ends of a side are dashes, so that corners are
    closed."""
    start, end = rect[along], rect[along + 2]
    period = (end - start) / max(1, round((end - start) / (9 * style.line)))
    offset = (_centres(part)[along] - start) % period
    return np.clip(0.3 * period + 0.5 - np.minimum(offset, period - offset), 0, 1)


def _centres(part: Rect) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return pixel centres: x as a row and y as a column."""
    left, top, right, bottom = part
    x = np.arange(left, right, dtype=np.float32)[None] + np.float32(0.5)
    return x, np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)


def _draw_label(canvas: Pixels, label: Caption, place: Rect, style: Style, colour: Colour) -> None:
    """Draw a rounded plate in the person's colour with the text on it."""
    left, top, right, bottom = place
    part = max(left - style.rim, 0), max(top - style.rim, 0), right + style.rim, bottom + style.rim
    part = part[0], part[1], min(part[2], canvas.shape[1]), min(part[3], canvas.shape[0])
    depth = _depth(part, place, 0.3 * label.size)
    _blend(canvas, part, text_colour(colour), RIM * np.clip(depth + style.rim + 0.5, 0, 1))
    _blend(canvas, part, colour, np.clip(depth + 0.5, 0, 1))
    _blend(canvas, place, text_colour(colour), _letters(label))


def _letters(label: Caption) -> Cover:
    mask = Pictures.new("L", label.extent)
    pen = ImageDraw.Draw(mask)
    for (text, size), left in zip(label.parts, label.starts, strict=False):
        pen.text((left, label.baseline), text, fill=255, font=font(size), anchor="ls")
    return np.asarray(mask, np.float32) / 255


def _blend(canvas: Pixels, part: Rect, colour: Colour, cover: Cover) -> None:
    left, top, right, bottom = part
    below = canvas[top:bottom, left:right].astype(np.float32)
    mixed = below + (np.array(colour, np.float32) - below) * cover[..., None]
    canvas[top:bottom, left:right] = np.rint(mixed).astype(np.uint8)


@lru_cache(maxsize=1)
def root_folders(roots: tuple[str, ...]) -> Mapping[str, str]:
    """Return a folder name for each root: its own name, with a number if an earlier root has the
    same name."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for root in dict.fromkeys(roots):
        own = name = Path(os.path.normpath(root)).name or "root"
        numbers = count(2)
        while same_file(name) in taken:
            name = f"{own}-{next(numbers)}"
        taken.add(same_file(name))
        names[root] = name
    return names


def annotated_path(folder: Path, photo: Photo, roots: Sequence[str] = ()) -> Path:
    """Return the path of the annotated picture: the photo's own path below `folder`, with `.jpg`
    appended.

    With several `roots`, a folder named after the photo's root comes first. Different photos never
    share a path. Raises BadInput for a path outside the folder.
    """
    path = Path(photo.path)
    if path.anchor or not path.name or ".." in path.parts:
        message = f"{photo.path!r} would be annotated outside of {folder}"
        raise BadInput(message, hint="give the photo by its path below the scanned folder")
    names = root_folders(tuple(roots))
    base = folder / names[photo.root] if len(names) > 1 else folder
    return base / path.parent / _fitting(f"{path.name}.jpg")


def _is_drawing(file: Path) -> bool:
    """Return whether a comment near the start of the JPEG, before the picture, is our mark."""
    with file.open("rb") as opened:
        start = opened.read(START)
    return start.startswith(b"\xff\xd8") and MARK in start


DRAWING = Kind("picture that mivolo has drawn", _is_drawing, "choose another folder for --annotate")


def _fitting(name: str) -> str:
    """Return a valid file name: if it is too long, the end is replaced by a hash."""
    coded = os.fsencode(name)
    if len(coded) <= LONGEST_NAME:
        return name
    mark = f"~{hashlib.sha256(coded).hexdigest()[:12]}.jpg"
    return coded[: LONGEST_NAME - len(mark)].decode("utf-8", "ignore") + mark


def save_annotated(
    pixels: Pixels, people: Annotated, folder: Path, photo: Photo, roots: Sequence[str] = ()
) -> Path:
    """Draw the picture and write it as JPEG to annotated_path(), which must be free. Raises
    BadInput and OutputError."""
    target = annotated_path(folder, photo, roots)
    if not Path(os.path.realpath(target.parent)).is_relative_to(os.path.realpath(folder)):
        raise BadInput(
            f"a link leads from {target.parent} to outside {folder}",
            hint="choose another folder for the pictures",
        )
    # a link is replaced, not followed: it could lead anywhere
    if not target.is_symlink() and not may_replace(target, DRAWING):
        raise DRAWING.refusal(target)
    picture = Pictures.fromarray(annotate(pixels, people))
    picture.thumbnail((JPEG_MAX_SIDE, JPEG_MAX_SIDE))
    with reported(target, hint="free some disk space or choose another folder for the pictures"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft(target) as new:
            picture.save(new.file, "JPEG", quality=JPEG_QUALITY, subsampling=0, comment=MARK)
            new.finish()
            new.publish()
    return target
