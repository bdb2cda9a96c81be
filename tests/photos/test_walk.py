"""Walking folders: what is taken, in what order, and what is said of what cannot be read."""

from __future__ import annotations

import inspect
import os
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mivolo_cli.errors import BadInput
from mivolo_cli.photos import decode, raw
from mivolo_cli.photos import walk as walking
from mivolo_cli.photos.passed import PassedOver
from mivolo_cli.records import Failure, Photo

MakePhoto = Callable[..., Path]


def found(*paths: Path, **options: Any) -> list[str]:
    """The relative paths that a walk gives, its failures as `code path`."""
    return [
        f"{item.code} {item.photo.path}" if isinstance(item, Failure) else item.path
        for item in walking.walk(paths, **options)
    ]


def only(*paths: Path) -> Photo:
    """The one photo that a walk gives."""
    (item,) = walking.walk(paths)
    assert isinstance(item, Photo)
    return item


def tree(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return root


def test_walk_is_sorted_and_relative_to_its_root(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "album", "b.jpg", "a/z.png", "a/b/c.webp", "C.JPG", "c.jpg", "a.jpg", "d/x.heic"
    )
    assert found(root) == ["C.JPG", "a/b/c.webp", "a/z.png", "a.jpg", "b.jpg", "c.jpg", "d/x.heic"]
    first = next(walking.walk([root]))
    info = (root / "C.JPG").stat()
    assert first == Photo(str(root), "C.JPG", info.st_size, info.st_mtime_ns)
    assert first.file == root / "C.JPG"


@pytest.fixture
def without_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "is_available", lambda: False)


def test_only_what_may_be_a_picture_is_taken(
    tmp_path: Path, make_photo: MakePhoto, without_raw: None
) -> None:
    root = tree(
        tmp_path,
        "notes.txt",
        "a.jpg.xmp",
        "film.mp4",
        "raw.cr2",
        "README",
        "x.JPeG",
        "y.HIF",
        "broken.tiff",
    )
    make_photo(root / "scanned", "WEBP")
    make_photo(root / "picture.dat", "PNG")
    passed = PassedOver()
    assert found(root, passed=passed) == [
        "broken.tiff",
        "picture.dat",
        "scanned",
        "x.JPeG",
        "y.HIF",
    ]
    assert passed.files == {".txt": 1, ".xmp": 1, ".mp4": 1, ".cr2": 1, "": 1}
    assert found(root / "picture.dat", root / "notes.txt") == ["picture.dat", "notes.txt"]


def test_raw_files_are_taken_where_they_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path, "a.NEF", "b.cr2", "b.JPG", "c.dng", "c.png", "d.arw", "d.arw.xmp")
    monkeypatch.setattr(raw, "is_available", lambda: True)
    passed = PassedOver()
    assert found(root, passed=passed) == ["a.NEF", "b.JPG", "c.dng", "c.png", "d.arw"]
    assert passed.files == {".cr2": 1, ".xmp": 1}, "the JPEG beside it is the same photo"
    assert "1 .cr2 (camera raw)," in passed.files_text
    assert found(root / "b.cr2") == ["b.cr2"]
    monkeypatch.setattr(raw, "is_available", lambda: False)
    assert found(root, passed=(passed := PassedOver())) == ["b.JPG", "c.png"]
    assert "pip install 'mivolo-cli[raw]'" in passed.files_text


UNKNOWN = ["a.JP", "b.jpg_large", "c.jpeg~2", "d", "e.bin", "f.1", "g.jpg!d", "h.download", "i."]


def test_files_of_unknown_suffix_are_looked_into(tmp_path: Path, make_photo: MakePhoto) -> None:
    for place, name in enumerate(UNKNOWN):
        make_photo(tmp_path / "photos" / name, ["JPEG", "PNG", "WEBP", "HEIF"][place % 4])
    tree(tmp_path / "photos", "empty.dat", "x.jpg_small", "no_suffix")
    passed = PassedOver()
    assert found(tmp_path, passed=passed) == [f"photos/{name}" for name in UNKNOWN]
    assert passed.files == {".dat": 1, ".jpg_small": 1, "": 1}


def test_suffixes_that_are_known_are_believed(
    tmp_path: Path, make_photo: MakePhoto, monkeypatch: pytest.MonkeyPatch, without_raw: None
) -> None:
    for name in ("a.txt", "b.mov", "c.json", "d.nef", "e.tar.gz"):
        make_photo(tmp_path / name, "JPEG")
    monkeypatch.setattr(walking, "_begins_like_a_picture", lambda _: pytest.fail("was opened"))
    passed = PassedOver()
    assert found(tmp_path, passed=passed) == []
    assert passed.files.total() == 5


@pytest.mark.parametrize("ending", ["_original", "~"])
def test_a_backup_beside_its_photo_is_no_photo(
    tmp_path: Path, make_photo: MakePhoto, ending: str
) -> None:
    make_photo(tmp_path / "a.jpg")
    make_photo(tmp_path / f"a.jpg{ending}", "JPEG")
    make_photo(tmp_path / f"alone.jpg{ending}", "JPEG")
    passed = PassedOver()
    assert found(tmp_path, passed=passed) == ["a.jpg", f"alone.jpg{ending}"]
    assert passed.files == {f".jpg{ending}": 1}


SYSTEM = [
    *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/a.jpg", "$RECYCLE.BIN/S-1/a.jpg"),
    *("sub/Thumbs/a.jpg", "sub/.@__thumb/a.jpg", "System Volume Information/a.jpg"),
    *("L.photoslibrary/resources/derivatives/1/a.jpg", "L.photoslibrary/resources/renders/a.jpg"),
    *("L.photolibrary/Thumbnails/a.jpg", "Previews.lrdata/a.jpg", ".Trash-1000/files/a.jpg"),
    *("__MACOSX/a.jpg", "lost+found/a.jpg"),
]
MEANT = [
    *("L.photolibrary/Masters/a.jpg", "L.photoslibrary/originals/1/a.jpg", "a.jpg"),
    *("resources/a.jpg", "sub/eaDir/a.jpg", "sub/thumbs.jpg"),
]


def test_folders_of_systems_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    root = tree(tmp_path, *SYSTEM, *MEANT)
    passed = PassedOver()
    assert found(root, hidden=True, passed=passed) == MEANT
    assert passed.folders["@eaDir"] == passed.folders["$RECYCLE.BIN"] == 1
    assert passed.folders["resources"] == 1 and passed.folders.total() == 12
    everything = PassedOver()
    taken = found(root, hidden=True, system_folders=True, passed=everything)
    assert sorted(taken) == sorted([*SYSTEM, *MEANT]) and not everything.folders


def test_folders_of_systems_that_are_named_are_taken(tmp_path: Path) -> None:
    tree(tmp_path, *SYSTEM)
    assert found(tmp_path / "#recycle") == ["a.jpg"]
    assert found(tmp_path / "L.photoslibrary" / "resources") == [
        *("derivatives/1/a.jpg", "renders/a.jpg")
    ]
    assert found(tmp_path / "L.photoslibrary") == []


def test_what_was_passed_over_is_told_in_words() -> None:
    passed = PassedOver()
    assert (passed.files_text, passed.folders_text) == ("", "")
    passed.files.update({".mov": 12, ".nef": 2, "": 1})
    passed.folders.update({"@eaDir": 1})
    assert passed.files_text == (
        "15 files skipped, not photos: 12 .mov, 2 .nef (camera raw), 1 without suffix"
    )
    assert passed.folders_text == "1 system folder skipped: @eaDir"
    passed.files.update({f".{number}": 1 for number in range(20)})
    assert passed.files_text.endswith(", 15 other suffixes")


def test_a_file_has_its_folder_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a/x.jpg")
    monkeypatch.chdir(tmp_path)
    photo = only(Path("a/x.jpg"))
    assert (photo.root, photo.path) == (str(tmp_path / "a"), "x.jpg")
    for spelling in ("a", "./a/", "a/../a", "../" + tmp_path.name + "/a"):
        photo = only(Path(spelling))
        assert (photo.root, photo.path) == (str(tmp_path / "a"), "x.jpg")


def test_links_in_given_names_are_kept(tmp_path: Path) -> None:
    tree(tmp_path, "real/inner/x.jpg", "real/y.jpg")
    (tmp_path / "link").symlink_to("real/inner")
    photo = only(tmp_path / "link")
    assert photo.root == str(tmp_path / "link")
    photo = only(tmp_path / "link" / ".." / "y.jpg")  # the parent of real/inner, not of link
    assert photo.file.samefile(tmp_path / "real" / "y.jpg")


def test_hidden_names_only_when_asked_for_or_given(tmp_path: Path) -> None:
    root = tree(tmp_path / "r", "a.jpg", ".b.jpg", ".trash/c.jpg", "d/.e/f.jpg")
    assert found(root) == ["a.jpg"]
    assert found(root, hidden=True) == [".b.jpg", ".trash/c.jpg", "a.jpg", "d/.e/f.jpg"]
    assert found(root, root / ".b.jpg", root / ".trash") == ["a.jpg", ".b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (["*.jpg"], ["a.JPG", "trip/b.jpg", "trip/raw/c.jpg"]),
        (["trip/**"], ["trip/b.jpg", "trip/d.png", "trip/raw/c.jpg"]),
        (["trip/*"], ["trip/b.jpg", "trip/d.png"]),
        (["TRIP/*.PNG"], ["trip/d.png"]),
        (["**/raw/*"], ["trip/raw/c.jpg"]),
        (["**/*.png"], ["e.png", "trip/d.png"]),
        (["?.png", "*/raw/*"], ["e.png", "trip/d.png", "trip/raw/c.jpg"]),
        (["[a-b].jpg"], ["a.JPG", "trip/b.jpg"]),
        (["[!a-b].jpg"], ["trip/raw/c.jpg"]),
        (["*.gif"], []),
    ],
)
def test_include(tmp_path: Path, include: list[str], expected: list[str]) -> None:
    root = tree(tmp_path, "a.JPG", "trip/b.jpg", "trip/raw/c.jpg", "trip/d.png", "e.png")
    assert found(root, include=include) == expected


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["*.jpg"], ["e.png", "trip/d.png"]),
        (["trip/**"], ["a.JPG", "e.png"]),
        (["trip"], ["a.JPG", "e.png"]),
        (["RAW"], ["a.JPG", "e.png", "trip/b.jpg", "trip/d.png"]),
        (["raw/"], ["a.JPG", "e.png", "trip/b.jpg", "trip/d.png"]),
        (["trip/*.jpg", "e.*"], ["a.JPG", "trip/d.png", "trip/raw/c.jpg"]),
    ],
)
def test_exclude(tmp_path: Path, exclude: list[str], expected: list[str]) -> None:
    root = tree(tmp_path, "a.JPG", "trip/b.jpg", "trip/raw/c.jpg", "trip/d.png", "e.png")
    assert found(root, exclude=exclude) == expected


def test_exclude_wins_over_include_and_holds_for_files_given(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.jpg", "b.jpg", "c.png")
    assert found(root, include=["*.jpg"], exclude=["b*"]) == ["a.jpg"]
    assert found(root / "a.jpg", root / "c.png", exclude=["*.png"]) == ["a.jpg"]


def test_excluded_folders_are_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, "a/x.jpg", "b/y.jpg", "c/d/z.jpg")
    listed = listings(monkeypatch)
    assert found(root, exclude=["b/**", "c"]) == ["a/x.jpg"]
    assert listed == [str(root), str(root / "a")]


def test_names_with_glob_characters_and_broken_globs(tmp_path: Path) -> None:
    root = tree(tmp_path, "a[1].jpg", "a1.jpg", "b+c.jpg")
    assert found(root, include=["a[[]1[]].jpg"]) == ["a[1].jpg"]
    assert found(root, include=["b+c.*"]) == ["b+c.jpg"]
    with pytest.raises(BadInput, match=re.escape("'[z-a].jpg'")):
        walking.walk([root], include=["[z-a].jpg"])


def test_each_file_is_given_once(tmp_path: Path) -> None:
    root = tree(tmp_path / "r", "a/x.jpg", "a/y.jpg", "b/z.jpg")
    assert found(root, root / "a", root / "a" / "x.jpg") == ["a/x.jpg", "a/y.jpg", "b/z.jpg"]
    assert found(root / "a" / "y.jpg", root / "a", root) == ["y.jpg", "x.jpg", "b/z.jpg"]
    (root / "again").symlink_to(root / "a")
    (root / "b" / "link.jpg").symlink_to(root / "a" / "y.jpg")
    assert found(root) == ["a/x.jpg", "a/y.jpg", "b/z.jpg"]
    assert found(root / "b") == ["link.jpg", "z.jpg"]


def test_a_filter_on_one_way_to_a_folder_does_not_close_the_other(tmp_path: Path) -> None:
    root = tree(tmp_path / "r", "z/x.jpg")
    (root / "a").symlink_to("z")
    assert found(root, include=["z/**"]) == ["z/x.jpg"]
    assert found(root / "z", root, include=["z/*"]) == ["z/x.jpg"]


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.jpg")
    os.link(root / "a.jpg", root / "b.jpg")
    assert found(root) == ["a.jpg", "b.jpg"]


def test_same_names_in_two_folders_both_come(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/x.jpg", "b/x.jpg")
    assert found(root / "a", root / "b") == ["x.jpg", "x.jpg"]


@pytest.mark.parametrize("filters", [{}, {"include": ["*.jpg"]}])
def test_links_in_circles_end(tmp_path: Path, filters: dict[str, list[str]]) -> None:
    root = tree(tmp_path / "r", "a/x.jpg", "b/y.jpg")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "self").symlink_to(".")
    (root / "b" / "over").symlink_to("../a")
    (root / "loop.jpg").symlink_to("loop.jpg")
    assert found(root, **filters) == ["a/x.jpg", "b/y.jpg", "unreadable loop.jpg"]


@pytest.mark.parametrize("filters", [{}, {"exclude": ["*.png"]}, {"include": ["**/*.jpg"]}])
def test_folders_that_link_to_each_other_are_listed_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: dict[str, list[str]]
) -> None:
    """Ten folders can be reached in ten million ways."""
    root = tree(tmp_path / "r", *(f"{number}/x{number}.jpg" for number in range(10)))
    for number in range(10):
        for other in range(10):
            (root / str(number) / f"to{other}").symlink_to(f"../{other}")
    listed = listings(monkeypatch)
    names = found(root, **filters)
    assert {name.rpartition("/")[2] for name in names} == {f"x{number}.jpg" for number in range(10)}
    assert len(names) == 10 and len(listed) <= 40


def test_links_to_nowhere_fail_if_they_are_called_like_photos(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "gone").symlink_to("nowhere")
    assert found(tmp_path) == ["missing gone.jpg"]


def test_special_files_are_passed_by_unless_given(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(os.path.relpath(tmp_path / "socket.jpg"))
    assert found(tmp_path) == []
    assert found(tmp_path / "pipe.jpg") == ["not_a_file pipe.jpg"]


def test_names_that_are_not_utf8_survive(tmp_path: Path, make_photo: MakePhoto) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        make_photo(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    photo = only(tmp_path)
    assert os.fsencode(photo.path) == b"caf\xe9.png"
    assert decode.decode(photo).width == 80


def test_folders_are_read_only_as_photos_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path, *(f"{folder}/{name}.jpg" for folder in "abcd" for name in "xy"))
    listed = listings(monkeypatch)
    walk = walking.walk([root])
    assert listed == []
    next(walk)
    assert listed == [str(root), str(root / "a")]


def test_deep_folders_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    root = tree(tmp_path, "d/" * 300 + "x.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert found(root) == ["d/" * 300 + "x.jpg"]
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), "no_permission"),
        (OSError(5, "Input/output error"), "unreadable"),
    ],
)
def test_folders_that_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str
) -> None:
    root = tree(tmp_path, "a/x.jpg", "b/y.jpg", "c.jpg")
    really = os.listdir

    def listdir(folder: str) -> list[str]:
        if os.path.basename(os.path.normpath(folder)) == "b":
            raise error
        return really(folder)

    monkeypatch.setattr(os, "listdir", listdir)  # root may list everything
    assert found(root) == ["a/x.jpg", f"{expected} b", "c.jpg"]
    (failure,) = walking.walk([root / "b"])
    assert isinstance(failure, Failure) and failure.code == expected
    assert failure.photo.file == root / "b" and failure.photo.bytes is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_folder_that_may_be_listed_but_not_entered_fails_once(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/x.jpg", "a/y.jpg", "b.jpg")
    (root / "a").chmod(0o600)
    try:
        assert found(root) == ["no_permission a", "b.jpg"]
    finally:
        (root / "a").chmod(0o700)


def test_paths_that_have_vanished(tmp_path: Path) -> None:
    root = tree(tmp_path, "a.jpg")
    assert found(root / "gone.jpg", root, Path("nul\0.jpg")) == [
        "missing gone.jpg",
        "a.jpg",
        "missing nul\0.jpg",
    ]


def test_check_paths_names_what_is_not_there(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    walking.check_paths([tmp_path, tmp_path / "a.jpg"])
    with pytest.raises(BadInput, match="gone.*a.jpg/x") as caught:
        walking.check_paths([tmp_path / "gone", tmp_path, tmp_path / "a.jpg" / "x"])
    assert caught.value.hint
    with pytest.raises(BadInput, match="and 4 more"):
        walking.check_paths([Path(f"nowhere{index}") for index in range(9)])


def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed from now on, as they are."""
    listed: list[str] = []
    really = os.listdir

    def listdir(folder: str) -> list[str]:
        listed.append(os.path.normpath(folder))
        return really(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    return listed
