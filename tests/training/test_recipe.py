"""Recipes: what is in their files, and what is not let in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mivolo_cli.errors import BadInput
from mivolo_cli.model import registry
from mivolo_cli.model.architecture import create_model
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.training.augment import Augmentation
from mivolo_cli.training.recipe import Recipe, read_recipe


@pytest.mark.parametrize(
    "file", sorted((registry.folder() / "recipes").glob("*.toml")), ids=lambda file: file.name
)
def test_the_recipes_that_travel_with_the_program_are_recipes(file: Path) -> None:
    recipe = read_recipe(file)
    create_model(recipe.variant)
    assert sum(recipe.shares.values()) == pytest.approx(1)
    assert read_recipe(file, epochs=2) == replace(recipe, epochs=2)


def test_there_are_recipes() -> None:
    assert (registry.folder() / "recipes" / "mivolo_xs.toml").is_file()


def test_a_recipe_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("seed = 7\n[augmentation]\ntilt = 3.0\n[shares]\nface = 1.0\n")
    recipe = read_recipe(tmp_path / "r.toml")
    assert recipe == replace(
        Recipe(), seed=7, shares={"face": 1.0}, augmentation=replace(Augmentation(), tilt=3.0)
    )
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
        "accumulate = 0",
        "batch_size = 6\naccumulate = 4",
        'fusion = "addition"',
        'optimizer = "sgd"',
        'inputs = "legs"',
        'age_loss = "l1"',
        'lds = "box"',
        'monitor = "loss"',
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


def test_changes_replace_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("seed = 7\nepochs = 3\n")
    assert read_recipe(tmp_path / "r.toml", seed=8, epochs=None, fusion=None) == replace(
        Recipe(), seed=8, epochs=3
    )
    with pytest.raises(BadInput, match="fusion"):
        read_recipe(fusion="addition")


def test_fine_tuning_takes_small_steps_with_a_recipe_for_the_model(tmp_path: Path) -> None:
    spec = ModelSpec("mivolo_xs_32", 3, 1, 32, 0, 100, 50, "some", inputs="body", level=True)
    found = read_recipe(None, spec, epochs=9)
    assert (found.variant, found.inputs, found.gender) == ("mivolo_xs_32", "body", False)
    assert found.level and found.epochs == 9
    assert max(found.muon_lr / Recipe().muon_lr, found.adamw_lr / Recipe().adamw_lr) < 0.2
    file = tmp_path / "recipe.toml"
    file.write_text("muon_lr = 0.5")
    assert read_recipe(file, spec).muon_lr == 0.5, "what a file says counts"


def test_what_the_model_takes_and_answers() -> None:
    assert (Recipe().in_chans, Recipe().num_classes) == (6, 3)
    assert (Recipe(inputs="body").in_chans, Recipe(gender=False).num_classes) == (3, 1)
