"""What is kept for later runs is believed only where nobody else can have written it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mivolo_cli.model import private

OTHER = 12345
"""A user that is nobody here."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "cache" / "own").mkdir(parents=True, mode=0o755)
    (tmp_path / "cache" / "own" / "file").write_text("mine")
    return tmp_path / "cache" / "own"


def test_what_the_user_alone_has_written_is_believed(own: Path) -> None:
    assert private.writable_by_others(own / "file", own) is None
    assert private.writable_by_others(own / "not" / "there", own) is None


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o1777, 0o722])
@pytest.mark.parametrize("name", ["file", "."])
def test_what_others_may_write_is_not(own: Path, name: str, mode: int) -> None:
    (own / name).chmod(mode)
    assert private.writable_by_others(own / "file", own) == own / name
    private.close_to_others(own / name)
    assert private.writable_by_others(own / "file", own) is None


def test_a_folder_above_may_be_shared_where_nobody_can_rename(own: Path) -> None:
    own.parent.chmod(0o777)
    assert private.writable_by_others(own / "file", own) == own.parent
    own.parent.chmod(0o1777)
    assert private.writable_by_others(own / "file", own) is None


@pytest.mark.parametrize(("members", "alone"), [([], True), (["somebody"], False)])
def test_a_folder_above_may_be_of_the_group_of_the_user_alone(
    own: Path, members: list[str], alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import grp
    import pwd

    name = pwd.getpwuid(os.geteuid()).pw_name
    group = grp.struct_group((name, "x", own.stat().st_gid, members))
    monkeypatch.setattr(grp, "getgrgid", lambda _: group)
    own.parent.chmod(0o775)
    assert (private.writable_by_others(own / "file", own) is None) == alone


@as_root
@pytest.mark.parametrize("where", ["file", ".", ".."])
def test_what_belongs_to_somebody_else_is_not_believed(own: Path, where: str) -> None:
    place = own.parent if where == ".." else own / where
    os.chown(place, OTHER, -1)
    assert private.writable_by_others(own / "file", own) == place


def links(kind: str) -> Callable[[Path, Path], Path]:
    def make(own: Path, theirs: Path) -> Path:
        if kind == "to their file":
            (own / "link").symlink_to(theirs / "file")
        elif kind == "through their folder":
            (theirs / "back").symlink_to(own / "file")
            (own / "link").symlink_to(theirs / "back")
        else:
            (own / "link").symlink_to(f"../../{theirs.name}/file")
        return own / "link"

    return make


@pytest.mark.parametrize("kind", ["to their file", "through their folder", "upwards"])
def test_links_are_followed_on_the_whole_way(own: Path, tmp_path: Path, kind: str) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    link = links(kind)(own, theirs)
    assert private.writable_by_others(link, own) is None
    theirs.chmod(0o777)
    found = private.writable_by_others(link, own)
    assert found is not None and found.samefile(theirs)


def test_links_in_circles_end(own: Path) -> None:
    (own / "one").symlink_to("two")
    (own / "two").symlink_to("one")
    assert private.writable_by_others(own / "one" / "file", own) is None


def test_folders_are_made_for_the_user_alone_whatever_the_mask(own: Path) -> None:
    mask = os.umask(0)
    try:
        private.make_folder(own / "a" / "b")
        private.make_folder(own / "a" / "b")
        private.make_folder(own / "c" / "d", private.READABLE)
    finally:
        os.umask(mask)
    assert [(own / name).stat().st_mode & 0o777 for name in ("a", "a/b", "c", "c/d")] == [
        0o700,
        0o700,
        0o755,
        0o755,
    ]


def test_where_files_have_no_owners_nothing_is_looked_at(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own / "file").chmod(0o666)
    monkeypatch.delattr(os, "geteuid")
    assert private.writable_by_others(own / "file", own) is None
