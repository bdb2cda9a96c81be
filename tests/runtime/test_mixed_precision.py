"""Layers that bear no rounding are found in a graph, and OpenVINO spares them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mivolo_cli.model import checkpoint
from mivolo_cli.model.architecture import FromPixels, create_model
from mivolo_cli.runtime.graph_cache import convert, graph_of
from mivolo_cli.runtime.mixed_precision import first_layers, last_layers, spare
from mivolo_cli.runtime.openvino_engine import import_openvino

openvino = import_openvino()


@cache
def graph(variant: str) -> Any:
    """Converted once; nothing here changes it."""
    model = create_model(variant).eval()
    return convert(FromPixels(model).eval(), checkpoint.spec_of(model, "random", 0, 100))


@pytest.mark.slow
def test_the_first_layers_of_mobilenets_are_delicate_and_volos_stem_is_not() -> None:
    mobile = graph("mivolo_xs_32")
    assert len(first_layers(mobile)) == 3 + 4
    assert {
        node.get_output_partial_shape(0)[-1].get_length()
        for node in named(mobile, first_layers(mobile))
    } == {16}
    assert first_layers(graph("mivolo_d1_64")) == []


def test_nothing_is_delicate_where_sizes_depend_on_the_input() -> None:
    grouped = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 1, groups=8))
    assert first_layers(graph_of(grouped, (torch.zeros(1, 3, 32, 32),), [[-1, 3, -1, -1]])) == []
    assert (
        len(first_layers(graph_of(grouped, (torch.zeros(1, 3, 32, 32),), [[-1, 3, 32, 32]]))) == 2
    )


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "heads"), [("mivolo_xs_32", 1), ("mivolo_d1_64", 2)])
def test_the_last_layers_are_the_heads(variant: str, heads: int) -> None:
    whole = graph(variant)
    assert len(last_layers(whole)) == heads
    for node in named(whole, last_layers(whole)):
        assert node.get_output_partial_shape(0)[-1].get_length() == 3


@pytest.mark.slow
def test_spared_layers_compute_in_fp32(tmp_path: Path) -> None:
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor does not support bf16")
    whole, file = graph("mivolo_xs_32"), tmp_path / "graph.xml"
    openvino.save_model(whole, file, compress_to_fp16=False)
    before = precisions(file)
    spare(file, first_layers(whole))
    after = precisions(file)
    assert before.count("f32") + 7 == after.count("f32") and before.count(
        "bf16"
    ) - 7 == after.count("bf16")


@pytest.mark.slow
def test_sparing_does_not_change_what_fp32_answers(tmp_path: Path) -> None:
    whole, file = graph("mivolo_xs_32"), tmp_path / "graph.xml"
    openvino.save_model(whole, file, compress_to_fp16=False)
    pixels, present = np.full((2, 32, 32, 6), 99, np.uint8), np.ones((2, 2), bool)
    before: list[NDArray[np.float32]] = []
    after: list[NDArray[np.float32]] = []
    for answers in (before, after):
        compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        answers.append(next(iter(compiled([pixels, present]).values())).copy())
        spare(file, first_layers(whole))
    assert (before[0] == after[0]).all()


def named(whole: Any, names: list[str]) -> list[Any]:
    return [node for node in whole.get_ops() if node.get_friendly_name() in names]


def precisions(file: Path) -> list[str]:
    """In which the convolutions of a graph compute when it runs in bf16."""
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    return [fact["runtimePrecision"] for fact in facts if fact["layerType"] == "Convolution"]
