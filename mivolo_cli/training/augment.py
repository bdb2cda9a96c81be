"""Augment training crops: jittered boxes, residual head tilt, and degraded pictures (small,
blurred, noisy, compressed, dim, grey, partly covered)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from ..boxes import area
from ..pipeline.crops import MIN_BODY_SHARE, MIN_ROLL
from ..records import Boxes, Pixels
from .parts import Part

SMALLEST = 14
"""Minimum longer side, in pixels, to which a picture is downscaled before it is upscaled again."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Augmentation parameters at full strength.

    `shift` and `zoom` are the standard deviations of a box's edges and of its size, as fractions
    of its size. `tilt` is the maximum lean of a head after levelling, in degrees; with probability
    `lean`, the maximum is `far` degrees instead. `wide` is the probability that a body is zoomed
    out, by a factor of up to `reach`. `light`, `contrast` and `saturation` are maximum relative
    changes. The others are probabilities: of a `dim`, `grey` or `small` (downscaled) picture, of
    blurring (`blur`), sharpening (`sharp`), noise (`noise`), JPEG compression (`jpeg`) and an
    occlusion (`erase`), and of a blackened face on a person seen from the body only (`hidden`).
    """

    shift: float = 0.04
    zoom: float = 0.08
    tilt: float = 8.0
    lean: float = 0.08
    far: float = 45.0
    wide: float = 0.25
    reach: float = 2.2
    light: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.4
    dim: float = 0.06
    grey: float = 0.07
    small: float = 0.18
    blur: float = 0.08
    sharp: float = 0.12
    noise: float = 0.06
    jpeg: float = 0.12
    erase: float = 0.12
    hidden: float = 0.2


def face_input(part: Part, size: int, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """Return an augmented face crop, (size, size, 3) uint8, with the errors that detection and
    levelling leave."""
    lean = part.roll if abs(part.roll) >= MIN_ROLL else 0.0
    far = how.far if rng.random() < how.lean * strength else how.tilt * strength
    box = _jitter(part.box, rng, how, strength)
    return _render(part.pixels, box, lean + rng.uniform(-far, far), size, rng, how, strength)


def body_input(
    part: Part, size: int, rng: Generator, how: Augmentation, strength: float, hidden: bool
) -> Pixels:
    """Return an augmented body crop, (size, size, 3) uint8; `hidden` blackens the person's own
    face, as inference does if the face was found."""
    pixels, box = part.pixels, part.box
    if hidden:
        own = _guess_face(box, rng) if part.own_face is None else part.own_face
        x1, y1, x2, y2 = own.astype(int)
        pixels = pixels.copy()
        pixels[max(y1, 0) : y2, max(x1, 0) : x2] = 0
    cramped = hidden and _is_cramped(part)
    if cramped or (part.own_face is not None and rng.random() < how.wide * strength):
        pixels, box = _zoom_out(pixels, box, rng.uniform(1.2, how.reach), rng)
    box = _jitter(box, rng, how, strength)
    tilt = how.tilt * strength / 2
    return _render(pixels, box, rng.uniform(-tilt, tilt), size, rng, how, strength)


def _is_cramped(part: Part) -> bool:
    """Whether blackening the face leaves too little of the body visible."""
    if part.own_face is None:
        return False
    areas = area(np.stack((part.own_face, part.box)))
    return bool(areas[0] > (1 - MIN_BODY_SHARE) * areas[1])


def _guess_face(body: Boxes, rng: Generator) -> Boxes:
    """Guess the face box of a standing body, (4,)."""
    width, height = body[2:] - body[:2]
    side = rng.uniform(0.08, 0.13) * height
    x = body[0] + width * rng.uniform(0.42, 0.58) - side / 2
    y = body[1] + height * rng.uniform(0.02, 0.07)
    return np.array((x, y, x + side, y + 1.2 * side), np.float32)


def _jitter(box: Boxes, rng: Generator, how: Augmentation, strength: float) -> Boxes:
    sides = np.tile(box[2:] - box[:2], 2)
    grown = np.exp(rng.normal(0, how.zoom * strength)) - 1
    edges = rng.normal(0, how.shift * strength, 4) + np.array((-0.5, -0.5, 0.5, 0.5)) * grown
    return np.asarray(box + sides * edges, np.float32)


def _zoom_out(pixels: Pixels, box: Boxes, reach: float, rng: Generator) -> tuple[Pixels, Boxes]:
    """Return the box's content on a larger canvas, and the canvas's box. Face pictures end at the
    chin, but photos do not. The background is the same content, enlarged and blurred."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = np.clip(box, 0, (width, height, width, height)).astype(int)
    shown = pixels[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    height, width = shown.shape[:2]
    tall, broad = round(height * reach), round(width * reach)
    tiny = cv2.resize(shown, (4, 4), interpolation=cv2.INTER_AREA)
    canvas = cv2.resize(tiny, (broad, tall), interpolation=cv2.INTER_LINEAR)
    left, top = int(rng.uniform(0.2, 0.8) * (broad - width)), int(0.3 * (tall - height))
    canvas[top : top + height, left : left + width] = shown
    return canvas, np.array((0, 0, broad, tall), np.float32)


def _render(
    pixels: Pixels,
    box: Boxes,
    lean: float,
    size: int,
    rng: Generator,
    how: Augmentation,
    strength: float,
) -> Pixels:
    """Return the content of the box rotated clockwise by `lean` degrees, turned upright, centred on
    a black square, randomly mirrored and degraded."""
    width, height = np.maximum(box[2:] - box[:2], 1)
    ratio = size / max(width, height)
    fitted = max(1, round(width * ratio)), max(1, round(height * ratio))
    middle = ((box[:2] + box[2:]) / 2).tolist()
    turn = cv2.getRotationMatrix2D(middle, lean, ratio)
    turn[:, 2] += (fitted[0] - 1) / 2 - middle[0] + ratio / 2, (fitted[1] - 1) / 2 - middle[1]
    turn[1, 2] += ratio / 2
    view = np.asarray(cv2.warpAffine(pixels, turn, fitted), np.uint8)
    if rng.random() < 0.5:
        view = np.ascontiguousarray(view[:, ::-1])
    view = _degrade(_vary_light(view, rng, how, strength), rng, how, strength)
    canvas = np.zeros((size, size, 3), np.uint8)
    left, top = (size - fitted[0]) // 2, (size - fitted[1]) // 2
    canvas[top : top + fitted[1], left : left + fitted[0]] = view
    return canvas


def _vary_light(view: Pixels, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """Vary brightness, contrast and saturation. Black stays black, since it marks missing
    content."""
    gain = 1 + how.light * strength * rng.uniform(-1, 1)
    if rng.random() < how.dim * strength:
        gain *= rng.uniform(0.2, 0.6)
    gamma = 1 + how.contrast * strength * rng.uniform(-1, 1)
    table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    view = cv2.LUT(view, table)
    grey = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < how.grey * strength:
        return np.asarray(grey, np.uint8)
    amount = 1 + how.saturation * strength * rng.uniform(-1, 1)
    return np.asarray(cv2.addWeighted(view, amount, grey, 1 - amount, 0), np.uint8)


def _degrade(view: Pixels, rng: Generator, how: Augmentation, strength: float) -> Pixels:
    """Apply the effects of lenses, sensors, distance, compression and occlusion."""
    missing = (view == 0).all(axis=2)
    chance = rng.random() / max(strength, 1e-9)
    if chance < how.small:
        view = _downscale(view, rng)
    elif chance < how.small + how.blur:
        view = _blur(view, rng)
    elif chance < how.small + how.blur + how.sharp:
        amount = rng.uniform(0.3, 2.0)
        soft = cv2.GaussianBlur(view, (0, 0), 1.0)
        view = np.asarray(cv2.addWeighted(view, 1 + amount, soft, -amount, 0), np.uint8)
    if rng.random() < how.noise * strength:
        grain = rng.normal(0, rng.uniform(3, 16), view.shape)
        view = np.clip(view + grain, 0, 255).astype(np.uint8)
    if rng.random() < how.jpeg * strength:
        view = _compress(view, int(rng.integers(12, 70)))
    view[missing] = 0
    return _occlude(view, rng) if rng.random() < how.erase * strength else view


def _occlude(view: Pixels, rng: Generator) -> Pixels:
    """Cover a random rectangle, or the whole lower part (as a mask or a hand does), in one
    colour."""
    height, width = view.shape[:2]
    view, colour = view.copy(), rng.integers(0, 256, 3)
    if rng.random() < 0.3:
        view[int(height * rng.uniform(0.5, 0.8)) :] = colour
        return view
    tall, broad = (int(side * rng.uniform(0.1, 0.4)) for side in (height, width))
    y, x = rng.integers(0, height - tall), rng.integers(0, width - broad)
    view[y : y + tall, x : x + broad] = colour
    return view


def _downscale(view: Pixels, rng: Generator) -> Pixels:
    height, width = view.shape[:2]
    side = np.exp(rng.uniform(np.log(SMALLEST), np.log(max(height, width) / 1.5)))
    ratio = min(1.0, side / max(height, width))
    small = max(1, round(width * ratio)), max(1, round(height * ratio))
    reduced = cv2.resize(view, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (width, height)), np.uint8)


def _blur(view: Pixels, rng: Generator) -> Pixels:
    """Apply defocus or motion blur."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(view, (0, 0), rng.uniform(0.6, 3.0)), np.uint8)
    length, angle = int(rng.integers(3, 10)), rng.uniform(0, 180)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1 / length
    middle = (length - 1) / 2, (length - 1) / 2
    turn = cv2.getRotationMatrix2D(middle, angle, 1.0)
    kernel = cv2.warpAffine(line, turn, (length, length))
    return np.asarray(cv2.filter2D(view, -1, kernel / max(kernel.sum(), 1e-6)), np.uint8)


def _compress(view: Pixels, quality: int) -> Pixels:
    coded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
