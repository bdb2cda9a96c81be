"""People put together from faces and bodies."""

from __future__ import annotations

from helpers.photos import encode, noise

from mivolo_cli.datasets import Sample
from mivolo_cli.datasets.labels import Label
from mivolo_cli.datasets.pairs import combine, fits
from mivolo_cli.records import Box


def face(age: float | None, gender: str | None = "male") -> Sample:
    return Sample(
        f"face{age}{gender}", encode(noise(1)), Label(age, age, gender), face=Box(0, 0, 60, 60)
    )


def body(low: float, high: float, gender: str | None = "male", side: int = 60) -> Sample:
    picture = encode(noise(2, side, side))
    return Sample(
        f"body{low}{gender}{side}", picture, Label(low, high, gender), body=Box(0, 0, side, side)
    )


def test_gender_and_range_must_fit() -> None:
    assert fits(Label(30, 30, "male"), Label(16, 30, "male"))
    assert fits(Label(30.9, 30.9, "male"), Label(16, 30, "male"))
    assert not fits(Label(31, 31, "male"), Label(16, 30, "male"))
    assert not fits(Label(30, 30, "female"), Label(16, 30, "male"))
    assert not fits(Label(30, 30), Label(16, 30)) and not fits(
        Label(16, 30, "male"), Label(16, 30, "male")
    )
    assert not fits(Label(30, 30, "male"), Label(None, None, "male"))


def test_each_face_gets_a_body_that_fits_and_that_inference_would_take() -> None:
    bodies = [body(16, 30), body(16, 30, side=40), body(16, 30, "female"), body(31, 45)]
    found = combine([face(20), *bodies, face(33), face(90), face(None)])
    assert [(pair.face.name, pair.body.name) for pair in found] == [
        ("face20male", "body16male60"),
        ("face33male", "body31male60"),
    ]
    pair = found[0]
    assert pair.label == Label(20, 20, "male") and pair.shows == "face+body"
    assert [pair.crops(32, use).used for use in ("both", "face", "body")] == [
        "face+body",
        "face",
        "body",
    ]


def test_the_seed_decides() -> None:
    people = [face(20 + i / 100) for i in range(20)] + [body(16 + i / 10, 30) for i in range(10)]
    names = [[pair.body.name for pair in combine(people, seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
