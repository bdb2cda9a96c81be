"""Our own readers against whatever may be in a file: an answer or an error of ours, never anything
else.

MIVOLO_FUZZ=20000 runs each harness that many times; without it they run a few times, always the
same.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers.fuzz import damaged, often
from helpers.photos import save_photo
from hypothesis import given
from hypothesis import strategies as st

from mivolo_cli.detect.given import GivenDetector
from mivolo_cli.errors import BadInput, MivoloError, PhotoError, WeightsError
from mivolo_cli.model import registry
from mivolo_cli.photos import plain, sandbox, walk
from mivolo_cli.photos.limits import Limits
from mivolo_cli.records import SCHEMA, Photo
from mivolo_cli.scan import store, workdir
from mivolo_cli.tables import FORMATS, check_outputs, open_sinks, read_table

CELLS = st.one_of(
    st.sampled_from(
        [
            "a.jpg",
            "face",
            "person",
            "1",
            "2.5",
            "-3",
            "1e308",
            "nan",
            "inf",
            "",
            '"',
            ",",
            "\n",
            "\ufeff",
            "=1",
        ]
    ),
    st.text(max_size=12),
    st.floats().map(str),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@often
@given(data=st.data())
def test_tables_of_boxes(tmp_path: Path, data: st.DataObject) -> None:
    header = "path,kind,x1,y1,x2,y2" + data.draw(st.sampled_from(["", ",score", ",", "\r"]))
    lines = data.draw(st.lists(st.lists(CELLS, min_size=5, max_size=8), max_size=5))
    text = "\n".join([header, *(",".join(line) for line in lines)])
    content = data.draw(
        st.one_of(st.just(text.encode("utf-8", "replace")), st.binary(max_size=200))
    )
    file = tmp_path / "boxes.csv"
    file.write_bytes(content)
    try:
        GivenDetector(file)
    except BadInput as error:
        assert error.hint


@pytest.mark.parametrize("suffix", list(FORMATS))
@often
@given(data=st.data())
def test_result_tables(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    file = tmp_path / f"people{suffix}"
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names) | {
        "path": "a.jpg",
        "root": "/",
        "status": "ok",
        "age": 3.5,
    }
    with open_sinks([file], {store.FINGERPRINT: "f"}) as out:
        out.write([row, row | {"path": 'b"\n.jpg', "taken_at": None}])
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    try:
        read_table(file)
    except BadInput as error:
        assert error.hint
    store.ResultStore().add(file, "f")
    try:
        check_outputs([file])
    except BadInput as error:
        assert error.hint
    file.unlink()


@often
@given(data=st.data())
def test_receipts(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.dumps(
        {"request": {}, "metadata": {"fingerprint": "f"}, "order": "", "counts": {}, "outputs": []}
    )
    content = data.draw(
        st.one_of(damaged(whole.encode()), JSON.map(lambda value: json.dumps(value).encode()))
    )
    with workdir.claim([tmp_path / "a.csv"]) as place:
        (place.folder / workdir.RECEIPT).write_bytes(content)
        receipt = place.receipt({})
        assert receipt is None or (
            isinstance(receipt.metadata, dict) and isinstance(receipt.outputs, list)
        )


@often
@given(data=st.data())
def test_safetensors_and_their_headers(tmp_path: Path, data: st.DataObject) -> None:
    from mivolo_cli.model import checkpoint

    header = {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "__metadata__": {"mivolo": "{}"},
    }
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
@given(data=st.data())
def test_annotations(tmp_path: Path, data: st.DataObject) -> None:
    """The published CSV files and plain ones: every row is a sample or a problem, or the file is
    refused."""
    from mivolo_cli.datasets.rows import Problem
    from mivolo_cli.datasets.tables import read_csv

    corners = [f"{kind}_{edge}" for kind in ("face", "person") for edge in ("x0", "y0", "x1", "y1")]
    header = data.draw(
        st.lists(
            st.sampled_from(["img_name", "path", "age", "age_min", "gender", "crop", *corners])
        )
    )
    lines = [header, *data.draw(st.lists(st.lists(CELLS, min_size=1, max_size=14), max_size=4))]
    separator = data.draw(st.sampled_from(",;\t"))
    text = "\n".join(separator.join(line) for line in lines).encode("utf-8", "replace")
    (tmp_path / "labels.csv").write_bytes(
        data.draw(st.one_of(st.just(text), st.binary(max_size=200)))
    )
    if not (tmp_path / "a.jpg").exists():
        save_photo(tmp_path / "a.jpg")
    try:
        for found in read_csv(tmp_path / "labels.csv", None, "face"):
            assert isinstance(found, Problem) == hasattr(found, "code")
    except BadInput as error:
        assert error.hint


KEYS = st.sampled_from(
    [
        "scan",
        "report",
        "weights",
        "fetch",
        "output",
        "batch-size",
        "device",
        "tag",
        "include",
        "epochs",
    ]
)
KEYS |= st.sampled_from(
    ["shares", "augmentation", "lds", "gender", "age_weight", "average", "drop_path", "inputs"]
)
PLAIN = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8))
TOML = st.dictionaries(
    KEYS | st.text(max_size=8),
    st.recursive(
        PLAIN | st.lists(PLAIN, max_size=3),
        lambda inner: st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=3),
    ),
    max_size=4,
)


def as_toml(value: object) -> str:
    """Values as inline TOML; JSON's texts are TOML's."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(
                f"{json.dumps(str(key))} = {as_toml(inner)}" for key, inner in value.items()
            )
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return repr(value).replace("-nan", "nan") if isinstance(value, float) else json.dumps(value)


def toml_files() -> st.SearchStrategy[bytes]:
    whole = TOML.map(
        lambda tables: "\n".join(
            f"{json.dumps(key)} = {as_toml(v)}" for key, v in tables.items()
        ).encode()
    )
    return st.one_of(whole, whole.filter(bool).flatmap(damaged), st.binary(max_size=60))


@often
@given(content=toml_files())
def test_settings(tmp_path: Path, content: bytes) -> None:
    from mivolo_cli.cli import app
    from mivolo_cli.cli import settings as file_of_settings

    program = typer.main.get_command(app)
    (tmp_path / "mivolo.toml").write_bytes(content)
    try:
        with program.make_context("mivolo", ["--no-settings", "info"]) as context:
            found = file_of_settings.read(tmp_path / "mivolo.toml", program, context)  # type: ignore[arg-type]
            assert set(found) <= set(program.commands)  # type: ignore[attr-defined]
    except BadInput as error:
        assert error.hint


@often
@given(content=toml_files())
def test_recipes(tmp_path: Path, content: bytes) -> None:
    from mivolo_cli.training.recipe import Recipe, read_recipe

    (tmp_path / "recipe.toml").write_bytes(content)
    try:
        assert isinstance(read_recipe(tmp_path / "recipe.toml"), Recipe)
    except BadInput as error:
        assert error.hint


@often
@given(
    content=st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60))
)
def test_the_list_of_added_weights(tmp_path: Path, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIVOLO_HOME", str(tmp_path))
        registry.user_folder().mkdir(exist_ok=True)
        (registry.user_folder() / registry.RECORDS).write_bytes(content)
        try:
            registry.records()
        except MivoloError as error:
            assert error.hint


@often
@given(
    answer=st.one_of(
        JSON.map(lambda value: json.dumps(value).encode() + b"\n"), st.binary(max_size=40)
    )
)
def test_answers_of_a_decoder_that_was_taken_over(answer: bytes) -> None:
    process = sandbox._Process.__new__(sandbox._Process)
    process._seconds, process._granted = 60, 0
    asked, answered = os.pipe(), os.pipe()
    os.write(answered[1], answer)
    os.close(answered[1])
    with open(asked[1], "wb") as stdin, open(answered[0], "rb") as stdout:
        process._process = type(
            "Pipes", (), {"stdin": stdin, "stdout": stdout, "kill": lambda self: None}
        )()
        try:
            with Limits().room() as room:
                process.image(Photo("/", "a.tif"), process.ask({}, None, room))
        except PhotoError as error:
            assert isinstance(error.code, str)
    os.close(asked[0])


@often
@given(data=st.data())
def test_the_part_of_a_jpeg_before_its_frame(tmp_path: Path, data: st.DataObject) -> None:
    head = (
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xdb\0\4ab\xff\xc0\0\x11\x08\0\1\0\1\3"
    )
    file = tmp_path / "a.jpg"
    file.write_bytes(data.draw(damaged(head)))
    with file.open("rb") as opened:
        assert plain.is_plain_jpeg(opened, 10**8) in (True, False)


@often
@given(pattern=st.text(alphabet="ab*?[]!-\\/^.{}()|+é\n", max_size=12), name=st.text(max_size=12))
def test_globs(pattern: str, name: str) -> None:
    try:
        found = walk.walk([], include=[pattern], exclude=[name])
    except BadInput as error:
        assert error.hint
    else:
        assert list(found) == []
