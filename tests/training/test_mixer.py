"""Training examples: in the right shares, of the right people."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from helpers.logs import warned
from helpers.photos import encode, noise

from mivolo_cli.datasets import Sample
from mivolo_cli.datasets.labels import Label
from mivolo_cli.errors import BadInput
from mivolo_cli.pipeline.crops import Crops
from mivolo_cli.records import Box, Person, Pixels
from mivolo_cli.training import mixer as module
from mivolo_cli.training.augment import Augmentation
from mivolo_cli.training.mixer import KINDS, SHARES, Mixer
from mivolo_cli.training.parts import parts_of

SIZE = 32
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)
STILL = replace(Augmentation(*(0,) * len(fields(Augmentation))), reach=1.2)


def sample(
    shows: str, colour: tuple[int, int, int], low: float, high: float, gender: str | None
) -> Sample:
    """A picture of one colour; with face and body, the face is the upper left quarter and green."""
    pixels = np.full((60, 60, 3), colour, np.uint8)
    boxes: dict[str, Any] = {kind: Box(0, 0, 60, 60) for kind in ("face", "body") if kind in shows}
    if len(boxes) == 2:
        boxes["face"] = Box(0, 0, 30, 30)
        pixels[:30, :30] = GREEN
    return Sample("", encode(pixels), Label(low, high, gender), **boxes)


FACES = [sample("face", RED, age, age, gender) for age in (20, 40) for gender in ("male", "female")]
BODIES = [
    sample("body", BLUE, low, low + 15, gender) for low in (17, 31) for gender in ("male", "female")
]
PAIRS = [sample("face+body", BLUE, 50, 50, "male")]


def mixer(
    shares: dict[str, float],
    *data: list[Sample],
    how: Augmentation = STILL,
    inputs: str = "face+body",
    balance: float = 1.0,
) -> Mixer:
    return Mixer(data or [FACES, BODIES], shares, how, SIZE, inputs, balance)


def colour(picture: Pixels) -> str:
    return ("red", "green", "blue")[int(picture.reshape(-1, 3).mean(axis=0).argmax())]


def kind(crops: Crops) -> str:
    """Told by the colours: faces are red (of pairs green), bodies blue, of pairs with green, and
    busts red or all black."""
    face = None if crops.face is None else colour(crops.face)
    if crops.body is None:
        return "face"
    green = bool((crops.body.astype(int) @ (-1, 2, -1) > 100).any())
    red = bool((crops.body.astype(int) @ (2, -1, -1) > 100).any())
    if red or face == "red" and not crops.body.any():
        return "bust"
    if face is None:
        return "faceless" if green else "body"
    return "pair" if face == "green" else "face+body"


def hidden(made: Pixels) -> float:
    return float((made == 0).all(axis=2).mean())


def test_kinds_are_drawn_in_their_shares() -> None:
    shares = {"face": 0.3, "pair": 0.1, "faceless": 0.2, "bust": 0.1, "body": 0.2, "face+body": 0.1}
    mix, rng = mixer(shares, FACES, BODIES, PAIRS), np.random.default_rng(4)
    mix.pools["face+body"] = [FACES]  # the man of the pair has no partner
    found = Counter(kind(mix.draw(rng, 0.0)[0]) for _ in range(1500))
    assert set(found) == set(KINDS)
    for name, share in shares.items():
        assert found[name] / 1500 == pytest.approx(share, abs=0.04), name


@pytest.mark.parametrize("balance, share", [(1.0, 0.8), (0.5, 2 / 3), (0.0, 0.5)])
def test_small_data_sets_are_drawn_more_often_than_by_their_size(
    balance: float, share: float
) -> None:
    small = [sample("face", GREEN, 70, 70, "male")]
    mix, rng = mixer({"face": 1.0}, FACES, small, balance=balance), np.random.default_rng(0)
    ages = [mix.draw(rng, 0.0)[1].age for _ in range(1000)]
    assert np.mean([age != 70 for age in ages]) == pytest.approx(share, abs=0.05)


def test_kinds_that_the_data_cannot_give_are_left_out() -> None:
    faces = mixer(SHARES, FACES)
    assert faces.kinds == ["face", "bust"] and faces.shares == pytest.approx([0.8, 0.2])
    assert mixer(SHARES, BODIES).kinds == ["body"]
    assert "pair" not in mixer(SHARES, FACES, BODIES).kinds


@pytest.mark.parametrize(
    "shares, data",
    [
        ({}, [FACES, BODIES]),
        ({"body": 1.0}, [FACES]),
        ({"face": 1.0}, [BODIES]),
        ({"face": 1.0}, [FACES, BODIES]),
        ({"pair": 1.0}, [PAIRS, FACES]),
    ],
)
def test_data_that_would_never_be_drawn_is_refused(
    shares: dict[str, float], data: list[list[Sample]]
) -> None:
    with pytest.raises(BadInput, match="no share"):
        mixer(shares, *data)


def test_a_model_of_one_input_gets_no_other() -> None:
    assert mixer(SHARES, FACES, inputs="face").kinds == ["face"]
    assert mixer(SHARES, BODIES, PAIRS, inputs="body").kinds == ["body", "faceless"]
    with pytest.raises(BadInput, match="no share for 4 of the labelled people"):
        mixer(SHARES, FACES, BODIES, inputs="face")


def test_the_face_of_a_pair_is_black_in_its_body() -> None:
    (crops, label) = mixer({"pair": 1.0}, PAIRS).draw(np.random.default_rng(0), 0.0)
    assert label.age == 50 and crops.body is not None and crops.face is not None
    assert colour(crops.face) == "green" and hidden(crops.body) == pytest.approx(0.25, abs=0.06)


def test_of_somebody_whose_face_was_missed_the_body_shows_it() -> None:
    (crops, _) = mixer({"faceless": 1.0}, PAIRS).draw(np.random.default_rng(0), 0.0)
    assert crops.face is None and crops.body is not None and hidden(crops.body) == 0


def test_people_who_cannot_be_seen_are_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    covered = Sample(
        "crowd.png",
        encode(noise(3, 90, 60)),
        Label(3, 3),
        None,
        Box(0, 0, 60, 90),
        (Person(None, Box(0, 0, 60, 90)),),
    )
    unfound = Sample("photo.png", encode(noise(4, 90, 60)), Label(3, 3))
    assert mixer({"face": 1.0}, [*FACES, covered, unfound]).faces == FACES
    assert "2 of 6 labelled people" in warned(caplog, "training.mixer")[0]


def test_pictures_beyond_the_memory_are_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 1)
    mix = mixer({"face": 1.0}, FACES)
    assert len(mix.kept) == 1
    assert {mix.draw(np.random.default_rng(seed), 0.0)[1].age for seed in range(20)} == {20, 40}


def test_large_pictures_are_kept_no_larger_than_needed() -> None:
    large = Sample("", encode(noise(3, 300, 500)), Label(3, 3), face=Box(100, 0, 500, 300))
    face = parts_of(large, SIZE).face
    assert face is not None and (face.box[2:] - face.box[:2]).max() == pytest.approx(64, abs=0.5)
    assert face.pixels.shape == (48, 80, 3), "and what is around it"


def test_a_partner_has_the_same_gender_and_the_face_in_its_range_however_rare() -> None:
    """Bodies carry their index as their colour."""
    kinds = [(17.0, "male"), (17.0, "female"), (31.0, "male"), (31.0, "female")] + [
        (60.0, "male")
    ] * 40
    bodies = [
        sample("body", (5 * number + 1, 50, 200), low, low + 15, gender)
        for number, (low, gender) in enumerate(kinds)
    ]
    mix, rng = mixer({"face+body": 1.0}, FACES, bodies), np.random.default_rng(5)
    met: Counter[tuple[float, str]] = Counter()
    for _ in range(100):
        crops, face = mix.draw(rng, 0.0)
        assert crops.body is not None
        low, gender = kinds[int(crops.body[-1, SIZE // 2, 0]) // 5]
        assert gender == face.gender and face.age is not None and low <= face.age < low + 16
        met[low, gender] += 1
    assert len(met) == 4 and min(met.values()) > 10


def test_without_a_fitting_partner_the_face_is_alone() -> None:
    others = [sample("body", BLUE, 60, 70, "male"), sample("body", BLUE, 17, 30, "female")]
    mix = mixer({"face+body": 1.0}, [FACES[0]], others)
    crops, labels = mix.draw(np.random.default_rng(6), 0.0)
    assert crops.used == "face" and labels == FACES[0].label


def test_the_seed_decides_everything() -> None:
    def run(seed: int) -> list[tuple[Crops, Label]]:
        mix, rng = mixer(SHARES, how=Augmentation()), np.random.default_rng(seed)
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
