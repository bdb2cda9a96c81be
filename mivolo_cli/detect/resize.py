"""Resize pixels to the input size of a network."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..records import Pixels

HALVE_FROM = 3.0
"""Pixels to be reduced by at least this factor are halved first, which takes a third of the time
and moves boxes by less than changing each pixel by one grey level would."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """A photo (height, width, 3) and a copy `scale` (0 to 1) times as large, from which networks
    get their inputs, so that the pixels of large photos are read only once."""

    pixels: Pixels
    small: Pixels
    scale: float

    @classmethod
    def of(cls, pixels: Pixels, scale: float) -> Scaled:
        if scale >= 1:
            return cls(pixels, pixels, 1.0)
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        halved = _halve_from(2.0, pixels, width, height)
        # Reducing by less than 2, a bilinear filter skips no pixels.
        small = cv2.resize(halved, (width, height), interpolation=cv2.INTER_LINEAR)
        return cls(pixels, np.asarray(small, np.uint8), scale)

    def part(self, window: tuple[int, int, int, int], width: int, height: int) -> Pixels:
        """Crop a window (x1, y1, x2, y2) of the photo and resize it to (height, width, 3); from the
        small copy if that has enough pixels."""
        x1, y1, x2, y2 = window
        enough = (x2 - x1) * self.scale >= width and (y2 - y1) * self.scale >= height
        source = self.small if enough else self.pixels
        ratio = np.array(source.shape[:2]) / self.pixels.shape[:2]
        rows, columns = np.round(np.array(((y1, y2), (x1, x2))) * ratio[:, None]).astype(int)
        return resize(source[slice(*rows), slice(*columns)], width, height)


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize pixels (h, w, 3) to (height, width, 3).

    Downscaling averages: a plain bilinear filter skips pixels and moves the boxes by several.
    """
    pixels = _halve_from(HALVE_FROM, pixels, width, height)
    shrinks = pixels.shape[0] > height or pixels.shape[1] > width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def halve(pixels: Pixels) -> Pixels:
    """Average 2 x 2 pixels; a last odd row or column is dropped."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    even = pixels[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _halve_from(factor: float, pixels: Pixels, width: int, height: int) -> Pixels:
    """Halve the pixels while both sides are at least `factor` times this size."""
    while pixels.shape[0] >= factor * height and pixels.shape[1] >= factor * width:
        pixels = halve(pixels)
    return pixels
