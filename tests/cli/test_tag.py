"""`mivolo tag`, `untag`, `scan --tag` and `scan --skip-tagged` as the shell sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from helpers.photos import draw_scene, save_photo
from helpers.tables import contents, table
from helpers.tagging import rows_of, without_room, write_results
from typer.testing import CliRunner
from typer.testing import Result as TagOutcome

from mivolo_cli import cli
from mivolo_cli.cli.tag import LABELS
from mivolo_cli.errors import BadInput
from mivolo_cli.metadata.lookup import tags_of
from mivolo_cli.scan import workdir
from mivolo_cli.storage import cache_folder
from mivolo_cli.tagging.options import TagOptions
from mivolo_cli.tagging.outcome import Status, Tally

Mivolo = Callable[..., TagOutcome]


@pytest.fixture
def mivolo(no_weights_of_the_user: None) -> Mivolo:
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "album" / "a.jpg")


@pytest.fixture
def results(tmp_path: Path, photo: Path) -> Path:
    return write_results(tmp_path / "people.parquet", rows_of(photo))


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path) -> list[object]:
    """A quick scan with one face on every photo called a.jpg."""
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("path,kind,x1,y1,x2,y2\na.jpg,face,20,10,45,40\n")
    return ["--detector", "given", "--boxes", boxes, "--model", tiny_model, "--device", "cpu"]


def test_there_and_back(mivolo: Mivolo, photo: Path, results: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    out = mivolo("tag", results, "--dry-run")
    assert (
        out.exit_code == 0
        and "\na.jpg: would be tagged: looks about 33" in f"\n{out.stdout}"
        and "1 photo, nothing written\n  1 would be tagged" in out.stdout
    )
    assert "mivolo:Age" not in out.stdout
    out = mivolo("tag", results, "--dry-run", "--diff")
    assert out.exit_code == 0 and "+<mivolo:Age>33.4</mivolo:Age>" in out.stdout
    assert photo.read_bytes() == before
    refused = mivolo("tag", results, "--diff").exception
    assert isinstance(refused, BadInput) and "--dry-run" in refused.hint
    assert photo.read_bytes() == before
    out = mivolo(
        "tag", results, "--keywords", "--exif", "usercomment", "--report", tmp_path / "tagged.csv"
    )
    assert (
        out.exit_code == 0
        and "1 photo\n  1 tagged" in out.stdout
        and str(tmp_path / "tagged.csv") in out.stdout
    )
    assert mivolo("tag", results, "--check").exit_code == 0
    out = mivolo("untag", photo.parent, "--dry-run")
    assert (
        out.exit_code == 0 and out.stdout.count("a.jpg") == 1 and "would be restored" in out.stdout
    )
    out = mivolo("untag", photo.parent)
    assert out.exit_code == 0 and "1 restored byte for byte" in out.stdout
    assert photo.read_bytes() == before
    out = mivolo("tag", results, "--check", "--quiet")
    assert (out.exit_code, out.stdout) == (3, "")


def test_a_photo_that_was_left_alone_is_named_and_makes_the_exit_code_3(
    mivolo: Mivolo, photo: Path, results: Path
) -> None:
    photo.chmod(0o444)
    out = mivolo("tag", results, "--no-sidecar", "--quiet")
    assert out.exit_code == 3
    assert out.stderr == "a.jpg: not written: the file is write-protected\n"
    assert "reasons: 1 read_only" in mivolo("tag", results, "--no-sidecar").stdout


def test_a_sidecar_that_was_written_instead_is_a_success(
    mivolo: Mivolo, photo: Path, results: Path, tmp_path: Path
) -> None:
    photo.chmod(0o444)
    because = f"a.jpg: {{}} ({photo}.xmp), because the file is write-protected"
    out = mivolo("tag", results, "--dry-run")
    assert out.exit_code == 0 and because.format("would be written to a sidecar") in out.stdout
    report = tmp_path / "tagged.csv"
    out = mivolo("tag", results, "--report", report)
    assert out.exit_code == 0 and out.stderr == "" and "reasons:" not in out.stdout
    assert because.format("written to a sidecar") + "\n" in out.stdout
    assert "sidecar" in report.read_text("utf-8") and "write-protected" in report.read_text("utf-8")
    out = mivolo("tag", results)
    assert out.exit_code == 0 and out.stdout == "1 photo\n  1 already up to date\n"
    out = mivolo("tag", results, "--keywords", "--exif", "usercomment")
    assert out.exit_code == 3 and "write-protected: the EXIF text was not written" in out.stderr


def test_a_dry_run_names_what_untag_could_not_restore(mivolo: Mivolo, tmp_path: Path) -> None:
    photo = tmp_path / "full.jpg"
    photo.write_bytes(without_room())
    results = write_results(tmp_path / "full.parquet", rows_of(photo))
    out = mivolo("tag", results, "--dry-run", "--keywords")
    assert out.exit_code == 0 and "full.jpg: would be tagged: looks about" in out.stdout
    assert "full.jpg: untag will not be able to restore" in out.stdout


def test_who_scored_less_is_not_tagged(mivolo: Mivolo, photo: Path, tmp_path: Path) -> None:
    other = save_photo(photo.parent / "b.jpg")
    place = {"face_x1": 40.0, "face_x2": 50.0, "age": 70.0}
    people = [{"face_score": 0.9}, {"face_score": 0.5, **place}]
    rows = [*rows_of(photo, people), *rows_of(other, people[1:])]
    results = write_results(tmp_path / "people.parquet", rows)
    before = other.read_bytes()
    out = mivolo("tag", results, "--min-score", "0.6", "--json")
    assert out.exit_code == 0
    assert json.loads(out.stdout)["statuses"] == {"tagged": 1, "nobody": 1}
    tags = tags_of(photo)
    assert tags is not None and [region.age for region in tags.people.regions] == [33.4]
    assert other.read_bytes() == before and tags_of(other) is None
    assert mivolo("tag", results, "--check", "--min-score", "0.6").exit_code == 0
    out = mivolo("tag", results, "--json")
    assert json.loads(out.stdout)["statuses"] == {"tagged": 2}
    tags = tags_of(photo)
    assert tags is not None and [region.age for region in tags.people.regions] == [33.4, 70.0]


def test_a_field_that_is_none_is_refused(mivolo: Mivolo, results: Path) -> None:
    out = mivolo("tag", results, "--exif", "Artist")
    assert type(out.exception).__name__ == "BadInput"


@pytest.mark.parametrize(
    "output", [["-o", "people.csv"], ["-o", "people.csv", "--spreadsheet-safe"], []], ids=str
)
def test_scan_and_tag_go_on_after_an_interruption(
    tmp_path: Path,
    mivolo: Mivolo,
    options: list[object],
    output: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    album = tmp_path / "album"
    for folder in "123":
        save_photo(album / folder / "a.jpg", pixels=draw_scene(150, 110))
    (tmp_path / "boxes.csv").write_text(
        "path,kind,x1,y1,x2,y2\n"
        + "".join(f"{folder}/a.jpg,face,20,10,45,40\n" for folder in "123")
    )
    command = ["scan", album, "--tag", *output, *options]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "count", interrupt)
        out = mivolo(*command)
    assert out.exit_code == 130 and "run the same command again to do the rest" in out.stderr
    assert [tags_of(file) is not None for file in sorted(album.rglob("*.jpg"))] == [
        True,
        False,
        False,
    ]
    out = mivolo(*command, "--json")
    assert out.exit_code == 0, out.stderr
    facts = json.loads(out.stdout)
    assert (facts["reused"], facts["tag"]["statuses"]) == (3, {"unchanged": 1, "tagged": 2})
    assert {tags.provenance.model for file in album.rglob("*.jpg") if (tags := tags_of(file))} == {
        "tiny"
    }
    kept = cache_folder() / "tag"
    assert workdir.find(kept) == [] and not list(kept.glob("*"))


def test_a_table_that_names_no_model_is_told_of(
    tmp_path: Path, mivolo: Mivolo, photo: Path, options: list[object]
) -> None:
    save_photo(photo, pixels=draw_scene(150, 110))
    people = tmp_path / "people.jsonl"
    assert (
        mivolo("scan", photo, "-o", tmp_path / "people.csv", "-o", people, *options).exit_code == 0
    )
    assert "note:" not in mivolo("tag", people).stdout
    tags = tags_of(photo)
    assert (
        tags is not None
        and tags.provenance.model == "tiny"
        and len(tags.provenance.model_sha256) == 64
    )
    people.rename(tmp_path / "other.jsonl")
    out = mivolo("tag", tmp_path / "other.jsonl")
    assert "note: other.jsonl does not name its model" in out.stdout
    tags = tags_of(photo)
    assert tags is not None and tags.provenance.model == ""


@pytest.mark.parametrize("first, second", [("parquet", "csv"), ("csv", "parquet")])
def test_a_copy_of_a_table_does_not_differ_from_tags_of_the_same_scan(
    tmp_path: Path, mivolo: Mivolo, photo: Path, options: list[object], first: str, second: str
) -> None:
    save_photo(photo, pixels=draw_scene(150, 110))
    outputs = [part for name in ("csv", "parquet") for part in ("-o", tmp_path / f"people.{name}")]
    assert mivolo("scan", photo, *outputs, *options).exit_code == 0
    (tmp_path / "copies").mkdir()
    for name in ("csv", "parquet"):
        (tmp_path / f"people.{name}").rename(tmp_path / "copies" / f"copy.{name}")
    assert mivolo("tag", tmp_path / "copies" / f"copy.{first}").exit_code == 0
    out = mivolo("tag", tmp_path / "copies" / f"copy.{second}", "--check")
    assert out.exit_code == 0 and "1 match the table" in out.stdout
    assert ("only people are compared" in out.stdout) == (second == "csv")
    rows = (tmp_path / "copies" / "copy.csv").read_text("utf-8")
    swapped = rows.replace("female", "?").replace("male", "female").replace("?", "male")
    (tmp_path / "other.csv").write_text(swapped, "utf-8")
    out = mivolo("tag", tmp_path / "other.csv", "--check")
    assert out.exit_code == 3 and "the table is from" not in out.output
    assert "a.jpg: differ from the table: the photo has looks about" in out.output


def test_scan_and_tag_and_skip(tmp_path: Path, mivolo: Mivolo, options: list[object]) -> None:
    album = tmp_path / "album"
    for name in ("a.jpg", "b.jpg"):
        save_photo(album / name, pixels=draw_scene(150, 110))
    before = contents(album)
    out = mivolo("scan", album, "-o", tmp_path / "people.csv", "--tag", *options)
    assert out.exit_code == 0, out.stderr
    assert "1 tagged" in out.stdout and out.stdout.count("table:") == 1
    tags = tags_of(album / "a.jpg")
    assert tags is not None and len(tags.provenance.model_sha256) == 64
    assert (album / "b.jpg").read_bytes() == before["b.jpg"]
    out = mivolo("scan", album, "-o", tmp_path / "other.csv", "--skip-tagged", *options)
    assert out.exit_code == 0 and "1 photo already tagged, skipped" in out.stdout
    assert [row["path"] for row in table(tmp_path / "other.csv")] == ["b.jpg"]
    rows = table(tmp_path / "people.csv")
    out = mivolo("scan", album, "-o", tmp_path / "people.csv", "--skip-tagged", *options)
    assert out.exit_code == 0 and "already tagged" not in out.stdout
    assert [row["path"] for row in rows] == ["a.jpg", "b.jpg"]
    assert [row["path"] for row in table(tmp_path / "people.csv")] == ["a.jpg", "b.jpg"]
    out = mivolo("scan", album / "a.jpg", "--tag", "--skip-tagged", *options)
    assert out.exit_code == 0
    assert mivolo("untag", album).exit_code == 0
    assert contents(album) == before


def test_every_option_of_tag_reaches_it(
    mivolo: Mivolo, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[TagOptions] = []

    def remember(options: TagOptions, _: object) -> Tally:
        found.append(options)
        return Tally(photos=1)

    monkeypatch.setattr("mivolo_cli.tagging.tag.tag", remember)
    report = tmp_path / "tagged.csv"
    flags = ("keywords", "subjects", "microsoft", "bodies", "overwrite", "backup", "dry-run")
    more = [
        "--named-faces",
        "leave",
        "--exif",
        "usercomment",
        "--min-score",
        0.5,
        "--sidecar",
        "--root",
        "/a",
    ]
    out = mivolo(
        "tag", results, *(f"--{flag}" for flag in flags), *more,
        "--require-reversible", "--check", "--report", report,
    )  # fmt: skip
    assert out.exit_code == 0
    assert found == [
        TagOptions(
            results, "sidecar", True, True, True, "UserComment", True, True, True, True, True,
            report, 0.5, True, "leave", moved=["/a"],
        )
    ]  # fmt: skip
    assert isinstance(mivolo("tag", results, "--subjects").exception, BadInput)
    assert mivolo("tag", results, "--named-faces", "add").exit_code == 2


def test_a_dry_run_says_what_would_be(mivolo: Mivolo, tmp_path: Path) -> None:
    album = tmp_path / "album"
    rows = [*rows_of(save_photo(album / "a.jpg")), *rows_of(save_photo(album / "b.heic"))]
    changed = save_photo(album / "c.jpg")
    rows += rows_of(changed)
    changed.write_bytes(b"another photo")
    before = contents(album)
    out = mivolo("tag", write_results(tmp_path / "people.parquet", rows), "--dry-run")
    assert out.exit_code == 3 and contents(album) == before
    for line in ("1 would be tagged", "1 would be written to a sidecar", "1 would not be written"):
        assert f"\n  {line}\n" in out.stdout
    assert "\nb.heic: would be written to a sidecar: looks about 33" in f"\n{out.stdout}"
    assert "c.jpg: would not be written: " in out.stderr
    assert not any(f"1 {word}" in out.output for word in ("tagged", "written", "not written"))
    assert mivolo("tag", tmp_path / "people.parquet").exit_code == 3
    out = mivolo("untag", album, "--dry-run")
    assert out.stdout.count("would be restored byte for byte\n") == 3


def test_untag_counts_photos_and_not_their_sidecars(
    mivolo: Mivolo, photo: Path, results: Path
) -> None:
    before = contents(photo.parent)
    mivolo("tag", results, "--sidecar", "--sidecar-name", "photo.xmp")
    mivolo("tag", results, "--no-sidecar")
    out = mivolo("untag", photo.parent, "--dry-run")
    assert "1 photo, nothing written\n  1 would be restored byte for byte\n" in out.stdout
    assert out.stdout.count("a.jpg") == out.stdout.count("its sidecar a.xmp would be") == 1
    out = mivolo("untag", photo.parent)
    assert "1 photo\n  1 restored byte for byte\n  1 sidecar next to them" in out.stdout
    assert contents(photo.parent) == before


def test_lines_of_a_dry_run_are_wrapped_at_words(results: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mivolo_cli", "tag", str(results), "--dry-run"]
    environment = {**os.environ, "COLUMNS": "40", "MIVOLO_HOME": str(tmp_path)}
    subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment, check=True)
    os.close(theirs)
    lines = os.read(ours, 8192).decode().splitlines()
    os.close(ours)
    assert lines[0].startswith("a.jpg: would be tagged:") and lines[1].startswith("  ")
    assert max(map(len, lines)) <= 40
    told = " ".join(line.strip() for line in lines)
    assert "looks about 33" in told


@pytest.mark.parametrize("status", get_args(Status))
def test_every_outcome_has_its_words(status: str) -> None:
    assert LABELS[status]
