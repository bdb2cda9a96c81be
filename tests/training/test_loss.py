"""The loss on made-up outputs, and what ages weigh."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mivolo_cli.datasets.labels import OLDEST, Label
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline.crops import Crops
from mivolo_cli.training.loss import Batch, age_weights, kernel, loss
from mivolo_cli.training.recipe import Recipe

SPEC = ModelSpec("mivolo_xs_32", 6, 3, 32, 0.0, 116.0, 58.0, "test")


def batch(low: list[float], high: list[float], gender: list[int]) -> Batch:
    n = len(low)
    nothing = torch.zeros(n, 1, 1, 6, dtype=torch.uint8), torch.ones(n, 2, dtype=torch.bool)
    return Batch(
        *nothing, torch.tensor(low), torch.tensor(high), torch.tensor(gender), torch.ones(n)
    )


def says(*years: float, male: float = 0.0) -> Tensor:
    return torch.tensor([[male, -male, (age - 58) / 116] for age in years])


@pytest.mark.parametrize(
    "age, is_inside", [(17, True), (25, True), (30, True), (16, False), (31, False), (90, False)]
)
def test_an_age_within_the_known_range_costs_nothing(age: float, is_inside: bool) -> None:
    _, parts = loss(says(age), batch([17.0], [30.0], [-1]), SPEC, Recipe())
    assert (parts["age"].item() < 1e-9) is is_inside


def test_the_error_in_years_is_that_of_exact_ages() -> None:
    _, parts = loss(
        says(33, 48, 90), batch([30.0, 50.0, 17.0], [30.0, 50.0, 30.0], [0, 1, 0]), SPEC, Recipe()
    )
    assert parts["mae"].item() == pytest.approx(2.5, abs=1e-4)


def test_a_range_weighs_less_than_an_age() -> None:
    recipe = Recipe(range_weight=0.25)
    exact = loss(says(40), batch([30.0], [30.0], [-1]), SPEC, recipe)[1]["age"]
    ranged = loss(says(40), batch([17.0], [30.0], [-1]), SPEC, recipe)[1]["age"]
    assert ranged.item() == pytest.approx(exact.item() / 4, rel=1e-4)


@pytest.mark.parametrize(
    "low, high, free, costly", [(16, 30, (20, 23, 26), (18, 28)), (25, 32, (28.5,), (27, 30))]
)
def test_an_age_must_come_well_within_a_range_or_to_the_middle_of_a_narrow_one(
    low: float, high: float, free: tuple[float, ...], costly: tuple[float, ...]
) -> None:
    def cost(age: float) -> float:
        labels = batch([float(low)], [float(high)], [-1])
        return loss(says(age), labels, SPEC, Recipe(range_margin=4.0))[1]["age"].item()

    assert all(cost(age) < 1e-9 for age in free)
    assert all(cost(age) > 1e-6 for age in costly)


def test_an_exact_age_knows_no_margin_and_no_curve_of_ranges() -> None:
    labels, plain = batch([30.0], [30.0], [-1]), Recipe()
    ranged = Recipe(range_margin=4.0, range_beta=0.5)
    assert (
        loss(says(33), labels, SPEC, plain)[1]["age"]
        == loss(says(33), labels, SPEC, ranged)[1]["age"]
    )


def test_a_far_range_costs_by_the_square_and_so_outweighs_many_near_ones() -> None:
    def cost(age: float, beta: float) -> float:
        return loss(says(age), batch([61.0], [116.0], [-1]), SPEC, Recipe(range_beta=beta))[1][
            "age"
        ].item()

    assert cost(31, 0.5) / cost(46, 0.5) == pytest.approx(4, rel=1e-3)
    assert cost(31, 0.001) / cost(46, 0.001) == pytest.approx(2, rel=0.01)


def test_gender_is_learned_where_it_is_known_and_only_there() -> None:
    recipe = Recipe(label_smoothing=0.0)
    right = loss(says(30, male=2.0), batch([30.0], [30.0], [0]), SPEC, recipe)[1]["gender"].item()
    wrong = loss(says(30, male=2.0), batch([30.0], [30.0], [1]), SPEC, recipe)[1]["gender"].item()
    assert right < 0.1 < 3 < wrong
    mixed = loss(says(30, 30, male=2.0), batch([30.0, 30.0], [30.0, 30.0], [1, -1]), SPEC, recipe)[
        1
    ]["gender"].item()
    assert mixed == pytest.approx(wrong)
    total, parts = loss(says(30), batch([30.0], [30.0], [-1]), SPEC, recipe)
    assert parts["gender"].item() == 0 and total.item() == pytest.approx(0, abs=1e-6)


def test_the_loss_of_age_may_be_square_or_straight() -> None:
    costs = {}
    for name in ("mse", "smooth_l1"):
        recipe = Recipe(age_loss=name, age_beta=0.001)
        costs[name] = [
            loss(says(30 + m), batch([30.0], [30.0], [-1]), SPEC, recipe)[1]["age"].item()
            for m in (10, 20)
        ]
    assert costs["mse"][1] == pytest.approx(4 * costs["mse"][0], rel=1e-3)
    assert costs["mse"][0] == pytest.approx((10 / 116) ** 2, rel=1e-3)
    assert costs["smooth_l1"][1] == pytest.approx(2 * costs["smooth_l1"][0], rel=0.02)


def test_one_weight_stands_between_age_and_gender() -> None:
    outputs, labels = says(40, male=1.0), batch([30.0], [30.0], [1])
    parts = loss(outputs, labels, SPEC, Recipe())[1]
    for weight in (0.5, 8.0):
        total = loss(outputs, labels, SPEC, Recipe(age_weight=weight))[0]
        assert total.item() == pytest.approx(
            weight * parts["age"].item() + parts["gender"].item(), rel=1e-5
        )


def test_a_batch_without_known_ages_has_no_error_in_years() -> None:
    assert loss(says(40), batch([17.0], [30.0], [0]), SPEC, Recipe())[1]["mae"].item() == 0


def test_a_model_of_age_alone_learns_age_alone() -> None:
    spec = ModelSpec("mivolo_xs_32", 6, 1, 32, 0.0, 116.0, 58.0, "test")
    total, parts = loss(says(40)[:, 2:], batch([30.0], [30.0], [0]), spec, Recipe(age_weight=2.0))
    assert "gender" not in parts and total.item() == pytest.approx(2 * parts["age"].item())


def test_examples_become_a_batch_and_a_batch_parts() -> None:
    face = np.full((32, 32, 3), 7, np.uint8)
    labels = [Label(30, 30, "female"), Label(16, 30), Label(), Label(95, 95, "male")]
    weights = {labels[0]: 30.0, labels[1]: 0.5}
    made = Batch.of([(Crops(face, None), label) for label in labels], SPEC, weights)
    assert made.pixels.shape == (4, 32, 32, 6) and made.present.tolist() == [[True, False]] * 4
    assert made.age_low.tolist() == [30, 16, 0, 95] and made.age_high.tolist() == [
        30,
        30,
        OLDEST,
        95,
    ]
    assert made.gender.tolist() == [1, -1, -1, 0]
    assert made.weight.tolist() == [30, 0.5, 1, 1]
    first, second = made.split(2)
    assert first.gender.tolist() == [1, -1] and second.weight.tolist() == [1, 1]


def test_a_single_input_gets_its_channels() -> None:
    spec = ModelSpec("mivolo_xs_32", 3, 3, 32, 0.0, 116.0, 58.0, "test", "body")
    body = np.full((32, 32, 3), 9, np.uint8)
    made = Batch.of([(Crops(None, body), Label(3, 3))], spec)
    assert (
        made.pixels.shape == (1, 32, 32, 3)
        and (made.pixels == 9).all()
        and made.weight.tolist() == [1]
    )


def people(*ages: float) -> list[Label]:
    return [Label(age, age) for age in ages]


def by_age(labels: list[Label], recipe: Recipe) -> dict[float | None, float]:
    return {label.age: weight for label, weight in age_weights(labels, recipe).items()}


def test_rare_ages_weigh_more_and_the_mean_is_one() -> None:
    labels = people(*[20] * 90, *[60] * 10)
    weights = by_age([*labels, Label()], Recipe(lds="gaussian", lds_power=1.0))
    assert weights[60] / weights[20] == pytest.approx(9, rel=1e-4) and len(weights) == 2
    assert np.mean([weights[20]] * 90 + [weights[60]] * 10) == pytest.approx(1, rel=1e-4)
    root = by_age(labels, Recipe(lds="gaussian", lds_power=0.5))
    assert root[60] / root[20] == pytest.approx(3, rel=1e-4)


def test_smoothing_lends_to_neighbouring_ages() -> None:
    labels = people(*[20] * 50, 21, *[60] * 50)
    narrow, wide = (by_age(labels, Recipe(lds="triangular", lds_width=width)) for width in (1, 5))
    assert narrow[21] > 5 * narrow[20] and wide[21] < 2 * wide[20]


def test_rare_ranges_weigh_more_and_the_mean_is_one() -> None:
    many, few = Label(16, 30, "male"), Label(61, OLDEST, "female")
    labels = [*[many] * 80, *[Label(16, 30)] * 10, *[few] * 10, *people(20)]
    weights = age_weights(labels, Recipe(range_power=0.5))
    assert (
        weights[few] / weights[many] == pytest.approx(3, rel=1e-4)
        and weights[many] == weights[Label(16, 30)]
    )
    assert np.mean([weights[label] for label in labels if label.is_range]) == pytest.approx(
        1, rel=1e-4
    )
    assert set(age_weights(labels, Recipe()).values()) == {1.0}
    crops = Crops(None, np.full((32, 32, 3), 7, np.uint8))
    costs = [
        loss(says(40), Batch.of([(crops, few)], SPEC, some), SPEC, Recipe())[1]["age"].item()
        for some in (None, weights)
    ]
    assert costs[1] == pytest.approx(weights[few] * costs[0], rel=1e-4)


def test_without_smoothing_or_ages_all_weigh_alike() -> None:
    assert age_weights(people(3, 4), Recipe(lds="none")) == {}
    assert age_weights([Label(), Label()], Recipe(lds="gaussian", range_power=1.0)) == {}


@pytest.mark.parametrize("name", ["gaussian", "triangular", "laplace"])
@pytest.mark.parametrize("width", [1, 5, 9])
def test_kernels_are_symmetric_with_their_top_in_the_middle(name: str, width: int) -> None:
    found = kernel(name, width, 2.0)
    assert len(found) == width and found.sum() == pytest.approx(1)
    assert (found == found[::-1]).all() and found.argmax() == width // 2
