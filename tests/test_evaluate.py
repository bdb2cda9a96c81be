"""Measuring a model, and the results of a scan, on labelled pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as PillowImage

from mivolo_cli import checkpoint, evaluate, sinks
from mivolo_cli.errors import BadInput
from mivolo_cli.evaluate import EvalOptions
from mivolo_cli.metrics import Score
from mivolo_cli.model import create_model
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result, rows

SMALL, LARGE = Box(0, 0, 10, 10, 0.9), Box(20, 0, 50, 40, 0.8)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(1, 256, (60, 60, 3), np.uint8)
    PillowImage.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def label(path: str, age: float | None = 30.0, crop: str = "face", gender: str | None = "male") -> dict[str, Any]:
    image = {"bytes": png(len(path)), "path": path}
    return {"image": image, "crop": crop, "age": age, "age_min": 20.0, "age_max": 40.0, "gender": gender}


@pytest.fixture
def labels(tmp_path: Path):
    def write(*found: dict[str, Any]) -> Path:
        pq.write_table(pa.Table.from_pylist(list(found)), tmp_path / "labels.parquet")
        return tmp_path / "labels.parquet"

    return write


@pytest.fixture
def results(tmp_path: Path):
    """A table of a scan from path -> people; a text stands for an error."""

    def write(found: dict[str, Any], name: str = "results.csv") -> Path:
        with sinks.open_sinks([tmp_path / name], {}) as out:
            for path, people in found.items():
                photo = Photo("/photos", path)
                out.write(
                    rows(
                        Failure(photo, people, people)
                        if isinstance(people, str)
                        else Result(photo, 60, 60, None, people)
                    )
                )
        return tmp_path / name

    return write


def person(age: float | None, face: Box | None = SMALL, body: Box | None = None, gender: str = "male") -> tuple:
    return Person(face, body), None if age is None else Prediction(age, gender, 0.9, "face")


def measure(labels: Path, predictions: Path) -> Score:
    (found,) = evaluate.evaluate(EvalOptions([labels], predictions))
    return found.score


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_of_any_format_is_measured(labels, results, suffix: str) -> None:
    table = results({"a.png": [person(32)], "b.png": [person(24, gender="female")]}, f"results{suffix}")
    found = measure(labels(label("a.png"), label("b.png")), table)
    assert found == Score(people=2, refused=0, aged=2, gendered=2, mae=4.0, cs5=0.5, gender_accuracy=0.5)


def test_the_largest_face_counts_for_a_face(labels, results) -> None:
    table = results({"a.png": [person(80, SMALL), person(31, LARGE), person(90, None, Box(0, 0, 60, 60))]})
    assert measure(labels(label("a.png")), table).mae == 1


def test_the_largest_body_counts_for_a_body(labels, results) -> None:
    table = results({"a.png": [person(80, LARGE, SMALL), person(31, SMALL, LARGE)]})
    assert measure(labels(label("a.png", crop="body")), table).mae == 1


def test_who_has_no_prediction_is_refused_even_beside_others(labels, results) -> None:
    table = results(
        {"a.png": [person(80, SMALL), person(None, LARGE)], "b.png": [], "c.png": "corrupt", "d.png": [person(30)]}
    )
    found = measure(labels(*(label(f"{name}.png") for name in "abcd")), table)
    assert (found.people, found.refused, found.mae) == (4, 3, 0)


def test_a_face_is_not_measured_by_a_body_alone(labels, results) -> None:
    table = results({"a.png": [person(30, None, LARGE)], "b.png": [person(30)]})
    assert measure(labels(label("a.png"), label("b.png")), table).refused == 1


def test_names_alone_are_enough_where_they_are_clear(labels, results) -> None:
    table = results({"x/a.png": [person(30)]})
    assert measure(labels(label("train/a.png")), table).mae == 0


def test_an_ambiguous_name_is_no_answer_and_the_whole_path_is(labels, results) -> None:
    table = results({"x/a.png": [person(30)], "y/a.png": [person(90)]})
    found = measure(labels(label("z/a.png"), label("x/a.png")), table)
    assert (found.people, found.refused, found.mae) == (2, 1, 0)


def test_results_of_other_pictures_are_refused(labels, results) -> None:
    with pytest.raises(BadInput, match="none of the labelled pictures") as caught:
        measure(labels(label("a.png")), results({"b.png": [person(30)]}))
    assert "image.path" in caught.value.hint


def test_a_table_that_is_not_ours_is_refused(labels, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("path,age\na.png,30\n")
    with pytest.raises(BadInput, match="not a result table"):
        measure(labels(label("a.png")), tmp_path / "results.csv")


def test_faces_and_bodies_are_measured_apart(labels, results) -> None:
    table = results({"a.png": [person(33)], "b.png": [person(29, None, LARGE)]})
    found = evaluate.evaluate(EvalOptions([labels(label("a.png"), label("b.png", crop="body"))], table))
    assert [(item.data, item.crop, item.score.mae) for item in found] == [
        ("labels.parquet", "face", 3),
        ("labels.parquet", "body", 1),
    ]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Answers 58 years and male to everything."""
    model = create_model("mivolo_xs_32")
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    checkpoint.save(model, checkpoint.ModelSpec.of(model, "constant", 0, 116), tmp_path / "constant.safetensors")
    return tmp_path / "constant.safetensors"


def test_a_model_is_measured_on_whole_pictures(labels, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "CHUNK", 2)
    data = labels(label("a", 60.0), label("bb", 50.0), label("ccc", None, gender="female"), label("d", 58.0, "body"))
    done: list[int] = []
    options = EvalOptions([data], model=str(model), device="cpu", batch_size=2)
    face, body = evaluate.evaluate(options, done.append)
    assert face.score == Score(
        people=3,
        refused=0,
        aged=2,
        gendered=3,
        mae=pytest.approx(5, abs=1e-3),
        cs5=0.5,
        gender_accuracy=pytest.approx(2 / 3),
    )
    assert body.score.mae == pytest.approx(0, abs=1e-3) and body.score.people == 1
    assert done == [2, 3, 1]


def test_data_that_is_not_labelled_is_refused(tmp_path: Path, model: Path) -> None:
    with pytest.raises(BadInput, match="labelled data"):
        evaluate.evaluate(EvalOptions([tmp_path / "absent.parquet"], model=str(model), device="cpu"))
