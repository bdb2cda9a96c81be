"""Scans on a Ray cluster: the table of one machine, whatever breaks down meanwhile; and folders of
Parquet files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Set
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.photos import save_broken, save_photo
from helpers.require import require
from helpers.scans import scan_options
from helpers.tables import Given, write_boxes
from typer.testing import CliRunner

from mivolo_cli import cli, tables
from mivolo_cli.errors import BadInput, Stopped
from mivolo_cli.photos.limits import Limits
from mivolo_cli.photos.opening import MinSize
from mivolo_cli.records import SCHEMA, Photo
from mivolo_cli.scan import ray_backend, store, workdir
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan.backend import Answer, Backend
from mivolo_cli.scan.local_backend import LocalBackend
from mivolo_cli.scan.options import Progress, ScanOptions
from mivolo_cli.tables import folder, read_table

PHOTOS = 24
Options = dict[str, Any]
Scan = Callable[..., Progress]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster of two cores that all tests of this file share; with RAY_ADDRESS, the one that is
    there."""
    module = require("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        own = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 200 * 2**20}
        place = {} if "RAY_ADDRESS" in os.environ else {**own, "_node_ip_address": "127.0.0.1"}
        module.init(
            os.environ.get("RAY_ADDRESS", "local"),
            log_to_driver=False,
            logging_level="ERROR",
            **place,
        )
        yield module
        module.shutdown()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Photos with none, one or two faces, and two files that are none."""
    for number in range(PHOTOS):
        save_photo(tmp_path / "album" / f"{number:02}.jpg", quality=60 + number)
    save_broken(tmp_path / "album" / "broken.jpg", "text")
    save_broken(tmp_path / "album" / "cut.jpg", "truncated")
    return tmp_path / "album"


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path, no_weights_of_the_user: None) -> Options:
    given: Given = [
        (f"{number:02}.jpg", "face", (4.0 + 30 * person, 4.0, 34.0 + 30 * person, 44.0))
        for number in range(PHOTOS)
        for person in range(number % 3)
    ]
    boxes = write_boxes(tmp_path / "boxes.csv", given)
    return {
        "model": str(tiny_model),
        "detector": "given",
        "boxes": boxes,
        "device": "cpu",
        "workers": 2,
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts, windows and files of a few photos."""
    monkeypatch.setattr(store, "PART_PHOTOS", 4)
    monkeypatch.setattr(ray_backend, "FIRST_WINDOW", 20)
    monkeypatch.setattr(ray_backend, "CHUNK", 3)
    monkeypatch.setattr(tables, "BUFFER_ROWS", 5)
    monkeypatch.setattr(folder, "FILE_ROWS", 10)


def scan(
    album: Path,
    output: Path,
    options: Options,
    backend: Callable[[ScanOptions], Backend] = scanning.open_backend,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    **more: Any,
) -> Progress:
    return scanning.scan(
        scan_options([album], [output], **{**options, **more}), on_progress, backend
    )


def local_rows(album: Path, options: Options) -> list[dict[str, Any]]:
    scan(album, album.with_name("local.parquet"), options)
    return read_table(album.with_name("local.parquet")).to_pylist()


def assert_same(output: Path, expected: list[dict[str, Any]]) -> None:
    """One row set a photo, in the same order; ages within 0.01."""
    found = read_table(output).to_pylist()
    assert [(row["path"], row["person"]) for row in found] == [
        (row["path"], row["person"]) for row in expected
    ]
    assert found == [pytest.approx(row, abs=0.01) if row["age"] else row for row in expected]


def assert_readable(output: Path, rows: int) -> None:
    """A folder of Parquet files and nothing else that a reader would see, with the types of a table
    in one file."""
    names = sorted(os.listdir(output))
    assert b"mivolo.model" in read_table(output).schema.metadata
    assert len(names) > 1 and all(name.endswith(".parquet") or name[0] in "._" for name in names)
    dataset = require("pyarrow.dataset").dataset(str(output))
    assert dataset.schema.equals(SCHEMA) and dataset.count_rows() == rows
    assert len(require("pandas").read_parquet(output)) == rows
    assert require("duckdb").sql(f"SELECT count(*) FROM '{output}/*.parquet'").fetchall() == [
        (rows,)
    ]


def frail(stage: Any, once: Path, poison: bytes = b"") -> Any:
    """The stage, with a process that is killed at its first work, and each time that poison is in
    it."""

    class Frail(stage):
        def __call__(self, table: Any) -> Any:
            first = not once.exists()
            once.touch()
            if first or (poison and any(poison in head for head in table["image"].to_pylist())):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(table)

    return Frail


def test_a_killed_driver_loses_nothing_and_the_table_is_that_of_one_machine(
    ray: Any, album: Path, options: Options, small: None, tmp_path: Path
) -> None:
    """What is killed has a cluster of its own, as `mivolo scan --ray` starts it."""
    output = tmp_path / "people"
    code = "; ".join(
        (
            "import sys, time; from pathlib import Path",
            "from mivolo_cli.scan import ray_backend, run, store",
            "store.PART_PHOTOS, ray_backend.FIRST_WINDOW = 4, 20",
            "from mivolo_cli.pipeline.options import InferenceOptions",
            "with_ = InferenceOptions(model=sys.argv[3], detector='given', boxes=Path(sys.argv[4]),"
            " device='cpu', workers=2)",
            "options = run.ScanOptions([Path(sys.argv[1])], [Path(sys.argv[2])], inference=with_,"
            " ray=True)",
            "run.scan(options, lambda progress: time.sleep(0.1))",
        )
    )
    command = [
        sys.executable,
        "-c",
        code,
        *map(str, (album, output, options["model"], options["boxes"])),
    ]
    home = {"HOME": str(tmp_path / "home"), "RAY_AUTH_MODE": None}
    killed = subprocess.Popen(
        command, env={name: value for name, value in {**os.environ, **home}.items() if value}
    )
    place = workdir.folder_of(output)
    while killed.poll() is None and len(list(place.glob("part-*"))) < 2:
        time.sleep(0.02)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not output.exists() and not (tmp_path / "home" / ".ray").exists()

    progress = scan(album, output, options, ray=True)
    assert progress.reused >= 8 and progress.photos == PHOTOS + 2
    expected = local_rows(album, options)
    assert_same(output, expected)
    assert_readable(output, len(expected))


def test_killed_processes_lose_nothing_and_poison_costs_one_photo(
    ray: Any,
    album: Path,
    options: Options,
    small: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = local_rows(album, options)
    once = [tmp_path / name for name in ("decoded", "detected", "predicted")]

    def decode(chunks: Any, min_size: MinSize | None, limits: Limits) -> Any:
        if not once[0].exists():
            once[0].touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from healthy(chunks, min_size, limits)

    healthy = ray_backend.decode
    said: list[str] = []
    monkeypatch.setattr(ray_backend.logger, "warning", said.append)
    monkeypatch.setattr(ray_backend, "FIRST_WINDOW", 64)
    monkeypatch.setattr(ray_backend, "RETRIES", 1)
    monkeypatch.setattr(ray_backend, "decode", decode)
    monkeypatch.setattr(ray_backend, "Detect", frail(ray_backend.Detect, once[1], poison=b"11.jpg"))
    monkeypatch.setattr(ray_backend, "Predict", frail(ray_backend.Predict, once[2]))
    progress = scan(album, tmp_path / "people", options, ray=True)
    assert all(file.exists() for file in once)
    assert progress.failures["crashed"] == 1 and len(said) == 1 and "one by one" in said[0]
    (poison,) = [
        row for row in read_table(tmp_path / "people").to_pylist() if row["error"] == "crashed"
    ]
    assert poison["path"] == "11.jpg"
    found = [row for row in read_table(tmp_path / "people").to_pylist() if row["path"] != "11.jpg"]
    assert [(row["path"], row["age"]) for row in found] == [
        (row["path"], pytest.approx(row["age"], abs=0.01))
        for row in expected
        if row["path"] != "11.jpg"
    ]


class Disordered:
    """A backend that answers from the last photo to the first, as a cluster may; Ray is not
    needed."""

    def __init__(self, options: ScanOptions) -> None:
        self._here = LocalBackend(options)
        self.metadata = self._here.metadata

    def answers(self, todo: Iterator[Photo]) -> Generator[Answer, None, None]:
        yield from reversed(list(self._here.answers(todo)))

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def disordered(small: None) -> Scan:
    return partial(scan, backend=Disordered)


def test_answers_in_any_order_make_the_same_table(
    album: Path, options: Options, disordered: Scan, tmp_path: Path
) -> None:
    expected = local_rows(album, options)
    disordered(album, tmp_path / "people", options, ray=True)
    assert_same(tmp_path / "people", expected)
    assert_readable(tmp_path / "people", len(expected))
    rows = [read_table(file)["path"].to_pylist() for file in folder.files(tmp_path / "people")]
    assert (
        all(rows) and sum(len(set(paths)) for paths in rows) == PHOTOS + 2
    )  # no photo is in two files


def test_a_run_that_is_stopped_goes_on_and_a_changed_photo_has_one_row_set(
    album: Path, options: Options, disordered: Scan, tmp_path: Path
) -> None:
    output = tmp_path / "people"

    def stop(progress: scanning.Progress) -> None:
        if progress.photos == 13:
            raise Stopped("enough")

    with pytest.raises(Stopped, match="enough"):
        disordered(album, output, options, ray=True, on_progress=stop)
    assert not output.exists()
    assert disordered(album, output, options, ray=True).reused == 12
    (album / "00.jpg").unlink()
    save_photo(album / "02.jpg", quality=30)
    save_photo(album / "new.jpg")
    assert disordered(album, output, options, ray=True).reused == PHOTOS
    assert_same(output, local_rows(album, options))
    assert disordered(album, output, options, ray=True, use="face").reused == 0


def test_a_folder_that_is_up_to_date_needs_no_cluster(
    album: Path, options: Options, disordered: Scan, tmp_path: Path
) -> None:
    disordered(album, tmp_path / "people", options, ray=True)
    before = sorted(
        (file.name, file.stat().st_mtime_ns) for file in (tmp_path / "people").iterdir()
    )
    again = scan(
        album,
        tmp_path / "people",
        options,
        lambda options: pytest.fail("a cluster was started"),
        ray=True,
    )
    assert again.unchanged
    assert (
        sorted((file.name, file.stat().st_mtime_ns) for file in (tmp_path / "people").iterdir())
        == before
    )


def test_without_kept_work_the_folder_is_enough_to_go_on_from(
    album: Path, options: Options, disordered: Scan, tmp_path: Path
) -> None:
    disordered(album, tmp_path / "people", options, ray=True)
    workdir.purge(workdir.folder_of(tmp_path / "people"))
    assert disordered(album, tmp_path / "people", options, ray=True).reused == PHOTOS + 2


def test_a_folder_with_anything_else_in_it_is_refused(
    album: Path, options: Options, disordered: Scan, tmp_path: Path
) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "diary.txt").write_text("dear diary")
    with pytest.raises(BadInput, match="not a folder of results") as refused:
        disordered(album, tmp_path / "people", options, ray=True)
    assert "another name" in str(refused.value.hint)
    assert (tmp_path / "people" / "diary.txt").read_text() == "dear diary"


def test_without_ray_an_output_needs_a_suffix_and_drawings_need_one_machine(
    album: Path, options: Options, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="suffix"):
        scan(album, tmp_path / "people", options)
    with pytest.raises(BadInput, match="--annotate"):
        scan(album, tmp_path / "people", options, ray=True, annotate=tmp_path / "drawn")


def test_a_missing_package_is_named(
    album: Path, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match="package ray") as refused:
        scan(album, tmp_path / "people", options, ray=True)
    assert "pip install" in str(refused.value.hint)


@pytest.mark.parametrize("typed, address", [(["--ray"], None), (["--ray-address", "auto"], "auto")])
def test_an_address_is_enough_to_work_on_a_cluster(
    typed: list[str], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ScanOptions] = []

    def asked_only(options: ScanOptions, on_progress: object) -> Progress:
        asked.append(options)
        return Progress()

    monkeypatch.setattr(scanning, "scan", asked_only)
    out = CliRunner().invoke(cli.app, ["scan", "album", "-o", "people", *typed])
    assert out.exit_code == 0, out.output
    assert [(options.ray, options.ray_address) for options in asked] == [(True, address)]


@pytest.mark.parametrize("count, sizes", [(5, [5]), (100, [8, 16, 32, 44])])
def test_windows_grow_while_the_one_before_is_done(
    count: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, listed = run_windows(monkeypatch, count, lost=set())
    assert windows == sizes
    assert listed[0] == min(count, 8)  # the first window is at work before the second is listed


def test_photos_that_ray_gives_up_are_done_again_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    windows, _ = run_windows(monkeypatch, 20, lost={3, 7, 19})
    assert windows == [8, 12, 3]


@pytest.mark.parametrize("stuck, code", [(False, "crashed"), (True, "timeout")])
def test_a_photo_that_never_comes_back_has_a_code(
    stuck: bool, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Any] = []
    windows, _ = run_windows(
        monkeypatch, 20, lost={3, 7}, poison={7}, stuck=stuck, failures=failures
    )
    assert windows == [8, 12, 2]
    assert [(failure.photo.path, failure.code) for failure in failures] == [("7", code)]


def test_a_cluster_on_which_nothing_moves_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = set(range(20))
    with pytest.raises(Stopped, match="made no progress"):
        run_windows(monkeypatch, 20, lost=everything, poison=everything, stuck=True)


def run_windows(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    lost: Set[int],
    poison: Set[int] = frozenset(),
    stuck: bool = False,
    failures: list[Any] | None = None,
) -> tuple[list[int], list[int]]:
    """The sizes of the windows, and how many photos had been listed when each began.

    Photos that are `lost` have no answer unless they are alone, and those that are `poison` not
    even then.
    """
    windows: list[int] = []
    listed: list[int] = []
    taken = 0

    def todo() -> Iterator[Photo]:
        nonlocal taken
        for taken in range(1, count + 1):
            yield Photo("/", str(taken - 1))

    def run(self: Any, window: list[Photo], *, one_by_one: bool) -> Iterator[tuple[int, Any]]:
        windows.append(len(window))
        listed.append(taken)
        self._stuck = stuck
        missing = poison if one_by_one else lost
        yield from (
            (n, photo.path) for n, photo in enumerate(window) if int(photo.path) not in missing
        )

    monkeypatch.setattr(ray_backend, "FIRST_WINDOW", 8)
    monkeypatch.setattr(ray_backend.RayBackend, "__init__", lambda self: None)
    monkeypatch.setattr(ray_backend.RayBackend, "_run", run)
    unconnected: Any = ray_backend.RayBackend
    answers = list(unconnected().answers(todo()))
    assert sorted(int(photo.path) for photo, _ in answers) == list(range(count))
    assert all(photo.path == answer for photo, answer in answers if int(photo.path) not in poison)
    if failures is not None:
        failures += [answer for photo, answer in answers if int(photo.path) in poison]
    return windows, listed
