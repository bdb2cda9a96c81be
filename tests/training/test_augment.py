"""Training inputs: of the right shape, the same for the same seed, and black where nothing is."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from numpy.random import Generator
from numpy.random import default_rng as rng

from mivolo_cli.pipeline.crops import MIN_BODY_SHARE, cut_face
from mivolo_cli.records import Pixels
from mivolo_cli.training.augment import Augmentation, body_input, face_input
from mivolo_cli.training.parts import Part

SIZE = 32
STILL = Augmentation(*(0,) * len(fields(Augmentation)))
WILD = Augmentation(
    shift=0.1,
    zoom=0.3,
    tilt=30,
    light=0.9,
    contrast=0.9,
    saturation=0.9,
    dim=0.5,
    grey=0.5,
    small=0.3,
    blur=0.3,
    sharp=0.3,
    noise=0.5,
    jpeg=0.5,
    erase=0,
)
NOISE = rng(1).integers(1, 256, (90, 60, 3), np.uint8)


def part(pixels: Pixels, own_face: tuple[float, ...] | None = None, roll: float = 0.0) -> Part:
    """Filled by the box."""
    height, width = pixels.shape[:2]
    own = None if own_face is None else np.array(own_face, np.float32)
    return Part(pixels, np.array((0, 0, width, height), np.float32), roll, own)


def white(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), 255, np.uint8)


def hidden(made: Pixels) -> float:
    return float((made == 0).all(axis=2).mean())


def contrast(picture: Pixels) -> float:
    return float(cv2.Laplacian(picture, cv2.CV_64F).std())


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(60, 60, 3), (90, 60, 3), (30, 200, 3), (9, 9, 3)])
def test_every_input_has_the_models_size(shape: tuple[int, int, int], strength: float) -> None:
    pixels, chance = rng(0).integers(1, 256, shape, np.uint8), rng(2)
    for _ in range(12):
        for made in (
            face_input(part(pixels, roll=20), SIZE, chance, Augmentation(), strength),
            body_input(part(pixels), SIZE, chance, Augmentation(), strength, hidden=True),
            body_input(part(pixels, (1, 1, 8, 8)), SIZE, chance, WILD, strength, hidden=False),
        ):
            assert made.shape == (SIZE, SIZE, 3) and made.dtype == np.uint8


def test_black_stays_black_whatever_becomes_of_the_picture() -> None:
    black = part(np.zeros((90, 60, 3), np.uint8))
    for seed in range(40):
        assert not face_input(black, SIZE, rng(seed), WILD, 1.0).any()
        assert not body_input(black, SIZE, rng(seed), WILD, 1.0, hidden=seed % 2 == 0).any()


def test_without_strength_a_picture_is_cut_as_inference_cuts_it() -> None:
    square = NOISE[:SIZE, :SIZE]
    made = [face_input(part(square), SIZE, rng(seed), STILL, 0.0) for seed in range(12)]
    mirrored = [(picture == square[:, ::-1]).all() for picture in made]
    assert all(
        (picture == square).all() or flip for picture, flip in zip(made, mirrored, strict=True)
    )
    assert 0 < sum(mirrored) < 12


@pytest.mark.parametrize("roll", [0.0, 25.0, -40.0])
def test_a_head_that_leans_is_levelled_as_inference_does_it(roll: float) -> None:
    picture = cv2.GaussianBlur(rng(5).integers(1, 256, (120, 120, 3), np.uint8), (0, 0), 4)
    box = np.array((40, 35, 80, 85), np.float32)
    wanted = cut_face(picture, box, SIZE, roll)
    made = face_input(Part(picture, box, roll), SIZE, rng(0), STILL, 0.0)
    assert wanted is not None
    away = min(np.abs(wanted.astype(int) - turned).mean() for turned in (made, made[:, ::-1]))
    assert away < 3, "two ways to resample, one picture"


def test_some_pictures_come_out_sharper_and_some_softer() -> None:
    square = cv2.GaussianBlur(NOISE[:SIZE, :SIZE], (0, 0), 1.0)
    changes = {"sharp": 1, "blur": -1, "small": -1}
    for name, sign in changes.items():
        how = replace(STILL, **{name: 1.0})
        made = [face_input(part(square), SIZE, rng(seed), how, 1.0) for seed in range(8)]
        assert (np.mean([contrast(one) for one in made]) - contrast(square)) * sign > 1, name


@pytest.mark.parametrize("name", ["dim", "grey", "noise", "jpeg", "erase"])
def test_each_change_is_made_as_often_as_asked(name: str) -> None:
    for share, expected in ((0.0, 0), (1.0, 10)):
        how = replace(STILL, **{name: share})
        made = [face_input(part(NOISE), SIZE, rng(seed), how, 1.0) for seed in range(10)]
        plain = [face_input(part(NOISE), SIZE, rng(seed), STILL, 1.0) for seed in range(10)]
        changed = sum(
            not any((one == other).all() for other in (two, two[:, ::-1]))
            for one, two in zip(made, plain, strict=True)
        )
        assert changed == expected


def test_the_own_face_is_black_in_a_body_on_request() -> None:
    body = part(white(80, 80), (20, 20, 60, 60))
    for seed in range(8):
        assert hidden(body_input(body, 80, rng(seed), STILL, 0.0, hidden=False)) == 0
        shown = body_input(body, 80, rng(seed), STILL, 0.0, hidden=True)
        assert hidden(shown) == pytest.approx(0.25, abs=0.02)


def test_the_face_of_a_pedestrian_is_guessed_to_be_at_the_top() -> None:
    made = body_input(part(white(200, 80)), 200, rng(3), STILL, 0.0, hidden=True)
    body = made[:, 60:140]
    dark = np.argwhere((body == 0).all(axis=2))
    assert len(dark) > 100 and dark[:, 0].max() < 0.3 * 200


def test_a_body_that_its_face_nearly_fills_is_seen_from_further_away() -> None:
    """Else inference would refuse it."""
    body = part(white(80, 80), (5, 5, 78, 78))
    for seed in range(8):
        made = body_input(body, 80, rng(seed), replace(STILL, reach=2.0), 0.0, hidden=True)
        assert MIN_BODY_SHARE / 2 < 1 - hidden(made) < 1


def test_the_pictures_themselves_are_not_changed() -> None:
    before, chance = NOISE.copy(), rng(3)
    for _ in range(10):
        face_input(part(NOISE, roll=9), SIZE, chance, WILD, 1.0)
        body_input(part(NOISE, (3, 3, 30, 30)), SIZE, chance, WILD, 1.0, hidden=True)
        body_input(part(NOISE), SIZE, chance, WILD, 1.0, hidden=True)
    np.testing.assert_array_equal(NOISE, before)


def test_the_seed_decides_everything() -> None:
    def run(chance: Generator) -> list[Pixels]:
        return [face_input(part(NOISE), SIZE, chance, WILD, 1.0) for _ in range(10)]

    once, again, other = run(rng(7)), run(rng(7)), run(rng(8))
    assert all((a == b).all() for a, b in zip(once, again, strict=True))
    assert not all((a == b).all() for a, b in zip(once, other, strict=True))
