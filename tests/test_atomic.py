"""Files and folders appear whole or not at all, and never in the place of another's."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tables import contents

from mivolo_cli.atomic import check_file, check_folder, new_file, new_folder
from mivolo_cli.errors import BadInput, OutputError


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert contents(tmp_path) == {"a.txt": b"new"}


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "b") as folder:
        (folder / "c").touch()
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"a.txt": b"old"}
    assert not (tmp_path / "b").exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("old")
    (tmp_path / "a.txt").symlink_to("real/a.txt")
    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


def test_a_folder_takes_the_place_of_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with new_folder(tmp_path / "b") as folder:
        (folder / "c").write_text("new")
    assert contents(tmp_path) == {"b/c": b"new"}


def test_a_folder_that_is_not_empty_is_replaced_only_on_demand(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").touch()
    with pytest.raises(OutputError), new_folder(tmp_path / "b") as folder:
        (folder / "new").touch()
    assert contents(tmp_path) == {"b/old": b""}
    with new_folder(tmp_path / "b", replace=True) as folder:
        (folder / "new").touch()
    assert contents(tmp_path) == {"b/new": b""}
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    check_file(tmp_path / "a.json", ".json", replace=True)
    check_file(tmp_path / "b.JSON", ".json", replace=False)
    check_folder(tmp_path / "new")
    for path, replace, words in (
        ("a.json", False, "exists already"),
        ("b.xml", True, "does not end in .json"),
        ("no/b.json", True, "does not exist"),
    ):
        with pytest.raises(BadInput, match=words):
            check_file(tmp_path / path, ".json", replace)
    for path in ("a.json", "."):
        with pytest.raises(BadInput, match="not an empty folder"):
            check_folder(tmp_path / path)
