"""The old file or the new one, at every moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers.tables import contents

from mivolo_cli.metadata import Refused, replace

OLD, NEW = b"old" * 70_000, b"new" * 90_000


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "a.jpg"
    file.write_bytes(OLD)
    file.chmod(0o640)
    os.utime(file, ns=(1_500_000_000_123_456_789, 1_500_000_000_987_654_321))
    return file


def test_mode_and_time_stay(photo: Path) -> None:
    replace.replace_photo(photo, NEW, photo.stat(), backup=False)
    info = photo.stat()
    assert photo.read_bytes() == NEW
    assert (info.st_mode & 0o777, info.st_mtime_ns) == (0o640, 1_500_000_000_987_654_321)
    assert list(contents(photo.parent)) == ["a.jpg"]


def test_a_link_stays_a_link(photo: Path) -> None:
    link = photo.with_name("link.jpg")
    link.symlink_to(photo.name)
    replace.replace_photo(link, NEW, link.stat(), backup=True)
    assert link.is_symlink() and photo.read_bytes() == NEW
    assert photo.with_name("a.jpg_original").read_bytes() == OLD


def test_a_backup_is_the_first_original(photo: Path) -> None:
    replace.replace_photo(photo, NEW, photo.stat(), backup=True)
    replace.replace_photo(photo, b"third", photo.stat(), backup=True)
    assert contents(photo.parent) == {"a.jpg": b"third", "a.jpg_original": OLD}


def test_a_backup_without_links_is_a_copy(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("links are not supported here")

    monkeypatch.setattr(os, "link", no_links)
    replace.replace_photo(photo, NEW, photo.stat(), backup=True)
    assert contents(photo.parent) == {"a.jpg": NEW, "a.jpg_original": OLD}


def refused(photo: Path, known: os.stat_result | None = None) -> str:
    with pytest.raises(Refused) as caught:
        replace.replace_photo(photo, NEW, known or photo.stat(), backup=False)
    assert photo.read_bytes() == OLD
    assert not list(photo.parent.glob(".*"))
    return caught.value.code


def test_write_protected_files_are_refused(photo: Path) -> None:
    photo.chmod(0o440)
    assert refused(photo) == "read_only"


def test_files_with_two_names_are_refused_unless_the_other_is_our_backup(photo: Path) -> None:
    other = photo.with_name("b.jpg")
    os.link(photo, other)
    assert refused(photo) == "hard_linked"
    other.rename(
        photo.with_name("a.jpg_original")
    )  # as a run leaves it that is killed before its last step
    replace.replace_photo(photo, NEW, photo.stat(), backup=True)
    assert contents(photo.parent) == {"a.jpg": NEW, "a.jpg_original": OLD}


def test_files_that_change_meanwhile_are_refused(photo: Path) -> None:
    known = photo.stat()
    os.utime(photo, ns=(1, 1))
    assert refused(photo, known) == "changed"


def test_a_full_disk_leaves_the_old_file(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert refused(photo) == "not_written"


def test_sidecars_are_written_with_the_time_of_now(photo: Path) -> None:
    file = photo.with_name("a.jpg.xmp")
    replace.write_sidecar(file, b"1")
    file.chmod(0o600)
    os.utime(file, ns=(1, 1))
    replace.write_sidecar(file, b"2")
    assert (
        file.read_bytes() == b"2"
        and file.stat().st_mode & 0o777 == 0o600
        and file.stat().st_mtime_ns > 1
    )
    replace.remove_file(file)
    assert list(contents(photo.parent)) == ["a.jpg"]


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from mivolo_cli.metadata import replace

    photo, step = Path(sys.argv[1]), int(sys.argv[2])
    calls = 0

    def maybe(event, arguments):
        global calls
        names = ("rename", "link", "chmod", "chown", "utime", "remove")
        if event == "open" or event in [f"os.{name}" for name in names]:
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(maybe)
    replace.replace_photo(photo, b"new" * 90_000, photo.stat(), backup=True)
    """
)
"""Kills itself with SIGKILL before its nth step that touches the disk."""


def test_a_kill_at_any_step_leaves_a_whole_file(photo: Path) -> None:
    seen = set()
    for step in range(1, 40):
        photo.unlink()
        for left in photo.parent.iterdir():
            left.unlink()
        photo.write_bytes(OLD)
        run = subprocess.run([sys.executable, "-c", KILLED, str(photo), str(step)], check=False)
        assert photo.read_bytes() in (OLD, NEW), step
        seen.add(photo.read_bytes() == NEW)
        backup = photo.with_name("a.jpg_original")
        assert not backup.exists() or backup.read_bytes() == OLD, step
        if run.returncode == 0:
            break
        assert run.returncode == -signal.SIGKILL
        replace.replace_photo(photo, NEW, photo.stat(), backup=True)  # the same command again
        assert photo.read_bytes() == NEW and backup.exists()
    assert run.returncode == 0 and step > 5 and seen == {True, False}
