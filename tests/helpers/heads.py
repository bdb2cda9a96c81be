"""Points of faces as detectors give them."""

from __future__ import annotations

import numpy as np

from mivolo_cli.records import Points

FRONT = np.array([(-1, -0.9), (1, -0.9), (0, 0.1), (-0.7, 0.8), (0.7, 0.8)])
"""Right eye, left eye, nose, right and left corner of the mouth of an upright face."""


def points_of(*degrees: float, centre: tuple[float, float] = (30, 20), reach: float = 10) -> Points:
    """For each face that leans clockwise by so much, (5, 2) around its centre; NaN for NaN."""
    angles = np.radians(degrees)
    across = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    down = np.stack((-np.sin(angles), np.cos(angles)), axis=1)
    x, y = FRONT.T[:, None, :, None] * reach
    return np.asarray(centre + x * across[:, None] + y * down[:, None], np.float32)
