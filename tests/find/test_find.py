"""`mivolo find`: what is printed and written, from tables of every format."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.calls import keeping
from helpers.photos import save_photo
from helpers.tables import contents, save_results, table
from helpers.tagging import row, write_results
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli, find
from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.find import Findings, FindOptions
from mivolo_cli.find.outputs import HEADER, Names
from mivolo_cli.find.wanted import Span, Wanted
from mivolo_cli.records import Box, Failure, Person, Photo, Prediction, Result
from mivolo_cli.tables import stream

Mivolo = Callable[..., Outcome]
FACE = Person(Box(1, 2, 30, 40, 0.9), None)
MODEL = {"model": "mivolo-test", "model_sha256": "ab" * 32, "detector": "given"}


@pytest.fixture
def mivolo() -> Mivolo:
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


def person(age: float, gender: str) -> tuple[Person, Prediction]:
    return FACE, Prediction(age, gender, 0.9, "face", max(0, age - 3), age + 3)


def album(folder: Path) -> list[Any]:
    """A boy with a woman, a girl, an old man, nobody, and a photo that could not be read."""
    for name in ("a.jpg", "trip/b.jpg", "trip/c d.png", "e.jpg"):
        save_photo(folder / name)
    root = str(folder)
    return [
        Result(Photo(root, "a.jpg"), 80, 64, None, [person(8, "male"), person(40, "female")]),
        Result(Photo(root, "trip/b.jpg"), 80, 64, datetime(2016, 5, 4), [person(11, "female")]),
        Result(Photo(root, "trip/c d.png"), 80, 64, datetime(2020, 1, 1), [person(70, "male")]),
        Result(Photo(root, "e.jpg"), 80, 64),
        Failure(Photo(root, "f.jpg"), "empty", "empty"),
    ]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def results(tmp_path: Path, photos: Path) -> Path:
    return save_results(tmp_path / "people.parquet", album(photos), **MODEL)


def found(out: Outcome, folder: Path, end: str = "\n") -> list[str]:
    """The paths that were printed, below a folder."""
    *paths, last = out.stdout.split(end)
    assert last == ""
    return [Path(path).relative_to(folder).as_posix() for path in paths]


LINES = {
    "--age 0-12": ["a.jpg", "trip/b.jpg"],
    "--age 0-12 --surely": ["a.jpg"],
    "--age 60+": ["trip/c d.png"],
    "--age 0-12 --gender female": ["trip/b.jpg"],
    "--age 0-12 --gender female --any-person": ["a.jpg", "trip/b.jpg"],
    "--used body": [],
    "--used face,face+body --min-score 0.5": ["a.jpg", "trip/b.jpg", "trip/c d.png"],
    "--min-score 0.95": [],
    "--people 2-5": ["a.jpg"],
    "--people 0": ["e.jpg"],
    "--taken 2015..2018": ["trip/b.jpg"],
    "--path trip/** --path e*": ["trip/b.jpg", "trip/c d.png", "e.jpg"],
    "--path trip/** --gender male": ["trip/c d.png"],
    "": ["a.jpg", "trip/b.jpg", "trip/c d.png", "e.jpg"],
}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ""])
def test_paths_are_printed(tmp_path: Path, mivolo: Mivolo, photos: Path, suffix: str) -> None:
    file = save_results(tmp_path / f"results{suffix}", album(photos))
    for line, expected in LINES.items():
        out = mivolo("find", file, *line.split())
        assert out.exit_code == 0, (line, out.output, out.exception)
        assert found(out, photos) == expected, line
        assert f"found: photos {len(expected)}, people" in out.stderr


def test_paths_for_xargs(mivolo: Mivolo, results: Path, photos: Path) -> None:
    out = mivolo("find", results, "--age", "60+", "-0")
    assert found(out, photos, "\0") == ["trip/c d.png"]
    listed = subprocess.run(
        ["xargs", "-0", "ls"], input=out.stdout, capture_output=True, text=True, check=True
    )
    assert listed.stdout == f"{photos}/trip/c d.png\n"


def test_find_says_where_to_look_if_nothing_matches(results: Path, mivolo: Mivolo) -> None:
    out = mivolo("find", results, "--age", "99-100")
    assert out.exit_code == 0 and out.stdout == ""
    assert "note: nothing matches; `mivolo summary RESULTS` shows" in out.stderr
    assert "nothing matches" not in mivolo("find", results, "--age", "60+").stderr


def test_the_summary_for_scripts(mivolo: Mivolo, results: Path, photos: Path) -> None:
    out = mivolo("find", results, "--age", "0-12", "--json")
    said = json.loads(out.stdout)
    assert said["paths"] == [f"{photos}/a.jpg", f"{photos}/trip/b.jpg"]
    assert (said["photos"], said["people"], said["warnings"]) == (2, 2, [])
    out = mivolo("find", results, "--age", "0-12", "-q")
    assert (out.exit_code, out.output) == (0, "")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_table_has_the_rows_that_were_found(
    tmp_path: Path, mivolo: Mivolo, results: Path, suffix: str
) -> None:
    before = table(results)
    file = tmp_path / f"found{suffix}"
    for line, rows in (
        ("--gender male", [before[0], before[3]]),
        ("--gender female --age 0-12 --any-person", before[:3]),
        ("--people 2", before[:2]),
        ("--people 0", [before[4]]),
        ("--age 100+", []),
    ):
        out = mivolo("find", results, *line.split(), "--table", file)
        assert out.exit_code == 0, (line, out.output)
        assert table(file) == rows, line


def test_the_table_says_which_model_it_was_and_is_no_scan(
    tmp_path: Path, mivolo: Mivolo, photos: Path
) -> None:
    facts = {**MODEL, "fingerprint": "x", "roots": "[]"}
    file = save_results(tmp_path / "people.parquet", album(photos), **facts)
    for name, line in (("one", "--gender male"), ("none", "--age 100+")):
        mivolo("find", file, *line.split(), "--table", tmp_path / f"{name}.parquet")
        told = pq.read_schema(tmp_path / f"{name}.parquet").metadata
        known = {f"mivolo.{key}".encode(): value.encode() for key, value in MODEL.items()}
        assert known.items() <= told.items()
        assert b"mivolo.fingerprint" not in told and b"mivolo.roots" not in told


def test_a_large_table_is_written_in_pieces(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mivolo_cli.find.outputs.BUFFER_ROWS", 2)
    monkeypatch.setattr("mivolo_cli.tables.parquet.ROWS_AT_ONCE", 3)
    root = str(photos)
    people = [person(age, "male") for age in (1, 2, 3, 4)]
    every = [Result(Photo(root, f"{n}.jpg"), 80, 64, None, people) for n in range(9)]
    file = save_results(tmp_path / "people.parquet", every)
    done = find.find(FindOptions(file, Wanted(age=Span(2, 3)), table=tmp_path / "found.csv"))
    assert (done.photos, done.people) == (9, 18)
    rows = [(row["path"], row["person"]) for row in table(tmp_path / "found.csv")]
    assert rows == [(f"{n}.jpg", person) for n in range(9) for person in (1, 2)]


def test_the_playlist_has_whole_paths(
    tmp_path: Path, mivolo: Mivolo, results: Path, photos: Path
) -> None:
    file = tmp_path / "found.m3u8"
    for _ in range(2):
        assert mivolo("find", results, "--path", "trip/*", "--playlist", file).exit_code == 0
        lines = f"{photos}/trip/b.jpg\n{photos}/trip/c d.png\n"
        assert file.read_text("utf-8") == HEADER + lines
    assert HEADER.startswith("#EXTM3U\n#")
    out = mivolo("find", results, "--playlist", tmp_path / "found.txt")
    assert isinstance(out.exception, BadInput) and "found.m3u8" in out.exception.hint


def test_what_has_no_place_in_a_playlist_is_counted(tmp_path: Path, mivolo: Mivolo) -> None:
    names = ("a.jpg", "b\nc.jpg", "d\u2028e.jpg", "x.tar/f.jpg")
    file = save_results(tmp_path / "p.jsonl", [Result(Photo("/p", n), 9, 9) for n in names])
    out = mivolo("find", file, "--playlist", tmp_path / "found.m3u8")
    assert out.exit_code == 3 and "not in the playlist" in out.stderr and ": 3\n" in out.stderr
    assert (tmp_path / "found.m3u8").read_text("utf-8") == f"{HEADER}/p/a.jpg\n"


def test_photos_are_copied_with_their_time(
    tmp_path: Path, mivolo: Mivolo, results: Path, photos: Path
) -> None:
    before = contents(photos)
    out = mivolo("find", results, "--people", "1-2", "--copy", tmp_path / "copies")
    assert out.exit_code == 0, (out.output, out.exception)
    names = ("a.jpg", "trip/b.jpg", "trip/c d.png")
    assert contents(tmp_path / "copies") == {name: before[name] for name in names}
    for name in names:
        assert (tmp_path / "copies" / name).stat().st_mtime_ns == (photos / name).stat().st_mtime_ns
    assert contents(photos) == before
    out = mivolo("find", results, "--copy", tmp_path / "copies")
    assert isinstance(out.exception, BadInput) and out.exception.hint


def test_photos_are_linked(tmp_path: Path, mivolo: Mivolo, results: Path, photos: Path) -> None:
    out = mivolo("find", results, "--gender", "female", "--link", tmp_path / "links")
    assert out.exit_code == 0, (out.output, out.exception)
    links = [link for link in (tmp_path / "links").rglob("*") if link.is_symlink()]
    assert sorted(map(os.readlink, links)) == [f"{photos}/a.jpg", f"{photos}/trip/b.jpg"]


@pytest.mark.parametrize("way", ["copy", "link"])
def test_what_is_not_the_scanned_picture_stays_where_it_is(
    tmp_path: Path, mivolo: Mivolo, photos: Path, way: str
) -> None:
    every = album(photos)
    (photos / "key").write_text("secret")
    every.append(Result(Photo(str(photos), "key"), 80, 64))
    file = save_results(tmp_path / "people.parquet", every)
    (photos / "a.jpg").unlink()
    save_photo(photos / "trip" / "b.jpg", pixels=None)
    os.utime(photos / "trip" / "b.jpg", ns=(1, 1))
    out = mivolo("find", file, f"--{way}", tmp_path / "out", "--json")
    assert out.exit_code == 3 and set(contents(tmp_path / "out")) == {"trip/c d.png", "e.jpg"}
    said = json.loads(out.stdout)
    word = "copied" if way == "copy" else "linked"
    assert said[f"not_{word}"] == 3 and f"not {word}" in said["warnings"][0]


def test_photos_of_several_folders_all_get_a_place(tmp_path: Path, mivolo: Mivolo) -> None:
    every = []
    for number in range(3):
        root = tmp_path / f"{number}"
        for name in ("a.jpg", "trip/b.jpg"):
            save_photo(root / name)
            every.append(Result(Photo(str(root), name), 80, 64))
    file = save_results(tmp_path / "people.parquet", every)
    assert mivolo("find", file, "--copy", tmp_path / "out").exit_code == 0
    assert set(contents(tmp_path / "out")) == {
        "a.jpg", "a-2.jpg", "a-3.jpg", "trip/b.jpg", "trip-2/b.jpg", "trip-3/b.jpg",
    }  # fmt: skip


def test_no_name_is_taken_twice_on_any_system() -> None:
    names = Names()
    given = ("a", "A", "a/b.jpg", "x/y", "x", ".", "X/Y", "w\\z.jpg", "a-2/b.jpg")
    free = [str(names.free(Photo("/p", path))) for path in given]
    assert free == [
        "a", "A-2", "a-3/b.jpg", "x/y", "x-2", "photo", "X-3/Y", "w_z.jpg", "a-2-2/b.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "root, path",
    [
        ("/p", "../etc/passwd"),
        ("/p", "/etc/passwd"),
        ("/p", "a/../../b.jpg"),
        ("p", "a.jpg"),
        ("-rf", "a.jpg"),
        ("", "a.jpg"),
    ],
)
def test_paths_that_lead_elsewhere_are_not_printed(
    tmp_path: Path, mivolo: Mivolo, root: str, path: str
) -> None:
    rows = [row(path, root), row("b.jpg", "/p"), row("c.jpg", "s3://b"), row("d.jpg", "C:\\p")]
    file = write_results(tmp_path / "people.parquet", rows)
    out = mivolo("find", file)
    assert out.exit_code == 3 and "lead outside the scanned folder" in out.stderr
    assert len(out.stdout.splitlines()) == 3 and path not in out.stdout


def test_failures_leave_nothing_behind(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mivolo_cli.photos.originals._write", fail)
    outputs: Any = {
        "table": tmp_path / "found.csv",
        "playlist": tmp_path / "found.m3u8",
        "copy": tmp_path / "copies",
    }
    before = set(tmp_path.iterdir())
    with pytest.raises(OutputError, match="copies: No space left"):
        find.find(FindOptions(results, **outputs))
    assert set(tmp_path.iterdir()) == before


def test_a_photo_that_breaks_off_leaves_no_half_copy(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mivolo_cli.photos import originals

    monkeypatch.setattr(originals, "PIECE", 64)
    real = originals.storage.open_file

    def breaking(file: Path) -> Any:
        opened = real(file)
        if file.name != "b.jpg":
            return opened
        start = opened.read(64)
        opened.close()

        class Broken:
            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None: ...

            def read(self, size: int, left: list[bytes] = [start]) -> bytes:  # noqa: B006
                if left:
                    return left.pop()
                raise OSError(5, "Input/output error")

        return Broken()

    monkeypatch.setattr(originals.storage, "open_file", breaking)
    done = find.find(FindOptions(results, Wanted(people=Span(1, 2)), copy=tmp_path / "out"))
    assert (done.photos, done.not_copied) == (3, 1)
    assert set(contents(tmp_path / "out")) == {"a.jpg", "trip/c d.png"}


def test_a_photo_of_an_archive_is_copied_and_not_linked(tmp_path: Path, mivolo: Mivolo) -> None:
    import tarfile

    photo = save_photo(tmp_path / "b.jpg")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(photo, "b.jpg")
    info = (tmp_path / "x.tar").stat()
    inside = Photo(str(tmp_path), "x.tar/b.jpg", info.st_size, info.st_mtime_ns)
    file = save_results(tmp_path / "people.parquet", [Result(inside, 80, 64)])
    assert mivolo("find", file, "--copy", tmp_path / "out").exit_code == 0
    assert contents(tmp_path / "out") == {"x.tar/b.jpg": photo.read_bytes()}
    assert mivolo("find", file, "--link", tmp_path / "links").exit_code == 3


def test_tables_that_were_sorted_are_read(tmp_path: Path, mivolo: Mivolo, photos: Path) -> None:
    file = save_results(tmp_path / "people.parquet", album(photos))
    rows = pq.read_table(file)
    pq.write_table(rows.sort_by([("age", "ascending")]), file)
    out = mivolo("find", file, "--people", "2")
    assert found(out, photos) == ["a.jpg"]


@pytest.mark.parametrize(
    "line",
    [
        "--age x",
        "--people 2..5",
        "--taken yesterday",
        "--used eyes",
        "--surely",
        "--path [z-a]",
        "--table found.txt",
        "--copy s3://bucket/copies",
        "--playlist s3://bucket/found.m3u8",
    ],
)
def test_what_cannot_be_understood_is_refused(mivolo: Mivolo, results: Path, line: str) -> None:
    out = mivolo("find", results, *line.split())
    assert isinstance(out.exception, BadInput) and out.exception.hint, out.output
    assert out.stdout == ""


def test_every_option_of_find_reaches_it(mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(find, "find", keeping(asked, lambda *_: Findings()))
    line = "--age 0-12 --surely --gender male --used face --min-score 0.6 --people 2"
    line += " --taken 2015 --any-person --table t.csv --copy c --link l --playlist p.m3u8 --root /a"
    assert mivolo("find", "p.csv", *line.split(), "--path", "*.jpg").exit_code == 0
    (options,) = asked
    outputs = map(Path, ("t.csv", "p.m3u8", "c", "l"))
    assert options.outputs == list(outputs) and options.moved == ["/a"]
    (glob,) = options.wanted.globs
    assert glob.pattern == "*.jpg"
    span = options.wanted.taken
    assert replace(options.wanted, globs=()) == Wanted(
        Span(0, 12), True, "male", frozenset(["face"]), 0.6, Span(2, 2), span, (), True
    )
    assert span.low.year == span.high.year == 2015
    assert mivolo("find", "p.csv").exit_code == 0
    assert asked[1] == FindOptions(Path("p.csv"))


def test_the_table_is_not_read_at_once(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mivolo_cli.tables.parquet.ROWS_AT_ONCE", 2)
    read: list[int] = []
    original = stream.checked

    def checked(rows: Any, origin: Any) -> Any:
        read.append(rows.num_rows)
        return original(rows, origin)

    monkeypatch.setattr(stream, "checked", checked)
    file = save_results(tmp_path / "people.parquet", album(photos))
    seen: list[int] = []
    find.find(FindOptions(file), lambda photo: seen.append(sum(read)))
    assert seen == [4, 4, 6, 6]
