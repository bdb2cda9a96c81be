"""The acceptance test of the scan: a folder of 200 mixed files."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
from helpers.photos import FORMATS, draw_scene, save_broken, save_photo
from helpers.tables import Corners, Given, contents, corners, table, write_boxes

from mivolo_cli.photos.codes import CODES
from mivolo_cli.records import SCHEMA
from mivolo_cli.scan.options import Progress
from mivolo_cli.tables import read_table

Run = Callable[..., Progress]
FACE: Corners = (20, 10, 45, 40)
BODY: Corners = (5, 5, 65, 105)

HOLDS_EXIF = (".jpg", ".png", ".webp", ".tif", ".avif", ".heic")
BROKEN = {
    "empty": "empty", "text": "not_a_picture", "truncated": "truncated",
    "garbage": "corrupt", "bomb": "too_large", "link": "missing",
}  # fmt: skip
"""Kind of broken file -> the code in the table."""
LAYOUTS: list[list[tuple[str | None, Corners | None, Corners | None]]] = [
    [],
    [("face", (20, 10, 60, 60), None)],
    [("body", None, (10, 5, 90, 105))],
    [
        ("face+body", FACE, BODY),
        (None, None, (70, 60, 100, 100)),
        ("face", (110, 10, 140, 50), None),
    ],
]
"""The people that may be on a photo, from left to right: what the model can use of them, face and
body."""


def given_boxes(
    path: str, people: Iterable[tuple[str | None, Corners | None, Corners | None]]
) -> Given:
    kinds = ("face", "person")
    return [
        (path, kind, box)
        for _, *pair in people
        for kind, box in zip(kinds, pair, strict=True)
        if box
    ]


def make_photos(folder: Path) -> Iterator[tuple[dict[str, Any], Given]]:
    """180 good photos: what the table should say of each photo, and the boxes to give."""
    chance = random.Random(5)
    for number in range(180):
        suffix = list(FORMATS)[number % 8]
        holds_exif = suffix in HOLDS_EXIF
        orientation = 1 + number // 8 % 8 if holds_exif else None
        taken_at = "2020:01:31 12:00:05" if holds_exif and number % 3 == 0 else None
        width, height = 150 + number % 7, 110 + number % 5
        place = chance.choice(["", "a/", "a/b/", "B c/", "ä/"])
        path = f"{place}{number:03}{suffix.upper() if number % 4 == 1 else suffix}"
        people = chance.choice(LAYOUTS)
        save_photo(
            folder / path,
            pixels=draw_scene(width, height),
            orientation=orientation,
            taken_at=taken_at,
        )
        taken = datetime(2020, 1, 31, 12, 0, 5) if taken_at else None
        about = {
            "path": path,
            "width": width,
            "height": height,
            "taken_at": taken,
            "error": None,
            "people": people,
        }
        yield about, given_boxes(path, people)


def make_broken_ones(folder: Path) -> Iterator[dict[str, Any]]:
    """20 that cannot be read, and what the table should say of them."""
    for number in range(20):
        kind = list(BROKEN)[number % len(BROKEN)]
        path = f"{('', 'a/', 'broken/')[number % 3]}bad {number:02}{list(FORMATS)[number % 8]}"
        if kind == "link":
            (folder / path).symlink_to(folder / "gone.jpg")
        else:
            save_broken(folder / path, kind)
        yield {
            "path": path,
            "width": None,
            "height": None,
            "taken_at": None,
            "error": BROKEN[kind],
            "people": [],
        }


def make_what_is_no_photo(folder: Path) -> None:
    (folder / "notes.txt").write_text("no photo")
    (folder / "a" / "film.mp4").write_bytes(bytes(100))
    save_photo(folder / ".hidden.jpg")
    save_photo(folder / ".thumbnails" / "small.png")


def expected_rows(about: dict[str, Any]) -> Iterator[dict[str, Any]]:
    row = {name: about[name] for name in ("path", "width", "height", "taken_at", "error")}
    nobody = {"person": None, "used": None, "face": None, "body": None}
    if not about["people"]:
        yield row | nobody | {"status": "error" if about["error"] else "no_people"}
    for index, (used, face, body) in enumerate(about["people"]):
        status = "ok" if used else "no_usable_crop"
        yield row | {"person": index, "used": used, "face": face, "body": body, "status": status}


def test_200_mixed_files_give_exactly_the_rows_expected_in_all_formats(
    tmp_path: Path, scan_given: Run
) -> None:
    folder = tmp_path / "photos"
    good, given = zip(*make_photos(folder), strict=True)
    abouts = sorted([*good, *make_broken_ones(folder)], key=lambda about: about["path"].split("/"))
    make_what_is_no_photo(folder)
    boxes = write_boxes(tmp_path / "boxes.csv", [box for boxes in given for box in boxes])
    before = contents(folder)
    outputs = [tmp_path / f"people{suffix}" for suffix in (".parquet", ".csv", ".jsonl")]

    progress = scan_given(folder, boxes=boxes, outputs=outputs, batch_size=16)

    found = table(outputs[0])
    seen = [
        {
            name: row[name]
            for name in ("path", "width", "height", "taken_at", "error", "person", "used", "status")
        }
        | {"face": corners(row, "face"), "body": corners(row, "body")}
        for row in found
    ]
    expected = [row for about in abouts for row in expected_rows(about)]
    assert len(abouts) == 200
    assert {row["status"] for row in expected} == {"ok", "no_people", "no_usable_crop", "error"}
    assert seen == expected
    assert_facts_of_files(found, folder)
    assert_predictions_where_they_belong(found)
    assert_equal_content(outputs)
    assert contents(folder) == before, "a scan must not touch photos"
    people = [row for row in expected if row["person"] is not None]
    assert (progress.photos, progress.people, progress.failed) == (200, len(people), 20)
    assert progress.no_people == sum(row["status"] == "no_people" for row in expected)
    assert progress.no_usable_crop == sum(row["status"] == "no_usable_crop" for row in expected)
    assert progress.failures == {
        code: sum(row["error"] == code for row in expected) for code in BROKEN.values()
    }


def assert_facts_of_files(found: Sequence[dict[str, Any]], folder: Path) -> None:
    for row in found:
        file = folder / row["path"]
        facts = (file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else (None, None)
        assert (row["root"], row["bytes"], row["mtime_ns"]) == (str(folder), *facts)


def assert_predictions_where_they_belong(found: Sequence[dict[str, Any]]) -> None:
    for row in found:
        answer = (row["age"], row["gender"], row["gender_score"])
        if row["status"] == "ok":
            assert (
                0 <= row["age"] <= 100
                and row["gender"] in ("male", "female")
                and 0.5 <= row["gender_score"] <= 1
            )
        else:
            assert answer == (None, None, None)
        assert (row["message"] is None) == (row["status"] != "error")
        assert row["error"] is None or row["error"] in CODES
    assert len({row["age"] for row in found if row["status"] == "ok"}) > 10


def assert_equal_content(outputs: Sequence[Path]) -> None:
    """As the product reads its tables, and as anyone would with the tools of the format."""
    tables = [read_table(output) for output in outputs]
    assert all(other.equals(tables[0]) for other in tables[1:])
    rows = pyarrow.parquet.read_table(outputs[0]).to_pylist()
    for row in rows:
        row["taken_at"] = row["taken_at"] and row["taken_at"].isoformat()
    with outputs[1].open(newline="", encoding="utf-8") as opened:
        lines = list(csv.DictReader(opened))
    assert [[line[name] for name in SCHEMA.names] for line in lines] == [
        [
            "" if value is None else value if isinstance(value, str) else repr(value)
            for value in row.values()
        ]
        for row in rows
    ]
    assert [json.loads(line) for line in outputs[2].read_text("utf-8").splitlines()] == rows
