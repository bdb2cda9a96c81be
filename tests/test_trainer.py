"""The state of a training: where it begins, and how its rate runs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from torch import Tensor, equal

from mivolo_cli import trainer as training
from mivolo_cli.model import create_model
from mivolo_cli.recipes import Recipe
from mivolo_cli.trainer import Trainer

TINY = Recipe(variant="mivolo_xs_32", epochs=3, batch_size=4, warmup_steps=1)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a)


def test_a_new_model_answers_the_mean_age() -> None:
    model = create_model("mivolo_xs_32").eval()
    training.start_at(model, 0.125)
    assert model.head.bias[-1].item() == 0.125
    assert Trainer(TINY, 6, "cpu", None, 43.5).model.model.head.bias[-1].item() == -0.125


def test_the_rate_warms_up_and_comes_down() -> None:
    trainer = Trainer(replace(TINY, warmup_steps=10), 100, "cpu", None, 30.0)
    rates = [trainer.learning_rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[100] == pytest.approx(0.01)
    assert max(rates) == max(rates[8:12]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_bodies_may_begin_with_what_faces_know() -> None:
    embed = Trainer(replace(TINY, body_from_face=True), 6, "cpu", None, 30.0).model.model.patch_embed
    assert same(embed.conv1.state_dict(), embed.conv2.state_dict())
    assert same(embed.proj1.state_dict(), embed.proj2.state_dict())


def test_matrices_go_to_muon_unless_adamw_is_wanted() -> None:
    both = training.optimizers(create_model("mivolo_xs_32"), TINY)
    assert [type(o).__name__ for o in both] == ["Muon", "AdamW"]
    assert all(p.ndim == 2 for group in both[0].param_groups for p in group["params"])
    (alone,) = training.optimizers(create_model("mivolo_xs_32"), replace(TINY, optimizer="adamw"))
    counted = [sum(p.numel() for o in some for g in o.param_groups for p in g["params"]) for some in (both, [alone])]
    assert counted[0] == counted[1] == sum(p.numel() for p in create_model("mivolo_xs_32").parameters())


def test_waiting_ends_after_so_many_worse_figures() -> None:
    trainer = Trainer(replace(TINY, patience=2), 6, "cpu", None, 30.0)
    assert trainer.best == math.inf
    assert [trainer.is_better(figure) for figure in (5.0, 6.0, 4.0, 4.0)] == [True, False, True, False]
    assert not trainer.is_exhausted
    assert not trainer.is_better(9.0) and trainer.is_exhausted


def test_without_patience_nothing_ends() -> None:
    trainer = Trainer(TINY, 6, "cpu", None, 30.0)
    for _ in range(9):
        trainer.is_better(1.0)
    assert not trainer.is_exhausted
