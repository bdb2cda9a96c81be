"""Files and folders appear whole or not at all, and never in the place of another's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from helpers.tables import contents

from mivolo_cli import atomic
from mivolo_cli.atomic import Kind, check_file, check_folder, draft, new_file, new_folder, replacing
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.storage import Url

Writer = Callable[..., AbstractContextManager[Callable[[str], object]]]


@contextmanager
def by_handle(path: Path, *hint: str) -> Iterator[Callable[[str], object]]:
    with replacing(path, *hint) as file:
        yield lambda text: file.write(text.encode())


@contextmanager
def by_name(path: Path, *hint: str) -> Iterator[Callable[[str], object]]:
    with new_file(path, *hint) as temporary:
        yield temporary.write_text


either_way = pytest.mark.parametrize("write", [by_handle, by_name])


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def fails(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@either_way
@pytest.mark.parametrize("old", [0o600, 0o644, 0o664, 0o444])
def test_a_file_keeps_the_mode_of_the_one_it_replaces(
    tmp_path: Path, umask: None, write: Writer, old: int
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    file.chmod(old)
    with write(file) as out:
        out("new")
        (part,) = set(tmp_path.iterdir()) - {file}
        assert mode(part) == old | 0o600  # nobody else may read it meanwhile
    assert file.read_text() == "new" and mode(file) == old


@either_way
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path, umask: None, write: Writer) -> None:
    with write(tmp_path / "a.txt") as out:
        out("new")
    assert mode(tmp_path / "a.txt") == 0o640


@either_way
def test_a_file_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Writer
) -> None:
    calls: list[object] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        calls.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        calls.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with write(tmp_path / "a.txt") as out:
        out("new")
    assert calls == [3, "a.txt"]


@either_way
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_is_reported_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Writer, call: str
) -> None:
    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, call, fails)
    with (
        pytest.raises(OutputError, match="cannot write .*a.txt: No space left") as error,
        write(tmp_path / "a.txt") as out,
    ):
        out("new")
    assert error.value.hint == atomic.ROOM
    assert contents(tmp_path) == {"a.txt": b"old"}


@either_way
def test_an_error_of_the_disk_in_the_block_is_reported_with_the_hint(
    tmp_path: Path, write: Writer
) -> None:
    with (
        pytest.raises(OutputError, match="No space left") as error,
        write(tmp_path / "a.txt", "do this"),
    ):
        fails()
    assert error.value.hint == "do this"
    with (
        pytest.raises(OutputError, match="cannot write .*b.txt: No such file"),
        write(tmp_path / "no" / "b.txt"),
    ):
        pass
    assert contents(tmp_path) == {}


@either_way
@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_exception_leaves_the_old_file_alone(
    tmp_path: Path, write: Writer, kind: type[BaseException]
) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(kind), write(tmp_path / "a.txt") as out:
        out("half")
        raise kind
    assert contents(tmp_path) == {"a.txt": b"old"}


@either_way
def test_a_link_stays_a_link(tmp_path: Path, write: Writer) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("old")
    (tmp_path / "real" / "a.txt").chmod(0o600)
    (tmp_path / "a.txt").symlink_to("real/a.txt")
    with write(tmp_path / "a.txt") as out:
        out("new")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"
    assert mode(tmp_path / "real" / "a.txt") == 0o600


@either_way
@pytest.mark.parametrize("name", ["\u00fc" * 127, "x" * 255])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path, write: Writer, name: str) -> None:
    with write(tmp_path / name) as out:
        out("new")
    assert contents(tmp_path) == {name: b"new"}


def test_a_draft_that_is_not_published_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    with draft(tmp_path / "a.txt", tmp_path / "staging") as new:
        new.file.write(b"new")
        new.finish()
        assert new.path.parent == tmp_path / "staging" and new.path.read_bytes() == b"new"
    assert contents(tmp_path) == {}


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    left = atomic.part_of(target)
    left.write_text("half")
    folder = atomic.part_of(target)
    folder.mkdir()
    (folder / "part").touch()
    kept = (".a.txt.part", ".ba.txt.01234567.part", "a.txt.01234567.part", ".a.txt.0123456.part")
    for name in kept:
        (tmp_path / name).touch()
    atomic.remove_leftovers(target)
    assert contents(tmp_path) == dict.fromkeys(kept, b"")
    assert not folder.exists()


def test_the_hint_about_a_bucket_is_that_of_its_store(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as error, atomic.reported(Url("s3://album/a.csv")):
        raise PermissionError(13, "denied")
    assert "aws" in error.value.hint


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


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_folder_comes_back_where_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").touch()
    rename = Path.rename

    def second_fails(self: Path, target: Path) -> Path:
        if (self / "new").exists():
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with (
        pytest.raises((OutputError, KeyboardInterrupt)),
        new_folder(tmp_path / "b", replace=True) as folder,
    ):
        (folder / "new").touch()
    assert contents(tmp_path) == {"b/old": b""}
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_what_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    kind = Kind("file of ours", lambda file: file.read_bytes() == b"ours")
    check_file(tmp_path / "a.json", kind, suffix=".json")
    (tmp_path / "a.json").write_bytes(b"ours")
    check_file(tmp_path / "a.json", kind, suffix=".json")
    (tmp_path / "a.json").write_bytes(b"not ours")
    check_file(tmp_path / "a.json", kind, suffix=".json", replace=True)
    check_file(tmp_path / "b.JSON", kind, suffix=".json")
    check_folder(tmp_path / "new")
    for path, replace, words in (
        ("a.json", False, "exists and is not a file of ours"),
        ("b.xml", True, "does not end in .json"),
        ("no/b.json", True, "does not exist"),
    ):
        with pytest.raises(BadInput, match=words):
            check_file(tmp_path / path, kind, suffix=".json", replace=replace)
    for path in ("a.json", "."):
        with pytest.raises(BadInput, match="not an empty folder"):
            check_folder(tmp_path / path)
