"""Networks in OpenVINO: numbers in true fp32, from several threads, and nothing of it to Google."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.engines import matrix
from helpers.logs import warned

from mivolo_cli.errors import BadInput, WeightsError
from mivolo_cli.runtime.openvino_engine import OnnxEngine, OpenVinoEngine, check_graph

openvino = pytest.importorskip("openvino")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph that multiplies (1, 96) by the matrix, and negates the product in its second
    output."""
    from openvino import opset13

    given = opset13.parameter([1, 96], np.float32)
    product = opset13.matmul(given, opset13.constant(matrix()), False, False)
    model = openvino.Model([product, opset13.negative(product)], [given], "product")
    openvino.save_model(model, tmp_path / "graph.xml", compress_to_fp16=False)
    return tmp_path / "graph.xml"


def test_an_onnx_engine_computes_in_fp32(graph: Path) -> None:
    value = np.random.default_rng(1).standard_normal((1, 96), dtype=np.float32)
    first, second = OnnxEngine(graph, threads=1).run(value)
    assert first.dtype == np.float32 and first.shape == (1, 5)
    assert np.abs(first - value @ matrix()).max() < 1e-5, "bf16 would be off by 0.01"
    assert np.array_equal(second, -first)


def test_an_onnx_engine_keeps_its_answers_apart(graph: Path) -> None:
    engine = OnnxEngine(graph)
    first = engine.run(np.ones((1, 96), np.float32))[0]
    kept = first.copy()
    engine.run(np.zeros((1, 96), np.float32))
    assert np.array_equal(first, kept)


def test_a_missing_or_broken_graph_is_a_weights_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file: .*nothing.onnx"):
        OnnxEngine(tmp_path / "nothing.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"hello")
    with pytest.raises(WeightsError, match="cannot run .*broken.onnx") as caught:
        OnnxEngine(tmp_path / "broken.onnx")
    assert "verify" in caught.value.hint


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_graph_with_weights_that_are_no_numbers_is_refused(
    tmp_path: Path, odd: float, kind: type
) -> None:
    from openvino import opset13

    given, file = opset13.parameter([1, 2], kind), tmp_path / "odd.xml"
    total = opset13.add(given, opset13.constant(np.array([[1, odd]], kind)))
    openvino.save_model(openvino.Model([total], [given]), file, compress_to_fp16=False)
    for read in (OnnxEngine, check_graph):
        with pytest.raises(
            WeightsError, match="odd.xml contains weights that are not finite"
        ) as error:
            read(file)
        assert error.value.hint


def test_an_infinity_that_fills_a_mask_is_no_weight(graph: Path, tmp_path: Path) -> None:
    from openvino import opset13

    given, file = opset13.parameter([1, 2], np.float32), tmp_path / "mask.xml"
    least = opset13.maximum(given, opset13.constant(np.array(-np.inf, np.float32)))
    openvino.save_model(openvino.Model([least], [given]), file, compress_to_fp16=False)
    check_graph(file)
    check_graph(graph)
    (tmp_path / "broken.onnx").write_bytes(b"hello")
    check_graph(tmp_path / "broken.onnx")  # who opens it says what is wrong


def test_an_openvino_device_that_is_not_here_is_named(graph: Path) -> None:
    with pytest.raises(WeightsError, match="banana"):
        OnnxEngine(graph, device="banana")


def test_without_openvino_the_package_is_named(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BadInput, match="openvino"):
        OnnxEngine(graph)


def test_a_precision_that_the_processor_lacks_becomes_fp32_and_is_said(
    graph: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
    assert OpenVinoEngine(graph, "fp32").precision == "fp32" and warned(caplog) == []
    assert OpenVinoEngine(graph, "bf16").precision == "fp32"
    assert warned(caplog, "runtime.openvino_engine") == [
        "this processor does not support bf16: the model runs in fp32"
    ]


def test_openvino_is_kept_from_reporting_its_use(tmp_path: Path) -> None:
    """It would leave a folder in the home, and look for Google."""
    code = (
        "import socket, sys; socket.getaddrinfo = lambda *_, **__: print('looked up', flush=True)\n"
        "from mivolo_cli.runtime.openvino_engine import import_openvino\n"
        "print(import_openvino().__name__)\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry.')])"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    assert (
        subprocess.check_output([sys.executable, "-c", code], text=True, env=home)
        == "openvino\n[]\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_first_photos_may_come_from_several_threads_at_once() -> None:
    """Two threads that brought OpenVINO its first arrays hung one process of three, for ever."""
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
import numpy as np
from mivolo_cli.runtime.openvino_engine import OnnxEngine
from mivolo_cli.model.registry import find
engine, together = OnnxEngine(find("yunet-n")), threading.Barrier(4)
def compute():
    together.wait()
    engine.run(np.zeros((1, 3, 64, 64), np.float32))
threads = [threading.Thread(target=compute) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""
    for _ in range(6):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("kind", [OnnxEngine, OpenVinoEngine])
def test_an_engine_answers_many_threads_at_once(
    graph: Path, kind: type[OnnxEngine] | type[OpenVinoEngine]
) -> None:
    engine, values = kind(graph), np.eye(96, dtype=np.float32)[:, None]
    with ThreadPoolExecutor(8) as pool:
        answers = [np.asarray(answer) for answer in pool.map(engine.run, list(values) * 5)]
    for number, answer in enumerate(answers):
        assert np.abs(answer.reshape(-1, 5)[0] - matrix()[number % 96]).max() < 1e-5
    assert 1 <= len(engine._requests._idle) <= 8


def test_a_call_that_fails_leaves_its_request_to_others(graph: Path) -> None:
    engine = OpenVinoEngine(graph)
    with pytest.raises(RuntimeError):
        engine.run(np.ones((1, 7), np.float32))
    assert engine.run(np.zeros((1, 96), np.float32)).tolist() == [[0.0] * 5]
    assert len(engine._requests._idle) == 1
