"""The state of a training: where it begins, and how its rate runs."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, equal

from mivolo_cli.datasets.labels import Label
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.model.architecture import create_model
from mivolo_cli.pipeline.crops import Crops
from mivolo_cli.training import trainer as training
from mivolo_cli.training.loss import Batch
from mivolo_cli.training.recipe import Recipe
from mivolo_cli.training.trainer import Trainer

TINY = Recipe(variant="mivolo_xs_32", epochs=3, batch_size=4, warmup_steps=1)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)


def batch(trainer: Trainer) -> Batch:
    """Two people of 30 and 50, seen from the front and from behind."""
    rng = np.random.default_rng(1)
    face, body = (rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(2))
    people = [
        (Crops(face, None), Label(30.0, 30.0, "male")),
        (Crops(None, body), Label(50.0, 50.0, "female")),
    ]
    return Batch.of(people, trainer.spec)


def test_a_new_model_answers_the_mean_age() -> None:
    model = create_model("mivolo_xs_32").eval()
    training.set_initial_age(model, 0.125)
    assert model.head.bias[-1].item() == 0.125
    assert Trainer(TINY, 6, "cpu", None, 43.5).model.model.head.bias[-1].item() == -0.125


def test_the_rate_warms_up_and_comes_down() -> None:
    trainer = Trainer(replace(TINY, warmup_steps=10), 100, "cpu", None, 30.0)
    rates = [trainer.learning_rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[100] == pytest.approx(0.01)
    assert max(rates) == max(rates[8:12]) and rates[10:] == sorted(rates[10:], reverse=True)


@pytest.fixture
def backbones(tmp_path: Path) -> Path:
    """Backbones as `bench/backbones.py` writes them."""
    torch.manual_seed(9)
    embed = create_model("mivolo_xs_32").patch_embed
    found = {
        f"{name}.{key}": value.contiguous()
        for name in ("conv1", "conv2")
        for key, value in embed.get_submodule(name).state_dict().items()
    }
    save_file(found, tmp_path / "backbones.safetensors")
    return tmp_path / "backbones.safetensors"


@pytest.mark.parametrize("inputs", ["face+body", "face"])
def test_backbones_that_learned_before_are_taken(
    backbones: Path, inputs: Literal["face+body", "face"]
) -> None:
    embed = Trainer(
        replace(TINY, inputs=inputs), 6, "cpu", None, 30.0, backbones
    ).model.model.patch_embed
    found = load_file(backbones)
    face = embed.get_submodule("conv1" if inputs == "face+body" else "conv")
    assert all(equal(value, found[f"conv1.{name}"]) for name, value in face.state_dict().items())


def test_backbones_of_another_shape_are_refused(backbones: Path) -> None:
    found = load_file(backbones)
    save_file(found | {"conv1.conv_stem.weight": torch.zeros(8, 3, 3, 3)}, backbones)
    with pytest.raises(BadInput, match="contains no backbones"):
        Trainer(TINY, 6, "cpu", None, 30.0, backbones)


def test_frozen_stages_and_statistics_stay_while_the_rest_learns(backbones: Path) -> None:
    trainer = Trainer(replace(TINY, frozen_stages=2), 6, "cpu", None, 30.0, backbones)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.learn(batch(trainer))
    backbone, after = "model.patch_embed.conv1", trainer.model.state_dict()
    changed = {name for name, value in after.items() if not equal(value, before[name])}
    assert f"{backbone}.blocks.2.0.conv_dw.weight" in changed and "model.head.weight" in changed
    frozen = ("conv_stem", "bn1", "blocks.0", "blocks.1")
    assert not [
        name for name in changed if name.startswith(tuple(f"{backbone}.{part}." for part in frozen))
    ]
    assert not [name for name in changed if ".running_" in name]


def test_backbones_learn_at_a_rate_of_their_own() -> None:
    adamw = training.optimizers(
        create_model("mivolo_xs_32"), replace(TINY, adamw_lr=1e-3, backbone_lr=0.25)
    )[1]
    assert [group["lr"] for group in adamw.param_groups] == [1e-3, 0.25e-3]


def test_matrices_go_to_muon_unless_adamw_is_wanted() -> None:
    both = training.optimizers(create_model("mivolo_xs_32"), TINY)
    assert [type(o).__name__ for o in both] == ["Muon", "AdamW"]
    assert all(p.ndim == 2 for group in both[0].param_groups for p in group["params"])
    (alone,) = training.optimizers(create_model("mivolo_xs_32"), replace(TINY, optimizer="adamw"))
    counted = [
        sum(p.numel() for o in some for g in o.param_groups for p in g["params"])
        for some in (both, [alone])
    ]
    assert (
        counted[0]
        == counted[1]
        == sum(p.numel() for p in create_model("mivolo_xs_32").parameters())
    )


def test_waiting_ends_after_so_many_worse_figures() -> None:
    trainer = Trainer(replace(TINY, patience=2), 6, "cpu", None, 30.0)
    assert trainer.best == math.inf
    assert [trainer.is_better(figure) for figure in (5.0, 6.0, 4.0, 4.0)] == [
        True,
        False,
        True,
        False,
    ]
    assert not trainer.is_exhausted
    assert not trainer.is_better(9.0) and trainer.is_exhausted


def test_without_patience_nothing_ends() -> None:
    trainer = Trainer(TINY, 6, "cpu", None, 30.0)
    for _ in range(9):
        trainer.is_better(1.0)
    assert not trainer.is_exhausted


def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    trainer, file = Trainer(TINY, 6, "cpu", None, 30.0), tmp_path / "last.pt"
    trainer.save(file)
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        trainer.save(file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
    assert file.read_bytes() == before
    trainer.restore(file)
