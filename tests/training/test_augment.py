"""Training inputs: of the right shape, in the right shares, the same for the same seed, and black
where nothing is."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.photos import encode, noise

from mivolo_cli.datasets import Sample
from mivolo_cli.datasets.labels import Label
from mivolo_cli.errors import BadInput
from mivolo_cli.pipeline.crops import Crops
from mivolo_cli.records import Box, Person, Pixels
from mivolo_cli.training import augment
from mivolo_cli.training.augment import (
    KINDS,
    SHARES,
    Augmentation,
    Mixer,
    body_input,
    bust_input,
    face_input,
)

SIZE = 32
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)
STILL = Augmentation(*(0,) * len(fields(Augmentation)))
WILD = Augmentation(
    shift=0.1,
    zoom=0.4,
    tilt=30,
    light=0.9,
    saturation=0.9,
    grey=0.5,
    erase=0,
    blur=0.4,
    sharp=0.4,
    neighbour=1,
)
NOISE = np.random.default_rng(1).integers(1, 256, (90, 60, 3), np.uint8)


def sample(
    shows: str, colour: tuple[int, int, int], low: float, high: float, gender: str | None
) -> Sample:
    """A picture of one colour; with face and body, the face is the upper left quarter and green."""
    pixels = np.full((40, 40, 3), colour, np.uint8)
    boxes: dict[str, Any] = {kind: Box(0, 0, 40, 40) for kind in ("face", "body") if kind in shows}
    if len(boxes) == 2:
        boxes["face"] = Box(0, 0, 20, 20)
        pixels[:20, :20] = GREEN
    return Sample("", encode(pixels), Label(low, high, gender), **boxes)


FACES = [sample("face", RED, age, age, gender) for age in (20, 40) for gender in ("male", "female")]
BODIES = [
    sample("body", BLUE, low, low + 15, gender) for low in (17, 31) for gender in ("male", "female")
]
PAIRS = [sample("face+body", BLUE, 50, 50, "male")]


def mixer(
    shares: dict[str, float],
    samples: list[Sample] | None = None,
    how: Augmentation = STILL,
    inputs: str = "face+body",
) -> Mixer:
    return Mixer(FACES + BODIES if samples is None else samples, shares, how, SIZE, inputs)


def colour(picture: Pixels) -> str:
    return ("red", "green", "blue")[int(picture.reshape(-1, 3).mean(axis=0).argmax())]


def kind(crops: Crops) -> str:
    """Told by the colours: faces are red (of pairs green) and bodies blue."""
    face = None if crops.face is None else colour(crops.face)
    body = None if crops.body is None else colour(crops.body)
    if face == "green":
        assert body == "blue"
        return "pair"
    name = {None: None, "blue": "body", "red": "bust"}[body]
    return "+".join(filter(None, ("face" if face else None, name)))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(60, 60, 3), (90, 60, 3), (30, 200, 3), (9, 9, 3)])
def test_every_input_has_the_models_size(shape: tuple[int, int, int], strength: float) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    rng = np.random.default_rng(2)
    for _ in range(8):
        for made in (
            face_input(pixels, SIZE, rng, Augmentation(), strength),
            bust_input(pixels, SIZE, rng, Augmentation(), strength, hide=True),
            body_input(pixels, SIZE, rng, Augmentation(), strength, 1.0),
        ):
            assert made.shape == (SIZE, SIZE, 3) and made.dtype == np.uint8


def test_black_stays_black_whatever_the_light() -> None:
    black = np.zeros((90, 60, 3), np.uint8)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert not face_input(black, SIZE, rng, WILD, 1.0).any()
        assert not bust_input(black, SIZE, rng, WILD, 1.0, hide=False).any()
        assert not body_input(black, SIZE, rng, WILD, 1.0, 0.5).any()


def test_the_border_of_the_letterbox_stays_black() -> None:
    how = Augmentation(
        shift=0, zoom=0, tilt=0, light=0.9, saturation=0.9, grey=0.5, erase=0, blur=0
    )
    for seed in range(20):
        made = face_input(NOISE, 90, np.random.default_rng(seed), how, 1.0)
        assert not made[:, :15].any() and not made[:, 75:].any() and made[:, 16:74].any()


def test_without_strength_a_picture_is_only_mirrored_or_not() -> None:
    square = NOISE[:SIZE, :SIZE]
    made = [face_input(square, SIZE, np.random.default_rng(seed), STILL, 0.0) for seed in range(12)]
    mirrored = [(picture == square[:, ::-1]).all() for picture in made]
    assert all(
        (picture == square).all() or flip for picture, flip in zip(made, mirrored, strict=True)
    )
    assert 0 < sum(mirrored) < 12


def test_some_pictures_come_out_sharper_and_some_softer() -> None:
    square = cv2.GaussianBlur(NOISE[:SIZE, :SIZE], (0, 0), 1.0)

    def contrast(picture: Pixels) -> float:
        return float(cv2.Laplacian(picture, cv2.CV_64F).std())

    for how, changed in ((replace(STILL, sharp=1.0), 1), (replace(STILL, blur=1.0), -1)):
        made = face_input(square, SIZE, np.random.default_rng(1), how, 1.0)
        assert (contrast(made) - contrast(square)) * changed > 1


def hidden(made: Pixels) -> float:
    return float((made == 0).all(axis=2).mean())


def test_a_face_in_head_and_shoulders_is_blackened_on_request() -> None:
    white = np.full((80, 80, 3), 255, np.uint8)
    for seed in range(8):
        assert (
            hidden(bust_input(white, 80, np.random.default_rng(seed), STILL, 0.0, hide=False)) == 0
        )
        assert (
            0.2
            < hidden(bust_input(white, 80, np.random.default_rng(seed), STILL, 0.0, hide=True))
            < 0.6
        )


def test_a_bodys_head_is_blackened_as_often_as_asked() -> None:
    white = np.full((200, 80, 3), 255, np.uint8)
    border = 0.6  # of the letterbox, on both sides
    shares = []
    for wanted in (0.0, 0.5, 1.0):
        made = [
            body_input(white, 200, np.random.default_rng(seed), STILL, 0.0, wanted)
            for seed in range(60)
        ]
        shares.append(np.mean([hidden(picture) > border + 1e-3 for picture in made]))
    assert shares[0] == 0 and 0.3 < shares[1] < 0.7 and shares[2] == 1


def test_the_pictures_themselves_are_not_changed() -> None:
    before = NOISE.copy()
    rng = np.random.default_rng(3)
    for _ in range(10):
        face_input(NOISE, SIZE, rng, WILD, 1.0)
        bust_input(NOISE, SIZE, rng, WILD, 1.0, hide=True)
        body_input(NOISE, SIZE, rng, WILD, 1.0, 1.0)
    np.testing.assert_array_equal(NOISE, before)


def test_kinds_are_drawn_in_their_shares() -> None:
    shares = {
        "face": 0.4,
        "face+bust": 0.1,
        "face+body": 0.1,
        "body": 0.2,
        "bust": 0.1,
        "pair": 0.1,
    }
    mix, rng = mixer(shares, FACES + BODIES), np.random.default_rng(4)
    assert "pair" not in mix.kinds
    mix = mixer(shares, FACES + BODIES + PAIRS)
    mix.faces, mix.bodies = (
        mix.faces[:-1],
        mix.bodies[:-1],
    )  # a pair may be drawn as its face or body, too
    found = Counter(kind(mix.draw(rng, 0.0)[0]) for _ in range(1500))
    assert set(found) == set(KINDS)
    for name, share in shares.items():
        assert found[name] / 1500 == pytest.approx(share, abs=0.04), name


def test_kinds_that_the_data_cannot_give_are_left_out() -> None:
    faces = mixer(SHARES, FACES)
    assert faces.kinds == ["face", "face+bust", "bust"] and sum(faces.shares) == pytest.approx(1)
    assert mixer(SHARES, BODIES).kinds == ["body"]


@pytest.mark.parametrize(
    "shares, samples",
    [
        ({}, FACES + BODIES),
        ({"body": 1.0}, FACES),
        ({"face": 1.0}, BODIES),
        ({"face": 1.0}, FACES + BODIES),
        ({"pair": 1.0}, PAIRS + FACES),
    ],
)
def test_data_that_would_never_be_drawn_is_refused(
    shares: dict[str, float], samples: list[Sample]
) -> None:
    with pytest.raises(BadInput, match="no share"):
        mixer(shares, samples)


def test_a_model_of_one_input_gets_no_other() -> None:
    assert mixer(SHARES, FACES, inputs="face").kinds == ["face"]
    assert mixer(SHARES, BODIES + FACES, inputs="body").kinds == ["body", "bust"]
    with pytest.raises(BadInput, match="4 pictures of body"):
        mixer(SHARES, FACES + BODIES, inputs="face")


def test_pairs_may_be_drawn_as_their_face_or_their_body() -> None:
    mix, rng = mixer({"face": 0.4, "body": 0.3, "pair": 0.3}, PAIRS), np.random.default_rng(8)
    found = Counter(mix.draw(rng, 0.0)[0].used for _ in range(300))
    assert set(found) == {"face", "body", "face+body"} and min(found.values()) > 50


def test_the_face_of_a_pair_is_black_in_its_body() -> None:
    (crops, label) = mixer({"pair": 1.0}, PAIRS).draw(np.random.default_rng(0), 0.0)
    assert label.age == 50 and crops.body is not None and crops.face is not None
    assert colour(crops.face) == "green" and hidden(crops.body) == pytest.approx(0.25, abs=0.06)


def test_whole_photos_cannot_be_trained_on() -> None:
    with pytest.raises(BadInput, match="whole photos"):
        mixer(SHARES, [Sample("", encode(NOISE), Label(3, 3))])


def test_people_who_cannot_be_seen_are_told() -> None:
    covered = Sample(
        "crowd.png",
        encode(NOISE),
        Label(3, 3),
        None,
        Box(0, 0, 60, 90),
        (Person(None, Box(0, 0, 60, 90)),),
    )
    with pytest.raises(BadInput, match=r"1 labelled people.*crowd\.png"):
        mixer(SHARES, [*FACES, covered])


def test_pictures_beyond_the_memory_are_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "MEMORY", 1)
    mix = mixer({"face": 1.0}, FACES)
    assert len(mix.kept) == 1
    assert {mix.draw(np.random.default_rng(seed), 0.0)[1].age for seed in range(20)} == {20, 40}


def test_large_pictures_are_kept_no_larger_than_needed() -> None:
    large = Sample("", encode(noise(3, 300, 500)), Label(3, 3), face=Box(100, 0, 500, 300))
    face = augment.parts_of(large, SIZE).face
    assert face is not None and face.shape == (48, 64, 3)


def test_a_partner_has_the_same_gender_and_the_face_in_its_range_however_rare() -> None:
    """Bodies carry their index as their colour."""
    kinds = [(17.0, "male"), (17.0, "female"), (31.0, "male"), (31.0, "female")] + [
        (60.0, "male")
    ] * 40
    bodies = [
        sample("body", (5 * number + 1, 50, 200), low, low + 15, gender)
        for number, (low, gender) in enumerate(kinds)
    ]
    mix, rng = mixer({"face+body": 1.0}, FACES + bodies), np.random.default_rng(5)
    met: Counter[tuple[float, str]] = Counter()
    for _ in range(100):
        crops, face = mix.draw(rng, 0.0)
        assert crops.body is not None
        low, gender = kinds[int(crops.body[-1, SIZE // 2, 0]) // 5]
        assert gender == face.gender and face.age is not None and low <= face.age < low + 16
        met[low, gender] += 1
    assert len(met) == 4 and min(met.values()) > 10


def test_without_a_fitting_partner_the_face_is_alone() -> None:
    mix = mixer(
        {"face+body": 1.0},
        [FACES[0], sample("body", BLUE, 60, 70, "male"), sample("body", BLUE, 17, 30, "female")],
    )
    crops, labels = mix.draw(np.random.default_rng(6), 0.0)
    assert crops.used == "face" and labels == FACES[0].label


def test_the_seed_decides_everything() -> None:
    def run(seed: int) -> list[tuple[Crops, Label]]:
        mix, rng = mixer(SHARES, how=WILD), np.random.default_rng(seed)
        return [mix.draw(rng, 1.0) for _ in range(20)]

    for (one, labels), (two, again) in zip(run(7), run(7), strict=True):
        assert labels is again and one.used == two.used
        for a, b in ((one.face, two.face), (one.body, two.body)):
            assert (a is None) == (b is None) and (a is None or (a == b).all())
    assert [crops.used for crops, _ in run(7)] != [crops.used for crops, _ in run(8)]


def test_an_epoch_shows_every_face_once_on_average() -> None:
    assert mixer({"face": 0.5, "body": 0.5}).epoch_length() == 2 * len(FACES)
    assert mixer({"face": 1.0}, FACES).epoch_length() == len(FACES)
    assert mixer({"body": 1.0}, BODIES).epoch_length() == len(BODIES)
