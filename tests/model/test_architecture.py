"""The architecture answers as the published one does."""

from __future__ import annotations

import functools
import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.layers.bottleneck_attn import PosEmbedRel

from mivolo_cli.errors import BadInput
from mivolo_cli.model.architecture import (
    MEAN,
    STD,
    FromPixels,
    MiVOLO,
    RelativePositions,
    create_model,
)
from mivolo_cli.model.spec import ModelSpec
from mivolo_cli.pipeline.crops import cut
from mivolo_cli.pipeline.pair import pair
from mivolo_cli.pipeline.predict import Predictor
from mivolo_cli.records import Detections
from mivolo_cli.runtime.torch_engine import TorchEngine

HERE = Path(__file__).parents[1] / "golden"
seeded = SimpleNamespace(**runpy.run_path(str(HERE / "seeded.py")))
GOLDEN = json.loads((HERE / "model.json").read_text("utf-8"))
PHOTOS = json.loads((HERE / "crops.json").read_text("utf-8"))
BLACK = (0 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)


@functools.cache
def golden_model(variant: str, in_chans: int, num_classes: int) -> MiVOLO:
    model = create_model(variant, in_chans, num_classes)
    weights = seeded.weights(GOLDEN["shapes"][f"{variant}/{in_chans}/{num_classes}"])
    model.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
    return model.eval()


@functools.cache
def small_model() -> MiVOLO:
    torch.manual_seed(0)
    return create_model("mivolo_xs_32").eval()


def shapes(model: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in model.state_dict().items()}


def pixels(n: int, size: int = 32, channels: int = 6) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(3).integers(0, 256, (n, size, size, channels), np.uint8)
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"seed {case['seed']}")
def test_answers_are_those_of_the_published_model(case: dict[str, Any]) -> None:
    model = golden_model(case["variant"], case["in_chans"], case["num_classes"])
    images = seeded.images(case["seed"], case["n"], case["in_chans"], 224)
    if case["missing"]:
        images[:, slice(0, 3) if case["missing"] == "face" else slice(3, 6)] = BLACK[:, None, None]
    with torch.inference_mode():
        found = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, case["outputs"], atol=1e-4)


@pytest.mark.parametrize("name", GOLDEN["shapes"])
def test_names_and_shapes_of_the_weights_are_the_published_ones(name: str) -> None:
    variant, in_chans, num_classes = name.split("/")
    with torch.device("meta"):
        assert (
            shapes(create_model(variant, int(in_chans), int(num_classes))) == GOLDEN["shapes"][name]
        )


@pytest.mark.slow
def test_from_boxes_to_years_it_is_the_published_inference() -> None:
    spec = ModelSpec("mivolo_d1_224", 6, 3, 224, min_age=50, max_age=70, avg_age=60, name="golden")
    predictor = Predictor(TorchEngine(FromPixels(golden_model("mivolo_d1_224", 6, 3)), "cpu"), spec)
    rows, crops = [], []
    for case in PHOTOS:
        persons, faces = (
            np.array(case[kind], np.float32).reshape(-1, 4) for kind in ("persons", "faces")
        )
        found = Detections(
            persons, np.ones(len(persons), np.float32), faces, np.ones(len(faces), np.float32)
        )
        people = pair(found)
        names = [
            (
                None if person.face is None else faces.tolist().index(list(person.face.corners)),
                None if person.body is None else persons.tolist().index(list(person.body.corners)),
            )
            for person in people
        ]
        by_name = {(row["face"], row["body"]): row for row in case["rows"]}
        rows += [by_name[name] for name in names]
        image = case["image"]
        cells = (image["height"] // image["cell"], image["width"] // image["cell"], 3)
        small = np.random.default_rng(image["seed"]).integers(1, 256, cells, np.uint8)
        crops += cut(
            np.kron(small, np.ones((image["cell"], image["cell"], 1), np.uint8)), people, 224
        )
    for row, prediction in zip(rows, predictor.predict(crops), strict=True):
        if not row["usable"]:
            assert prediction is None
            continue
        assert prediction is not None
        assert prediction.age == pytest.approx(row["age"], abs=0.01)
        assert prediction.gender == ("male" if row["p_male"] > 0.5 else "female")
        assert prediction.gender_score == pytest.approx(
            max(row["p_male"], 1 - row["p_male"]), abs=1e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize("size", ["d1", "d2", "d3", "d4", "d5"])
def test_with_one_input_every_size_is_timms_volo(size: str) -> None:
    with torch.device("meta"):
        ours, theirs = (
            create_model(f"mivolo_{size}", in_chans=3),
            timm.create_model(f"volo_{size}_224", num_classes=3),
        )
    assert shapes(ours) == shapes(theirs)


@pytest.mark.parametrize(
    "size, input_size",
    [("xs", 128), ("d1", 224), ("d2", 384), ("d3", 448), ("d4", 64), ("d5", 512)],
)
def test_every_size_is_built_for_two_inputs(size: str, input_size: int) -> None:
    with torch.device("meta"):
        model = create_model(f"mivolo_{size}_{input_size}")
    assert (
        shapes(model)["patch_embed.map.norm.weight"][1:]
        == [input_size // (16 if size == "xs" else 8)] * 2
    )
    assert shapes(model)["pos_embed"][1:3] == [input_size // 16] * 2


def test_the_usual_input_sizes_need_not_be_said() -> None:
    with torch.device("meta"):
        assert shapes(create_model("mivolo_xs")) == shapes(create_model("mivolo_xs_128"))
        assert shapes(create_model("mivolo_d1")) == shapes(create_model("mivolo_d1_224"))


@pytest.mark.parametrize("in_chans, num_classes", [(6, 3), (6, 1), (3, 3), (3, 1)])
def test_channels_and_outputs_may_be_chosen(in_chans: int, num_classes: int) -> None:
    model = create_model("mivolo_xs_32", in_chans, num_classes).eval()
    with torch.inference_mode():
        assert model(torch.zeros(2, in_chans, 32, 32)).shape == (2, num_classes)


@pytest.mark.parametrize(
    "variant",
    [
        "",
        "mivolo",
        "mivolo_d6",
        "mivolo_xl_224",
        "volo_d1_224",
        "mivolo_d1_224x",
        "mivolo_d1_0",
        "mivolo_d1_100",
    ],
)
def test_variants_that_do_not_exist_are_refused(variant: str) -> None:
    with pytest.raises(BadInput, match=variant or "''"):
        create_model(variant)


@pytest.mark.parametrize("in_chans, num_classes", [(4, 3), (6, 2), (0, 0)])
def test_other_channels_and_outputs_are_refused(in_chans: int, num_classes: int) -> None:
    with pytest.raises(BadInput, match="channels"):
        create_model("mivolo_xs_32", in_chans, num_classes)


@pytest.mark.parametrize(
    "present",
    [
        [[1, 1], [1, 1], [1, 1]],
        [[1, 0], [0, 1], [1, 1]],
        [[1, 0], [1, 0], [1, 0]],
        [[0, 1], [0, 1], [0, 1]],
        [[0, 0], [1, 1], [0, 0]],
    ],
)
def test_leaving_out_what_is_missing_changes_no_answer(present: list[list[int]]) -> None:
    there = torch.tensor(present, dtype=torch.bool)
    shown = pixels(3)
    shown[..., :3] *= there[:, 0, None, None, None]
    shown[..., 3:] *= there[:, 1, None, None, None]
    model = FromPixels(small_model())
    with torch.inference_mode():
        torch.testing.assert_close(model(shown, there), model(shown), atol=1e-5, rtol=1e-5)


def test_what_is_said_to_be_missing_is_not_looked_at() -> None:
    model, shown = FromPixels(small_model()), pixels(2)
    there = torch.tensor([[True, False], [False, True]])
    with torch.inference_mode():
        before = model(shown, there)
        shown[0, ..., 3:], shown[1, ..., :3] = 77, 99
        torch.testing.assert_close(model(shown, there), before)


def test_face_and_body_are_not_the_same_input() -> None:
    model, shown = FromPixels(small_model()), pixels(1)
    with torch.inference_mode():
        swapped = torch.cat((shown[..., 3:], shown[..., :3]), dim=3)
        assert not torch.allclose(model(shown), model(swapped), atol=1e-4)


@pytest.mark.parametrize("channels", [3, 6])
def test_from_pixels_normalises(channels: int) -> None:
    torch.manual_seed(0)
    model = create_model("mivolo_xs_32", channels).eval()
    shown = pixels(2, channels=channels)
    copies = channels // 3
    normalised = (shown.numpy() / 255 - np.tile(MEAN, copies)) / np.tile(STD, copies)
    by_hand = torch.from_numpy(normalised.transpose(0, 3, 1, 2).astype(np.float32))
    with torch.inference_mode():
        torch.testing.assert_close(FromPixels(model)(shown), model(by_hand), atol=1e-4, rtol=1e-4)


def test_normalising_leaves_no_mark_in_the_weights() -> None:
    names = set(FromPixels(small_model()).state_dict())
    assert names == {f"model.{name}" for name in small_model().state_dict()}
    assert not any("black" in name for name in names)


def test_paths_are_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    model = create_model("mivolo_xs_32", drop_path=0.5)
    shown = FromPixels(model.eval())(pixels(2))
    torch.testing.assert_close(FromPixels(model)(pixels(2)), shown)
    rates = [module.drop_prob for module in model.modules() if hasattr(module, "drop_prob")]
    assert max(rates) == pytest.approx(0.5)


def test_fusion_by_concatenation_has_no_attention_and_still_looks_at_both() -> None:
    torch.manual_seed(0)
    model = create_model("mivolo_xs_32", fusion="concatenation").eval()
    assert not [name for name in model.state_dict() if "map.qkv" in name or "map.pos_embed" in name]
    images = torch.rand(1, 6, 32, 32)
    other_face, other_body = images.clone(), images.clone()
    other_face[:, :3] += 1
    other_body[:, 3:] += 1
    with torch.no_grad():
        outputs = [model(picture) for picture in (images, other_face, other_body)]
    assert not torch.allclose(outputs[0], outputs[1]) and not torch.allclose(outputs[0], outputs[2])


def test_relative_positions_add_what_timm_adds_to_the_weights() -> None:
    grid, dim = 5, 12
    ours, theirs = RelativePositions(grid, dim, 0.3), PosEmbedRel((grid, grid), dim, 0.3)
    theirs.load_state_dict(ours.state_dict())
    query, key = torch.randn(2, 3, grid * grid, dim, generator=torch.Generator().manual_seed(1))
    added = ours.of_queries(query) @ ours.of_keys(key).transpose(1, 2)
    assert torch.allclose(added, theirs(query), atol=1e-5)
