"""People in photos that are rotated by quarter turns."""

from __future__ import annotations

from dataclasses import replace

from ..records import Box, Person


def turned_person(person: Person, quarters: int, width: float, height: float) -> Person:
    """Move a person from a picture of this size to the picture after these turns."""
    face, body, roll = person.face, person.body, person.roll
    for _ in range(quarters % 4):
        face, body = _turned_box(face, width), _turned_box(body, width)
        width, height = height, width
    if roll is not None:
        roll = (roll - 90.0 * quarters + 180.0) % 360.0 - 180.0
    return replace(person, face=face, body=body, roll=roll)


def turned_back(person: Person, quarters: int, width: float, height: float) -> Person:
    """Move a person from the turned picture back to the original picture of this size."""
    if quarters % 2:
        width, height = height, width
    return turned_person(person, -quarters, width, height)


def _turned_box(box: Box | None, width: float) -> Box | None:
    """Rotate a box by a quarter turn counter-clockwise: the right side becomes the top."""
    if box is None:
        return None
    return Box(box.y1, width - box.x2, box.y2, width - box.x1, box.score)
