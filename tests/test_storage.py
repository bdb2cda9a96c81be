"""Photos and tables in buckets: an S3 server on this computer, started by the test."""
# ruff: noqa: F811  # fixtures are imported

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.buckets import Put, forget_clients, moto, put, server  # noqa: F401
from helpers.photos import save_broken, save_photo
from helpers.quick import QuickBackend
from helpers.scans import scan_options
from helpers.tables import table
from typer.testing import CliRunner

from mivolo_cli import storage
from mivolo_cli import tables as sinks
from mivolo_cli.cli import app
from mivolo_cli.errors import BadInput, OutputError, Stopped
from mivolo_cli.photos import decode, walk
from mivolo_cli.photos.thumbnails import thumbnail
from mivolo_cli.records import Failure, Photo
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan import store, workdir
from mivolo_cli.scan.merge import MergeOptions, merge
from mivolo_cli.scan.options import Progress
from mivolo_cli.scan.shards import Shard
from mivolo_cli.storage import Url, place
from mivolo_cli.tables import folder
from mivolo_cli.tables.results import read_results

Scan = Callable[..., Progress]
NAMES = (
    "b.jpg",
    "a/2.png",
    "a/b/1.jpg",
    "a.jpg",
    "a b/3.png",
    "z/x.webp",
    "ä/é.png",
    "progressive.jpg",
)


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> Scan:
    """Scans in parts of four photos; `stop` raises before so many photos are reported."""
    monkeypatch.setattr(store, "PART_PHOTOS", 4)

    def run(
        source: str | Path, output: str | Path, stop: int | None = None, **given: Any
    ) -> Progress:
        def report(progress: Progress) -> None:
            if stop is not None and progress.photos >= stop:
                raise KeyboardInterrupt

        options = scan_options([place(source)], [place(output)], workers=2, **given)
        return scanning.scan(options, report, QuickBackend)

    return run


def fill(put: Put, album: Path) -> Path:
    """The same photos in a folder and in the bucket."""
    for number, name in enumerate(NAMES):
        options: dict[str, Any] = {"progressive": True} if name.startswith("progressive") else {}
        save_photo(album / name, pixels=np.full((50, 40, 3), 100 + number, np.uint8), **options)
    save_broken(album / "a" / "broken.jpg", "truncated")
    (album / "notes.txt").write_text("no photo")
    (album / "no-extension").write_bytes((album / "b.jpg").read_bytes())
    for file in album.rglob("*"):
        if file.is_file():
            put(f"trip/{file.relative_to(album).as_posix()}", file.read_bytes())
    put("trip/empty folder/", b"")
    return album


def facts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    left_out = ("root", "mtime_ns", "age")
    return {row["path"]: {k: v for k, v in row.items() if k not in left_out} for row in rows}


def test_a_bucket_is_scanned_as_a_folder_is(put: Put, scan: Scan, tmp_path: Path) -> None:
    album = fill(put, tmp_path / "album")
    progress = scan("s3://album/trip", "s3://album/out/people.parquet")
    scan(album, tmp_path / "people.parquet")
    with Url("s3://album/out/people.parquet").open("rb") as file:
        stored = pq.read_table(file).to_pylist()
    assert facts(stored) == facts(table(tmp_path / "people.parquet"))
    assert {row["root"] for row in stored} == {"s3://album/trip"}
    assert [row["path"] for row in stored] == sorted(row["path"] for row in stored), "by keys"
    assert all(row["mtime_ns"] > 0 for row in stored)
    assert progress.photos == 10 and progress.failures == {"truncated": 1}


def test_unchanged_objects_are_not_done_again(put: Put, scan: Scan, tmp_path: Path) -> None:
    fill(put, tmp_path / "album")
    scan("s3://album/trip", "s3://album/people.parquet")
    assert scan("s3://album/trip", "s3://album/people.parquet").unchanged
    put("trip/new.jpg", (tmp_path / "album" / "b.jpg").read_bytes())
    progress = scan("s3://album/trip", "s3://album/people.parquet")
    assert (progress.photos, progress.reused) == (11, 10)
    storage._library("s3").rm_file("album/trip/new.jpg")
    assert scan("s3://album/trip", "s3://album/people.parquet").photos == 10
    for kept in workdir.find(Url("s3://album/people.parquet")):
        workdir.purge(kept)
    progress = scan("s3://album/trip", "s3://album/people.parquet")
    assert (progress.photos, progress.reused) == (10, 10), (
        "the table in the bucket is enough to go on from"
    )


def test_an_interrupted_run_goes_on(put: Put, scan: Scan, tmp_path: Path) -> None:
    fill(put, tmp_path / "album")
    with pytest.raises(KeyboardInterrupt):
        scan("s3://album/trip", "s3://album/people.csv", stop=6)
    with pytest.raises(FileNotFoundError):
        storage.stat("s3://album/people.csv")
    assert scan("s3://album/trip", "s3://album/people.csv").reused == 4
    scan("s3://album/trip", "s3://album/whole.csv")
    assert storage.read("s3://album/people.csv") == storage.read("s3://album/whole.csv")


def test_a_connection_that_is_lost_stops_the_run_and_the_same_command_goes_on(
    put: Put, scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(put, tmp_path / "album")
    read = storage.read

    def lose(url: str, end: int | None = None) -> bytes:
        if "z/x" in url:
            raise ConnectionError(5, "the store does not answer", url)
        return read(url, end)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "read", lose)
        progress = scan("s3://album/trip", tmp_path / "people.csv")
        assert progress.failures == {"truncated": 1, "unreadable": 1}, "one photo alone is a row"
        patch.setattr(
            storage,
            "answers",
            lambda url, seen=[]: seen.append(url) or (True if len(seen) == 1 else None),
        )
        with pytest.raises(Stopped, match="can no longer be read"):
            scan("s3://album/trip", tmp_path / "other.csv")
    assert scan("s3://album/trip", tmp_path / "other.csv").reused == 8
    assert scan("s3://album/trip", tmp_path / "people.csv").failures == {"truncated": 1}


def test_a_server_that_is_gone(
    server: None, scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    forget_clients()
    with pytest.raises(BadInput, match="does not answer") as caught:
        scan("s3://album", tmp_path / "people.csv")
    assert "network" in caught.value.hint
    monkeypatch.setattr(storage, "stat", lambda url: storage.Stat(None, None))
    with pytest.raises(Stopped, match="cannot list"):
        list(walk.walk([Url("s3://album")]))


def test_a_listing_comes_page_by_page(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    filesystem = storage._library("s3")
    for number in range(7):
        put(f"many/{number}.jpg", b"x")
    call, pages = filesystem.call_s3, []

    def small(method: str, **request: Any) -> Any:
        pages.append(method)
        return call(method, **request, MaxKeys=3)

    monkeypatch.setattr(filesystem, "call_s3", small)
    found = storage.listing("s3://album/many")
    assert (next(found).key, len(pages)) == ("0.jpg", 1)
    assert [entry.key for entry in found] == [f"{number}.jpg" for number in range(1, 7)] and len(
        pages
    ) == 3


def test_what_is_selected(put: Put) -> None:
    for key in ("a.jpg", "raw/b.jpg", ".hidden/c.jpg", "d.txt", "trip/e.png", "../f.jpg", "s.tar"):
        put(f"x/{key}", b"\xff\xd8\xff")

    def names(**options: Any) -> list[str]:
        return [
            item.path
            for item in walk.walk([Url("s3://album/x")], **options)
            if isinstance(item, Photo)
        ]

    assert names() == ["a.jpg", "raw/b.jpg", "trip/e.png"]
    assert names(exclude=["raw"]) == ["a.jpg", "trip/e.png"]
    assert names(include=["trip/**"]) == ["trip/e.png"]
    assert ".hidden/c.jpg" in names(hidden=True) and "s.tar" in names(archives=True)
    outside = [
        item for item in walk.walk([Url("s3://album/x")], hidden=True) if isinstance(item, Failure)
    ]
    assert [(item.photo.path, item.code) for item in outside] == [("../f.jpg", "not_a_file")]
    twice = [Url("s3://album/x/a.jpg"), Url("s3://album/x")]
    found = [item for item in walk.walk(twice) if isinstance(item, Photo)]
    assert [(photo.root, photo.path) for photo in found][:2] == [
        ("s3://album/x", "a.jpg"),
        ("s3://album/x", "raw/b.jpg"),
    ]


def test_an_object_that_was_replaced_has_the_facts_of_what_was_read(
    put: Put, tmp_path: Path
) -> None:
    put("a.png", save_photo(tmp_path / "a.png").read_bytes())
    (photo,) = walk.walk([Url("s3://album/a.png")])
    assert isinstance(photo, Photo)
    content = save_photo(tmp_path / "a.png", pixels=np.zeros((9, 9, 3), np.uint8)).read_bytes()
    put("a.png", content)
    image = decode.decode(photo)
    assert (image.width, image.photo.bytes) == (9, len(content))
    storage._library("s3").rm_file("album/a.png")
    with pytest.raises(decode.PhotoError) as caught:
        decode.decode(photo)
    assert caught.value.code == "missing"


def test_shards_of_a_bucket_are_merged_in_the_bucket(put: Put, scan: Scan, tmp_path: Path) -> None:
    fill(put, tmp_path / "album")
    tables = [f"s3://album/{number}.parquet" for number in (1, 2)]
    for number, file in enumerate(tables, 1):
        scan("s3://album/trip", file, shard=Shard(number, 2))
    merge(MergeOptions([place(file) for file in tables], [place("s3://album/people.parquet")]))
    scan("s3://album/trip", "s3://album/whole.parquet")
    merged, whole = (
        read_results(place(f"s3://album/{name}.parquet")).table for name in ("people", "whole")
    )
    assert merged.drop_columns("age").equals(whole.drop_columns("age"))


def test_results_in_a_bucket_are_read(put: Put, scan: Scan, tmp_path: Path) -> None:
    fill(put, tmp_path / "album")
    scan("s3://album/trip", "s3://album/people.parquet")
    out = tmp_path / "people.json"
    done = CliRunner().invoke(
        app, ["export", "s3://album/people.parquet", "--to", "coco", "-o", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert '"a/b/1.jpg"' in out.read_text("utf-8")
    first = next(iter(read_results(place("s3://album/people.parquet"))))
    assert thumbnail(first.photo, 32)


def test_people_in_a_bucket_are_found_and_their_photos_copied(
    put: Put, scan: Scan, tmp_path: Path
) -> None:
    fill(put, tmp_path / "album")
    scan("s3://album/trip", "s3://album/people.parquet")
    line = ["find", "s3://album/people.parquet", "--path", "a/**", "--table", "s3://album/a.csv"]
    done = CliRunner().invoke(app, [*line, "--copy", str(tmp_path / "copies")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == ["s3://album/trip/a/2.png", "s3://album/trip/a/b/1.jpg"]
    assert {row["path"] for row in table(place("s3://album/a.csv"))} == {"a/2.png", "a/b/1.jpg"}
    copy = (tmp_path / "copies" / "a" / "2.png").read_bytes()
    assert copy == storage.read("s3://album/trip/a/2.png")
    done = CliRunner().invoke(app, ["summary", line[1], "--by", "folder"])
    assert done.exit_code == 0 and "a/b" in done.stdout, done.output
    done = CliRunner().invoke(app, [*line[:4], "--link", str(tmp_path / "links")])
    assert done.exit_code == 3 and not list((tmp_path / "links").iterdir())


def test_commands_take_urls(put: Put, tmp_path: Path) -> None:
    put("notes.txt", b"x")
    run = CliRunner().invoke(
        app, ["scan", "s3://album", "-o", "s3://album/notes.txt.csv", "--json"]
    )
    assert isinstance(run.exception, BadInput) and "no photos" in str(run.exception)
    run = CliRunner().invoke(app, ["scan", "s3://album", "--tag", "-o", str(tmp_path / "p.csv")])
    assert isinstance(run.exception, BadInput) and "tagged" in str(run.exception)


# --- folders of Parquet files, as a cluster writes them ---


@pytest.fixture
def scan_folder(scan: Scan, monkeypatch: pytest.MonkeyPatch) -> Scan:
    """As `scan --ray`, but for the cluster; a file ends after four rows."""
    monkeypatch.setattr(sinks, "BUFFER_ROWS", 2)
    monkeypatch.setattr(folder, "FILE_ROWS", 4)
    return lambda *args, **given: scan(*args, ray=True, **given)


def keys(url: str) -> list[str]:
    return [found.key for found in storage.listing(url)]


def test_a_folder_in_a_bucket_is_the_table_in_several_files(
    put: Put, scan_folder: Scan, tmp_path: Path
) -> None:
    fill(put, tmp_path / "album")
    scan_folder("s3://album/trip", "s3://album/people")
    scan_folder("s3://album/trip", tmp_path / "people")
    stored = keys("s3://album/people")
    assert (
        stored == ["_SUCCESS", *sorted(file.name for file in (tmp_path / "people").iterdir())]
        and len(stored) > 2
    )
    here, there = (read_results(place(name)) for name in (tmp_path / "people", "s3://album/people"))
    assert there.table.to_pylist() == here.table.to_pylist() and there.made_by == here.made_by
    assert not list(Url("s3://album/people").staging_dir.glob("*.part"))
    sizes = sum(file.stat().st_size for file in (tmp_path / "people").iterdir())
    assert sum(found.bytes for found in storage.listing("s3://album/people")) == sizes


def test_a_folder_in_a_bucket_goes_on_and_loses_the_files_it_has_too_many(
    put: Put, scan_folder: Scan, tmp_path: Path
) -> None:
    fill(put, tmp_path / "album")
    with pytest.raises(KeyboardInterrupt):
        scan_folder("s3://album/trip", "s3://album/people", stop=6)
    assert keys("s3://album/people") == []
    assert scan_folder("s3://album/trip", "s3://album/people").reused == 4
    assert scan_folder("s3://album/trip", "s3://album/people").unchanged
    many = keys("s3://album/people")
    workdir.purge(Url("s3://album/people").staging_dir)
    for name in NAMES[:5]:
        storage.remove(f"s3://album/trip/{name}")
    progress = scan_folder("s3://album/trip", "s3://album/people")
    assert (progress.photos, progress.reused) == (5, 5), (
        "the folder in the bucket is enough to go on from"
    )
    assert set(keys("s3://album/people")) < set(many)
    assert (
        len({row["path"] for row in read_results(place("s3://album/people")).table.to_pylist()})
        == 5
    )


def test_a_folder_that_somebody_has_touched_is_written_again(
    put: Put, scan_folder: Scan, tmp_path: Path
) -> None:
    fill(put, tmp_path / "album")
    scan_folder("s3://album/trip", "s3://album/people")
    storage.remove("s3://album/people/part-00001.parquet")
    storage.remove("s3://album/people/part-00001.parquet")
    assert not scan_folder("s3://album/trip", "s3://album/people").unchanged
    assert "part-00001.parquet" in keys("s3://album/people")


def test_an_upload_that_breaks_off_says_so_by_a_missing_object(
    put: Put, scan_folder: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(put, tmp_path / "album")
    scan_folder("s3://album/trip", "s3://album/people")
    whole = keys("s3://album/people")
    put("trip/new.jpg", (tmp_path / "album" / "b.jpg").read_bytes())
    write = storage.write

    def breaks(file: Path, url: str) -> None:
        if url.endswith("part-00001.parquet"):
            raise ConnectionError(5, "the store does not answer", url)
        write(file, url)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="does not answer"):
        patch.setattr(storage, "write", breaks)
        scan_folder("s3://album/trip", "s3://album/people")
    assert "_SUCCESS" not in keys("s3://album/people")
    assert scan_folder("s3://album/trip", "s3://album/people").reused == 11
    assert set(keys("s3://album/people")) >= set(whole)


def test_other_things_in_a_bucket_are_no_place_for_a_folder(
    put: Put, scan_folder: Scan, tmp_path: Path
) -> None:
    put("trip/a.jpg", save_photo(tmp_path / "a.jpg").read_bytes())
    put("diary/day.txt", b"Dear diary")
    put("file", b"x")
    for output in ("s3://album/diary", "s3://album/file"):
        with pytest.raises(BadInput, match="not a folder of results"):
            scan_folder("s3://album/trip", output)
    assert keys("s3://album/diary") == ["day.txt"] and storage.read("s3://album/file") == b"x"


def test_shards_in_folders_are_merged_into_a_folder(
    put: Put, scan_folder: Scan, tmp_path: Path
) -> None:
    fill(put, tmp_path / "album")
    shards = [place("s3://album/1"), tmp_path / "2"]
    for number, output in enumerate(shards, 1):
        scan_folder("s3://album/trip", output, shard=Shard(number, 2))
    done = CliRunner().invoke(app, ["merge", *map(str, shards), "-o", "s3://album/people"])
    assert done.exit_code == 0, done.output
    scan_folder("s3://album/trip", tmp_path / "whole")
    merged, whole = (
        read_results(place(name)).table for name in ("s3://album/people", tmp_path / "whole")
    )
    assert merged.drop_columns("age").equals(whole.drop_columns("age"))
    storage.write(next((tmp_path / "2").iterdir()), "s3://album/1/part-00000.parquet")
    with pytest.raises(BadInput, match="given twice|claims to be shard"):
        merge(MergeOptions(shards, [tmp_path / "people"]))


# --- what goes wrong ---


@pytest.mark.parametrize("url", ["s3://nowhere/a", "s3://album/nothing.jpg"])
def test_nothing_there(put: Put, scan: Scan, tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput, match="no such file or folder") as caught:
        scan(url, tmp_path / "people.csv")
    assert url in str(caught.value)


def test_outputs_that_cannot_be(put: Put, scan: Scan, tmp_path: Path) -> None:
    put("a.jpg", save_photo(tmp_path / "a.jpg").read_bytes())
    put("people.csv", b"Dear diary")
    put("folder.csv/x", b"x")
    for output, reason in {
        "s3://nowhere/people.csv": "no such bucket",
        "s3://album/people.csv": "not a result table",
        "s3://album/folder.csv": "is a folder",
    }.items():
        with pytest.raises(BadInput, match=reason):
            scan("s3://album/a.jpg", output)
    assert storage.read("s3://album/people.csv") == b"Dear diary"
    with pytest.raises(BadInput, match="into a bucket"):
        scan("s3://album/a.jpg", tmp_path / "p.csv", annotate=place("s3://album/drawn"))


def test_no_credentials(
    put: Put, scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    forget_clients()
    with pytest.raises(BadInput, match="no valid credentials") as caught:
        scan("s3://album", tmp_path / "people.csv")
    assert "aws configure" in caught.value.hint


def test_no_permission(moto: str, put: Put, scan: Scan, tmp_path: Path) -> None:
    put("a.jpg", save_photo(tmp_path / "a.jpg").read_bytes())
    authenticate_all_but(moto, b"0")  # from now on moto knows no user, and refuses
    try:
        with pytest.raises(BadInput, match="no permission") as caught:
            scan("s3://album", tmp_path / "people.csv")
        assert "AWS_PROFILE" in caught.value.hint
        with pytest.raises(PermissionError):
            storage.write(tmp_path / "a.jpg", "s3://album/b.jpg")
        failure = decode.decode_or_fail(Photo("s3://album", "a.jpg", 1, 1), decode.Sandbox())
        assert isinstance(failure, Failure) and failure.code == "no_permission"
    finally:
        authenticate_all_but(moto, b"inf")


def authenticate_all_but(moto: str, requests: bytes) -> None:
    urlopen(
        Request(
            f"{moto}/moto-api/reset-auth", requests, {"Content-Type": "text/plain"}, method="POST"
        )
    ).close()


def test_a_package_that_is_missing(
    scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    def absent(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", absent)
    storage._library.cache_clear()
    with pytest.raises(BadInput, match="not installed") as caught:
        scan("s3://album", tmp_path / "people.csv")
    assert caught.value.hint == "pip install 'mivolo-cli[s3]'"


def test_a_table_that_cannot_be_put_into_the_bucket_is_kept_here(
    put: Put, scan: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(put, tmp_path / "album")

    def full(file: Path, url: str) -> None:
        raise ConnectionError(5, "the store does not answer", url)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", full)
        with pytest.raises(OutputError, match="does not answer"):
            scan("s3://album/trip", "s3://album/people.csv")
    assert scan("s3://album/trip", "s3://album/people.csv").reused == 10
    staging = Url("s3://album/people.csv").staging_dir
    assert not list(staging.glob("*.part"))


# --- names ---


def test_urls_are_told_from_paths() -> None:
    for written in ("s3://b/x y/ä.csv", Path("s3://b/x y/ä.csv")):
        assert str(place(written)) == "s3://b/x y/ä.csv" and isinstance(place(written), Url)
    assert place("file:///a/b%20c.jpg") == Path("/a/b c.jpg") == place(Path("file:///a/b%20c.jpg"))
    assert not isinstance(place("photos/s3"), Url) and not isinstance(place("c:/x"), Url)
    url = Url("gs://b/x/people.csv")
    assert (str(url.parent), url.suffix, str(url.parent / "a")) == (
        "gs://b/x",
        ".csv",
        "gs://b/x/a",
    )
    assert url.staging_dir != Url("gs://b/y/people.csv").staging_dir


def test_other_stores_are_listed_folder_by_folder_in_the_order_of_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(storage.STORES, "memory", storage.GOOGLE)
    storage._library.cache_clear()
    filesystem = storage._library("memory")
    keys = ["a b/1.jpg", "a.jpg", "a/1.jpg", "a/b/2.jpg", "a0.jpg"]
    for key in reversed(keys):
        filesystem.pipe_file(f"/box/{key}", b"xyz")
    try:
        found = list(storage.listing("memory://box"))
    finally:
        filesystem.rm("/box", recursive=True)
    assert [entry.key for entry in found] == keys == sorted(keys)
    assert all(entry.bytes == 3 for entry in found)


def test_a_stored_file_is_read_in_pieces(put: Put) -> None:
    put("x.csv", b"one\ntwo\n")
    with Url("s3://album/x.csv").open("rb") as file:
        assert (file.readline(), file.seek(-4, io.SEEK_END), file.read()) == (b"one\n", 4, b"two\n")


# Files that are none


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    name = {"pipe": tmp_path / "pipe", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(name)
    for call in (
        storage.open_file,
        storage.require_regular,
        lambda file: storage.read_file(file, 1 << 20),
    ):
        with pytest.raises(IsADirectoryError if kind == "folder" else storage.NotAFile):
            call(name)


def test_files_of_more_than_a_sane_size_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.xmp").open("wb") as file:
        file.truncate(3 * 1024**3)
    with pytest.raises(OSError, match="more than 64 MB"):
        storage.read_file(tmp_path / "a.xmp", 64 << 20)
    (tmp_path / "b.xmp").write_bytes(b"12345")
    assert storage.read_file(tmp_path / "b.xmp", 5) == b"12345"
