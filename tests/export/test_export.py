"""Exports, read back by the programs they are for."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
from helpers.photos import draw_scene, save_photo
from helpers.raw import save_dng
from helpers.require import require
from helpers.tables import contents, save_results

from mivolo_cli.errors import BadInput
from mivolo_cli.export import FORMATS, ExportOptions, Settings, export
from mivolo_cli.export import xlsx as spreadsheet
from mivolo_cli.export.fiftyone import snippet
from mivolo_cli.export.yolo import READ
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.tables.results import read_results

HOSTILE = "=cmd|' /C calc'!A0 <b>&.jpg"
Export = Callable[..., Any]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("a.jpg", "trip/a.jpg", "trip/a.png", HOSTILE):
        save_photo(tmp_path / "photos" / name, pixels=None)
    return tmp_path / "photos"


@pytest.fixture
def results(tmp_path: Path, album: Path) -> Path:
    """Photos of 80 x 64 pixels: two people, one who was not judged, none, none, and a failure."""
    root = str(album)
    both = Person(Box(8, 6.4, 24, 32, 0.9), Box(4, 3.2, 40, 64, 0.8))
    found = [
        Result(
            Photo(root, "a.jpg"),
            80,
            64,
            datetime(2020, 1, 31, 12),
            [
                (both, Prediction(33.5, "female", 0.97, "face+body", 28.0, 40.0)),
                (Person(Box(50, 10, 60, 20), None), Prediction(4.25, "male", 0.6, "face")),
            ],
        ),
        Result(
            Photo(root, "trip/a.jpg"), 80, 64, None, [(Person(None, Box(0, 0, 80, 64, 0.5)), None)]
        ),
        Result(Photo(root, "trip/a.png"), 80, 64),
        Result(Photo(root, HOSTILE), 80, 64, datetime(1850, 1, 1)),
        Failure(Photo(root, "c.jpg"), "empty", "+the file is empty"),
    ]
    return save_results(tmp_path / "people.parquet", found, model="mivolo-test", detector="given")


@pytest.fixture
def run(results: Path) -> Export:
    def run_export(format: str, output: Path, replace: bool = False, **settings: Any) -> Any:
        return export(ExportOptions(results, format, output, replace, Settings(**settings)))

    return run_export


# --- COCO and FiftyOne ---


def test_coco_is_read_by_pycocotools(tmp_path: Path, run: Export, album: Path) -> None:
    require("pycocotools")
    from pycocotools.coco import COCO

    done = run("coco", tmp_path / "people.json")
    assert (done.photos, done.people, done.notes) == (
        4,
        3,
        ("photos skipped because they could not be read: 1",),
    )
    coco = COCO(str(tmp_path / "people.json"))
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [
        "a.jpg", "trip/a.jpg", "trip/a.png", HOSTILE,
    ]  # fmt: skip
    assert {c["name"]: c["id"] for c in coco.loadCats(coco.getCatIds())} == {"person": 1, "face": 2}
    first, face, small = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert face["bbox"] == pytest.approx([8, 6.4, 16, 25.6]) and face["area"] == pytest.approx(
        16 * 25.6
    )
    assert (first["category_id"], face["category_id"], first["score"], face["score"]) == (
        1,
        2,
        0.8,
        0.9,
    )
    assert first["attributes"] == face["attributes"] == {
        "person": 0, "age": 33.5, "age_low": 28.0, "age_high": 40.0,
        "gender": "female", "gender_score": 0.97, "used": "face+body",
    }  # fmt: skip
    assert "score" not in small and small["attributes"]["age_low"] is None
    (unjudged,) = coco.loadAnns(coco.getAnnIds(imgIds=[2], catIds=[1]))
    assert unjudged["attributes"]["age"] is None
    assert coco.dataset["info"]["model"] == "mivolo-test"
    scored = tmp_path / "scored.json"
    scored.write_text(json.dumps([ann for ann in coco.dataset["annotations"] if "score" in ann]))
    assert len(coco.loadRes(str(scored)).anns) == 3


def test_photos_of_several_folders_keep_their_whole_names(tmp_path: Path) -> None:
    photos = [Result(Photo(f"/{folder}", "a.jpg"), 10, 10) for folder in ("x", "y")]
    table = save_results(tmp_path / "people.csv", photos)
    export(ExportOptions(table, "coco", tmp_path / "people.json"))
    images = json.loads((tmp_path / "people.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["/x/a.jpg", "/y/a.jpg"]


def test_fiftyone_has_attributes_as_fields_and_lines_that_import_it(
    tmp_path: Path, run: Export, results: Path, album: Path
) -> None:
    done = run("fiftyone", tmp_path / "people.json")
    annotations = json.loads((tmp_path / "people.json").read_text())["annotations"]
    assert annotations[0]["age"] == 33.5 and annotations[0]["gender"] == "female"
    assert "attributes" not in annotations[0] and "age_low" not in annotations[2]
    lines = snippet(read_results(results), tmp_path / "people.json")
    assert lines in done.notes[-1]
    compile(lines, "snippet", "exec")
    assert f"data_path={str(album)!r}" in lines


# --- YOLO ---


def test_yolo_passes_the_check_of_ultralytics(
    tmp_path: Path, run: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    done = run("yolo", tmp_path / "set")
    assert (done.photos, done.people) == (4, 3)
    data = check_det_dataset(str(tmp_path / "set" / "data.yaml"), autodownload=False)
    assert data["names"] == {0: "person", 1: "face"}
    labels = YOLODataset(
        img_path=data["train"], data=data, task="detect", imgsz=64, augment=False
    ).labels
    found = {
        Path(label["im_file"]).relative_to(tmp_path / "set" / "images").as_posix(): label
        for label in labels
    }
    assert set(found) == {"a.jpg", "trip/a.jpg", "trip/a-2.png", HOSTILE}
    assert found["a.jpg"]["cls"].ravel().tolist() == [0, 1, 1]
    assert found["a.jpg"]["bboxes"][1] == pytest.approx([0.2, 0.3, 0.2, 0.4], abs=1e-5)
    assert len(found["trip/a-2.png"]["cls"]) == 0 and len(found["trip/a.jpg"]["cls"]) == 1


def test_yolo_copies_photos_and_says_which_is_which(
    tmp_path: Path, run: Export, album: Path
) -> None:
    before = contents(album)
    run("yolo", tmp_path / "set")
    image = tmp_path / "set" / "images" / "trip" / "a-2.png"
    assert image.read_bytes() == before["trip/a.png"] and not image.is_symlink()
    assert image.stat().st_ino != (album / "trip" / "a.png").stat().st_ino
    assert contents(album) == before
    assert (
        f"images/trip/a-2.png,{album},trip/a.png" in (tmp_path / "set" / "photos.csv").read_text()
    )


def test_yolo_without_photos_and_with_photos_that_are_gone(
    tmp_path: Path, run: Export, album: Path
) -> None:
    run("yolo", tmp_path / "labels only", copy_photos=False)
    assert not list((tmp_path / "labels only" / "images").iterdir())
    (album / "a.jpg").unlink()
    done = run("yolo", tmp_path / "set")
    assert (done.photos, done.failed) == (3, 1)
    assert "not copied because they are missing" in (notes := " ".join(done.notes))
    assert "pictures: 1 if photos have moved, add --root NEW" in notes
    assert not (tmp_path / "set" / "labels" / "a.txt").exists()


def test_yolo_names_the_formats_that_ultralytics_leaves_out(tmp_path: Path) -> None:
    from ultralytics.data.utils import IMG_FORMATS

    for name, kind in (("a.gif", "GIF"), ("a.jfif", "JPEG"), ("b.webp", "WEBP")):
        save_photo(tmp_path / "photos" / name, kind)
    photos = [
        Result(Photo(str(tmp_path / "photos"), name), 60, 40)
        for name in ("a.gif", "a.jfif", "b.webp")
    ]
    table = save_results(tmp_path / "people.csv", photos)
    (note,) = export(ExportOptions(table, "yolo", tmp_path / "set")).notes
    assert note.endswith("(.gif, .jfif): 2") and {suffix[1:] for suffix in READ} <= IMG_FORMATS


def test_yolo_leaves_out_camera_raw(tmp_path: Path) -> None:
    """The boxes are those of its preview, and ultralytics decodes something else."""
    file = save_dng(tmp_path / "photos" / "a.DNG", PIL.Image.fromarray(draw_scene()))
    photos = [Result(Photo(str(file.parent), file.name), 60, 40)]
    table = save_results(tmp_path / "people.csv", photos)
    done = export(ExportOptions(table, "yolo", tmp_path / "set"))
    assert done.photos == 0 and "camera raw photos skipped" in " ".join(done.notes)
    assert not list((tmp_path / "set" / "images").iterdir())


def test_yolo_stays_in_its_folder_and_takes_nothing_from_elsewhere(tmp_path: Path) -> None:
    save_photo(tmp_path / "secret.jpg")
    photos = [
        Result(Photo(str(tmp_path / "photos"), name), 10, 10)
        for name in ("../secret.jpg", "/etc/x.jpg", "..", ".")
    ]
    table = save_results(tmp_path / "people.csv", photos)
    for copy in (True, False):
        output = tmp_path / f"set {copy}"
        export(ExportOptions(table, "yolo", output, settings=Settings(copy_photos=copy)))
        assert not list((output / "images").iterdir())
    assert {p.name for p in (tmp_path / "set False").rglob("*.txt")} == {
        "secret.txt", "x.txt", "photo.txt", "photo-2.txt",
    }  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "people.csv",
        "secret.jpg",
        "set False",
        "set True",
    ]


# --- Label Studio ---


def test_label_studio_predictions_name_the_controls_of_the_interface(
    tmp_path: Path, run: Export
) -> None:
    done = run("label-studio", tmp_path / "studio")
    assert done.files == (tmp_path / "studio" / "tasks.json", tmp_path / "studio" / "interface.xml")
    view = ElementTree.parse(done.files[1]).getroot()
    controls = {node.get("name"): node for node in view if node.get("toName")}
    images = {node.get("name"): node.get("value") for node in view.iter("Image")}
    tasks = json.loads(done.files[0].read_text())
    assert len(tasks) == 4
    for task in tasks:
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "mivolo-test"
        ids = {region["id"] for region in prediction["result"] if "id" in region}
        for region in prediction["result"]:
            if region["type"] == "relation":
                assert {region["from_id"], region["to_id"]} <= ids
                continue
            control = controls[region["from_name"]]
            assert control.tag.lower() == region["type"] and region["type"] in region["value"]
            assert (images[region["to_name"]] or "")[1:] in task["data"]
            choices = {node.get("value") for node in control}
            answer = region["value"][region["type"]]
            assert region["type"] == "number" or set(answer) <= choices


def test_label_studio_boxes_are_percent_with_scores(tmp_path: Path, run: Export) -> None:
    run("label-studio", tmp_path / "studio", url="http://host/files/")
    tasks = json.loads((tmp_path / "studio" / "tasks.json").read_text())
    prediction = tasks[0]["predictions"][0]
    face = next(
        r for r in prediction["result"] if r.get("value", {}).get("rectanglelabels") == ["face"]
    )
    box = {key: face["value"][key] for key in ("x", "y", "width", "height")}
    assert box == pytest.approx({"x": 10, "y": 10, "width": 20, "height": 40})
    assert face["score"] == 0.9 and (face["original_width"], face["original_height"]) == (80, 64)
    gender = [r for r in prediction["result"] if r["type"] == "choices" and r["id"] == face["id"]]
    assert [(r["value"]["choices"], r["score"]) for r in gender] == [(["female"], 0.97)]
    assert prediction["score"] == 0.6
    assert tasks[3]["data"]["image"].startswith("http://host/files/%3Dcmd")
    assert unquote(tasks[3]["data"]["image"]) == "http://host/files/" + HOSTILE


# --- XLSX ---


def cells(file: Path) -> list[dict[str, Any]]:
    from openpyxl import load_workbook

    header, *lines = load_workbook(file)["People"].iter_rows()
    return [dict(zip((cell.value for cell in header), line, strict=True)) for line in lines]


def test_the_spreadsheet_is_formatted_filtered_and_frozen(tmp_path: Path, run: Export) -> None:
    openpyxl = require("openpyxl")
    run("xlsx", tmp_path / "people.xlsx")
    book = openpyxl.load_workbook(tmp_path / "people.xlsx")
    sheet = book["People"]
    assert book.sheetnames == ["People", "By year", "By folder", "About"]
    assert sheet.freeze_panes == "B2" and sheet.auto_filter.ref.startswith("A1:")
    lines = cells(tmp_path / "people.xlsx")
    assert [(line["Photo"].value, line["Age"].value, line["Result"].value) for line in lines] == [
        ("a.jpg", 33.5, "judged"),
        ("a.jpg", 4.25, "judged"),
        ("trip/a.jpg", None, "too small or hidden"),
        ("trip/a.png", None, "nobody found"),
        (HOSTILE, None, "nobody found"),
        ("c.jpg", None, "could not be read"),
    ]
    assert [line["Seen from"].value for line in lines[:2]] == ["face and body", "face"]
    problem = (lines[5]["Problem"].value, lines[5]["What it means"].value)
    assert problem == ("empty", "+the file is empty")
    assert lines[0]["Taken"].value == datetime(2020, 1, 31, 12) and lines[4]["Taken"].value is None
    assert (lines[0]["Age"].number_format, lines[0]["Sure"].number_format) == ("0.0", "0%")
    assert (
        "not proof of age"
        in " ".join(str(cell.value) for row in book["About"] for cell in row).lower()
    )


def test_the_spreadsheet_counts_by_year_and_by_folder(tmp_path: Path, run: Export) -> None:
    openpyxl = require("openpyxl")
    run("xlsx", tmp_path / "people.xlsx")
    book = openpyxl.load_workbook(tmp_path / "people.xlsx")
    ages = [f"Age {ages}" for ages in ("0-4", "5-14", "15-29", "30-44", "45-64", "65+")]
    titles = ["Photos", "People", "Female", "Male", "No gender", *ages, "No age"]
    titles += ["Not judged", "No people", "Unreadable"]
    year, *years = book["By year"].iter_rows(values_only=True)
    assert list(year) == ["Year", *titles]
    assert years == [
        (1850, 1, *[0] * 12, 1, 0),
        (2020, 1, 2, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0),
        ("unknown", 3, *[0] * 11, 1, 1, 1),
    ]
    folder, *folders = book["By folder"].iter_rows(values_only=True)
    assert list(folder) == ["Folder", *titles]
    assert [line[:3] for line in folders] == [(".", 2, 2), ("=cmd|' ", 1, 0), ("trip", 2, 0)]
    assert book["By folder"]["A3"].quotePrefix and book["By folder"]["A3"].data_type == "s"
    for name in ("By year", "By folder"):
        assert book[name].freeze_panes == "B2" and book[name].auto_filter.ref.startswith("A1:")


def test_names_like_formulas_stay_text_even_when_edited(tmp_path: Path, run: Export) -> None:
    require("openpyxl")
    run("xlsx", tmp_path / "people.xlsx")
    lines = cells(tmp_path / "people.xlsx")
    assert {cell.data_type for line in lines for cell in line.values()} <= {"s", "n", "d"}
    assert lines[4]["Photo"].quotePrefix and lines[5]["What it means"].quotePrefix
    assert not lines[0]["Photo"].quotePrefix
    assert all(cell.hyperlink is None for line in lines for cell in line.values())


def test_a_formula_in_wide_characters_stays_text_too(tmp_path: Path) -> None:
    require("openpyxl")
    wide = save_results(tmp_path / "wide.csv", [Result(Photo("/r", "\uff1d1+1.jpg"), 1, 1)])
    export(ExportOptions(wide, "xlsx", tmp_path / "people.xlsx", False, Settings()))
    assert cells(tmp_path / "people.xlsx")[0]["Photo"].quotePrefix


def test_thumbnails_stand_beside_their_rows(tmp_path: Path, run: Export) -> None:
    openpyxl = require("openpyxl")
    run("xlsx", tmp_path / "people.xlsx", thumbnails=40)
    sheet = openpyxl.load_workbook(tmp_path / "people.xlsx")["People"]
    assert [image.anchor._from.row for image in sheet._images] == [1, 2, 3, 4, 5]
    assert sheet.freeze_panes == "C2" and sheet["B2"].value == "a.jpg"


def test_everybody_is_shown_with_their_own_face(tmp_path: Path, album: Path) -> None:
    openpyxl = require("openpyxl")
    pixels = draw_scene(80, 64)  # red and green above, blue and grey below
    save_photo(album / "four.png", pixels=pixels)
    corners = [(10, 8, 20, 18), (60, 8, 70, 18), (10, 42, 20, 52)]
    people: list[Any] = [(Person(Box(*box), Box(0, 0, 80, 64)), None) for box in corners]
    people.append((Person(None, Box(50, 40, 80, 64)), None))
    found = [Result(Photo(str(album), "four.png"), 80, 64, None, people)]
    found.append(Result(Photo(str(album), "a.jpg"), 64, 80, None, people[:1]))  # it was upright
    table = save_results(tmp_path / "four.parquet", found)
    output = tmp_path / "people.xlsx"
    export(ExportOptions(table, "xlsx", output, False, Settings(thumbnails=40)))
    images = openpyxl.load_workbook(output)["People"]._images
    shown = [np.asarray(PIL.Image.open(image.ref)).reshape(-1, 3).mean(axis=0) for image in images]
    expected = [pixels[8, 10], pixels[8, 60], pixels[42, 10], pixels[42, 60]]
    assert len(shown) == 4 and np.abs(np.array(shown) - np.array(expected)).max() < 12


def test_more_rows_than_a_sheet_has_are_refused(
    tmp_path: Path, run: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheet, "MAX_ROWS", 6)
    with pytest.raises(BadInput, match="more than a spreadsheet"):
        run("xlsx", tmp_path / "people.xlsx")
    assert not (tmp_path / "people.xlsx").exists()


# --- every format ---


@pytest.mark.parametrize("format", FORMATS)
def test_what_stands_there_is_never_replaced_unasked(
    tmp_path: Path, run: Export, format: str
) -> None:
    output = tmp_path / f"out{FORMATS[format].SUFFIX}"
    run(format, output)
    before = contents(tmp_path)
    with pytest.raises(BadInput):
        run(format, output)
    assert contents(tmp_path) == before
    if FORMATS[format].SUFFIX:
        run(format, output, replace=True)


def test_an_unknown_format_gets_the_names_of_the_others(tmp_path: Path, run: Export) -> None:
    with pytest.raises(BadInput, match="voc") as caught:
        run("voc", tmp_path / "out.json")
    assert "label-studio" in caught.value.hint
