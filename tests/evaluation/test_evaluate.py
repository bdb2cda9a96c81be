"""Measuring a model, and the results of a scan, on labelled pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.labels import label_row, write_labels
from helpers.photos import noise, save_photo
from helpers.scans import INFERENCE, inference_options
from numpy.typing import NDArray

from mivolo_cli import tables
from mivolo_cli.datasets import DataOptions
from mivolo_cli.errors import BadInput
from mivolo_cli.evaluation import evaluate
from mivolo_cli.evaluation.evaluate import EvalOptions, Evaluation
from mivolo_cli.evaluation.metrics import Figure, Score
from mivolo_cli.model import checkpoint
from mivolo_cli.model.architecture import create_model
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline.predict import Predictor
from mivolo_cli.records import Box, Failure, Person, Photo, Pixels, Prediction, Result, rows

Write = Callable[..., Path]
SMALL, LARGE = Box(0, 0, 10, 10, 0.9), Box(20, 0, 50, 40, 0.8)


@pytest.fixture
def labels(tmp_path: Path) -> Write:
    def write(*found: dict[str, Any]) -> Path:
        return write_labels(tmp_path / "labels.parquet", list(found))

    return write


@pytest.fixture
def results(tmp_path: Path) -> Write:
    """A table of a scan from path -> people; a text stands for an error."""

    def write(found: dict[str, Any], name: str = "results.csv") -> Path:
        with tables.open_sinks([tmp_path / name], {}) as out:
            for path, people in found.items():
                photo = Photo("/photos", path)
                failed = isinstance(people, str)
                out.write(
                    rows(
                        Failure(photo, people, people)
                        if failed
                        else Result(photo, 60, 60, None, people)
                    )
                )
        return tmp_path / name

    return write


def person(
    age: float | None, face: Box | None = SMALL, body: Box | None = None, gender: str = "male"
) -> tuple[Person, Prediction | None]:
    return Person(face, body), None if age is None else Prediction(
        age, gender, 0.9, "face", age - 5, age + 5
    )


def eval_options(data: Sequence[Path], **settings: Any) -> EvalOptions:
    """EvalOptions whose inference has its part of the settings."""
    others = {name: value for name, value in settings.items() if name not in INFERENCE}
    return EvalOptions(data, inference=inference_options(**settings), **others)


def run(*data: Path, **options: Any) -> list[Evaluation]:
    return evaluate.evaluate(eval_options(data, resamples=0, **options)).evaluations


def measure(labels: Path, predictions: Path) -> Score:
    (found,) = run(labels, predictions=predictions)
    return found.score


def figure(found: Figure | None) -> tuple[float, int]:
    assert found is not None and found.low is None and found.high is None
    return found.value, found.count


def mae(found: Score) -> float | None:
    return None if found.mae is None else found.mae.value


class OddEngine:
    """Answers the first of each batch with what is no number."""

    def __init__(self, odd: float) -> None:
        self.odd = odd

    def run(self, batch: Pixels, present: NDArray[np.bool_], /) -> NDArray[np.float32]:
        outputs = np.zeros((len(batch), 3), np.float32)
        outputs[0, 2] = self.odd
        return outputs


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_answers_that_are_no_numbers_are_none_and_that_is_said(
    labels: Write, notes: list[str], monkeypatch: pytest.MonkeyPatch, odd: float
) -> None:
    spec = ModelSpec("mivolo_xs_32", 6, 3, 32, 0.0, 100.0, 50.0, "odd")
    predictor = Predictor(OddEngine(odd), spec)
    monkeypatch.setattr(evaluate, "open_predictor", lambda options: predictor)
    (found,) = run(labels(*(label_row(f"{name}.png") for name in "abc")))
    assert (found.score.people, found.score.answered) == (3, 2)
    assert found.score.mae is not None and math.isfinite(found.score.mae.value)
    json.dumps(found.to_dict(), allow_nan=False)
    note = notes[-1]
    assert (
        note.startswith("1 of 3 people are counted as not answered")
        and "not a finite number" in note
    )


# --- results of a scan ---


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_of_any_format_is_measured(labels: Write, results: Write, suffix: str) -> None:
    table = results(
        {"a.png": [person(32)], "b.png": [person(24, gender="female")]}, f"results{suffix}"
    )
    found = measure(labels(label_row("a.png"), label_row("b.png")), table)
    assert (found.people, found.answered, found.mae, found.cs, found.gender, found.coverage) == (
        *(2, 2),
        *(Figure(4, 2), Figure(0.5, 2), Figure(0.5, 2), Figure(0.5, 2)),
    )


def test_the_largest_face_counts_for_a_face(labels: Write, results: Write) -> None:
    table = results(
        {"a.png": [person(80, SMALL), person(31, LARGE), person(90, None, Box(0, 0, 60, 60))]}
    )
    assert mae(measure(labels(label_row("a.png")), table)) == 1


def test_the_largest_body_counts_for_a_body(labels: Write, results: Write) -> None:
    table = results({"a.png": [person(80, LARGE, SMALL), person(31, SMALL, LARGE)]})
    assert mae(measure(labels(label_row("a.png", "body")), table)) == 1


def test_who_has_no_prediction_is_not_answered_even_beside_others(
    labels: Write, results: Write
) -> None:
    table = results(
        {
            "a.png": [person(80, SMALL), person(None, LARGE)],
            "b.png": [],
            "c.png": "corrupt",
            "d.png": [person(30)],
        }
    )
    found = measure(labels(*(label_row(f"{name}.png") for name in "abcd")), table)
    assert (found.people, found.answered, mae(found)) == (4, 1, 0)


def test_pictures_that_the_results_do_not_have_are_said(
    labels: Write, results: Write, notes: list[str]
) -> None:
    data, table = (
        labels(label_row("a.png"), label_row("b.png"), label_row("c.png")),
        results({"a.png": [person(30)]}),
    )
    found = evaluate.evaluate(EvalOptions([data], predictions=table, resamples=0))
    (note,) = notes
    assert "2 of 3" in note and "b.png" in note and found.evaluations[0].score.answered == 1


def test_a_limit_takes_people_from_all_over_the_data(labels: Write, results: Write) -> None:
    names = [f"{number}.png" for number in range(10)]
    table = results({name: [person(30 + number)] for number, name in enumerate(names)})
    (found,) = run(labels(*map(label_row, names)), predictions=table, limit=4)
    said = [outcome.prediction for outcome in found.outcomes]
    assert [None if one is None else one.age for one in said] == [30, 32, 35, 37]
    (whole,) = run(labels(*map(label_row, names)), predictions=table, limit=11)
    assert whole.score.people == 10


@pytest.mark.parametrize("crop", ["face", "photo"])
def test_somebody_seen_from_the_body_only_counts_too(
    crop: str, labels: Write, results: Write
) -> None:
    table = results({"a.png": [person(39, None, LARGE)], "b.png": [person(31)]})
    found = measure(labels(label_row("a.png", crop), label_row("b.png", crop)), table)
    assert (found.answered, mae(found)) == (2, 5)


def test_names_alone_are_enough_where_they_are_clear(labels: Write, results: Write) -> None:
    assert mae(measure(labels(label_row("train/a.png")), results({"x/a.png": [person(30)]}))) == 0


def test_an_ambiguous_name_is_no_answer_and_the_whole_path_is(
    labels: Write, results: Write
) -> None:
    table = results({"x/a.png": [person(30)], "y/a.png": [person(90)]})
    found = measure(labels(label_row("z/a.png"), label_row("x/a.png")), table)
    assert (found.people, found.answered, mae(found)) == (2, 1, 0)


def test_on_a_picture_of_several_the_box_tells_who_is_who(tmp_path: Path, results: Write) -> None:
    save_photo(tmp_path / "a.png", pixels=noise(1))
    lines = ["a.png,30,0,0,10,10", "a.png,50,20,0,50,40", "a.png,70,0,45,12,59"]
    (tmp_path / "labels.csv").write_text(
        "\n".join(["path,age,face_x1,face_y1,face_x2,face_y2", *lines])
    )
    found = measure(
        tmp_path / "labels.csv", results({"a.png": [person(52, LARGE), person(31, SMALL)]})
    )
    assert (found.people, found.answered, mae(found)) == (3, 2, 1.5)


def test_results_of_other_pictures_are_refused(labels: Write, results: Write) -> None:
    with pytest.raises(BadInput, match="none of the labelled pictures"):
        measure(labels(label_row("a.png")), results({"b.png": [person(30)]}))


def test_a_table_that_is_not_ours_is_refused(labels: Write, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("path,age\na.png,30\n")
    with pytest.raises(BadInput, match="not a result table"):
        measure(labels(label_row("a.png")), tmp_path / "results.csv")


def test_faces_and_bodies_are_measured_apart(labels: Write, results: Write) -> None:
    table = results({"a.png": [person(33)], "b.png": [person(29, None, LARGE)]})
    found = run(labels(label_row("a.png"), label_row("b.png", "body")), predictions=table)
    assert [(item.data, item.shows, item.source, mae(item.score)) for item in found] == [
        ("labels", "face", "results.csv", 3),
        ("labels", "body", "results.csv", 1),
    ]


def test_two_tables_stand_side_by_side(labels: Write, results: Write) -> None:
    data = labels(label_row("a.png"))
    ours, others = (
        results({"a.png": [person(33)]}, "ours.csv"),
        results({"a.png": [person(38)]}, "others.csv"),
    )
    found = run(data, predictions=ours, compare=others)
    assert [(item.source, mae(item.score)) for item in found] == [
        ("ours.csv", 3),
        ("others.csv", 8),
    ]


def test_groups_show_where_it_is_bad(labels: Write, results: Write) -> None:
    table = results({"a.png": [person(10)], "b.png": [person(50, gender="female")]})
    data = labels(label_row("a.png", age=70.0), label_row("b.png", age=52.0, gender="female"))
    (found,) = run(data, predictions=table)
    by = {(group.by, group.name): mae(group.score) for group in found.groups}
    assert by == {
        ("used", "face"): 31,
        ("gender", "female"): 2,
        ("gender", "male"): 60,
        ("age", "45-64"): 2,
        ("age", "65+"): 60,
    }


def test_ranges_are_told_apart_in_groups_too(labels: Write, results: Write) -> None:
    ends = {"a.png": (16.0, 30.0), "b.png": (31.0, 45.0)}
    data = labels(
        *(label_row(n, "body", None, age_min=low, age_max=high) for n, (low, high) in ends.items())
    )
    table = results({name: [person(20, None, LARGE)] for name in ends})
    (found,) = run(data, predictions=table)
    assert found.score.in_range == Figure(0.5, 2) and found.score.one_off == Figure(1, 2)
    assert {g.name: g.score.in_range for g in found.groups if g.by == "age"} == {
        "16-30": Figure(1, 1),
        "31-45": Figure(0, 1),
    }


def test_invalid_rows_are_refused_or_told(labels: Write, results: Write) -> None:
    data, table = (
        labels(label_row("a.png"), label_row("b.png", age=400.0)),
        results({"a.png": [person(33)]}),
    )
    with pytest.raises(BadInput, match="1 of 2 rows"):
        run(data, predictions=table)
    report = evaluate.evaluate(
        EvalOptions([data], table, reading=DataOptions(invalid="skip"), resamples=0)
    )
    assert [problem.code for problem in report.problems] == ["age"]
    assert mae(report.evaluations[0].score) == 3


# --- a model ---


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Answers 58 years and male to everything; always the same file, which is converted once."""
    torch.manual_seed(0)
    model = create_model("mivolo_xs_32")
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    file = tmp_path_factory.mktemp("model") / "constant.safetensors"
    checkpoint.save(model, checkpoint.spec_of(model, "constant", 0, 116), file)
    return str(file)


def test_a_model_is_measured_on_whole_pictures(
    labels: Write, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "CHUNK", 2)
    nobody: dict[str, Any] = {"age_min": None, "age_max": None}
    data = labels(
        label_row("a", age=60.0),
        label_row("bb", age=50.0),
        label_row("ccc", age=None, gender="female", **nobody),
        label_row("d", "body", 58.0),
    )
    done: list[int] = []
    options = eval_options([data], model=model, device="cpu", batch_size=2, resamples=0)
    face, body = evaluate.evaluate(options, done.append).evaluations
    assert (face.score.people, face.score.answered) == (3, 3)
    assert figure(face.score.mae) == (pytest.approx(5, abs=1e-3), 2)
    assert figure(face.score.gender) == (pytest.approx(2 / 3), 3)
    assert mae(body.score) == pytest.approx(0, abs=1e-3) and body.score.people == 1
    assert done == [2, 3, 1]


@pytest.mark.parametrize("use, used", [("both", "face+body"), ("face", "face"), ("body", "body")])
def test_the_use_decides_what_the_model_sees(
    tmp_path: Path, model: str, use: Any, used: str
) -> None:
    save_photo(tmp_path / "a.png", pixels=noise(1, 100, 120))
    columns = [f"{kind}_{edge}" for kind in ("face", "body") for edge in ("x1", "y1", "x2", "y2")]
    (tmp_path / "labels.csv").write_text(
        f"path,age,{','.join(columns)}\na.png,30,20,5,40,25,0,0,100,100\n"
    )
    (found,) = run(tmp_path / "labels.csv", model=model, device="cpu", use=use)
    assert found.shows == "face+body" and [
        group.name for group in found.groups if group.by == "used"
    ] == [used]


def test_faces_and_bodies_are_combined_on_request(labels: Write, model: str) -> None:
    data = labels(
        label_row("a.png", age=30.0), label_row("b.png", age=90.0), label_row("c.png", "body", None)
    )
    found = run(data, model=model, device="cpu", combine=True)
    assert [(item.data, item.shows, item.score.people) for item in found] == [
        ("labels", "face", 2),
        ("labels", "body", 1),
        ("combined pairs", "face+body", 1),
        ("their faces alone", "face", 1),
    ]


def test_what_cannot_be_combined_is_refused(labels: Write, results: Write, model: str) -> None:
    with pytest.raises(BadInput, match="fits a body"):
        run(labels(label_row("a.png")), model=model, device="cpu", combine=True)
    with pytest.raises(BadInput, match="combined"):
        run(labels(label_row("a.png")), predictions=results({"a.png": []}), combine=True)


@pytest.mark.slow
def test_a_whole_photo_is_looked_at_by_the_detector(tmp_path: Path, model: str) -> None:
    save_photo(tmp_path / "a.png", pixels=noise(1, 100, 120))
    (tmp_path / "labels.csv").write_text("path,age\na.png,30\n")
    (found,) = run(
        tmp_path / "labels.csv", model=model, device="cpu", reading=DataOptions(shows="photo")
    )
    assert (found.shows, found.score.people, found.score.answered) == ("photo", 1, 0), (
        "nobody is in noise"
    )


def test_a_report_is_plain_values(labels: Write, results: Write) -> None:
    (found,) = run(labels(label_row("a.png")), predictions=results({"a.png": [person(33)]}))
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["score"]["mae"] == {"value": 3, "count": 1, "low": None, "high": None}
    assert "outcomes" not in plain and plain["groups"][0]["by"] == "used"


def test_data_that_is_not_labelled_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(BadInput, match="labelled data"):
        run(tmp_path / "absent.parquet", model=model, device="cpu")
