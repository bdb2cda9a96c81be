"""Our own readers against whatever may be in a file: an answer or an error of ours, never anything else.

MIVOLO_FUZZ=20000 runs each harness that many times; without it they run a few times, always the same.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mivolo_cli import decoders, parts, sinks, walking, weights, workplace
from mivolo_cli.detect.given import GivenDetector
from mivolo_cli.errors import BadInput, MivoloError, PhotoError, WeightsError
from mivolo_cli.records import SCHEMA, Photo

EXECUTIONS = int(os.environ.get("MIVOLO_FUZZ", "0"))
often = settings(
    max_examples=EXECUTIONS or 40,
    deadline=None,
    derandomize=not EXECUTIONS,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
CELLS = st.one_of(
    st.sampled_from(
        ["a.jpg", "face", "person", "1", "2.5", "-3", "1e308", "nan", "inf", "", '"', ",", "\n", "\ufeff", "=1"]
    ),
    st.text(max_size=12),
    st.floats().map(str),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Content with some bytes replaced, and something cut out of it or put into it."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 8))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    start = draw(st.integers(0, len(data)))
    data[start : start + draw(st.integers(0, 40))] = draw(st.binary(max_size=20))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@often
@given(data=st.data())
def test_tables_of_boxes(tmp_path: Path, data: st.DataObject) -> None:
    header = "path,kind,x1,y1,x2,y2" + data.draw(st.sampled_from(["", ",score", ",", "\r"]))
    lines = data.draw(st.lists(st.lists(CELLS, min_size=5, max_size=8), max_size=5))
    text = "\n".join([header, *(",".join(line) for line in lines)])
    content = data.draw(st.one_of(st.just(text.encode("utf-8", "replace")), st.binary(max_size=200)))
    file = tmp_path / "boxes.csv"
    file.write_bytes(content)
    try:
        GivenDetector(file)
    except BadInput as error:
        assert error.hint


@pytest.mark.parametrize("suffix", list(sinks.FORMATS))
@often
@given(data=st.data())
def test_result_tables(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    file = tmp_path / f"people{suffix}"
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names) | {"path": "a.jpg", "root": "/", "status": "ok", "age": 3.5}
    with sinks.open_sinks([file], {parts.FINGERPRINT: "f"}) as out:
        out.write([row, row | {"path": 'b"\n.jpg', "taken_at": None}])
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    try:
        sinks.read_table(file)
    except BadInput as error:
        assert error.hint
    parts.Results().add(file, "f")
    try:
        sinks.check_outputs([file])
    except BadInput as error:
        assert error.hint
    file.unlink()


@often
@given(data=st.data())
def test_receipts(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.dumps({"request": {}, "metadata": {"fingerprint": "f"}, "order": "", "counts": {}, "outputs": []})
    content = data.draw(st.one_of(damaged(whole.encode()), JSON.map(lambda value: json.dumps(value).encode())))
    with workplace.claim([tmp_path / "a.csv"]) as place:
        (place.folder / workplace.RECEIPT).write_bytes(content)
        receipt = place.receipt()
        assert receipt is None or (isinstance(receipt.metadata, dict) and isinstance(receipt.outputs, list))


@often
@given(data=st.data())
def test_safetensors_and_their_headers(tmp_path: Path, data: st.DataObject) -> None:
    from mivolo_cli import checkpoint

    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"mivolo": "{}"}}
    odd = data.draw(st.dictionaries(st.text(max_size=8), JSON, max_size=3))
    text = json.dumps(header | odd).encode()
    length = data.draw(st.one_of(st.just(len(text)), st.integers(0, 2**64 - 1)))
    file = tmp_path / "model.safetensors"
    file.write_bytes(data.draw(damaged(struct.pack("<Q", length) + text + bytes(8))))
    try:
        checkpoint.load(file)
    except WeightsError as error:
        assert str(file) in str(error)


@often
@given(content=st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60)))
def test_the_list_of_added_weights(tmp_path: Path, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIVOLO_HOME", str(tmp_path))
        weights.user_folder().mkdir(exist_ok=True)
        (weights.user_folder() / weights.RECORDS).write_bytes(content)
        try:
            weights.records()
        except MivoloError as error:
            assert error.hint


@often
@given(answer=st.one_of(JSON.map(lambda value: json.dumps(value).encode() + b"\n"), st.binary(max_size=40)))
def test_answers_of_a_decoder_that_was_taken_over(answer: bytes) -> None:
    process = decoders._Process.__new__(decoders._Process)
    asked, answered = os.pipe(), os.pipe()
    os.write(answered[1], answer)
    os.close(answered[1])
    with open(asked[1], "wb") as stdin, open(answered[0], "rb") as stdout:
        process._process = type("Pipes", (), {"stdin": stdin, "stdout": stdout, "kill": lambda self: None})()
        try:
            process.decode(Photo("/", "a.tif"), 60)
        except PhotoError as error:
            assert isinstance(error.code, str)
    os.close(asked[0])


@often
@given(data=st.data())
def test_the_part_of_a_jpeg_before_its_frame(tmp_path: Path, data: st.DataObject) -> None:
    head = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xdb\0\4ab\xff\xc0\0\x11\x08\0\1\0\1\3"
    file = tmp_path / "a.jpg"
    file.write_bytes(data.draw(damaged(head)))
    with file.open("rb") as opened:
        assert decoders.is_progressive(opened) in (True, False)


@often
@given(pattern=st.text(alphabet="ab*?[]!-\\/^.{}()|+é\n", max_size=12), name=st.text(max_size=12))
def test_globs(pattern: str, name: str) -> None:
    try:
        found = walking.walk([], include=[pattern], exclude=[name])
    except BadInput as error:
        assert error.hint
    else:
        assert list(found) == []
