"""What a run leaves when it is stopped, and what the next one makes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import quick
from helpers.photos import save_broken, save_photo
from helpers.scans import scan_options
from helpers.tables import contents, table

from mivolo_cli.errors import BadInput, OutputError, Stopped
from mivolo_cli.photos import decode as photos
from mivolo_cli.photos import walk as walking
from mivolo_cli.records import Failure, Photo
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan import store, workdir
from mivolo_cli.scan.options import Progress

Scan = Callable[..., Progress]
OUTPUTS = ("people.parquet", "people.csv", "people.jsonl")


def paint(file: Path, grey: int) -> Path:
    return save_photo(file, pixels=np.full((50, 40, 3), grey, np.uint8))


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Thirty photos in three folders, among them a broken one; a third of them show nobody."""
    for number in range(30):
        paint(tmp_path / "album" / f"{number % 3}" / f"{number:02}.png", 100 + number)
    save_broken(tmp_path / "album" / "1" / "10.png", "garbage")
    return tmp_path / "album"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos that were decoded, here or in processes of their own, as they are."""
    seen: list[str] = []
    is_risky = photos._is_risky

    def watched(photo: Photo, data: bytes | None) -> bool:
        seen.append(photo.path)
        return is_risky(photo, data)

    monkeypatch.setattr(photos, "_is_risky", watched)
    return seen


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch, album: Path, place: Path) -> Scan:
    """Scans the album into a table in parts of four photos; `stop` raises before so many photos are
    reported."""
    monkeypatch.setattr(store, "PART_PHOTOS", 4)

    def run(
        *names: str,
        stop: int | None = None,
        error: type[BaseException] = KeyboardInterrupt,
        **given: Any,
    ) -> Any:
        outputs = [place / name for name in names or ("people.csv",)]
        done = 0

        def report(progress: Progress) -> None:
            nonlocal done
            done += 1
            if stop is not None and done >= stop:
                raise error

        settings = {"paths": [album], "outputs": outputs, "workers": 2, **given}
        backend = settings.pop("backend", quick.QuickBackend)
        return scanning.scan(scan_options(**settings), report, backend)

    return run


def read(place: Path) -> dict[str, bytes]:
    """The tables, without what is hidden beside them."""
    return {name: content for name, content in contents(place).items() if not name.startswith(".")}


# --- resume


def test_an_interrupted_run_goes_on_and_ends_like_one_that_was_not(
    scan: Scan, place: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(*OUTPUTS)
    whole = read(place)
    (other := place.with_name("other")).mkdir()
    outputs = [other / name for name in OUTPUTS]
    for stop in (3, 1, 6, 5, 9):
        decoded.clear()
        with pytest.raises(KeyboardInterrupt):
            scan(stop=stop, outputs=outputs)
        assert read(other) == {}, "no table before all is done"
    decoded.clear()
    progress = scan(outputs=outputs)
    assert 0 < len(decoded) < 30 - 3 * 4
    assert progress.reused == 30 - len(decoded)
    again = read(other)
    assert again["people.csv"] == whole["people.csv"]
    assert again["people.jsonl"] == whole["people.jsonl"]
    assert table(other / "people.parquet") == table(place / "people.parquet")
    assert progress.photos == 30 and progress.failures == {"corrupt": 1}


def test_photos_that_have_not_changed_are_not_done_again(
    scan: Scan, place: Path, decoded: list[str]
) -> None:
    first = scan(*OUTPUTS)
    before, times = contents(place), [(place / name).stat().st_mtime_ns for name in OUTPUTS]
    decoded.clear()
    second = scan(*OUTPUTS)
    assert decoded == []
    assert contents(place) == before
    assert [(place / name).stat().st_mtime_ns for name in OUTPUTS] == times
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.reused == second.photos == second.total == 30
    counts = ("people", "no_people", "no_usable_crop", "failures")
    assert [getattr(first, name) for name in counts] == [getattr(second, name) for name in counts]


def test_with_nothing_to_do_no_model_is_opened(scan: Scan) -> None:
    scan()
    assert scan(backend=lambda options: pytest.fail("opened")).unchanged


def test_new_changed_and_deleted_photos(
    scan: Scan, album: Path, place: Path, decoded: list[str]
) -> None:
    scan()
    old = {row["path"]: row for row in table(place / "people.csv")}
    paint(album / "0" / "00.png", 7)
    paint(album / "1" / "new.png", 10)
    (album / "2" / "05.png").unlink()
    (album / "2" / "29.png").rename(album / "2" / "moved.png")
    decoded.clear()
    scan()
    assert sorted(decoded) == ["0/00.png", "1/new.png", "2/moved.png"]
    new = {row["path"]: row for row in table(place / "people.csv")}
    assert list(new) == sorted(new)
    assert set(old) - set(new) == {"2/05.png", "2/29.png"}
    assert set(new) - set(old) == {"1/new.png", "2/moved.png"}
    assert [path for path in set(old) & set(new) if old[path] != new[path]] == ["0/00.png"]


def test_the_rows_of_deleted_photos_can_stay(scan: Scan, album: Path, place: Path) -> None:
    scan()
    (gone,) = [row for row in table(place / "people.csv") if row["path"] == "1/01.png"][:1]
    (album / "1" / "01.png").unlink()
    paint(album / "1" / "04.png", 200)
    for _ in range(2):
        scan(keep_missing=True)
        rows = table(place / "people.csv")
        assert gone in rows
        assert {row["mtime_ns"] for row in rows if row["path"] == "1/04.png"} == {
            (album / "1" / "04.png").stat().st_mtime_ns
        }
    scan()
    assert gone not in table(place / "people.csv")


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"use": "face"}, {"precision": "bf16"}], ids=str
)
def test_other_settings_do_all_photos_again(
    scan: Scan, decoded: list[str], change: dict[str, Any]
) -> None:
    scan()
    decoded.clear()
    scan(**change)
    assert len(decoded) == 30


def test_what_only_changes_the_pace_does_nothing_again(scan: Scan, decoded: list[str]) -> None:
    scan()
    decoded.clear()
    scan(batch_size=3, workers=1, device="cpu")
    assert decoded == []


def test_parts_of_other_settings_wait_for_their_run(scan: Scan, decoded: list[str]) -> None:
    for options in ({}, {"use": "face"}):
        with pytest.raises(KeyboardInterrupt):
            scan(stop=9, **options)
    decoded.clear()
    scan()
    assert len(decoded) == 30 - 8


def test_what_auto_means_may_change_between_runs(
    scan: Scan, decoded: list[str], monkeypatch: pytest.MonkeyPatch, album: Path, place: Path
) -> None:
    scan()
    paint(album / "z.png", 9)

    class AnotherModel(quick.QuickBackend):
        def open_components(self) -> Any:
            components = super().open_components()
            components.model_sha256 = "2" * 64
            return components

    decoded.clear()
    progress = scan(backend=AnotherModel)
    assert len(decoded) == 31 and progress.reused == 0
    assert len({row["path"] for row in table(place / "people.csv")}) == 31


def test_a_parquet_table_alone_is_enough_to_go_on_from(
    scan: Scan, place: Path, decoded: list[str]
) -> None:
    scan("people.parquet")
    before = table(place / "people.parquet")
    (hidden,) = place.glob(".*")
    workdir.purge(hidden)
    assert [file.name for file in place.iterdir()] == ["people.parquet"]
    decoded.clear()
    scan("people.parquet")
    assert decoded == []
    assert table(place / "people.parquet") == before


def test_a_damaged_part_is_done_again(scan: Scan, place: Path, decoded: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(stop=14)
    first, second, third = sorted(place.rglob("part-*.parquet"))
    first.write_bytes(first.read_bytes()[:-40])
    content = bytearray(second.read_bytes())
    content[60] ^= 1
    second.write_bytes(content)
    decoded.clear()
    scan()
    assert len(decoded) == 30 - 4
    assert len({row["path"] for row in table(place / "people.csv")}) == 30


def test_failures_that_may_be_over_are_tried_again(
    scan: Scan, place: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = photos.decode

    def refuse(photo: Photo, *others: Any) -> Any:
        if photo.path == "0/03.png":
            raise photos.PhotoError("no_permission", "not now")
        return decode(photo, *others)

    monkeypatch.setattr(photos, "decode", refuse)
    assert scan().failures == {"no_permission": 1, "corrupt": 1}
    monkeypatch.setattr(photos, "decode", decode)
    decoded.clear()
    assert scan().failures == {"corrupt": 1}
    assert decoded == ["0/03.png"]
    paths = [row["path"] for row in table(place / "people.csv")]
    assert paths == sorted(paths)


def test_a_file_replaced_during_the_scan_has_the_facts_of_what_was_read(
    scan: Scan, album: Path, place: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = walking.walk

    def replacing(*arguments: Any, **options: Any) -> Iterator[Photo | Failure]:
        for photo in walk(*arguments, **options):
            if (
                isinstance(photo, Photo)
                and photo.path == "1/04.png"
                and (album / "1" / "04.png").stat().st_mtime_ns != 1_000_000_000
            ):
                paint(album / "1" / "04.png", 51)
                os.utime(
                    album / "1" / "04.png", ns=(0, 1_000_000_000)
                )  # and the clock has gone back
            yield photo

    monkeypatch.setattr(walking, "walk", replacing)
    scan()
    (row,) = [row for row in table(place / "people.csv") if row["path"] == "1/04.png"]
    assert (row["mtime_ns"], row["status"]) == (1_000_000_000, "no_people")
    decoded.clear()
    scan()
    assert decoded == []


def test_a_clock_that_goes_back_changes_nothing_but_photos_are_known_by_their_time(
    scan: Scan, album: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scan()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    decoded.clear()
    assert scan().unchanged
    os.utime(album / "0" / "00.png", ns=(0, 1_000))  # older than any other
    scan()
    assert decoded == ["0/00.png"]


def test_pictures_that_an_earlier_run_did_not_draw_are_drawn(
    scan: Scan, tmp_path: Path, decoded: list[str]
) -> None:
    scan()
    scan(annotate=tmp_path / "drawn")
    drawn = contents(tmp_path / "drawn")
    assert len(drawn) == 20 - 1  # 10.png is broken
    decoded.clear()
    scan(annotate=tmp_path / "drawn")
    assert (decoded, contents(tmp_path / "drawn")) == ([], drawn)


def test_pictures_alone_go_on_too(scan: Scan, tmp_path: Path, decoded: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(outputs=[], annotate=tmp_path / "drawn", stop=9)
    decoded.clear()
    scan(outputs=[], annotate=tmp_path / "drawn")
    assert len({*decoded}) == 30 - 8
    assert len(contents(tmp_path / "drawn")) == 19


# --- when it cannot go on


def test_a_disk_that_is_full_costs_one_part(
    scan: Scan, place: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device") as error:
        scan()
    assert "same command" in error.value.hint
    assert read(place) == {}
    assert not [name for name in contents(place) if name.endswith(".part")]
    decoded.clear()
    scan()
    assert len(decoded) == 30 - 2 * 4
    assert len({row["path"] for row in table(place / "people.csv")}) == 30


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of 24 KiB in the place of the results."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk, and only Linux has tmpfs")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a disk: {mounted.stderr.decode()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_real_disk_that_is_full(scan: Scan, small_disk: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device"):
        scan()
    assert read(small_disk) == {}
    assert not [name for name in contents(small_disk) if name.endswith(".part")]
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    assert scan().reused > 0
    assert len({row["path"] for row in table(small_disk / "people.csv")}) == 30


def test_an_output_that_can_be_read_only_is_refused_before_any_work(
    scan: Scan, small_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(BadInput, match="no permission to write"):
        scan()
    subprocess.run(["mount", "-o", "remount,rw,size=4m", small_disk], check=True)
    assert scan().photos == 30


def test_a_hidden_folder_that_vanishes_midway(scan: Scan, place: Path, decoded: list[str]) -> None:
    """As when permissions change: root, who runs tests in containers, is kept out of no folder."""

    def vanish(progress: Progress) -> None:
        if progress.photos == 6:
            hidden = place / ".people.csv.mivolo"
            hidden.rename(place / "away")

    with pytest.raises(OutputError, match="cannot write"):
        options = scan_options([place.with_name("album")], [place / "people.csv"], workers=1)
        scanning.scan(options, vanish, quick.QuickBackend)
    (place / "away").rename(place / ".people.csv.mivolo")
    decoded.clear()
    scan()
    assert len(decoded) == 30 - 4


def test_a_drive_that_vanishes_stops_the_run_instead_of_filling_the_table_with_errors(
    scan: Scan, album: Path, place: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(progress: Progress) -> None:
        if progress.photos == 6:
            album.rename(album.with_name("away"))

    monkeypatch.setattr(store, "PART_PHOTOS", 8)
    with pytest.raises(Stopped, match="can no longer be read") as error:
        options = scan_options([album], [place / "people.csv"], workers=1)
        scanning.scan(options, vanish, quick.QuickBackend)
    assert error.value.exit_code == 4 and "same command" in error.value.hint
    assert read(place) == {}
    album.with_name("away").rename(album)
    progress = scan()
    assert progress.failures == {"corrupt": 1}
    assert len({row["path"] for row in table(place / "people.csv")}) == 30


def test_a_folder_that_has_lost_all_photos_is_not_believed(
    scan: Scan, tmp_path: Path, album: Path, place: Path
) -> None:
    drive = tmp_path / "drive"
    paint(drive / "a.png", 50)
    both = {"paths": [album, drive]}
    scan(**both)
    before = (place / "people.csv").read_bytes()
    (drive / "a.png").rename(
        tmp_path / "elsewhere.png"
    )  # as a mount point looks when its drive is not there
    with pytest.raises(Stopped, match="drive") as error:
        scan(**both)
    assert "--keep-missing" in error.value.hint
    assert (place / "people.csv").read_bytes() == before
    scan(**both, keep_missing=True)
    assert {row["path"] for row in table(place / "people.csv")} >= {"a.png"}
    scan()
    assert {row["path"] for row in table(place / "people.csv")} & {"a.png"} == set()


def test_a_second_run_on_an_output_is_refused(scan: Scan, place: Path) -> None:
    with workdir.claim([place / "a.csv", place / "people.csv"]):
        with pytest.raises(BadInput, match="another run is already writing .*people.csv"):
            scan("b.parquet", "people.csv")
        scan("b.parquet")
    scan("people.csv")
    assert sorted(read(place)) == ["b.parquet", "people.csv"]


@pytest.mark.slow
def test_a_killed_run_holds_no_lock_and_leaves_no_torn_file(
    tmp_path: Path, album: Path, place: Path
) -> None:
    def start(table: Path, seconds: float) -> subprocess.Popen[bytes]:
        script = [sys.executable, quick.__file__, str(album), str(table), str(seconds), "4"]
        ours = (
            str(Path(file).parents[up]) for file, up in ((store.__file__, 2), (quick.__file__, 1))
        )
        paths = os.pathsep.join((*ours, os.environ.get("PYTHONPATH", "")))
        return subprocess.Popen(script, env={**os.environ, "PYTHONPATH": paths})

    assert start(tmp_path / "whole.csv", 0).wait() == 0
    for wanted in (1, 4):
        process = start(place / "people.csv", 0.05)
        while len(list(place.rglob("part-*.parquet"))) < wanted and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert read(place) == {}
    (place / ".people.csv.0123abcd.part").write_text("half a table")
    assert start(place / "people.csv", 0).wait() == 0
    assert (place / "people.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    left = sorted(contents(place))
    assert left == [
        f".people.csv.mivolo/{name}" for name in ("lock", "receipt.json", "results.parquet")
    ] + ["people.csv"]


# --- a library that has moved


def move(album: Path) -> Path:
    return album.rename(album.with_name("moved"))


@pytest.mark.parametrize("names", [("people.parquet",), ("people.csv",)])
@pytest.mark.parametrize("old", ["", "{album}=", "{album.parent}/album="])
def test_a_library_that_has_moved_is_not_done_again(
    scan: Scan, place: Path, album: Path, decoded: list[str], names: tuple[str], old: str
) -> None:
    scan(*names)
    before, new = table(place / names[0]), move(album)
    decoded.clear()
    given = {"paths": [new], "moved": [old.format(album=album) + str(new)]}
    progress = scan(*names, **given)
    assert progress.reused == 30 and not decoded
    assert table(place / names[0]) == [row | {"root": str(new)} for row in before]
    assert scan(*names, **given).unchanged and scan(*names, paths=[new]).unchanged


def test_a_moved_library_is_found_by_the_table_alone(
    scan: Scan, place: Path, album: Path, decoded: list[str]
) -> None:
    scan("people.parquet")
    for folder in workdir.find(place / "people.parquet"):
        workdir.purge(folder)
    new = move(album)
    decoded.clear()
    assert scan("people.parquet", paths=[new], moved=[str(new)]).reused == 30 and not decoded


def test_a_run_that_was_stopped_goes_on_where_the_library_is_now(
    scan: Scan, place: Path, album: Path, decoded: list[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        scan(stop=9)
    given = {"paths": [new := move(album)], "moved": [str(new)]}
    with pytest.raises(KeyboardInterrupt):
        scan(stop=6, **given)
    decoded.clear()
    progress = scan(**given)
    assert progress.reused == 30 - len(decoded) >= 12
    assert {row["root"] for row in table(place / "people.csv")} == {str(new)}


def test_a_library_that_has_moved_elsewhere_than_is_scanned_is_refused(
    scan: Scan, album: Path, tmp_path: Path
) -> None:
    scan()
    new = move(album)
    with pytest.raises(BadInput, match="which is not scanned"):
        scan(paths=[new], moved=[str(tmp_path)])
    with pytest.raises(BadInput, match="no such folder"):
        scan(paths=[new], moved=[str(tmp_path / "gone")])
