"""From the inputs of people to ages and genders, with engines that answer what the test wants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mivolo_cli.model.intervals import Band, GenderScale, Intervals
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline.crops import Crops
from mivolo_cli.pipeline.predict import Predictor, predictions
from mivolo_cli.records import Pixels

SIZE = 32


class Recorder:
    """Answers each person with the brightness of the first value of each input as the age output
    (in 1/255)."""

    def __init__(self, outputs: int = 3) -> None:
        self.outputs = outputs
        self.batches: list[Pixels] = []
        self.present: list[list[list[bool]]] = []

    def run(self, batch: Pixels, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        assert batch.flags.c_contiguous
        self.batches.append(batch)
        self.present.append(present.tolist())
        answers = np.zeros((len(batch), self.outputs), np.float32)
        answers[:, -1] = batch[:, 0, 0, ::3].sum(axis=1) / 255
        return answers


def spec(**changes: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "in_chans": 6,
        "num_classes": 3,
        "min_age": 0.0,
        "max_age": 255.0,
        "avg_age": 0.0,
        "name": "fake",
    }
    return ModelSpec(variant=f"mivolo_xs_{SIZE}", input_size=SIZE, **(values | changes))


def flat(value: int | None) -> Pixels | None:
    return None if value is None else np.full((SIZE, SIZE, 3), value, np.uint8)


def person(face: int | None = None, body: int | None = None) -> Crops:
    return Crops(flat(face), flat(body))


def test_everyone_gets_an_answer_in_order_and_none_without_a_usable_crop() -> None:
    engine = Recorder()
    people = [person(face=10), person(), person(20, 30), person(body=40), person()]
    answers = Predictor(engine, spec()).predict(people)
    assert [answer and (answer.used, round(answer.age or 0, 3)) for answer in answers] == [
        ("face", 10), None, ("face+body", 50), ("body", 40), None,
    ]  # fmt: skip
    assert engine.present == [[[True, False], [True, True], [False, True]]]


def test_nobody_with_a_usable_crop_leaves_the_engine_alone() -> None:
    engine = Recorder()
    assert Predictor(engine, spec()).predict([person(), person()]) == [None, None]
    assert Predictor(engine, spec()).predict([]) == []
    assert engine.batches == []


def test_no_batch_is_larger_than_the_batch_size() -> None:
    engine = Recorder()
    people = [
        person(face=value) if value % 3 else person() for value in range(12)
    ]  # 8 of them usable
    answers = Predictor(engine, spec(), batch_size=3).predict(people)
    assert [len(batch) for batch in engine.batches] == [3, 3, 2]
    assert [None if answer is None else round(answer.age or 0) for answer in answers] == [
        value if value % 3 else None for value in range(12)
    ]


@pytest.mark.parametrize(("inputs", "value"), [("face", 20), ("body", 30)])
def test_a_model_of_one_input_does_not_see_the_other(inputs: str, value: int) -> None:
    engine = Recorder()
    people = [person(20, 30), person(face=20), person(body=30)]
    answers = Predictor(engine, spec(in_chans=3, inputs=inputs)).predict(people)
    blind = 2 if inputs == "face" else 1
    assert [answer is None for answer in answers] == [index == blind for index in range(3)]
    assert {answer.used for answer in answers if answer} == {inputs}
    assert [batch.shape for batch in engine.batches] == [(2, SIZE, SIZE, 3)]
    assert np.unique(engine.batches[0]).tolist() == [value]


def test_a_model_of_two_inputs_sees_the_face_in_the_first_three_channels() -> None:
    engine = Recorder()
    Predictor(engine, spec()).predict([person(20, 30), person(face=20)])
    assert engine.batches[0][:, 5, 5].tolist() == [[20, 20, 20, 30, 30, 30], [20, 20, 20, 0, 0, 0]]


def test_ages_are_years_and_nobody_is_younger_than_zero() -> None:
    outputs = np.array([[0, 0, -0.9], [0, 0, 0], [0, 0, 0.25]], np.float32)
    found = predictions(outputs, spec(max_age=100.0, avg_age=50.0), [person(face=1)] * 3)
    assert [prediction.age for prediction in found] == [0.0, 50.0, 75.0]


def test_ages_and_their_intervals_are_from_0_to_the_models_oldest() -> None:
    outputs = np.array([[0, 0, -1e30], [0, 0, 1e30], [0, 0, 0.5], [0, 0, 3e38]], np.float32)
    band = Band([0, 100], [-1e30, -5], [5, 1e30])
    model = spec(min_age=20.0, max_age=70.0, avg_age=45.0, intervals=Intervals({"face": [band]}))
    found = predictions(outputs, model, [person(face=1)] * 4)
    assert [prediction.age for prediction in found] == [0, 70, 70, 70]
    ends = [end for one in found for end in (one.age_low, one.age_high)]
    assert all(end is not None and 0 <= end <= 70 for end in ends)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_an_answer_with_anything_but_numbers_has_no_age(column: int, value: float) -> None:
    outputs = np.zeros((3, 3), np.float32)
    outputs[1, column] = value
    found = predictions(outputs, spec(), [person(face=1)] * 3)
    assert [np.isnan(prediction.age or 0) for prediction in found] == [False, True, False]


def test_the_gender_is_the_likelier_of_the_two_with_its_probability() -> None:
    logits = np.array([[2, 0], [0, 2], [0, 0], [1000, -1000], [-3, -1.5]], np.float32)
    outputs = np.concatenate((logits, np.zeros((5, 1), np.float32)), axis=1)
    found = predictions(outputs, spec(), [person(face=1)] * 5)
    assert [prediction.gender for prediction in found] == [
        "male",
        "female",
        "male",
        "male",
        "female",
    ]
    with np.errstate(over="ignore"):
        exponentials = np.exp(np.float64(logits[[0, 1, 2, 4]]))
    expected = (exponentials / exponentials.sum(axis=1, keepdims=True)).max(axis=1).tolist()
    scores = [prediction.gender_score or 0 for prediction in found]
    assert scores == pytest.approx([*expected[:3], 1.0, expected[3]])
    assert all(0.5 <= score <= 1 for score in scores)


def test_a_model_of_age_alone_says_nothing_of_gender() -> None:
    found = Predictor(Recorder(outputs=1), spec(num_classes=1)).predict([person(face=33)])
    assert [(p.age, p.gender, p.gender_score) for p in found if p] == [
        (pytest.approx(33), None, None)
    ]


def test_a_calibrated_model_answers_with_intervals_for_what_it_was_calibrated_on() -> None:
    intervals = Intervals({"face": [Band([0.0, 100.0], [-2.0, -4.0], [3.0, 3.0])]})
    outputs = np.array([[0, 0, 50 / 255], [0, 0, 50 / 255]], np.float32)
    face, body = predictions(outputs, spec(intervals=intervals), [person(face=1), person(body=1)])
    assert (face.age_low, face.age_high) == (pytest.approx(47), pytest.approx(53))
    assert (body.age_low, body.age_high) == (None, None)
    (alone,) = predictions(
        outputs[:1, 2:], spec(intervals=intervals, num_classes=1), [person(face=1)]
    )
    assert alone.age_high == pytest.approx(53)


def test_a_body_alone_that_tells_little_of_an_age_has_an_interval_only() -> None:
    outputs = np.array([[1, 0, 0.2]] * 2, np.float32)
    for width, told in ((24.0, True), (26.0, False)):
        band = Band([0.0], [-width / 2], [width / 2])
        intervals = Intervals({"face": [band], "body": [band]})
        people = [person(face=1), person(body=1)]
        face, body = predictions(outputs, spec(intervals=intervals), people)
        assert face.age is not None and (body.age is not None) == told
        assert body.age_low is not None and body.gender == "male"


def test_a_gender_score_is_scaled_and_the_gender_stays() -> None:
    outputs = np.array([[2, 0, 0.1], [0, 2, 0.9]], np.float32)
    scaled = spec(gender_scales={"face": GenderScale([50.0, 60.0], [0.5, 2.0])})
    found = predictions(outputs, scaled, [person(face=1)] * 2)
    assert [p.gender for p in found] == ["male", "female"]
    assert [p.gender_score for p in found] == [
        pytest.approx(1 / (1 + np.exp(-1))),
        pytest.approx(1 / (1 + np.exp(-4))),
    ]


def lopsided() -> Pixels:
    """A face whose two upper corners differ."""
    face = np.zeros((SIZE, SIZE, 3), np.uint8)
    face[0, 0], face[0, -1] = 51, 102
    return face


def test_of_everybody_looked_at_again_the_mean_with_the_mirror_image_counts() -> None:
    engine = Recorder()
    (found,) = Predictor(engine, spec(), doubt=math.inf).predict([Crops(lopsided(), None)])
    assert found is not None and found.age == pytest.approx((51 + 102) / 2)
    assert len(engine.batches) == 2 and (engine.batches[0] == engine.batches[1][:, :, ::-1]).all()
    (plain,) = Predictor(engine, spec()).predict([Crops(lopsided(), None)])
    assert plain is not None and plain.age == pytest.approx(51)


def test_a_model_without_genders_looks_again_only_at_everybody() -> None:
    for doubt, looks in ((0.99, 1), (math.inf, 2)):
        engine = Recorder(outputs=1)
        Predictor(engine, spec(num_classes=1), doubt=doubt).predict([person(face=9)])
        assert len(engine.batches) == looks


def test_only_people_of_doubtful_gender_are_looked_at_again() -> None:
    class Sure(Recorder):
        """Sure of the gender of people with a body."""

        def run(self, batch: Pixels, present: NDArray[np.bool_]) -> NDArray[np.float32]:
            answers = super().run(batch, present)
            answers[:, 0] = present[:, 1] * 5
            return answers

    engine = Sure()
    sure, doubtful = Crops(lopsided(), flat(0)), Crops(lopsided(), None)
    found = Predictor(engine, spec(), doubt=0.8).predict([sure, doubtful, sure, doubtful])
    ages = [answer.age for answer in found if answer]
    assert ages == pytest.approx([51, 76.5, 51, 76.5])
    assert engine.present == [[[True, True], [True, False]] * 2, [[True, False]] * 2]
