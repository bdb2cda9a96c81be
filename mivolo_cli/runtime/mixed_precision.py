"""Keep the layers of a graph that do not tolerate rounding in full precision.

Measured on the embedded model (`bench/precision.py`): nearly all the error of bf16 comes from
rounding the first layers of its MobileNets, which have few channels; in int8, the last layer alone
adds an error of 15 years.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    import openvino

SPARED = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"}
"""Attribute of a layer that makes OpenVINO's CPU plugin keep it in fp32, for both bf16 and fp16.
Python has no API for it, but graph files can contain it."""


def first_layers(graph: openvino.Model) -> list[str]:
    """Return the convolutions with the highest resolution, provided that it is fixed and one of
    them is depthwise."""
    convolutions = [
        node for node in graph.get_ordered_ops() if node.get_type_name().endswith("Convolution")
    ]
    finest = max(map(_width, convolutions), default=0)
    first = [node for node in convolutions if _width(node) == finest > 0]
    is_mobile = any(node.get_type_name() == "GroupConvolution" for node in first)
    return [node.get_friendly_name() for node in first] if is_mobile else []


def last_layers(graph: openvino.Model) -> list[str]:
    """Return the last matrix multiplications before the outputs."""
    found, waiting = [], [result.input_value(0).get_node() for result in graph.get_results()]
    while waiting:
        node = waiting.pop()
        if node.get_type_name() == "MatMul":
            found.append(node.get_friendly_name())
        else:
            waiting += [source.get_node() for source in node.input_values()]
    return found


def spare(file: Path, layers: list[str]) -> None:
    """Mark layers in a graph file (.xml), so that OpenVINO keeps them in fp32 at any precision."""
    if layers:
        tree = ElementTree.parse(file)
        mark(tree, lambda name: name in layers)
        tree.write(file, encoding="utf-8", xml_declaration=True)


def mark(tree: ElementTree.ElementTree[Any], is_spared: Callable[[str], bool]) -> None:
    """Mark the layers of these names in a graph's XML to stay in fp32."""
    for layer in tree.iterfind("layers/layer"):
        if is_spared(layer.get("name", "")):
            about = layer.find("rt_info")
            about = ElementTree.SubElement(layer, "rt_info") if about is None else about
            ElementTree.SubElement(about, "attribute", SPARED)


def _width(convolution: Any) -> int:
    """Return the width of the output in pixels; 0 if it depends on the input."""
    size = convolution.get_output_partial_shape(0)[-1]
    return size.get_length() if size.is_static else 0
