"""Permissions and drives that change while a scan is under way, as a user meets them who is not
root."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.photos import save_photo
from helpers.quick import QuickBackend
from helpers.scans import scan_options
from helpers.tables import contents, table

from mivolo_cli.errors import OutputError, Stopped
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan import store
from mivolo_cli.scan.options import Progress

NOBODY = 65_534
Scan = Callable[..., Progress]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such calls")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Ten photos in `album`, and an empty folder `results`, where everybody may write."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    for name in ("album", "results"):
        (place / name).mkdir()
    for number in range(10):
        save_photo(
            place / "album" / f"{number}.png", pixels=np.full((50, 40, 3), 100 + number, np.uint8)
        )
    for file in (place, *place.rglob("*")):
        file.chmod(0o777 if file.is_dir() else 0o666)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """Root opens every file; for the files of this thread, and of those that it starts, root is
    nobody meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    system = ctypes.CDLL(None)
    system.setfsuid(NOBODY)
    try:
        if not _is_readable(Path(store.__file__)):
            pytest.skip("the program lies where nobody but root may read it")
        yield
    finally:
        system.setfsuid(0)


@pytest.fixture
def scan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Scan:
    """Scans in parts of four photos, and does something when so many are done."""
    monkeypatch.setenv("MIVOLO_HOME", str(folder / "home"))
    monkeypatch.setattr(store, "PART_PHOTOS", 4)

    def run(after: int = -1, do: Callable[[], object] = lambda: None) -> Progress:
        options = scan_options([folder / "album"], [folder / "results" / "people.csv"], workers=1)

        def on_progress(progress: Progress) -> None:
            if progress.photos == after:
                do()

        return scanning.scan(options, on_progress, QuickBackend)

    # once beforehand, since nobody may not import what lies in root's home
    first = scan_options([folder / "album" / "0.png"], [folder / "loaded.csv"], workers=1)
    scanning.scan(first, backend=QuickBackend)
    assert len(table(folder / "loaded.csv")) == 1
    return run


def test_a_photo_that_may_not_be_read_any_more_is_a_row_and_is_read_later(
    folder: Path, scan: Scan, ordinary_user: None
) -> None:
    photo, people = folder / "album" / "9.png", folder / "results" / "people.csv"
    assert scan(2, lambda: _as_root(os.chmod, photo, 0)).failed == 1
    rows = {row["path"]: (row["status"], row["error"], row["age"]) for row in table(people)}
    assert rows.pop("9.png") == ("error", "no_permission", None)
    assert len(rows) == 9 and {error for _, error, _ in rows.values()} == {None}
    _as_root(os.chmod, photo, 0o666)
    progress = scan()
    assert (progress.failed, progress.reused) == (0, 9)
    assert [row["error"] for row in table(people)] == [None] * len(table(people))


def test_a_folder_of_results_that_may_not_be_written_to_any_more_stops_the_run(
    folder: Path, scan: Scan, ordinary_user: None
) -> None:
    results = folder / "results"
    hidden = results / ".people.csv.mivolo"

    def forbid() -> None:
        for place in (results, hidden):
            _as_root(os.chmod, place, 0o555)

    with pytest.raises(OutputError, match="Permission denied") as error:
        scan(6, forbid)
    assert error.value.exit_code == 4 and "same command" in error.value.hint
    assert [name for name in contents(results) if not name.startswith(".")] == []
    for place in (results, hidden):
        _as_root(os.chmod, place, 0o777)
    assert scan().reused == 4
    assert len({row["path"] for row in table(results / "people.csv")}) == 10


@pytest.mark.root
def test_a_drive_that_is_pulled_out_stops_the_run(folder: Path, scan: Scan) -> None:
    """A mounted one, of which an empty folder remains."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a drive")
    album, copy = folder / "album", folder / "copy"
    album.rename(copy)
    album.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", album], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a drive: {mounted.stderr.decode()}")
    try:
        shutil.copytree(copy, album, dirs_exist_ok=True)
        with pytest.raises(Stopped, match="can no longer be read") as error:
            scan(6, lambda: subprocess.run(["umount", "-l", album], check=True))
    finally:
        subprocess.run(["umount", "-l", album], capture_output=True)
    assert error.value.exit_code == 4 and "reconnect its drive" in error.value.hint
    assert [name for name in contents(folder / "results") if not name.startswith(".")] == []
    shutil.copytree(copy, album, dirs_exist_ok=True)
    assert scan().photos == 10


def _is_readable(file: Path) -> bool:
    try:
        file.read_bytes()
    except PermissionError:
        return False
    return True


def _as_root(call: Callable[..., object], *arguments: object) -> None:
    """Where root is nobody for a while, as root again."""
    if os.geteuid() != 0:
        call(*arguments)
        return
    system = ctypes.CDLL(None)
    system.setfsuid(0)
    try:
        call(*arguments)
    finally:
        system.setfsuid(NOBODY)
