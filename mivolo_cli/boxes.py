"""Box arithmetic. Boxes are (n, 4) float32 arrays of x1, y1, x2, y2 in pixels; x2 and y2 are
exclusive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .records import Boxes, Points

UPRIGHT = np.array([(-1, -1), (1, -1), (0, 0), (-0.8, 1.1), (0.8, 1.1)], np.float32)
"""The five points of an upright face seen from the front, in any unit; order as in Detections."""


def area(boxes: Boxes) -> NDArray[np.float32]:
    """Return areas: (n, 4) -> (n,); inverted boxes have no area.

    >>> area(np.array([[0, 0, 2, 3], [5, 5, 4, 9]], np.float32)).tolist()
    [6.0, 0.0]
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def intersection(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the area shared by every box of a with every box of b: (n, 4), (m, 4) -> (n, m)."""
    corners = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(
        a[:, None, :2], b[None, :, :2]
    )  # n, m, 2
    return np.maximum(corners, 0).prod(axis=2)


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union: (n, 4), (m, 4) -> (n, m); 0 if both boxes are empty.

    >>> iou(np.array([[0, 0, 2, 2]], np.float32), np.array([[0, 0, 2, 4]], np.float32)).tolist()
    [[0.5]]
    """
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes: Boxes, width: float, height: float) -> Boxes:
    """Clip boxes to [0, width] x [0, height]."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def nms(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: return the indices of the boxes kept, best first.

    A box is removed if its IoU with a better one is above the threshold.
    """
    overlaps = iou(boxes, boxes)
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        waiting = waiting[overlaps[best, waiting] <= threshold]
    return np.array(kept, np.intp)


def share_inside(inner: Boxes, outer: Boxes) -> NDArray[np.float32]:
    """Return the share of each inner box's area that each outer box covers: (n, 4), (m, 4) ->
    (n, m).

    >>> inner, outer = ([0, 0, 2, 2], [1, 0, 9, 9])
    >>> share_inside(np.array([inner], np.float32), np.array([outer], np.float32)).tolist()
    [[0.5]]
    """
    areas = np.maximum(area(inner), 1e-9)[:, None]
    return (intersection(inner, outer) / areas).astype(np.float32)


def longer_side(boxes: Boxes) -> NDArray[np.float32]:
    """Return the longer side of each box: (n, 4) -> (n,)."""
    sides: NDArray[np.float32] = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    return sides


def centre(boxes: Boxes) -> NDArray[np.float32]:
    """Return the centre x, y of each box: (n, 4) -> (n, 2)."""
    return ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32)


def roll(points: Points) -> NDArray[np.float32]:
    """Return the clockwise tilt of heads in degrees, -180 to 180: points (n, 5, 2) as in Detections
    -> (n,); NaN without points.

    The tilt is the rotation of an upright face that fits the points best (least squares). On a
    profile, whose eyes nearly coincide, nose and mouth decide.
    """
    x, y = np.moveaxis(points - points.mean(axis=1, keepdims=True), 2, 0)
    upright_x, upright_y = (UPRIGHT - UPRIGHT.mean(axis=0)).T
    across = (upright_x * y - upright_y * x).sum(axis=1)
    along = (upright_x * x + upright_y * y).sum(axis=1)
    angles: NDArray[np.float32] = np.degrees(np.arctan2(across, along))
    return angles
