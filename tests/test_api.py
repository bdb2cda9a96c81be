"""The Python API: pictures in, typed answers out, in order, whatever they come as."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from helpers.heads import points_of
from helpers.logs import warned
from helpers.photos import draw_scene, save_broken, save_photo
from helpers.require import require
from helpers.tables import write_boxes

import mivolo_cli
from mivolo_cli import Answers, Mivolo
from mivolo_cli.errors import BadInput, PhotoError
from mivolo_cli.pipeline.options import InferenceOptions
from mivolo_cli.records import SCHEMA

HEAVY_NAMES = ("Answer", "Answers", "Mivolo")
FACE = (20.0, 10.0, 45.0, 40.0)
POINTS = "right_eye", "left_eye", "nose", "right_mouth", "left_mouth"


@pytest.fixture
def given(tmp_path: Path, tiny_model: Path, no_weights_of_the_user: None) -> InferenceOptions:
    """The tiny model on the CPU, and a face at the same place of each picture."""
    names = ["a.jpg", "b.jpg", "picture 0", "picture 1"]
    boxes = write_boxes(tmp_path / "boxes.csv", [(name, "face", FACE) for name in names])
    return InferenceOptions(
        model=str(tiny_model), detector="given", boxes=boxes, device="cpu", batch_size=2, workers=1
    )


@pytest.fixture
def mivolo(given: InferenceOptions) -> Mivolo:
    return Mivolo(**keywords_of(given))


def keywords_of(options: InferenceOptions) -> dict[str, Any]:
    """The options as keywords."""
    return {option.name: getattr(options, option.name) for option in fields(options)}


def test_files_folders_arrays_and_pictures_are_answered_in_order(
    tmp_path: Path, mivolo: Mivolo
) -> None:
    scene = draw_scene(150, 110)
    a = save_photo(tmp_path / "in" / "a.jpg", pixels=scene)
    save_photo(tmp_path / "in" / "b.jpg", pixels=scene)
    broken = save_broken(tmp_path / "c.jpg", "empty")
    answers = mivolo.predict(
        [scene, tmp_path / "in", str(broken), PIL.Image.fromarray(scene), tmp_path / "gone.jpg"]
    )
    assert [answer.file and answer.file.name for answer in answers] == [
        None,
        "a.jpg",
        "b.jpg",
        "c.jpg",
        None,
        "gone.jpg",
    ]
    assert [answer.error for answer in answers] == [None, None, None, "empty", None, "missing"]
    assert [len(answer.people) for answer in answers] == [1, 1, 1, 0, 1, 0]
    (person, prediction), (_, same) = answers[0].people[0], answers[4].people[0]
    assert person.face is not None and person.face.corners == FACE
    assert prediction is not None and same is not None and prediction.age == pytest.approx(same.age)
    assert [answer.file for answer in mivolo.predict(a)] == [a]


def test_a_file_given_twice_is_answered_twice(tmp_path: Path, mivolo: Mivolo) -> None:
    a = save_photo(tmp_path / "a.jpg", pixels=draw_scene(150, 110))
    assert [answer.file for answer in mivolo.predict([a, str(a), a])] == [a, a, a]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_one_mivolo_serves_many_threads(
    tmp_path: Path, given: InferenceOptions, engine: str
) -> None:
    mivolo, scene = Mivolo(given, engine=engine), draw_scene(150, 110)
    file = save_photo(tmp_path / "a.jpg", pixels=scene)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(mivolo.predict, [scene, file] * 20))
    alone = [mivolo.predict(picture) for picture in (scene, file)]
    for number, answer in enumerate(answers):
        (_, prediction), (_, expected) = answer[0].people[0], alone[number % 2][0].people[0]
        assert prediction is not None and expected is not None
        assert prediction.age == pytest.approx(expected.age, abs=1e-3)


def test_answers_become_the_table_of_a_scan(mivolo: Mivolo) -> None:
    require("pandas")
    answers = mivolo.predict(draw_scene(150, 110))
    assert answers.to_arrow().schema == SCHEMA
    frame = answers.to_pandas()
    assert list(frame.columns) == SCHEMA.names
    assert frame.loc[0, "status"] == "ok" and frame.loc[0, "face_x1"] == 20


def test_columns_have_the_same_types_whatever_was_found(tmp_path: Path, mivolo: Mivolo) -> None:
    pd = require("pandas")
    people = mivolo.predict(draw_scene(150, 110)).to_pandas()
    nobody = Answers([]).to_pandas()
    failed = mivolo.predict(tmp_path / "gone.jpg").to_pandas()
    assert (len(people), len(nobody), len(failed)) == (1, 0, 1)
    whole = {"bytes": "Int64", "mtime_ns": "Int64", "width": "Int32", "height": "Int32"}
    whole |= {"person": "Int32", "taken_at": "datetime64[ms]"}
    texts = ("path", "root", "used", "gender", "status", "error", "message")
    expected = {name: "float64" for name in SCHEMA.names} | dict.fromkeys(texts, "string") | whole
    for frame in (people, nobody, failed):
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == expected
    assert failed.loc[0, "width"] is pd.NA and failed.loc[0, "error"] == "missing"
    joined = pd.concat([people, nobody, failed])
    assert {name: str(kind) for name, kind in joined.dtypes.items()} == expected
    assert joined["person"].sum() == 0 and joined["age"].notna().sum() == 1


def test_everything_public_is_imported_from_the_top_and_documented() -> None:
    names = {"Person", "Box", "Prediction", "Photo", "Failure", "MivoloError", "InferenceOptions"}
    assert names <= set(mivolo_cli.__all__) <= set(dir(mivolo_cli))
    for name in set(mivolo_cli.__all__) - {"__version__"}:
        assert getattr(mivolo_cli, name).__doc__ and mivolo_cli.__doc__
    assert "pixels" in (mivolo_cli.Box.__doc__ or "") and "years" in (
        mivolo_cli.Prediction.__doc__ or ""
    )
    with pytest.raises(AttributeError, match="no_such_name"):
        mivolo_cli.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", [n for n in mivolo_cli.__all__ if n not in HEAVY_NAMES])
def test_light_names_need_no_heavy_library(name: str) -> None:
    heavy = ("torch", "openvino", "cv2", "pandas")
    code = f"from mivolo_cli import {name}; import sys; print({{*{heavy}}} & {{*sys.modules}})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_answers_are_drawn_from_memory_and_from_files(tmp_path: Path, mivolo: Mivolo) -> None:
    scene = draw_scene(150, 110)
    file = save_photo(tmp_path / "a.jpg", pixels=scene, orientation=6)
    for answer in mivolo.predict([scene, file]):
        drawn = answer.draw()
        assert drawn.size == (150, 110) and np.abs(np.asarray(drawn, int) - scene).max() > 50
    assert (scene == draw_scene(150, 110)).all()


def test_answers_are_a_sequence(mivolo: Mivolo) -> None:
    answers = mivolo.predict([draw_scene(150, 110)] * 2)
    assert isinstance(answers[:1], Answers) and len(answers[:1]) == 1
    assert repr(answers) == "<2 pictures, 2 people>"


def test_one_bad_picture_is_one_failure(tmp_path: Path, mivolo: Mivolo) -> None:
    scene = draw_scene(150, 110)
    file = save_photo(tmp_path / "a.jpg", pixels=scene)
    bad: list[Any] = [
        np.zeros((8, 8), np.uint8),
        b"",
        b"no picture",
        7,
        None,
        file.read_bytes()[:99],
    ]
    answers = mivolo.predict([scene, *bad, file])
    codes = ["not_a_picture", "empty", "not_a_picture", "not_a_picture", "not_a_picture"]
    assert [answer.error for answer in answers] == [None, *codes, "truncated", None]
    assert [len(answer.people) for answer in answers] == [1, 0, 0, 0, 0, 0, 0, 1]
    assert [answer.file for answer in answers] == [None] * 7 + [file]
    assert answers.to_arrow()["error"].to_pylist() == [None, *codes, "truncated", None]
    for answer in answers[1:7]:
        with pytest.raises(PhotoError):
            answer.draw()
    assert [answer.error for answer in mivolo.predict(bad[0])] == ["not_a_picture"]
    with pytest.raises(BadInput, match="a picture cannot be a int"):
        mivolo.predict(7)  # type: ignore[arg-type]  # that is what is refused


def test_what_cannot_be_drawn_is_named(tmp_path: Path, mivolo: Mivolo) -> None:
    (answer,) = mivolo.predict([tmp_path / "no.jpg"])
    with pytest.raises(PhotoError, match=r"no\.jpg: "):
        answer.draw()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".heic"])
def test_bytes_and_open_files_are_pictures(tmp_path: Path, mivolo: Mivolo, suffix: str) -> None:
    file = save_photo(tmp_path / f"x{suffix}", pixels=draw_scene(110, 150), orientation=6)
    data = file.read_bytes()
    for given in (data, bytearray(data), memoryview(data), BytesIO(data)):
        (answer,) = mivolo.predict(given)
        assert (answer.file, answer.error, len(answer.people)) == (None, None, 1)
        assert answer.draw().size == (110, 150)
    with file.open("rb") as opened:
        opened.read(50)
        answers = mivolo.predict([opened, BytesIO(data), data])
    boxes = [len(answer.people) for answer in answers]
    assert boxes == [1, 1, 0], "there are boxes for two pictures"


def test_large_pictures_in_memory_are_read_again_where_that_tells_more(
    tmp_path: Path, given: InferenceOptions
) -> None:
    scene = draw_scene(4000, 3000)
    data = save_photo(tmp_path / "large.jpg", pixels=scene).read_bytes()
    mivolo = Mivolo(given)
    (coded,), (plain,) = (
        mivolo.predict(data),
        mivolo.predict(np.asarray(PIL.Image.open(BytesIO(data)))),
    )
    assert coded.people[0][0] == plain.people[0][0]
    first, second = coded.people[0][1], plain.people[0][1]
    assert (
        first is not None and second is not None and first.age == pytest.approx(second.age, abs=0.1)
    )


def test_options_and_keywords_go_together(given: InferenceOptions) -> None:
    keywords = Mivolo(**keywords_of(given))
    options = Mivolo(given)
    both = Mivolo(replace(given, use="body", batch_size=3), use="face")
    answers = [m.predict(draw_scene(150, 110)).to_arrow() for m in (keywords, options, both)]
    assert answers[0] == answers[1] == answers[2]
    alone = Mivolo(given, use="body").predict(draw_scene(150, 110))
    assert [prediction for _, prediction in alone[0].people] == [None], "there is only a face"


def test_options_of_detection_and_of_levelling_count(
    given: InferenceOptions, tmp_path: Path
) -> None:
    """The face is 30 pixels high, and leans by 40 degrees."""
    points = points_of(40, centre=(75, 55), reach=8).ravel().tolist()
    names = [f"{name}_{axis}" for name in POINTS for axis in "xy"]
    lines = ["path,kind,x1,y1,x2,y2," + ",".join(names)]
    lines += ["picture 0,face,60,40,90,70," + ",".join(map(str, points))]
    (tmp_path / "leaning.csv").write_text("\n".join(lines) + "\n")
    given = replace(given, boxes=tmp_path / "leaning.csv")
    found = {
        level: Mivolo(given, level=level).predict(draw_scene(150, 110))[0].people[0]
        for level in ("auto", "on", "off")
    }
    assert found["auto"] == found["off"] and found["on"][0] == found["off"][0]
    levelled, plain = found["on"][1], found["off"][1]
    assert levelled is not None and plain is not None and levelled.age != plain.age
    assert found["on"][0].roll == pytest.approx(40, abs=0.1)
    counts = [
        len(Mivolo(given, min_face=pixels).predict(draw_scene(150, 110))[0].people)
        for pixels in (30, 31)
    ]
    assert counts == [1, 0]


def test_an_option_that_does_not_exist_is_refused_and_all_are_named(
    given: InferenceOptions,
) -> None:
    for refused in ({"devise": "cpu"}, {"device": "cpu", "paths": []}):
        with pytest.raises(BadInput, match="Mivolo has no such option: .*(devise|paths)") as caught:
            Mivolo(given, **refused)
        assert caught.value.hint == f"use {', '.join(keywords_of(given))}"
        assert "device" in caught.value.hint and "batch_size" in caught.value.hint


def test_a_gpu_that_is_left_for_the_cpu_is_logged(
    given: InferenceOptions, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(Mivolo(given).predict(draw_scene(150, 110))) == 1
    assert warned(caplog) == []
    mivolo = Mivolo(given, device="cuda:99")
    assert warned(caplog, "pipeline.defaults") == [
        "device cpu: PyTorch finds no cuda:99, so the CPU is used"
    ]
    assert len(mivolo.predict(draw_scene(150, 110))[0].people) == 1


def test_the_package_is_typed_and_imports_nothing_by_itself() -> None:
    assert (Path(mivolo_cli.__file__).parent / "py.typed").is_file()
    code = "import sys, mivolo_cli; print('torch' in sys.modules or 'pyarrow' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        == "False\n"
    )
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        mivolo_cli.Nothing  # noqa: B018
