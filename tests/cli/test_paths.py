"""Names as other systems have them: separators, case, length, and two ways to code an accent."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from helpers.photos import draw_scene, save_photo
from helpers.tables import corners, save_results, table, write_boxes

from mivolo_cli import records
from mivolo_cli.draw import annotated_path, root_folders
from mivolo_cli.export import ExportOptions, export
from mivolo_cli.photos import walk
from mivolo_cli.records import Photo, Result, same_file

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Zoë.jpg") for form in ("NFC", "NFD"))
FACE = (20.0, 10.0, 45.0, 40.0)
apart = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere these names are one file")


def test_names_that_are_one_file_on_some_system() -> None:
    assert COMPOSED != DECOMPOSED
    assert (
        len(
            {
                same_file(name)
                for name in (COMPOSED, DECOMPOSED, COMPOSED.upper(), DECOMPOSED.upper())
            }
        )
        == 1
    )
    assert same_file("Straße") == same_file("STRASSE")
    assert same_file("a.jpg") != same_file("b.jpg")


@pytest.mark.parametrize(
    "path, inside",
    [
        ("2024/a.jpg", True),
        ("2024\\a.jpg", True),
        ("..a/b..jpg", True),
        ("C:\\a.jpg", False),
        ("C:a.jpg", False),
        ("\\\\server\\share\\a.jpg", False),
        ("..\\a.jpg", False),
        ("2024/..\\..\\a.jpg", False),
        ("/a.jpg", False),
        ("", False),
    ],
)
def test_paths_of_a_table_stay_inside_on_windows(
    path: str, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PurePath", PureWindowsPath)
    assert records.stays_inside(path) == inside


@apart
def test_accents_of_both_kinds_stay_two_photos(tmp_path: Path) -> None:
    for name in (COMPOSED, DECOMPOSED):
        save_photo(tmp_path / name)
    found = [photo.path for photo in walk.walk([tmp_path]) if isinstance(photo, Photo)]
    assert sorted(found) == sorted([COMPOSED, DECOMPOSED])


@pytest.mark.parametrize("name", [COMPOSED, DECOMPOSED], ids=["composed", "decomposed"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_tables_leave_accents_as_they_are(tmp_path: Path, name: str, suffix: str) -> None:
    file = save_results(tmp_path / f"people{suffix}", [Result(Photo("/p", name), 9, 9)])
    assert table(file)[0]["path"] == name


@pytest.mark.parametrize(
    "listed, name", [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), ("x\\a.jpg", "x/a.jpg")]
)
def test_boxes_of_another_system_are_found(
    tmp_path: Path, scan_given: Callable[..., Any], listed: str, name: str
) -> None:
    save_photo(tmp_path / "album" / name, pixels=draw_scene(150, 110))
    boxes = write_boxes(tmp_path / "boxes.csv", [(listed, "face", FACE)])
    scan_given(tmp_path / "album", boxes=boxes, outputs=[tmp_path / "people.csv"])
    assert [corners(row, "face") for row in table(tmp_path / "people.csv")] == [FACE]


@apart
def test_boxes_of_the_very_name_win(tmp_path: Path, scan_given: Callable[..., Any]) -> None:
    for name in (COMPOSED, DECOMPOSED):
        save_photo(tmp_path / "album" / name, pixels=draw_scene(150, 110))
    other = (1.0, 2.0, 33.0, 44.0)
    given = [(COMPOSED, "face", FACE), (DECOMPOSED, "face", other)]
    scan_given(
        tmp_path / "album",
        boxes=write_boxes(tmp_path / "b.csv", given),
        outputs=[tmp_path / "people.csv"],
    )
    assert {row["path"]: corners(row, "face") for row in table(tmp_path / "people.csv")} == {
        COMPOSED: FACE,
        DECOMPOSED: other,
    }


def test_folders_of_roots_stay_apart_on_every_system() -> None:
    names = root_folders(
        tuple(f"/{number}/{name}" for number, name in enumerate(("Zoë", "Zoe\u0308", "ZOË")))
    )
    assert len({same_file(name) for name in names.values()}) == 3


@apart
def test_yolo_names_stay_apart_on_every_system(tmp_path: Path) -> None:
    names = (COMPOSED, DECOMPOSED, "A.jpg", "a.jpg", "a.png")
    root = tmp_path / "album"
    found = [Result(Photo(str(root), save_photo(root / name).name), 80, 64) for name in names]
    export(
        ExportOptions(save_results(tmp_path / "people.parquet", found), "yolo", tmp_path / "set")
    )
    images = [
        file.relative_to(tmp_path / "set" / "images")
        for file in (tmp_path / "set" / "images").rglob("*.*")
    ]
    assert len({same_file(str(image.with_suffix(""))) for image in images}) == len(names)


def test_a_drawing_of_a_long_name_has_a_shorter_one() -> None:
    folder = Path("drawn")
    long = ["x" * 251 + end for end in (".jpg", ".png")] + ["ü" * 125 + ".jpeg"]
    drawn = [annotated_path(folder, Photo("/p", name)).name for name in long]
    assert len(set(drawn)) == 3 and all(
        len(name.encode()) <= 255 and name.endswith(".jpg") for name in drawn
    )
    assert drawn[2].startswith("ü" * 100)
    assert annotated_path(folder, Photo("/p", "x" * 247 + ".jpg")).name == "x" * 247 + ".jpg.jpg"


def test_a_photo_with_the_longest_name_is_scanned_and_drawn(
    tmp_path: Path, scan_given: Callable[..., Any]
) -> None:
    photo = save_photo(tmp_path / "album" / ("x" * 251 + ".jpg"), pixels=draw_scene(150, 110))
    boxes = write_boxes(tmp_path / "boxes.csv", [(photo.name, "face", FACE)])
    progress = scan_given(
        tmp_path / "album",
        boxes=boxes,
        outputs=[tmp_path / "people.csv"],
        annotate=tmp_path / "drawn",
    )
    assert progress.failed == 0 and len(list((tmp_path / "drawn").iterdir())) == 1
