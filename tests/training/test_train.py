"""Training: a few steps on made-up pictures, going on after an interruption, and recipes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from helpers.labels import label_row, write_labels
from helpers.photos import save_photo
from torch import Tensor

from mivolo_cli.datasets import DataOptions, read_samples
from mivolo_cli.errors import BadInput, WeightsError
from mivolo_cli.model import checkpoint
from mivolo_cli.model.architecture import create_model
from mivolo_cli.training import train
from mivolo_cli.training.loss import Batch
from mivolo_cli.training.recipe import Recipe, read_recipe
from mivolo_cli.training.train import TrainOptions
from mivolo_cli.training.trainer import Trainer

TINY = Recipe(
    variant="mivolo_xs_32", epochs=3, batch_size=4, warmup_steps=1, drop_path=0.4, average=0.5
)
"""Six steps on eight faces and eight bodies."""


def row(crop: str, number: int) -> dict[str, Any]:
    ages = (
        {"age": 5.0 * number} if crop == "face" else {"age": None, "age_min": 0.0, "age_max": 16.0}
    )
    if crop == "body" and number >= 4:
        ages |= {"age_min": 17.0, "age_max": None}
    return label_row(
        f"{crop}{number}.png", crop, gender=("male", "female", None)[number % 3], **ages
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_labels(
        tmp_path / "labels.parquet",
        [row(crop, number) for number in range(8) for crop in ("face", "body")],
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So that sums have one order and equal means equal."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(file: Path) -> checkpoint.ModelSpec:
    return checkpoint.load(file)[1]


def tensors(file: Path) -> dict[str, Tensor]:
    return checkpoint.read_tensors(file)[0]


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def options(data: Path, out: Path, **changes: Any) -> TrainOptions:
    return replace(
        TrainOptions(
            [data], out, replace(TINY, shares={"face": 0.5, "body": 0.25, "face+body": 0.25})
        ),
        **changes,
    )


@pytest.mark.slow
def test_a_run_leaves_a_model_a_log_and_a_checkpoint(data: Path, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    out = tmp_path / "runs" / "one"
    file = train.train(options(data, out, validation=[data]), reported.append)
    assert file == out / "model.safetensors"
    assert sorted(path.name for path in out.iterdir()) == [
        "last.pt",
        "log.csv",
        "model.safetensors",
        "people.parquet",
        "steps.csv",
    ]
    assert spec_of(file).intervals is None, "sixteen people are too few to calibrate on"

    model, spec = checkpoint.load(file)
    assert (spec.variant, spec.inputs, spec.num_classes) == ("mivolo_xs_32", "face+body", 3)
    assert (spec.min_age, spec.max_age, spec.avg_age) == (0, 116, 58)
    assert not equal(model.state_dict(), create_model("mivolo_xs_32").state_dict())

    with (out / "log.csv").open(newline="") as log:
        rows = list(csv.DictReader(log))
    assert [line["epoch"] for line in rows] == ["2", "3"]
    assert (
        rows[-1]["data"] == "labels" and rows[-1]["people"] == "16" and float(rows[-1]["mae"]) >= 0
    )
    assert [str(line["mae"]) for line in reported if "data" in line] == [
        line["mae"] for line in rows
    ]

    state = torch.load(out / "last.pt", weights_only=True)
    assert state["step"] == state["steps"] == 6


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_and_another_seed_another(
    data: Path, tmp_path: Path
) -> None:
    def run(name: str, seed: int) -> dict[str, Tensor]:
        recipe = replace(TINY, epochs=1, seed=seed)
        return tensors(train.train(options(data, tmp_path / name, recipe=recipe)))

    first = run("a", 1)
    assert equal(first, run("b", 1))
    assert not equal(first, run("c", 2))


@pytest.mark.slow
def test_an_interrupted_run_goes_on_exactly(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tensors(train.train(options(data, tmp_path / "whole")))

    learn = Trainer.learn

    def stop_at_four(self: Trainer, batch: Batch) -> dict[str, Tensor]:
        if self.step == 4:
            raise KeyboardInterrupt
        return learn(self, batch)

    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", -1)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "learn", stop_at_four)
        with pytest.raises(KeyboardInterrupt):
            train.train(options(data, tmp_path / "broken"))
    assert torch.load(tmp_path / "broken" / "last.pt", weights_only=True)["step"] == 4
    assert not (tmp_path / "broken" / "model.safetensors").exists()

    torch.rand(7)  # whatever happened to the random numbers in between
    seen: list[int] = []

    def count(self: Trainer, batch: Batch) -> dict[str, Tensor]:
        seen.append(self.step)
        return learn(self, batch)

    monkeypatch.setattr(Trainer, "learn", count)
    resumed = tensors(train.train(options(data, tmp_path / "broken", resume=True)))
    assert seen[0] == 4 and len(seen) >= 2
    assert equal(resumed, whole)


@pytest.mark.slow
def test_a_run_that_is_asked_to_stop_does_so_between_two_steps(data: Path, tmp_path: Path) -> None:
    whole = tensors(train.train(options(data, tmp_path / "whole")))
    told: list[str] = []

    def stop_after_three(verb: str, done: int, total: int) -> None:
        told.append(verb)
        if (verb, done) == ("train", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(options(data, tmp_path / "broken"), on_progress=stop_after_three)
    assert set(told) == {"find the people of labels", "read the pictures", "train"}
    assert torch.load(tmp_path / "broken" / "last.pt", weights_only=True)["step"] == 3
    resumed = train.train(options(data, tmp_path / "broken", resume=True))
    assert equal(tensors(resumed), whole)


@pytest.mark.slow
def test_unknown_genders_are_those_that_the_initial_model_is_sure_of(
    data: Path, tmp_path: Path, tiny_model: Path
) -> None:
    asked = options(data, tmp_path / "out", init=str(tiny_model))
    sure = replace(asked, recipe=replace(asked.recipe, pseudo_gender=0.5))
    unsure = replace(asked, recipe=replace(asked.recipe, pseudo_gender=1.1))
    before = train.read_dataset(data)
    faces = [s.label.gender for s in before.samples if s.face is not None]
    assert None in faces
    for options_, missing in ((sure, 0), (unsure, faces.count(None))):
        after = [s.label.gender for s in train.with_pseudo_genders(before, options_).samples]
        known = [s.label.gender for s in before.samples]
        assert all(a == b for a, b in zip(after, known, strict=True) if b is not None)
        told = [a for a, s in zip(after, before.samples, strict=True) if s.face is not None]
        assert told.count(None) == missing
    with pytest.raises(BadInput, match="needs a model for its estimates"):
        train.with_pseudo_genders(before, replace(sure, init=None))


@pytest.mark.slow
def test_a_checkpoint_of_a_run_of_another_length_is_refused(data: Path, tmp_path: Path) -> None:
    train.train(options(data, tmp_path / "out"))
    more = write_labels(
        tmp_path / "more.parquet", [row("face", number) for number in range(16)] + [row("body", 1)]
    )
    with pytest.raises(BadInput, match="steps"):
        train.train(options(more, tmp_path / "out", resume=True))


@pytest.mark.slow
def test_training_may_begin_with_another_model(data: Path, tmp_path: Path) -> None:
    still = replace(TINY, epochs=1, muon_lr=0.0, adamw_lr=0.0)
    first = train.train(options(data, tmp_path / "first", recipe=replace(TINY, epochs=1)))
    second = train.train(options(data, tmp_path / "second", recipe=still, init=str(first)))
    begun, ended = tensors(first), tensors(second)
    learned = [name for name in begun if "running_" not in name and "num_batches" not in name]
    assert learned and all(torch.equal(begun[name], ended[name]) for name in learned)


def test_a_model_of_another_size_cannot_be_begun_with(data: Path, tmp_path: Path) -> None:
    other = create_model("mivolo_xs_48")
    checkpoint.save(
        other, checkpoint.spec_of(other, "other", 0, 116), tmp_path / "other.safetensors"
    )
    with pytest.raises(BadInput, match=r"other\.safetensors"):
        train.train(options(data, tmp_path / "out", init=str(tmp_path / "other.safetensors")))
    with pytest.raises(WeightsError, match="no-such-model"):
        train.train(options(data, tmp_path / "out", init="no-such-model"))


def test_training_without_a_recipe_and_without_genders_works(tmp_path: Path) -> None:
    """Unknown genders teach nothing, and must not turn the weights into no numbers."""
    nameless = write_labels(
        tmp_path / "ages.parquet", [row("face", number) | {"gender": None} for number in range(8)]
    )
    recipe = replace(read_recipe(epochs=1), variant="mivolo_xs_32", batch_size=4)
    found = tensors(train.train(options(nameless, tmp_path / "out", recipe=recipe)))
    assert all(value.isfinite().all() for value in found.values())


def test_data_without_rows_is_refused(data: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(data).slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(BadInput, match="empty"):
        train.train(options(tmp_path / "empty.parquet", tmp_path / "out"))


def test_a_recipe_for_a_model_that_does_not_exist_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="mivolo_xxl"):
        train.train(options(data, tmp_path / "out", recipe=replace(TINY, variant="mivolo_xxl")))


def test_a_folder_that_holds_a_training_is_not_written_over(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "last.pt").write_bytes(b"hours of work")
    with pytest.raises(BadInput, match="contains a training"):
        train.train(options(data, out))
    assert (out / "last.pt").read_bytes() == b"hours of work"


def test_a_checkpoint_of_another_recipe_is_refused_by_what_differs(
    data: Path, tmp_path: Path
) -> None:
    recipe = replace(TINY, epochs=1)
    train.train(options(data, tmp_path / "out", recipe=recipe))
    with pytest.raises(BadInput, match="different seed, drop_path"):
        train.train(
            options(
                data, tmp_path / "out", recipe=replace(recipe, seed=9, drop_path=0.1), resume=True
            )
        )


def test_a_damaged_checkpoint_is_told(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train.train(options(data, out, recipe=replace(TINY, epochs=1)))
    (out / "last.pt").write_bytes((out / "last.pt").read_bytes()[:20_000])
    with pytest.raises(BadInput, match="damaged"):
        train.train(options(data, out, recipe=replace(TINY, epochs=1), resume=True))


@pytest.mark.slow
def test_the_best_of_the_validations_is_kept_and_waiting_ends(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a figure that is best at the second validation and never again."""
    figures = iter([9.0, 5.0, 7.0, 6.0, 8.0, 1.0])
    seen: list[dict[str, Tensor]] = []

    def monitored(found: Any, recipe: Recipe) -> float:
        return next(figures)

    def keep(trainer: Trainer, validation: train.Validation) -> Any:
        seen.append({name: value.clone() for name, value in trainer.averaged.state_dict().items()})
        return validate(trainer, validation)

    validate = train.validate
    monkeypatch.setattr(train, "_monitored", monitored)
    monkeypatch.setattr(train, "validate", keep)
    recipe = replace(TINY, epochs=6, patience=2, validate_every=1)
    out = tmp_path / "out"
    model = train.train(options(data, out, recipe=recipe, validation=[data]))
    assert len(seen) == 4
    found = {name: value.float() for name, value in tensors(model).items()}
    near = [max((found[name] - some[name].float()).abs().max() for name in found) for some in seen]
    assert near[1] < 1e-3 < min(near[0], near[2], near[3])
    assert not (out / "best.safetensors").exists()
    train.train(options(data, out, recipe=recipe, validation=[data], resume=True))
    assert len(seen) == 4, "a training that has ended stays ended"


def test_patience_needs_something_to_judge_by(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="validation"):
        train.train(options(data, tmp_path / "out", recipe=replace(TINY, patience=1)))


def test_what_decides_is_the_error_of_age_or_of_gender(data: Path) -> None:
    found = train.score([train.Outcome(read_samples([data])[0].label, None)])
    assert (
        train._monitored(found, Recipe()) is None
        and train._monitored(found, Recipe(monitor="gender")) is None
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes, inputs, outputs, concatenates",
    [
        ({"inputs": "face", "shares": {"face": 1.0}}, "face", 3, False),
        ({"inputs": "body", "shares": {"body": 1.0}, "gender": False}, "body", 1, False),
        ({"fusion": "concatenation"}, "face+body", 3, True),
        ({"optimizer": "adamw", "age_loss": "mse", "lds": "laplace"}, "face+body", 3, False),
        ({"accumulate": 2}, "face+body", 3, False),
    ],
)
def test_the_papers_variants_can_be_trained(
    tmp_path: Path, changes: dict[str, Any], inputs: str, outputs: int, concatenates: bool
) -> None:
    kinds = ("face", "body") if "+" in inputs else (inputs,)
    rows = [row(crop, number) for number in range(8) for crop in kinds]
    data = write_labels(tmp_path / "some.parquet", rows)
    recipe = replace(TINY, epochs=1, shares={"face": 0.5, "body": 0.5})
    model, spec = checkpoint.load(
        train.train(options(data, tmp_path / "out", recipe=replace(recipe, **changes)))
    )
    assert (spec.inputs, spec.num_classes) == (inputs, outputs)
    fusion = "" if spec.in_chans == 3 else model.get_submodule("patch_embed.map").fusion
    assert (fusion == "concatenation") is concatenates


@pytest.mark.slow
def test_parts_of_a_batch_add_up_to_the_whole(data: Path, tmp_path: Path) -> None:
    """Without batch statistics and with equal parts, the gradient is the same; here: nearly the
    same weights."""
    whole, parts = (
        tensors(
            train.train(
                options(
                    data,
                    tmp_path / str(n),
                    recipe=replace(TINY, epochs=1, drop_path=0.0, accumulate=n),
                )
            )
        )
        for n in (1, 2)
    )
    assert not equal(whole, parts)
    assert (
        max(
            (whole[name].float() - parts[name].float()).abs().max()
            for name in whole
            if "head" in name
        )
        < 0.02
    )


@pytest.mark.slow
def test_intervals_are_calibrated_on_validation_data(tmp_path: Path, data: Path) -> None:
    many = write_labels(
        tmp_path / "many.parquet", [row("face", number % 20) for number in range(130)]
    )
    spec = spec_of(
        train.train(
            options(data, tmp_path / "out", validation=[many], recipe=replace(TINY, epochs=1))
        )
    )
    assert spec.intervals is not None and set(spec.intervals.bands) == {"face"}


def test_all_formats_of_labelled_data_can_be_trained_on(tmp_path: Path) -> None:
    for number in range(4):
        save_photo(tmp_path / f"{number}.png")
    lines = [f"{number}.png,{20 + number},M,5,5,40,40,0,0,79,60" for number in range(4)]
    boxes = [f"{kind}_{edge}" for kind in ("face", "person") for edge in ("x0", "y0", "x1", "y1")]
    header = ",".join(["img_name,age,gender", *boxes])
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    recipe = replace(TINY, epochs=1, shares={"pair": 0.4, "face": 0.3, "body": 0.3})
    assert train.train(options(tmp_path / "labels.csv", tmp_path / "out", recipe=recipe)).is_file()


def test_invalid_rows_stop_a_training_before_it_starts(data: Path, tmp_path: Path) -> None:
    bad = write_labels(tmp_path / "bad.parquet", [row("face", 1), row("face", 2) | {"age": 300.0}])
    with pytest.raises(BadInput, match="1 of 2 rows"):
        train.train(options(bad, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    recipe = replace(TINY, epochs=1, shares={"face": 1.0}, batch_size=1)
    skipping = options(bad, tmp_path / "out", recipe=recipe, reading=DataOptions(invalid="skip"))
    assert train.train(skipping).is_file()


@pytest.mark.slow
def test_the_course_is_logged_for_spreadsheets_and_for_tensorboard(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(train, "REPORT_STEPS", 2)
    out = tmp_path / "out"
    train.train(options(data, out, validation=[data], tensorboard=True))
    with (out / "steps.csv").open(newline="") as log:
        rows = list(csv.DictReader(log))
    assert [line["step"] for line in rows] == ["2", "4", "6"] and all(
        float(line["age"]) > 0 for line in rows
    )
    assert any(file.stat().st_size > 200 for file in (out / "tensorboard").iterdir())


def test_tensorboard_is_asked_for_before_the_work(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="tensorboard"):
        train.train(options(data, tmp_path / "out", tensorboard=True))
