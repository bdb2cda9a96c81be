"""Labelled pictures in every format that is read, and what is said of rows that cannot be used."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.labels import LABELS, label_row, write_labels
from helpers.photos import encode, noise, save_photo
from helpers.scans_of_jpeg import many_scans

from mivolo_cli.datasets import DataOptions, Sample, read_dataset, read_samples
from mivolo_cli.datasets.labels import OLDEST, Label
from mivolo_cli.datasets.sample import size_of
from mivolo_cli.errors import BadInput
from mivolo_cli.photos import sandbox
from mivolo_cli.photos.sandbox import Sandbox
from mivolo_cli.records import Box, Person

PIXELS = noise(5, 60, 80)
PNG = encode(PIXELS)
SKIP = DataOptions(invalid="skip")


def whole(width: int, height: int) -> Box:
    return Box(0, 0, width, height)


# --- Parquet ---


def test_all_rows_of_all_files_in_order(tmp_path: Path) -> None:
    body = label_row("2.png", "body", None, age_min=17.0, age_max=30.0, gender="female")
    one = write_labels(tmp_path / "a.parquet", [label_row("1.png"), body])
    two = write_labels(tmp_path / "b.parquet", [label_row("3.png", age=4.0, gender=None)])
    found = read_samples([one, two])
    assert [(s.name, s.label, s.shows) for s in found] == [
        ("1.png", Label(30, 30, "male"), "face"),
        ("2.png", Label(17, 30, "female"), "body"),
        ("3.png", Label(4, 4), "face"),
    ]
    assert found[0].face == whole(60, 60) and found[1].body == whole(60, 60)


@pytest.mark.parametrize(
    "low, high, expected",
    [(17.0, None, (17, OLDEST)), (None, 16.0, (0, 16)), (None, None, (None, None))],
)
def test_a_range_may_be_open(
    tmp_path: Path, low: float | None, high: float | None, expected: tuple[float | None, ...]
) -> None:
    file = write_labels(tmp_path / "a.parquet", [label_row(age=None, age_min=low, age_max=high)])
    (sample,) = read_samples([file])
    assert (sample.label.age_low, sample.label.age_high) == expected


def test_an_exact_age_overrules_the_range(tmp_path: Path) -> None:
    (sample,) = read_samples([write_labels(tmp_path / "a.parquet", [label_row(age=25.0)])])
    assert sample.label.age == 25


def test_columns_may_be_missing_or_too_many(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([label_row()], schema=LABELS).drop_columns(
        ["crop", "age_min", "age_max"]
    )
    pq.write_table(table.append_column("race", pa.array(["unknown"])), tmp_path / "a.parquet")
    assert read_samples([tmp_path / "a.parquet"])[0].shows == "face"
    assert read_samples([tmp_path / "a.parquet"], DataOptions(shows="body"))[0].shows == "body"


def test_a_parquet_file_without_pictures_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": ["a.jpg"], "age": [3]}), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match="no column image"):
        read_samples([tmp_path / "a.parquet"])


def test_a_table_of_a_scan_is_no_labelled_data_and_that_is_said(tmp_path: Path) -> None:
    file = tmp_path / "people.parquet"
    columns = {"path": ["a.jpg"], "mtime_ns": [1], "age": [30.0], "gender": ["male"]}
    pq.write_table(pa.table(columns), file)
    with pytest.raises(BadInput, match="no column image") as caught:
        read_dataset(file)
    assert "--predictions" in caught.value.hint


# --- CSV ---


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "images" / "a.png", pixels=noise(1, 100, 120))


def csv(tmp_path: Path, text: str) -> Path:
    (tmp_path / "labels.csv").write_text(text)
    return tmp_path / "labels.csv"


def in_images(tmp_path: Path, **changes: Any) -> DataOptions:
    return DataOptions(images=tmp_path / "images", **changes)


PUBLISHED = (
    "img_name,age,gender,face_x0,face_y0,face_x1,face_y1,person_x0,person_y0,person_x1,person_y1\n"
)


def test_published_annotations_know_the_neighbours(tmp_path: Path, photo: Path) -> None:
    file = csv(
        tmp_path,
        PUBLISHED
        + "a.png,31,M,10,10,30,30,5,5,60,100\n"
        + "a.png,-1,-1,70,10,90,30,65,5,115,95\n"
        + "a.png,4.0,F,-1,-1,-1,-1,80,40,119,99\n",
    )
    man, girl = read_samples([file], in_images(tmp_path))
    assert man == Sample(
        "a.png",
        photo,
        Label(31, 31, "male"),
        Box(10, 10, 30, 30),
        Box(5, 5, 60, 100),
        (Person(Box(70, 10, 90, 30), Box(65, 5, 115, 95)), Person(None, Box(80, 40, 119, 99))),
    )
    assert man.shows == "face+body" and girl.shows == "body" and len(girl.neighbours) == 2


def test_neighbours_are_black_in_a_body(tmp_path: Path, photo: Path) -> None:
    rows = "a.png,31,M,-1,-1,-1,-1,0,0,80,100\na.png,-1,-1,-1,-1,-1,-1,50,0,119,99\n"
    (man,) = read_samples([csv(tmp_path, PUBLISHED + rows)], in_images(tmp_path))
    body = man.crops(100).body
    assert body is not None and not body[:, 62:].any() and body[50, 20:55].all()


@pytest.mark.parametrize("name", ["path", "image", "file", "filename"])
@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_plain_tables_of_path_age_and_gender(
    tmp_path: Path, photo: Path, name: str, separator: str
) -> None:
    rows = [
        (name, "age", "gender"),
        ("images/a.png", "30", "Female"),
        ("images/a.png", "(25; 32)", ""),
    ]
    rows[2] = ("images/a.png", "25-32", "")
    file = csv(tmp_path, "".join(separator.join(row) + "\n" for row in rows))
    found = read_samples([file])
    assert [(s.shows, s.label) for s in found] == [
        ("face", Label(30, 30, "female")),
        ("face", Label(25, 32)),
    ]
    assert found[0].face == whole(120, 100) and not found[0].neighbours


def test_a_table_may_say_what_each_picture_shows(tmp_path: Path, photo: Path) -> None:
    rows = "path,age,crop\nimages/a.png,3,body\nimages/a.png,4,photo\nimages/a.png,5,\n"
    assert [s.shows for s in read_samples([csv(tmp_path, rows)])] == ["body", "photo", "face"]


def test_boxes_fit_the_upright_picture(tmp_path: Path) -> None:
    save_photo(tmp_path / "images" / "turned.jpg", pixels=noise(2, 40, 100), orientation=6)
    rows = "path,age,face_x1,face_y1,face_x2,face_y2\nturned.jpg,3,60,5,99,39\n"
    (sample,) = read_samples([csv(tmp_path, rows)], in_images(tmp_path))
    assert sample.face == Box(60, 5, 99, 39) and sample.pixels().shape == (40, 100, 3)


def test_a_box_a_pixel_over_the_edge_is_clipped(tmp_path: Path, photo: Path) -> None:
    rows = "path,age,face_x1,face_y1,face_x2,face_y2\na.png,3,-0.6,5,120.9,50\n"
    assert read_samples([csv(tmp_path, rows)], in_images(tmp_path))[0].face == Box(0, 5, 120, 50)


@pytest.mark.parametrize(
    "row, code, said",
    [
        ("a.png,200,male,1,1,9,9", "age", "not a human age"),
        ("a.png,many,male,1,1,9,9", "age", "not an age"),
        ("a.png,3,x,1,1,9,9", "gender", "unknown gender"),
        ("b.png,3,male,1,1,9,9", "picture", "no such picture"),
        (",3,male,1,1,9,9", "picture", "no name"),
        ("broken.png,3,male,1,1,9,9", "picture", "cannot be read"),
        ("a.png,3,male,9,1,1,9", "box", "no area"),
        ("a.png,3,male,1,1,130,9", "box", "outside"),
        ("a.png,3,male,-5,1,9,9", "box", "outside"),
        ("a.png,3,male,1,one,9,9", "box", "not a number"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_or_skipped(
    tmp_path: Path, photo: Path, row: str, code: str, said: str
) -> None:
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    head = "path,age,gender,face_x1,face_y1,face_x2,face_y2\na.png,30,female,1,1,50,50\n"
    file = csv(tmp_path, head + row + "\n")
    with pytest.raises(BadInput, match=f"1 of 2 rows.*1 {code}.*row.*{said}") as caught:
        read_samples([file], in_images(tmp_path))
    assert "--invalid skip" in caught.value.hint
    found = read_dataset(file, in_images(tmp_path, invalid="skip"))
    assert [s.label.age for s in found.samples] == [30]
    assert [(p.code, said in p.message) for p in found.problems] == [(code, True)]


def test_a_row_without_any_label_is_no_use_alone(tmp_path: Path, photo: Path) -> None:
    found = read_dataset(
        csv(tmp_path, "path,age,gender\na.png,,\na.png,3,\n"), in_images(tmp_path, invalid="skip")
    )
    assert len(found.samples) == 1 and found.problems[0].code == "label"


def test_data_of_which_nothing_can_be_used_is_refused_even_if_told_to_skip(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="1 of 1 rows"):
        read_dataset(csv(tmp_path, "path,age\nb.png,3\n"), SKIP)


def test_many_problems_are_counted_and_some_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_samples([csv(tmp_path, "path,age\n" + "b.png,3\n" * 7 + "c.png,900\n")])
    assert (
        "8 of 8 rows" in str(caught.value)
        and "8 picture" in str(caught.value)
        and "and more" in str(caught.value)
    )


# --- folders ---


def test_a_folder_of_utkface_names(tmp_path: Path) -> None:
    for name in ("26_1_0_20170116.jpg.chip.jpg", "part/100_0_2_2017.jpg"):
        save_photo(tmp_path / "utk" / name, "JPEG")
    found = read_samples([tmp_path / "utk"])
    assert [(s.name, s.label, s.shows) for s in found] == [
        ("26_1_0_20170116.jpg.chip.jpg", Label(26, 26, "female"), "face"),
        ("part/100_0_2_2017.jpg", Label(100, 100, "male"), "face"),
    ]


@pytest.mark.parametrize("name", ["holiday.jpg", "26_3_0_2017.jpg", "26_1.txt"])
def test_other_names_in_such_a_folder_are_told(tmp_path: Path, name: str) -> None:
    save_photo(tmp_path / "utk" / name, "JPEG")
    with pytest.raises(BadInput, match="1 name"):
        read_samples([tmp_path / "utk"])


# --- all ---


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.json", "folder"])
@pytest.mark.parametrize("content", [None, b"", b"x,y\n1,2\n"])
def test_what_is_no_labelled_data_is_refused(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    file = tmp_path / name
    if name == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    with pytest.raises(BadInput, match=name):
        read_samples([file])


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="empty"):
        read_samples([write_labels(tmp_path / "a.parquet", [])])


def test_pixels_are_rgb_whatever_is_stored() -> None:
    assert (Sample("", PNG, Label()).pixels() == PIXELS).all()
    grey = Sample("", encode(PIXELS, "L"), Label()).pixels()
    assert grey.shape == (60, 80, 3) and (grey[..., 0] == grey[..., 2]).all()


def test_a_picture_that_breaks_off_is_told_by_name() -> None:
    with pytest.raises(BadInput, match=r"me\.png"):
        Sample("me.png", PNG[: len(PNG) // 2], Label()).pixels()


def scans() -> bytes:
    return many_scans(9400, 9400, 5000, "baseline")


def postscript() -> bytes:
    out = io.BytesIO()
    PIL.Image.new("RGB", (9, 9)).save(out, "EPS")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["file", "bytes"])
@pytest.mark.parametrize(
    ("make", "complaint"),
    [(scans, "more than 200 scans"), (postscript, "not a picture in a supported format")],
)
def test_labelled_pictures_are_read_with_the_limits_of_a_scan(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    make: Callable[[], bytes],
    complaint: str,
) -> None:
    """Minutes of work are refused, and what no scan reads is given to no decoder."""
    limited = Sandbox(30.0)
    monkeypatch.setattr(sandbox, "shared", lambda: limited)
    file = tmp_path / "me.jpg"
    file.write_bytes(make())
    with pytest.raises(BadInput, match=f"me.jpg cannot be read: .*{complaint}") as error:
        Sample("me.jpg", file if kind == "file" else file.read_bytes(), Label()).pixels()
    assert error.value.hint
    limited.close()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("way", "size"), [(1, (80, 60)), (6, (60, 80))])
def test_the_announced_size_is_that_of_the_upright_pixels(
    form: str, way: int, size: tuple[int, int]
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = way
    out = io.BytesIO()
    PIL.Image.fromarray(PIXELS).save(out, form, exif=exif)
    assert size_of("a", out.getvalue()) == size
    assert Sample("a", out.getvalue(), Label()).pixels().shape == (*size[::-1], 3)


@pytest.mark.parametrize("kind", ["face", "body"])
def test_the_whole_picture_is_the_input(kind: str) -> None:
    boxes: dict[str, Any] = {kind: whole(80, 60)}
    crops = Sample("", PNG, Label(), **boxes).crops(80)
    assert crops.used == kind
    picture = crops.face if kind == "face" else crops.body
    assert picture is not None and picture.shape == (80, 80, 3)
    assert (picture[20:60] > 0).mean() > 0.95 and picture[:9].max() == 0


def test_the_use_leaves_an_input_out() -> None:
    both = Sample("", PNG, Label(), whole(80, 60), whole(80, 60))
    assert [both.crops(32, use).used for use in ("face", "body")] == [
        "face",
        None,
    ]  # a body that is all face


def test_a_body_too_small_for_a_scan_is_too_small_here() -> None:
    assert Sample("", encode(PIXELS[:40]), Label(), body=whole(80, 40)).crops(80).used is None


def test_samples_are_equal_by_content() -> None:
    assert (
        Sample("a", PNG, Label(3, 3))
        == Sample("a", PNG, Label(3, 3))
        != Sample("a", PNG, Label(4, 4))
    )
    assert np.isfinite(Label(3, 3).age or np.nan)
