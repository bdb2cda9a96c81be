"""Which folder of a table is where, by what the user says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tables import save_results

from mivolo_cli.errors import BadInput
from mivolo_cli.records import Failure, Photo
from mivolo_cli.tables import stream
from mivolo_cli.tables.moved import new_roots
from mivolo_cli.tables.results import read_results

WINDOWS = "C:\\Users\\Ann\\Pictures"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    for name in ("new/2019", "new/2020", "a=b"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path / "new"


def test_a_folder_stands_for_the_only_root(new: Path) -> None:
    assert new_roots([str(new)], ["/old"]) == {"/old": str(new)}
    assert new_roots([str(new)], [WINDOWS]) == {WINDOWS: str(new)}
    assert new_roots([f"{new}/"], [str(new)]) == {}, "it is there already"
    assert new_roots([str(new)], []) == {}
    odd = str(new.parent / "a=b")
    assert new_roots([odd], ["/old"]) == {"/old": odd}
    assert new_roots([f"/x=y={odd}"], ["/x=y", "/z"]) == {"/x=y": odd}


def test_a_relative_folder_becomes_absolute(new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(new.parent)
    assert new_roots(["new"], ["/old"]) == {"/old": str(new)}
    assert new_roots(["/old=new"], ["/old", "/z"]) == {"/old": str(new)}


def test_a_bucket_may_be_the_new_place_and_the_old_one(new: Path) -> None:
    assert new_roots(["s3://photos/all"], ["/old"]) == {"/old": "s3://photos/all"}
    assert new_roots([f"s3://photos={new}"], ["s3://photos/2019", "/z"]) == {
        "s3://photos/2019": f"{new}/2019"
    }


@pytest.mark.parametrize("old", ["/home/ann", "/home/ann/"])
def test_a_folder_above_roots_stands_for_all_of_them(new: Path, old: str) -> None:
    roots = ["/home/ann/2019", "/home/ann/2020", "/home/anna/2019", "/other"]
    assert new_roots([f"{old}={new}"], roots) == {
        "/home/ann/2019": f"{new}/2019",
        "/home/ann/2020": f"{new}/2020",
    }


def test_a_drive_of_windows_may_be_named_in_several_ways(new: Path) -> None:
    roots = [f"{WINDOWS}\\2019", f"{WINDOWS}\\2020"]
    for old in (WINDOWS, WINDOWS.lower(), "C:/Users/Ann/Pictures", f"{WINDOWS}\\"):
        assert new_roots([f"{old}={new}"], roots) == {
            roots[0]: f"{new}/2019",
            roots[1]: f"{new}/2020",
        }


def test_several_folders_are_named_one_by_one(new: Path) -> None:
    given = [f"/a={new}/2019", f"/b={new}/2020"]
    assert new_roots(given, ["/a", "/b", "/c"]) == {"/a": f"{new}/2019", "/b": f"{new}/2020"}


@pytest.mark.parametrize(
    ("given", "roots", "message"),
    [
        (["{new}"], ["/a", "/b"], "covers 2 folders"),
        (["{new}/gone"], ["/a"], "no such folder"),
        (["/a={new}/gone"], ["/a"], "no such folder"),
        (["/c={new}"], ["/a", "/b"], "has no such folder"),
        (["/c={new}"], ["/a"], "has no such folder"),
        (["/a={new}", "/b={new}"], ["/a", "/b"], "two folders"),
        (["/a={new}"], ["/a", "{new}"], "two folders"),
        (["/a={new}"], ["/a/../etc"], "lead outside"),
        (["/a={new}"], ["/a/link"], "lead outside"),
    ],
)
def test_what_has_no_meaning_is_refused(
    new: Path, given: list[str], roots: list[str], message: str
) -> None:
    (new / "link").symlink_to("/etc")
    given, roots = ([text.format(new=new) for text in texts] for texts in (given, roots))
    with pytest.raises(BadInput, match=message) as caught:
        new_roots(given, roots)
    assert caught.value.hint


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_tables_are_read_with_the_new_roots(tmp_path: Path, new: Path, suffix: str) -> None:
    photos = [Photo("/a", "1.jpg", 5, 6), Photo("/b", "2.jpg", 7, 8)]
    failures: list[Any] = [Failure(photo, "empty", "") for photo in photos]
    table = save_results(tmp_path / f"people{suffix}", failures)
    moved = [Photo(str(new), "1.jpg", 5, 6), photos[1]]
    assert [found.photo for found in read_results(table, moved=[f"/a={new}"])] == moved
    streamed = [root for some in stream.stream(table, [f"/a={new}"]) for root in some["root"]]
    assert [root.as_py() for root in streamed] == [str(new), "/b"]
