"""What is read, and what is said of what is not: folders, lists, boxes, names, as the shell sees
them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.photos import draw_scene, save_photo
from helpers.tables import table
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.cli.text import wrapped
from mivolo_cli.errors import BadInput, MivoloError
from mivolo_cli.metadata.lookup import tags_of
from mivolo_cli.photos import raw

Scan = Callable[..., Outcome]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with one photo a.jpg of 150 x 110."""
    save_photo(tmp_path / "album" / "a.jpg", pixels=draw_scene(150, 110))
    return tmp_path / "album"


@pytest.fixture
def scan(tmp_path: Path, tiny_model: Path, no_weights_of_the_user: None) -> Scan:
    """Scans with a face on a.jpg into people.csv; the further arguments come first."""
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("path,kind,x1,y1,x2,y2\na.jpg,face,20,10,45,40\n")
    how = ["--detector", "given", "--model", tiny_model, "--device", "cpu"]

    def run(*arguments: object, given: Path = boxes, input: bytes | None = None) -> Outcome:
        command = ["scan", *arguments, *how, "--boxes", given, "-o", tmp_path / "people.csv"]
        return CliRunner().invoke(cli.app, list(map(str, command)), input=input)

    return run


@pytest.fixture
def without_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "is_available", lambda: False)


def test_files_that_were_passed_over_are_told(
    tmp_path: Path, album: Path, scan: Scan, without_raw: None
) -> None:
    save_photo(album / "b.jpg_large", "JPEG")
    for name in ("film.mov", "clip.MOV", "raw.nef", "notes"):
        (album / name).write_bytes(b"x")
    save_photo(album / "@eaDir" / "a.jpg" / "SYNOPHOTO_THUMB_XL.jpg")
    out = scan(album)
    assert out.exit_code == 0, out.output
    said = "4 files skipped, not photos: 2 .mov, 1 without suffix, 1 .nef (camera raw)"
    assert said in out.stdout and out.stdout.count("@eaDir") == 1
    assert "1 system folder skipped: @eaDir (--system-folders includes them)" in out.stdout
    assert [row["path"] for row in table(tmp_path / "people.csv")] == ["a.jpg", "b.jpg_large"]
    log = tmp_path / "log"
    facts = json.loads(scan(album, "--json", "--log", log).stdout)
    assert facts["passed_over"] == {".mov": 2, ".nef": 1, "": 1}
    assert facts["system_folders"] == {"@eaDir": 1}
    summary = json.loads(log.read_text().splitlines()[-1])
    assert summary["passed_over"] == facts["passed_over"]
    out = scan(album, "--system-folders")
    assert "@eaDir" not in out.stdout and len(table(tmp_path / "people.csv")) == 3


def test_a_folder_without_photos_says_what_is_in_it(
    tmp_path: Path, scan: Scan, without_raw: None
) -> None:
    for name in ("raw/1.nef", "raw/2.CR2", "bin/#recycle/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"II*\0")
    out = scan(tmp_path / "raw")
    assert isinstance(out.exception, BadInput) and "1 .nef (camera raw)" in str(out.exception)
    assert "1 .cr2 (camera raw)" in str(out.exception) and "camera raw" in out.exception.hint
    assert "pip install 'mivolo-cli[raw]'" in out.exception.hint
    out = scan(tmp_path / "bin")
    assert isinstance(out.exception, BadInput) and "#recycle" in str(out.exception)
    assert "--system-folders" in out.exception.hint


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_a_list_may_begin_with_a_byte_order_mark(
    tmp_path: Path, album: Path, scan: Scan, coding: str
) -> None:
    out = scan("-", input=f"{album / 'a.jpg'}\r\n".encode(coding))
    assert out.exit_code == 0, out.output
    assert [row["status"] for row in table(tmp_path / "people.csv")] == ["ok"]


def test_a_list_of_which_nothing_is_there_is_refused(tmp_path: Path, scan: Scan) -> None:
    out = scan("-", input=b"gone.jpg\nalso.jpg\n")
    assert isinstance(out.exception, BadInput)
    assert "none of the 2 paths in the list exists" in str(out.exception) and out.exception.hint
    assert not (tmp_path / "people.csv").exists()


def test_boxes_of_other_photos_are_named(tmp_path: Path, album: Path, scan: Scan) -> None:
    boxes = tmp_path / "other.csv"
    boxes.write_text("path,kind,x1,y1,x2,y2\nalbum/a.jpg,face,20,10,45,40\n")
    out = scan(album, given=boxes)
    assert isinstance(out.exception, BadInput) and not (tmp_path / "people.csv").exists()
    assert "it names album/a.jpg, but the first photo is a.jpg" in str(out.exception)
    boxes.write_text(boxes.read_text("utf-8") + "a.jpg,face,20,10,45,40\n", "utf-8-sig")
    out = scan(album, "--json", given=boxes)
    assert out.exit_code == 0, out.output
    assert json.loads(out.stdout)["warnings"] == [
        "photos named in --boxes that were not found: 1 of 2 (album/a.jpg)"
    ]


@pytest.mark.parametrize("kind", ["file", "list", "tar", "folder of tars", "parquet"])
def test_boxes_of_other_photos_are_refused_for_every_kind_of_input(
    tmp_path: Path, album: Path, scan: Scan, kind: str
) -> None:
    photo, boxes = album / "a.jpg", tmp_path / "other.csv"
    boxes.write_text("path;kind;x1;y1;x2;y2\r\nb.jpg;face;20,5;10;45;40\r\n", "utf-8-sig")
    (tmp_path / "tars").mkdir()
    archive = tmp_path / "tars" / "all.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(photo, "a.jpg")
    picture = {"bytes": photo.read_bytes(), "path": "a.jpg"}
    pq.write_table(pa.Table.from_pylist([{"image": picture}]), tmp_path / "all.parquet")
    what: tuple[object, ...] = {
        "file": (photo,),
        "list": ("-",),
        "tar": (archive,),
        "folder of tars": (archive.parent, "--archives"),
        "parquet": (tmp_path / "all.parquet",),
    }[kind]
    listed = f"{photo}\n".encode() if kind == "list" else None
    out = scan(*what, given=boxes, input=listed)
    assert isinstance(out.exception, BadInput) and not (tmp_path / "people.csv").exists()
    assert (
        "no boxes for any of the photos: it names b.jpg" in str(out.exception)
        and out.exception.hint
    )
    name = str(out.exception).partition("but the first photo is ")[2]
    boxes.write_text(boxes.read_text("utf-8-sig").replace("b.jpg", name), "utf-8-sig")
    out = scan(*what, given=boxes, input=listed)
    assert out.exit_code == 0, out.output
    (row,) = table(tmp_path / "people.csv")
    assert row["status"] == "ok" and float(row["face_x1"]) == 20.5


HOSTILE = "a\x1b[2J\n\u202egpj.\x9b31m.jpg"


def test_control_characters_never_reach_the_terminal(
    tmp_path: Path, album: Path, scan: Scan
) -> None:
    (album / "a.jpg").rename(album / HOSTILE)
    (album / "broken\x1b]0;x\x07.jpg").write_bytes(b"x")
    boxes = tmp_path / "hostile.parquet"
    corners = {"x1": 20.0, "y1": 10.0, "x2": 45.0, "y2": 40.0}
    pq.write_table(pa.Table.from_pylist([{"path": HOSTILE, "kind": "face", **corners}]), boxes)
    assert scan(album, given=boxes).exit_code == 3
    (album / HOSTILE).write_bytes(b"changed since")
    said = ""
    for command in (
        ["tag", tmp_path / "people.csv"],
        ["tag", tmp_path / "people.csv", "--check"],
        ["report", tmp_path / HOSTILE, "-o", "x.html"],
        ["scan", album / f"none{HOSTILE}", "-o", "x.csv"],
        ["scan", album, "--device", HOSTILE, "--use", HOSTILE],
        [HOSTILE],
    ):
        out = CliRunner().invoke(cli.app, list(map(str, command)))
        error = out.exception
        said += out.output + wrapped(f"{error}", sys.stdout) * isinstance(error, MivoloError)
    assert "\\x1b[2J" in said and "\\u202e" in said and "\\x9b" in said
    assert not set(said) & set("\x1b\u202e\x9b\x07") and "[2J\n" not in said


@pytest.mark.parametrize("root", [".", os.fsdecode(b"\xff")])
def test_names_that_are_not_utf8_are_found_again(
    tmp_path: Path, album: Path, scan: Scan, root: str
) -> None:
    name, folder = os.fsdecode(b"caf\xe9.jpg"), os.fsdecode(b"\xff")
    save_photo(album / folder / name, pixels=draw_scene(150, 110))
    (album / "a.jpg").unlink()
    boxes = tmp_path / "coded.csv"
    names = ("\\xff/caf\\xe9.jpg", "caf\\xe9.jpg")
    lines = [f"{name},face,20,10,45,40\n" for name in names]
    boxes.write_text("path,kind,x1,y1,x2,y2\n" + "".join(lines))
    assert scan(album / root, given=boxes).exit_code == 0
    results = tmp_path / "people.csv"

    def run(*arguments: object) -> Outcome:
        return CliRunner().invoke(cli.app, list(map(str, arguments)))

    out = run("export", results, "--to", "yolo", "-o", tmp_path / "yolo", "--json")
    assert out.exit_code == 0 and len(list((tmp_path / "yolo").rglob("*.jpg"))) == 1
    out = run("report", results, "-o", tmp_path / "page.html", "--json")
    assert out.exit_code == 0 and json.loads(out.stdout)["missing"] == 0
    out = run("tag", results, "--json")
    assert json.loads(out.stdout)["statuses"] == {"tagged": 1}, out.output
    assert tags_of(album / folder / name) is not None
    out = run("untag", results, "--json")
    assert json.loads(out.stdout)["statuses"] == {"restored": 1}


@pytest.mark.parametrize(
    ("coding", "shown"),
    [("cp1252", "\\u65e5\\u672c ±".encode("cp1252")), ("ascii", "日本 ±".encode())],
)
def test_any_coding_of_the_terminal_will_do(tmp_path: Path, coding: str, shown: bytes) -> None:
    """Typer takes a terminal of ASCII for one that was set up wrongly, and writes UTF-8."""
    command = [
        sys.executable,
        "-m",
        "mivolo_cli",
        "report",
        str(tmp_path / "日本 ±.csv"),
        "-o",
        "x.html",
    ]
    environment = os.environ | {"PYTHONIOENCODING": f"{coding}:strict"}
    out = subprocess.run(command, env=environment, capture_output=True, cwd=tmp_path)
    assert out.returncode == 2 and b"Traceback" not in out.stderr
    assert shown in out.stderr
