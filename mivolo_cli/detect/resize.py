"""Fit pixels to the size that a network wants."""

from __future__ import annotations

import cv2
import numpy as np

from ..records import Pixels

HALVE_FROM = 3.0
"""Pixels that shrink by at least this factor are halved first, in a third of the time: boxes move
by less than if each pixel were one grey level off."""


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Pixels (h, w, 3) as (height, width, 3).

    Shrinking averages: a plain bilinear filter skips pixels and moves the boxes by several.
    """
    while pixels.shape[0] >= HALVE_FROM * height and pixels.shape[1] >= HALVE_FROM * width:
        half_height, half_width = pixels.shape[0] // 2, pixels.shape[1] // 2
        even = pixels[: 2 * half_height, : 2 * half_width]
        pixels = np.asarray(
            cv2.resize(even, (half_width, half_height), interpolation=cv2.INTER_AREA), np.uint8
        )
    shrinks = pixels.shape[0] > height or pixels.shape[1] > width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)
