"""Pictures in tar shards and in Parquet: each is a photo of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.buckets import Put, moto, put, server  # noqa: F401
from helpers.photos import save_photo
from helpers.quick import QuickBackend
from helpers.scans import scan_options
from helpers.tables import table

from mivolo_cli.errors import PhotoError
from mivolo_cli.photos import archives, decode, walk
from mivolo_cli.photos.limits import Limits
from mivolo_cli.photos.sandbox import Sandbox
from mivolo_cli.photos.thumbnails import thumbnail
from mivolo_cli.records import Failure, Image, Photo
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan import store
from mivolo_cli.scan.merge import MergeOptions, merge
from mivolo_cli.scan.options import Progress
from mivolo_cli.scan.shards import Shard
from mivolo_cli.storage import place

Scan = Callable[..., Progress]


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> Scan:
    monkeypatch.setattr(store, "PART_PHOTOS", 4)

    def run(*sources: str | Path, output: Path, **given: Any) -> Progress:
        options = scan_options([*map(place, sources)], [output], workers=2, **given)
        return scanning.scan(options, backend=QuickBackend)

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, bytes]:
    """Six pictures of different greys; a WebP among them is decoded in a process of its own."""
    names = ("0003.jpg", "0001.png", "b/0002.left.jpg", "b/0002.right.webp", "0009.jpg", "0000.jpg")
    greys = {
        name: np.full((50, 40, 3), 100 + number, np.uint8) for number, name in enumerate(names)
    }
    exact: dict[str, Any] = {"lossless": True}  # for WebP; the other formats take no notice
    return {
        name: save_photo(tmp_path / "made" / name, pixels=grey, **exact).read_bytes()
        for name, grey in greys.items()
    }


def save_tar(file: Path, members: Mapping[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def save_rows(file: Path, contents: list[Any], column: str = "image", rows: int = 2) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"label": [*range(len(contents))], column: contents}), file, row_group_size=rows
    )
    return file


def said(file: Path) -> dict[str, int | None]:
    """The age of each photo's first person without the decimals: the picture's grey."""
    return {
        row["path"]: None if row["age"] is None else int(row["age"])
        for row in reversed(table(file))
    }


def test_the_members_of_a_tar_file_are_photos(
    scan: Scan, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    others = {"0003.json": b"{}", "0003.cls": b"1"}
    shard = save_tar(tmp_path / "data" / "train-000.tar", {**pictures, **others})
    progress = scan(shard, output=tmp_path / "people.parquet")
    rows = table(tmp_path / "people.parquet")
    assert list(dict.fromkeys(row["path"] for row in rows)) == [
        f"train-000.tar/{name}" for name in pictures
    ]
    assert {row["root"] for row in rows} == {str(tmp_path / "data")}
    assert {(row["bytes"], row["mtime_ns"]) for row in rows} == {
        (shard.stat().st_size, shard.stat().st_mtime_ns)
    }
    assert said(tmp_path / "people.parquet")["train-000.tar/0003.jpg"] == 100
    assert progress.photos == 6 and not progress.failed
    assert scan(shard, output=tmp_path / "people.parquet").unchanged


@pytest.mark.parametrize("column", ["image", "picture of somebody", "jpg"])
def test_the_rows_of_a_parquet_file_are_photos(
    scan: Scan, pictures: dict[str, bytes], tmp_path: Path, column: str
) -> None:
    contents: list[Any] = list(pictures.values())
    if column != "jpg":
        contents = [{"bytes": content, "path": f"x/{name}"} for name, content in pictures.items()]
        contents[1]["path"], contents[4]["bytes"] = None, None
    progress = scan(
        save_rows(tmp_path / "d.parquet", contents, column), output=tmp_path / "people.csv"
    )
    names = [f"d.parquet/{row}" for row in range(6)]
    if column != "jpg":
        own = [f"/{Path(name).name}" for name in pictures]
        names = [name + ("" if row == 1 else own[row]) for row, name in enumerate(names)]
        assert progress.failures == {"empty": 1}
    grey = {name: 100 + row for row, name in enumerate(names)}
    found = said(tmp_path / "people.csv")
    assert list(reversed(found)) == names
    assert all(age in (None, grey[name]) for name, age in found.items()) and any(found.values())


def test_in_folders_they_are_taken_if_asked_for(
    scan: Scan, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    album = tmp_path / "album"
    save_photo(album / "a.jpg")
    save_tar(album / "b.tar", pictures)
    save_rows(album / "c" / "d.parquet", list(pictures.values()), "image")
    assert scan(album, output=tmp_path / "1.csv").photos == 1
    assert scan(album, output=tmp_path / "2.csv", archives=True).photos == 1 + 6 + 6
    assert scan(album, output=tmp_path / "3.csv", archives=True, include=["*.tar"]).photos == 6


def test_only_changed_shards_are_done_again(
    scan: Scan, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    for name in ("a.tar", "b.tar"):
        save_tar(tmp_path / "data" / name, pictures)
    scan(tmp_path / "data", output=tmp_path / "people.parquet", archives=True)
    save_tar(tmp_path / "data" / "b.tar", dict(list(pictures.items())[:3]))
    progress = scan(tmp_path / "data", output=tmp_path / "people.parquet", archives=True)
    assert (progress.photos, progress.reused) == (9, 6)


def test_shards_of_a_scan_leave_tar_files_whole(
    scan: Scan, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    for number in range(5):
        save_tar(tmp_path / "data" / f"{number}.tar", pictures)
    tables = [tmp_path / f"{number}.parquet" for number in (1, 2)]
    for number, file in enumerate(tables, 1):
        scan(tmp_path / "data", output=file, archives=True, shard=Shard(number, 2))
    files = [{row["path"].split("/")[0] for row in table(file)} for file in tables]
    assert all(files) and not files[0] & files[1]
    merge(MergeOptions(tables, [tmp_path / "merged.parquet"]))
    scan(tmp_path / "data", output=tmp_path / "whole.parquet", archives=True)
    merged, whole = (
        [row["path"] for row in table(tmp_path / f"{name}.parquet")] for name in ("merged", "whole")
    )
    assert merged == whole


@pytest.mark.parametrize(
    "name, content, code",
    [
        ("cut.tar", None, "corrupt"),
        ("text.tar", b"Dear diary" * 200, "corrupt"),
        ("text.parquet", b"Dear diary" * 200, "corrupt"),
    ],
)
def test_a_damaged_shard_is_one_row(
    pictures: dict[str, bytes], tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    whole = save_tar(tmp_path / "whole.tar", {"a.bin": bytes(30_000), **pictures}).read_bytes()
    (tmp_path / name).write_bytes(whole[:20_000] if content is None else content)
    (failure,) = walk.opened(walk.walk([tmp_path / name]))
    assert isinstance(failure, Failure) and (failure.photo.path, failure.code) == (name, code)


def test_a_table_without_pictures_is_one_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"age": [1]}), tmp_path / "t.parquet")
    (failure,) = walk.opened(walk.walk([tmp_path / "t.parquet"]))
    assert isinstance(failure, Failure) and "no column of pictures" in failure.message


def test_members_that_lead_out_are_not_read(pictures: dict[str, bytes], tmp_path: Path) -> None:
    content = next(iter(pictures.values()))
    shard = save_tar(tmp_path / "a.tar", {"../../evil.jpg": content, "good.jpg": content})
    found = list(walk.opened(walk.walk([shard])))
    assert [(type(item), item.code if isinstance(item, Failure) else "") for item in found] == [
        (Failure, "not_a_file"),
        (Photo, ""),
    ]


def test_a_shard_that_changes_while_it_is_read(pictures: dict[str, bytes], tmp_path: Path) -> None:
    shard = save_tar(tmp_path / "a.tar", pictures)
    photo, *_ = walk.opened(walk.walk([shard]))
    assert isinstance(photo, Photo) and thumbnail(photo, 16)
    archives._SHELF._archives.clear()
    os.utime(shard, ns=(1, 1))
    with pytest.raises(PhotoError) as caught:
        decode.decode(photo)
    assert caught.value.code == "changed"


def test_a_folder_may_be_called_like_a_shard(tmp_path: Path) -> None:
    save_photo(tmp_path / "photos.tar" / "a.jpg")
    (photo,) = walk.opened(walk.walk([tmp_path]))
    assert isinstance(photo, Photo) and decode.decode(photo).width == 80


def test_shards_in_a_bucket(put: Put, pictures: dict[str, bytes], tmp_path: Path) -> None:  # noqa: F811
    put("d/a.tar", save_tar(tmp_path / "a.tar", pictures).read_bytes())
    put("d/b.parquet", save_rows(tmp_path / "b.parquet", list(pictures.values())).read_bytes())
    found = list(walk.opened(walk.walk([place("s3://album/d")], archives=True)))
    assert [
        item.photo.address if isinstance(item, Failure) else item.address for item in found
    ] == [
        *(f"s3://album/d/a.tar/{name}" for name in pictures),
        *(f"s3://album/d/b.parquet/{row}" for row in range(6)),
    ]
    sandbox = Sandbox()
    try:
        images = [decode.decode_or_fail(item, sandbox) for item in found if isinstance(item, Photo)]
    finally:
        sandbox.close()
    greys = [round(image.pixels.mean()) for image in images if isinstance(image, Image)]
    assert greys == [*range(100, 106)] * 2


def test_a_tar_file_that_claims_a_huge_header_takes_no_memory(tmp_path: Path) -> None:
    """A PAX header and a long name of 64 GB, in a file of a few kilobytes."""
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 64 * 1024**3
        (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        (failure,) = walk.opened(walk.walk([tmp_path / "a.tar"]))
        assert isinstance(failure, Failure) and failure.code == "corrupt"
        assert "68719476736" in failure.message


def test_a_member_longer_than_its_file_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.size = 1024**3
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(4096))
    assert all(isinstance(item, Failure) for item in walk.opened(walk.walk([tmp_path / "a.tar"])))


def test_a_table_of_more_rows_than_bytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": pa.nulls(10**6, pa.binary())}), file)
    assert file.stat().st_size < 10**4
    (failure,) = walk.opened(walk.walk([file]))
    assert isinstance(failure, Failure) and "1000000 rows" in failure.message


def test_rows_that_are_equal_take_no_more_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of a megabyte, 200 times: a few kilobytes as a dictionary."""
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [bytes(1024**2)] * 200}), file, compression="zstd")
    assert file.stat().st_size < 10**6
    photo, *_ = walk.opened(walk.walk([file]))
    assert isinstance(photo, Photo)
    monkeypatch.setattr(archives, "Limits", lambda: Limits(512 * 1024**2))
    with pytest.raises(PhotoError) as caught:
        decode.decode(photo)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("row", ["6", "-1", "cat"])
def test_a_row_that_is_not_there_fails_alone(
    pictures: dict[str, bytes], tmp_path: Path, row: str
) -> None:
    facts = save_rows(tmp_path / "b.parquet", list(pictures.values())).stat()
    with pytest.raises(PhotoError) as caught:
        decode.decode(Photo(str(tmp_path), f"b.parquet/{row}", facts.st_size, facts.st_mtime_ns))
    assert caught.value.code in ("missing", "corrupt")


def test_rows_that_arrow_cannot_read_fail_alone(pictures: dict[str, bytes], tmp_path: Path) -> None:
    file = save_rows(tmp_path / "b.parquet", list(pictures.values()))
    content = bytearray(file.read_bytes())
    content[4:400] = bytes(396)  # the pages, not the footer
    file.write_bytes(content)
    photo, *_ = walk.opened(walk.walk([file]))
    assert isinstance(photo, Photo)
    with pytest.raises(PhotoError):
        decode.decode(photo)


@pytest.mark.parametrize("shard", [None, Shard(1, 1)])
def test_no_file_is_left_open_at_the_end(
    tmp_path: Path, pictures: dict[str, bytes], shard: Shard | None
) -> None:
    save_tar(tmp_path / "a.tar", pictures)
    code = (
        "from pathlib import Path; from helpers.quick import QuickBackend\n"
        "from helpers.scans import scan_options; from mivolo_cli.scan import run\n"
        "from mivolo_cli.scan.shards import Shard\n"
        f"options = scan_options([Path({str(tmp_path / 'a.tar')!r})],"
        f" [Path({str(tmp_path / 'people.csv')!r})], workers=2, shard={shard})\n"
        "print(run.scan(options, backend=QuickBackend).photos)"
    ).replace("shard=1/1", "shard=Shard(1, 1)")
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])},
    )
    assert int(done.stdout) == len(pictures), done.stderr
    assert "ResourceWarning" not in done.stderr
