"""Make the detectors' graphs as they are shipped out of graphs that came from TensorFlow, once and
for all.

    pip install onnx onnxruntime
    python bench/layout.py published.onnx shipped.onnx

Converters from TensorFlow put a transposition before and after each convolution; in BlazeFace they
take two thirds of the time. ONNX Runtime moves them through the graph until they meet and vanish.
Weights that are whole in half precision are stored in it. The answers stay the same to the last
bit, which is checked.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mivolo_cli.runtime.openvino_engine import OnnxEngine

STORED = "stored:"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("published", type=Path)
    parser.add_argument("shipped", type=Path)
    options = parser.parse_args()
    graph = optimized(options.published)
    halve(graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, options.shipped)
    check(options.published, options.shipped)
    print(f"{options.shipped}: {options.shipped.stat().st_size} bytes, the same answers")


def optimized(file: Path) -> onnx.ModelProto:
    """What ONNX Runtime makes of a graph by rules that keep to the standard's operators."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/graph.onnx"
        onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath)
    standard = [domain for domain in graph.opset_import if not domain.domain]
    del graph.opset_import[:]
    graph.opset_import.extend(standard)
    assert {node.domain for node in graph.graph.node} == {""}
    return graph


def halve(model: onnx.ModelProto) -> None:
    """Store weights in half precision, with a cast, where that changes none of them."""
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and (values == values.astype(np.float16)).all():
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), STORED + name))
            casts.append(helper.make_node("Cast", [STORED + name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def check(published: Path, shipped: Path) -> None:
    """Raises AssertionError where the two answer differently."""
    described = onnx.load(published).graph.input[0].type.tensor_type.shape
    shape = [size.dim_value for size in described.dim]
    rng = np.random.default_rng(0)
    before, after = OnnxEngine(published), OnnxEngine(shipped)
    for _ in range(8):
        pixels = rng.normal(size=shape).astype(np.float32)
        by_shape = {output.shape: output for output in before.run(pixels)}
        for output in after.run(pixels):
            assert (output == by_shape[output.shape]).all()


if __name__ == "__main__":
    main()
