"""Training: a few steps on made-up pictures, going on after an interruption, and recipes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

from mivolo_cli import checkpoint, train, weights
from mivolo_cli.augment import Augmentation
from mivolo_cli.errors import BadInput, WeightsError
from mivolo_cli.model import create_model
from mivolo_cli.train import Batch, Recipe, Trainer, TrainOptions, loss, read_recipe

TINY = Recipe(variant="mivolo_xs_32", epochs=3, batch_size=4, warmup_steps=1, drop_path=0.4, average=0.5)
"""Six steps on eight faces and eight bodies."""
SPEC = checkpoint.ModelSpec("mivolo_xs_32", 6, 3, 32, 0.0, 116.0, 58.0, "test")


SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("crop", pa.string()),
        *((name, pa.float64()) for name in ("age", "age_min", "age_max")),
        ("gender", pa.string()),
    ]
)


def row(crop: str, number: int) -> dict[str, Any]:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(1, 256, (60, 60, 3), np.uint8)
    PillowImage.fromarray(pixels).save(file, "PNG")
    return {
        "image": {"bytes": file.getvalue(), "path": f"{crop}{number}.png"},
        "crop": crop,
        "age": 5.0 * number if crop == "face" else None,
        "age_min": 0.0 if number < 4 else 17.0,
        "age_max": 16.0 if number < 4 else None,
        "gender": ("male", "female", None)[number % 3],
    }


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows).cast(SCHEMA), file)
    return file


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "labels.parquet", [row(crop, number) for number in range(8) for crop in ("face", "body")])


@pytest.fixture(autouse=True)
def one_thread():
    """So that sums have one order and equal means equal."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(file: Path) -> dict[str, Tensor]:
    return checkpoint.read_tensors(file)[0]


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def options(data: Path, out: Path, **changes: Any) -> TrainOptions:
    return replace(
        TrainOptions([data], out, replace(TINY, shares={"face": 0.5, "body": 0.25, "face+body": 0.25})), **changes
    )


def test_a_run_leaves_a_model_a_log_and_a_checkpoint(data: Path, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    out = tmp_path / "runs" / "one"
    file = train.train(options(data, out, validation=[data]), reported.append)
    assert file == out / "model.safetensors"
    assert sorted(path.name for path in out.iterdir()) == ["last.pt", "log.csv", "model.safetensors"]

    model, spec = checkpoint.load(file)
    assert (spec.variant, spec.inputs, spec.num_classes) == ("mivolo_xs_32", "face+body", 3)
    assert (spec.min_age, spec.max_age, spec.avg_age) == (0, 116, 58)
    assert not equal(model.state_dict(), create_model("mivolo_xs_32").state_dict())

    with (out / "log.csv").open(newline="") as log:
        rows = list(csv.DictReader(log))
    assert [line["epoch"] for line in rows] == ["2", "3"]
    assert rows[-1]["data"] == "labels" and rows[-1]["people"] == "16" and float(rows[-1]["mae"]) >= 0
    assert [str(line["mae"]) for line in reported] == [line["mae"] for line in rows]

    state = torch.load(out / "last.pt", weights_only=True)
    assert state["step"] == state["steps"] == 6


def test_the_same_seed_gives_the_same_model_and_another_seed_another(data: Path, tmp_path: Path) -> None:
    def run(name: str, seed: int) -> dict[str, Tensor]:
        recipe = replace(TINY, epochs=1, seed=seed)
        return tensors(train.train(options(data, tmp_path / name, recipe=recipe)))

    first = run("a", 1)
    assert equal(first, run("b", 1))
    assert not equal(first, run("c", 2))


def test_an_interrupted_run_goes_on_exactly(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_checkpoint_of_a_run_of_another_length_is_refused(data: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, epochs=1)
    train.train(options(data, tmp_path / "out", recipe=recipe))
    with pytest.raises(BadInput, match="steps"):
        train.train(options(data, tmp_path / "out", recipe=replace(recipe, epochs=2), resume=True))


def test_training_may_begin_with_another_model(data: Path, tmp_path: Path) -> None:
    still = replace(TINY, epochs=1, muon_lr=0.0, adamw_lr=0.0)
    first = train.train(options(data, tmp_path / "first", recipe=replace(TINY, epochs=1)))
    second = train.train(options(data, tmp_path / "second", recipe=still, init=str(first)))
    learned = [name for name in tensors(first) if "running_" not in name and "num_batches" not in name]
    assert all(torch.equal(tensors(first)[name], tensors(second)[name]) for name in learned)


def test_a_model_of_another_size_cannot_be_begun_with(data: Path, tmp_path: Path) -> None:
    other = create_model("mivolo_xs_48")
    checkpoint.save(other, checkpoint.ModelSpec.of(other, "other", 0, 116), tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match=r"other\.safetensors"):
        train.train(options(data, tmp_path / "out", init=str(tmp_path / "other.safetensors")))
    with pytest.raises(WeightsError, match="no-such-model"):
        train.train(options(data, tmp_path / "out", init="no-such-model"))


def test_training_without_a_recipe_and_without_genders_works(tmp_path: Path) -> None:
    """Unknown genders teach nothing, and must not turn the weights into no numbers."""
    nameless = write(tmp_path / "ages.parquet", [row("face", number) | {"gender": None} for number in range(8)])
    recipe = replace(read_recipe(epochs=1), variant="mivolo_xs_32", batch_size=4)
    found = tensors(train.train(options(nameless, tmp_path / "out", recipe=recipe)))
    assert all(value.isfinite().all() for value in found.values())


def test_data_without_rows_is_refused(data: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(data).slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(BadInput, match="empty"):
        train.train(options(tmp_path / "empty.parquet", tmp_path / "out"))


def batch(low: list[float], high: list[float], gender: list[int]) -> Batch:
    n = len(low)
    nothing = torch.zeros(n, 1, 1, 6, dtype=torch.uint8), torch.ones(n, 2, dtype=torch.bool)
    return Batch(*nothing, torch.tensor(low), torch.tensor(high), torch.tensor(gender))


def says(*years: float, male: float = 0.0) -> Tensor:
    return torch.tensor([[male, -male, (age - 58) / 116] for age in years])


@pytest.mark.parametrize("age, is_inside", [(17, True), (25, True), (30, True), (16, False), (31, False), (90, False)])
def test_an_age_within_the_known_range_costs_nothing(age: float, is_inside: bool) -> None:
    _, parts = loss(says(age), batch([17.0], [30.0], [-1]), SPEC, Recipe())
    assert (parts["age"].item() < 1e-9) is is_inside


def test_the_error_in_years_is_that_of_exact_ages() -> None:
    _, parts = loss(says(33, 48, 90), batch([30.0, 50.0, 17.0], [30.0, 50.0, 30.0], [0, 1, 0]), SPEC, Recipe())
    assert parts["mae"].item() == pytest.approx(2.5, abs=1e-4)


def test_a_range_weighs_less_than_an_age() -> None:
    recipe = Recipe(range_weight=0.25)
    exact = loss(says(40), batch([30.0], [30.0], [-1]), SPEC, recipe)[1]["age"]
    ranged = loss(says(40), batch([17.0], [30.0], [-1]), SPEC, recipe)[1]["age"]
    assert ranged.item() == pytest.approx(exact.item() / 4, rel=1e-4)


def test_gender_is_learned_where_it_is_known_and_only_there() -> None:
    recipe = Recipe(label_smoothing=0.0)
    right = loss(says(30, male=2.0), batch([30.0], [30.0], [0]), SPEC, recipe)[1]["gender"].item()
    wrong = loss(says(30, male=2.0), batch([30.0], [30.0], [1]), SPEC, recipe)[1]["gender"].item()
    assert right < 0.1 < 3 < wrong
    mixed = loss(says(30, 30, male=2.0), batch([30.0, 30.0], [30.0, 30.0], [1, -1]), SPEC, recipe)[1]["gender"].item()
    assert mixed == pytest.approx(wrong)
    total, parts = loss(says(30), batch([30.0], [30.0], [-1]), SPEC, recipe)
    assert parts["gender"].item() == 0 and total.item() == pytest.approx(0, abs=1e-6)


def test_a_new_model_answers_the_mean_age() -> None:
    model = create_model("mivolo_xs_32").eval()
    train.start_at(model, 0.125)
    assert model.head.bias[-1].item() == 0.125
    assert Trainer(TINY, 6, "cpu", None, 43.5).model.model.head.bias[-1].item() == -0.125


def test_the_rate_warms_up_and_comes_down() -> None:
    trainer = Trainer(replace(TINY, warmup_steps=10), 100, "cpu", None, 30.0)
    rates = [trainer.learning_rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[100] == pytest.approx(0.01)
    assert max(rates) == max(rates[8:12]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_bodies_may_begin_with_what_faces_know() -> None:
    embed = Trainer(replace(TINY, body_from_face=True), 6, "cpu", None, 30.0).model.model.patch_embed
    assert equal(embed.conv1.state_dict(), embed.conv2.state_dict())
    assert equal(embed.proj1.state_dict(), embed.proj2.state_dict())


@pytest.mark.parametrize("file", sorted((weights.folder() / "recipes").glob("*.toml")), ids=lambda file: file.name)
def test_the_recipes_that_travel_with_the_program_are_recipes(file: Path) -> None:
    recipe = read_recipe(file)
    create_model(recipe.variant)
    assert sum(recipe.shares.values()) == pytest.approx(1)
    assert read_recipe(file, epochs=2) == replace(recipe, epochs=2)


def test_there_are_recipes() -> None:
    assert (weights.folder() / "recipes" / "mivolo_xs.toml").is_file()


def test_a_recipe_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("seed = 7\n[augmentation]\ntilt = 3.0\n[shares]\nface = 1.0\n")
    recipe = read_recipe(tmp_path / "r.toml")
    assert recipe == replace(Recipe(), seed=7, shares={"face": 1.0}, augmentation=replace(Augmentation(), tilt=3.0))
    assert read_recipe() == Recipe()


@pytest.mark.parametrize(
    "text",
    [
        "epoch = 3",
        "[augmentation]\nspin = 3",
        "[shares]\nhead = 1.0",
        "[shares]\nface = -1.0",
        "epochs = 0",
        "batch_size = 0",
        'epochs = "many"',
        "seed = ",
        "augmentation = 3",
    ],
)
def test_what_is_no_recipe_is_refused_with_the_names_there_are(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(BadInput, match=r"r\.toml") as caught:
        read_recipe(tmp_path / "r.toml")
    assert "batch_size" in caught.value.hint


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="absent"):
        read_recipe(tmp_path / "absent.toml")


def test_a_recipe_for_a_model_that_does_not_exist_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="mivolo_xxl"):
        train.train(options(data, tmp_path / "out", recipe=replace(TINY, variant="mivolo_xxl")))


def test_a_folder_that_holds_a_training_is_not_written_over(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "last.pt").write_bytes(b"hours of work")
    with pytest.raises(BadInput, match="holds a training"):
        train.train(options(data, out))
    assert (out / "last.pt").read_bytes() == b"hours of work"
