"""The page of a report as text: what is in it, what cannot get out of it, and what its policy
allows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from helpers.tables import save_results

from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.report import page
from mivolo_cli.tables.results import read_results

HOSTILE = "</script><img src=x onerror=alert(1)>.jpg"
CONTENT = [
    Result(Photo("/photos", HOSTILE), 200, 100, None, [(Person(Box(20, 10, 60, 60), None), None)]),
    Failure(Photo("/photos", "c.jpg"), "empty", "<b>empty</b>"),
    Result(
        Photo("/photos", "../x.jpg"),
        10,
        20,
        None,
        [(Person(None, Box(0, 0, 5, 5)), Prediction(7, None, None, "body"))],
    ),
]


@pytest.fixture(autouse=True)
def bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No charts: their script is large, and tested in a browser."""
    monkeypatch.setattr(page, "_bundle", lambda: "/* charts */")


def written(
    tmp_path: Path, pictures: str = "inside", folder: Path | None = None
) -> tuple[str, dict[str, Any]]:
    results = read_results(save_results(tmp_path / "people.parquet", CONTENT, model="m"))
    data = page.summarise(results, "<i>Title</i>", tmp_path, pictures, folder)
    file = StringIO()
    page.write_head(file, data)
    page.write_inside(file, iter([(0, b"abc"), (1, None)] if pictures == "inside" else []))
    page.write_end(file)
    return file.getvalue(), data


def test_names_and_titles_are_never_markup(tmp_path: Path) -> None:
    text, _ = written(tmp_path)
    assert "<img src=x" not in text and "<b>empty" not in text and "<i>Title" not in text
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert inside is not None
    data = json.loads(inside[1])
    assert data["photos"][0]["path"] == HOSTILE and data["title"] == "<i>Title</i>"


def test_the_policy_allows_the_pages_own_scripts_and_nothing_from_elsewhere(tmp_path: Path) -> None:
    text, _ = written(tmp_path)
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert found is not None
    policy = found[1]
    assert policy.startswith("default-src 'none';") and "img-src data:;" in policy
    assert "unsafe" not in policy and "http" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 2
    for script in scripts + re.findall(r"<style>(.*?)</style>", text, re.S):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.findall(r'(?:src|href)="(?!#)', text)


def test_boxes_are_percent_and_pictures_are_numbered_without_the_failures(tmp_path: Path) -> None:
    text, data = written(tmp_path)
    assert [photo.get("p") for photo in data["photos"]] == [0, None, 1]
    assert data["photos"][0]["people"] == [{"face": [10, 10, 20, 50]}]
    assert data["photos"][2]["people"][0] | {"body": None} == {
        "body": None,
        "age": 7,
        "used": "body",
    }
    assert text.count('id="picture-') == 1 and 'id="picture-0">YWJj<' in text


def test_links_stay_inside_and_are_absent_without_pictures(tmp_path: Path) -> None:
    _, data = written(tmp_path)
    assert [photo["r"] for photo in data["photos"]] == [0, 0, -1]
    assert data["roots"][0].startswith("./../") and data["roots"][0].endswith("/photos/")
    text, data = written(tmp_path, "none")
    assert data["roots"] == [None] and "/photos" not in text.replace("'/photos", "")


@pytest.mark.parametrize(
    "root", ["//host/share", "\\\\host\\share", "photos", "javascript:alert(1)"]
)
def test_a_root_that_is_no_local_folder_gets_no_link(tmp_path: Path, root: str) -> None:
    assert page.link(root, tmp_path) is None


def test_a_root_is_quoted_and_has_no_scheme(tmp_path: Path) -> None:
    assert (
        page.link(str(tmp_path / "javascript:x" / "a b#?"), tmp_path)
        == "./javascript%3Ax/a%20b%23%3F/"
    )


def test_pages_of_ours_are_told_from_others(tmp_path: Path) -> None:
    text, _ = written(tmp_path)
    (tmp_path / "ours.html").write_text(text, encoding="utf-8")
    (tmp_path / "other.html").write_text("<!doctype html><p>mine</p>")
    (tmp_path / "picture.html").write_bytes(b"\xff\xd8\xff\xe0")
    names = ("ours", "other", "picture", "gone")
    assert [page.is_ours(tmp_path / f"{name}.html") for name in names] == [
        True,
        False,
        False,
        False,
    ]


def test_places_in_buckets_and_archives_are_known_and_not_linked(tmp_path: Path) -> None:
    photos = [Result(Photo("/p", "x.tar/a.jpg"), 9, 9), Result(Photo("s3://b", "c.jpg"), 9, 9)]
    results = read_results(save_results(tmp_path / "people.parquet", photos))
    data = page.summarise(results, "t", tmp_path, "inside")
    assert data["urls"] == [None, "s3://b"] and data["roots"][1] is None
    assert [(photo["r"], photo.get("archived")) for photo in data["photos"]] == [
        (0, True), (1, None),
    ]  # fmt: skip
    data = page.summarise(results, "t", tmp_path, "none")
    assert data["urls"] == data["roots"] == [None, None]
