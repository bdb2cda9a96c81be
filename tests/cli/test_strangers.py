"""Tables from strangers: no command opens what a table has no business with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import save_photo
from helpers.tables import contents
from helpers.tagging import rows_of, write_results
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.metadata.lookup import is_as_scanned, tags_of
from mivolo_cli.records import Photo, photo_of

Mivolo = Callable[..., Outcome]
SIZES = [{}, {"bytes": None}, {"mtime_ns": None}, {"bytes": None, "mtime_ns": None}]
COMMANDS = {
    "tag": "tag {table}",
    "tag --sidecar": "tag {table} --sidecar",
    "tag --check": "tag {table} --check",
    "untag": "untag {table}",
    "yolo": "export {table} --to yolo -o set",
    "xlsx": "export {table} --to xlsx -o sheet.xlsx --thumbnails 32",
    "report": "report {table} -o page.html --beside",
    "find --copy": "find {table} --copy copies",
    "find --link": "find {table} --link links",
}
each_command = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture
def mivolo(no_weights_of_the_user: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mivolo:
    monkeypatch.setattr("mivolo_cli.report.page._bundle", lambda: "")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return lambda line, table: CliRunner().invoke(
        cli.app, [word.format(table=table) for word in line.split()]
    )


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A photo outside of the root that tables name, `album`."""
    (tmp_path / "album" / "trip").mkdir(parents=True)
    (tmp_path / "album" / "link").symlink_to("../secret")
    (tmp_path / "album" / "link.jpg").symlink_to("../secret/b.jpg")
    return save_photo(tmp_path / "secret" / "b.jpg")


def pictures(folder: Path) -> list[str]:
    """What was made of photos, below the working folder."""
    images = [name for name in contents(folder) if name.endswith((".jpg", ".webp"))]
    sheet = folder / "sheet.xlsx"
    return images + (["sheet"] if sheet.exists() and b"media/image" in sheet.read_bytes() else [])


@each_command
@pytest.mark.parametrize(
    "path", ["../secret/b.jpg", "link/b.jpg", "link.jpg", "trip/../../secret/b.jpg"]
)
@pytest.mark.parametrize("facts", SIZES[::3], ids=str)
def test_nothing_outside_of_the_root_is_opened(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str, path: str, facts: dict[str, Any]
) -> None:
    rows = rows_of(secret, **facts)
    rows[0] |= {"root": str(tmp_path / "album"), "path": path}
    check_untouched(mivolo, tmp_path, secret, command, rows)


@each_command
def test_an_absolute_path_is_not_opened(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str
) -> None:
    rows = rows_of(secret)
    rows[0] |= {"root": str(tmp_path / "album"), "path": str(secret)}
    check_untouched(mivolo, tmp_path, secret, command, rows)


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name not in ("untag", "tag --check")]
)
@pytest.mark.parametrize("facts", [*SIZES[1:], {"bytes": 1}, {"mtime_ns": 1}], ids=str)
def test_what_may_be_another_photo_is_not_opened(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str, facts: dict[str, Any]
) -> None:
    check_untouched(mivolo, tmp_path, secret, command, rows_of(secret, **facts))


def check_untouched(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str, rows: list[dict[str, Any]]
) -> None:
    table = write_results(tmp_path / "people.parquet", rows)
    before = contents(tmp_path / "secret")
    out = mivolo(COMMANDS[command], table)
    names_them = "tag" in command or "find" in command or command == "yolo"
    assert out.exit_code == (3 if names_them else 0), (out.output, out.exception)
    assert contents(tmp_path / "secret") == before
    assert pictures(tmp_path / "work") == []


@each_command
def test_the_photo_that_was_scanned_is_opened(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str
) -> None:
    table = write_results(tmp_path / "people.parquet", rows_of(secret))
    if "tag" in command and command != "tag":
        assert mivolo("tag {table}", table).exit_code == 0
    out = mivolo(COMMANDS[command], table)
    assert out.exit_code == 0, (out.output, out.exception)
    if "tag" not in command:
        assert len(pictures(tmp_path / "work")) == 1


def test_yolo_copies_nothing_but_pictures(mivolo: Mivolo, tmp_path: Path, secret: Path) -> None:
    for name in ("id_rsa", "diary.jpg"):
        file = secret.with_name(name)
        file.write_text("secret")
        mivolo(COMMANDS["yolo"], write_results(tmp_path / "people.parquet", rows_of(file)))
        assert b"secret" not in contents(tmp_path / "work").values()
        assert pictures(tmp_path / "work") == []
        for left in sorted((tmp_path / "work").rglob("*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()


def test_no_sidecar_is_written_through_a_link(mivolo: Mivolo, tmp_path: Path, secret: Path) -> None:
    photo = save_photo(tmp_path / "album" / "a.jpg")
    photo.with_name("a.jpg.xmp").symlink_to("../secret/profile")
    table = write_results(tmp_path / "people.parquet", rows_of(photo))
    out = mivolo("tag {table} --sidecar", table)
    assert out.exit_code == 3 and "leads outside the scanned folder" in out.output
    assert not (tmp_path / "secret" / "profile").exists()


def test_a_photo_that_was_tagged_since_is_still_the_one(mivolo: Mivolo, tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "album" / "a.jpg")
    (scanned,) = rows_of(photo)
    assert is_as_scanned(photo_of(scanned))
    table = write_results(tmp_path / "people.parquet", [scanned])
    assert mivolo("tag {table}", table).exit_code == 0
    assert photo.stat().st_size != scanned["bytes"] and tags_of(photo) is not None
    assert is_as_scanned(photo_of(scanned))
    assert mivolo(COMMANDS["report"], table).exit_code == 0
    assert len(pictures(tmp_path / "work")) == 1
    os.utime(photo)
    assert not is_as_scanned(photo_of(scanned))


def test_a_photo_in_an_archive_is_told_by_it(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"x" * 10)
    facts = archive.stat()
    assert is_as_scanned(Photo(str(tmp_path), "a.tar/1.jpg", 10, facts.st_mtime_ns))
    assert not is_as_scanned(Photo(str(tmp_path), "a.tar/1.jpg", 11, facts.st_mtime_ns))
    assert not is_as_scanned(Photo(str(tmp_path), "a.tar/1.jpg"))
    assert not is_as_scanned(Photo(str(tmp_path), "../a.tar/1.jpg", 10, facts.st_mtime_ns))


@each_command
def test_photos_that_have_moved_are_opened_where_they_are(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str
) -> None:
    rows = rows_of(secret)
    rows[0] |= {"root": "/gone/for/good"}
    table = write_results(tmp_path / "people.parquet", rows)
    line = f"{COMMANDS[command]} --root {secret.parent}"
    if "tag" in command and command != "tag":
        assert mivolo(f"tag {{table}} --root {secret.parent}", table).exit_code == 0
    out = mivolo(line, table)
    assert out.exit_code == 0, (out.output, out.exception)
    if "tag" not in command:
        assert len(pictures(tmp_path / "work")) == 1
    assert (tags_of(secret) is not None) == (command in ("tag", "tag --sidecar", "tag --check"))


@each_command
def test_root_is_named_where_photos_have_moved(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str
) -> None:
    table = write_results(tmp_path / "people.parquet", rows_of(secret))
    secret.parent.rename(tmp_path / "moved")
    out = mivolo(COMMANDS[command], table)
    assert out.exit_code == (0 if command in ("report", "xlsx") else 3)
    assert "note: if photos have moved, add --root NEW" in out.output
    if command != "yolo":
        return
    assert "not copied because they are missing, have changed or are not pictures: 1" in out.stdout


@each_command
@pytest.mark.parametrize("path", ["../secret/b.jpg", "link/b.jpg", "link.jpg"])
def test_nothing_outside_of_a_new_root_is_opened(
    mivolo: Mivolo, tmp_path: Path, secret: Path, command: str, path: str
) -> None:
    rows = rows_of(secret)
    rows[0] |= {"root": "/gone", "path": path}
    table = write_results(tmp_path / "people.parquet", rows)
    before = contents(tmp_path / "secret")
    mivolo(f"{COMMANDS[command]} --root {tmp_path / 'album'}", table)
    assert contents(tmp_path / "secret") == before
    assert pictures(tmp_path / "work") == []


@pytest.mark.parametrize("drive", [2 * 10**9, 10**9, 10**7], ids=["FAT", "HFS+", "exFAT"])
def test_drives_with_coarse_times_may_hold_photos_that_have_moved(
    mivolo: Mivolo, tmp_path: Path, secret: Path, drive: int
) -> None:
    os.utime(secret, ns=(0, 1_600_000_001_987_654_321))
    table = write_results(tmp_path / "people.parquet", rows_of(secret))
    os.utime(secret, ns=(0, 1_600_000_001_987_654_321 // drive * drive))
    assert mivolo("tag {table} --dry-run", table).exit_code == 0
    os.utime(secret, ns=(0, 1_600_000_005_000_000_000))
    assert mivolo("tag {table} --dry-run", table).exit_code == 3
