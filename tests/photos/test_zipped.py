"""Pictures in ZIP and compressed tar files."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from helpers.photos import draw_scene, save_photo

from mivolo_cli.errors import PhotoError
from mivolo_cli.photos import archives, decode, walk, zipped
from mivolo_cli.photos.codes import CODES
from mivolo_cli.photos.passed import PassedOver
from mivolo_cli.photos.sandbox import Sandbox
from mivolo_cli.records import Failure, Image, Photo, archive_of


@pytest.fixture
def members(tmp_path: Path) -> dict[str, bytes]:
    names = ("a.jpg", "trip/b.webp", "trip/ö é.png")
    return {
        name: save_photo(tmp_path / "made" / name, pixels=draw_scene()).read_bytes()
        for name in names
    }


def save_zip(file: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file


def save_tar_gz(file: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(file, "w:gz") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return file


def found_in(file: Path, passed: PassedOver | None = None) -> list[Photo | Failure]:
    return list(walk.opened(walk.walk([file]), passed))


@pytest.mark.parametrize("name", ["x.zip", "x.ZIP", "x.tar.gz", "x.tgz"])
def test_each_picture_is_a_photo(tmp_path: Path, members: dict[str, bytes], name: str) -> None:
    save = save_zip if "zip" in name.lower() else save_tar_gz
    file = save(tmp_path / name, members | {"trip/notes.txt": b"x", "trip/": b""})
    passed = PassedOver()
    found = found_in(file, passed)
    assert [item.path for item in found if isinstance(item, Photo)] == [
        f"{name}/{member}" for member in members
    ]
    assert passed.files[".txt"] == 1
    with closing(Sandbox()) as sandbox:
        for photo, content in zip(found, members.values(), strict=True):
            assert isinstance(photo, Photo) and archives.read(photo) == content
            image = decode.decode_or_fail(photo, sandbox)
            assert isinstance(image, Image) and image.pixels.shape == (64, 80, 3)


def test_in_folders_they_are_taken_when_asked_for(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    save_zip(tmp_path / "in.zip", members)
    save_tar_gz(tmp_path / "in.tar.gz", members)
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b")
    top = walk.walk([tmp_path], exclude=["made"], archives=True)
    assert len(list(walk.opened(top))) == 2 * len(members)
    assert list(walk.walk([tmp_path], exclude=["made"])) == []


def test_a_photo_in_an_archive_is_told_from_one_in_a_folder() -> None:
    assert archive_of("a/x.tar.gz/b/c.jpg") == ("a/x.tar.gz", "b/c.jpg")
    assert archive_of("a/x.TGZ/c.jpg") == ("a/x.TGZ", "c.jpg")
    assert archive_of("x.zip/y.zip/c.jpg") == ("x.zip", "y.zip/c.jpg")
    assert archive_of("a.zipped/c.jpg") == ("a.zipped/c.jpg", "")


@pytest.mark.parametrize("save", [save_zip, save_tar_gz])
def test_odd_names_lead_nowhere(tmp_path: Path, members: dict[str, bytes], save: object) -> None:
    odd = [
        "../out.jpg",
        "/etc/abs.jpg",
        "a\\..\\..\\b.jpg",
        "__MACOSX/._a.jpg",
        "t/._a.jpg",
        "a\nb.jpg",
    ]
    name, write = ("x.zip", save_zip) if save is save_zip else ("x.tgz", save_tar_gz)
    found = found_in(write(tmp_path / name, dict.fromkeys(odd, members["a.jpg"])))
    assert [type(item) for item in found] == [Failure, Photo, Failure, Photo]
    for item in found:
        if isinstance(item, Photo):
            assert archives.read(item) == members["a.jpg"]


def test_the_last_of_members_with_one_name_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed, pytest.warns(UserWarning):
        for content in (b"old", b"new"):
            packed.writestr("a.jpg", content)
    (photo,) = found_in(tmp_path / "x.zip")
    assert isinstance(photo, Photo) and archives.read(photo) == b"new"


def patched(file: Path, local: int, central: int, value: int) -> Path:
    """A ZIP file of one member with two bytes in both of its headers changed."""
    data = bytearray(file.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\x03\x04") + local, value)
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + central, value)
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("local", "central", "value", "code"),
    [(6, 8, 1, "encrypted"), (8, 10, 9, "unreadable"), (8, 10, 99, "unreadable")],
    ids=["encrypted", "deflate64", "unknown"],
)
def test_what_cannot_be_unpacked_is_a_failure_that_says_what_to_do(
    tmp_path: Path, local: int, central: int, value: int, code: str
) -> None:
    file = patched(save_zip(tmp_path / "x.zip", {"a.jpg": b"abc"}), local, central, value)
    (photo,) = found_in(file)
    assert isinstance(photo, Photo)
    with pytest.raises(PhotoError, match="extract the archive") as caught:
        archives.read(photo)
    assert caught.value.code == code and code in CODES


def test_damaged_members_are_failures(tmp_path: Path, members: dict[str, bytes]) -> None:
    file = save_zip(tmp_path / "x.zip", members, zipfile.ZIP_STORED)
    data = bytearray(file.read_bytes())
    data[data.index(members["a.jpg"]) + 100] ^= 255
    file.write_bytes(data)
    first, second, _ = found_in(file)
    assert isinstance(first, Photo) and isinstance(second, Photo)
    with closing(Sandbox()) as sandbox:
        bad, good = (decode.decode_or_fail(photo, sandbox) for photo in (first, second))
    assert isinstance(bad, Failure) and bad.code == "corrupt" and isinstance(good, Image)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tgz"])
@pytest.mark.parametrize("cut", [0, 3, 40, -30])
def test_damaged_archives_are_failures(
    tmp_path: Path, members: dict[str, bytes], name: str, cut: int
) -> None:
    file = (save_zip if name == "x.zip" else save_tar_gz)(tmp_path / name, members)
    file.write_bytes(file.read_bytes()[:cut])
    found = found_in(file)
    assert len(found) == 1 and isinstance(found[0], Failure)
    assert found[0].code in ("corrupt", "truncated")


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = {"a.jpg": bytes(3_000_000)}
    zip_file, tar_file = save_zip(tmp_path / "x.zip", large), save_tar_gz(tmp_path / "x.tgz", large)
    monkeypatch.setattr(archives, "MAX_BYTES", 2_000_000)
    monkeypatch.setattr(zipped, "UNPACKED_AT_LEAST", 2_000_000)
    (photo,) = found_in(zip_file)
    assert isinstance(photo, Photo)
    with closing(Sandbox()) as sandbox:
        refused = decode.decode_or_fail(photo, sandbox)
    assert isinstance(refused, Failure) and refused.code == "too_large"
    (failure,) = found_in(tar_file)
    assert isinstance(failure, Failure) and "unpacked" in failure.message


def test_a_member_that_claims_to_be_smaller_is_damaged(tmp_path: Path) -> None:
    file = save_zip(tmp_path / "x.zip", {"a.jpg": bytes(100_000)})
    patched(file, 22, 24, 10)
    (photo,) = found_in(file)
    assert isinstance(photo, Photo)
    with pytest.raises(ValueError):
        archives.read(photo)
