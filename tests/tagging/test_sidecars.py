"""Sidecars under both names, and those that are there beside a photo that is tagged itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyexiv2
import pytest
from helpers.photos import save_photo
from helpers.tables import contents
from helpers.tagging import OTHERS, encode, exiftool, rows_of, with_packet, write_results

from mivolo_cli.errors import BadInput
from mivolo_cli.metadata import sidecar
from mivolo_cli.metadata.lookup import tags_of
from mivolo_cli.tagging.outcome import TagOutcome, Tally
from mivolo_cli.tagging.tag import TagOptions, tag
from mivolo_cli.tagging.untag import UntagOptions, untag

NAMES = {"photo.jpg.xmp": "a.jpg.xmp", "photo.xmp": "a.xmp"}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "album" / "a.jpg", orientation=6)


def tagged(photo: Path, **options: Any) -> tuple[TagOutcome, Tally]:
    outcomes: list[TagOutcome] = []
    person = {"age": options.pop("age", 33.4)}
    results = write_results(photo.parents[1] / "people.parquet", rows_of(photo, [person]))
    tally = tag(TagOptions(results, **options), lambda outcome, total: outcomes.append(outcome))
    (outcome,) = outcomes
    return outcome, tally


def untagged(folder: Path) -> list[str]:
    outcomes: list[TagOutcome] = []
    untag(UntagOptions([folder]), outcomes.append)
    return [outcome.status for outcome in outcomes]


def exiv2(file: Path) -> dict[str, str]:
    """What Exiv2 reads in a sidecar."""
    with pyexiv2.ImageData(file.read_bytes()) as image:
        found: dict[str, str] = image.read_xmp()
    return found


def check_entries(file: Path, age: float = 33.4, names: list[str] | None = None) -> None:
    """Both programs find the region with its age, and what others wrote before it."""
    (entry,) = exiftool("-validate", "-warning", "-XMP-mwg-rs:all", "-XMP-xmp:Rating", file)
    assert "ExifTool:Warning" not in entry or "OK" in str(entry.get("ExifTool:Validate"))
    regions = entry["XMP-mwg-rs:RegionInfo"]["RegionList"]
    assert [region["Name"] for region in regions if "Name" in region] == (names or [])
    assert regions[-1]["Extensions"]["XMP-mivolo:Age"] == age
    types = [key for key in exiv2(file) if key.endswith("/mwg-rs:Type")]
    assert len(types) == len(regions)


@pytest.mark.parametrize("name", NAMES)
def test_a_new_sidecar_has_the_name_that_was_asked_for(photo: Path, name: Any) -> None:
    before = contents(photo.parent)
    outcome, _ = tagged(photo, where="sidecar", sidecar_name=name)
    file = photo.with_name(NAMES[name])
    assert (outcome.status, outcome.written, outcome.reversible) == ("sidecar", file, True)
    assert sorted(contents(photo.parent)) == ["a.jpg", file.name]
    check_entries(file)
    assert tags_of(photo) is not None
    assert tagged(photo, where="sidecar", sidecar_name=name)[0].status == "unchanged"
    assert tagged(photo, check=True)[0].status == "same"
    assert tagged(photo, check=True, age=70.0)[0].status == "differs"
    assert untagged(photo.parent) == ["restored"] and contents(photo.parent) == before


@pytest.mark.parametrize("beside", [["a.jpg.xmp"], ["a.xmp"], ["a.jpg.xmp", "a.xmp"]], ids=str)
@pytest.mark.parametrize("where", ["auto", "sidecar"])
def test_sidecars_that_are_there_are_brought_up_to_date(
    photo: Path, beside: list[str], where: Any
) -> None:
    for number, name in enumerate(beside):
        photo.with_name(name).write_bytes(OTHERS + b"\n" * number)
    before = contents(photo.parent)
    outcome, tally = tagged(photo, where=where, keywords=True)
    assert outcome.status == ("tagged" if where == "auto" else "sidecar")
    assert outcome.reversible and not outcome.code and not tally.failed
    files = [photo.with_name(name) for name in beside]
    assert list(outcome.updated) == [file for file in files if file != outcome.written]
    assert tally.updated == len(outcome.updated)
    for file in files:
        check_entries(file, names=["Anna"])
    again, _ = tagged(photo, where=where, keywords=True)
    assert (again.status, again.updated) == ("unchanged", ())
    again, _ = tagged(photo, where=where, keywords=True, age=70.0)
    for file in files:
        check_entries(file, 70.0, ["Anna"])
    assert set(untagged(photo.parent)) == {"restored"} and contents(photo.parent) == before


def test_a_sidecar_that_came_later_is_brought_up_to_date(photo: Path) -> None:
    before = photo.read_bytes()
    assert tagged(photo)[0].status == "tagged"
    beside = photo.with_suffix(".xmp")
    beside.write_bytes(OTHERS)
    outcome, _ = tagged(photo, dry_run=True)
    assert (outcome.status, outcome.updated) == ("unchanged", (beside,))
    assert "+++ a.xmp" in outcome.diff and beside.read_bytes() == OTHERS
    outcome, _ = tagged(photo)
    assert (outcome.status, outcome.updated) == ("unchanged", (beside,))
    check_entries(beside, names=["Anna"])
    assert untagged(photo.parent) == ["restored"]
    assert (photo.read_bytes(), beside.read_bytes()) == (before, OTHERS)


def test_no_sidecar_means_none(photo: Path) -> None:
    for name in NAMES.values():
        photo.with_name(name).write_bytes(OTHERS)
    outcome, tally = tagged(photo, where="photo")
    assert (outcome.status, outcome.updated, tally.updated) == ("tagged", (), 0)
    assert {photo.with_name(name).read_bytes() for name in NAMES.values()} == {OTHERS}


def test_a_broken_sidecar_is_named_and_the_photo_is_tagged(photo: Path) -> None:
    photo.with_suffix(".xmp").write_bytes(b"<x:xmpmeta")
    outcome, tally = tagged(photo)
    assert (outcome.status, outcome.code, outcome.updated) == ("tagged", "bad_xmp", ())
    assert outcome.message.startswith("a.xmp: ") and tally.failed == 1
    assert photo.with_suffix(".xmp").read_bytes() == b"<x:xmpmeta"
    assert untagged(photo.parent) == ["restored"]


@pytest.mark.parametrize("other", ["a.CR2", "A.heic", "a.png"])
def test_the_sidecar_of_another_picture_is_left_alone(photo: Path, other: str) -> None:
    """Adobe's programs give a raw file and its JPEG one sidecar, which is about the raw file."""
    photo.with_name(other).write_bytes(encode("PNG"))
    beside = photo.with_suffix(".xmp")
    beside.write_bytes(OTHERS)
    outcome, _ = tagged(photo)
    assert (outcome.status, outcome.updated, outcome.code) == ("tagged", (), "")
    outcome, _ = tagged(photo, where="sidecar", sidecar_name="photo.xmp")
    assert (outcome.status, outcome.code) == ("refused", "shared_sidecar")
    assert other in outcome.message and beside.read_bytes() == OTHERS
    assert sidecar.existing(photo) == []


def test_what_is_no_picture_shares_no_sidecar(photo: Path) -> None:
    for name in ("a.txt", "a.mp4", "a.jpg.bak", "b.png"):
        photo.with_name(name).touch()
    assert tagged(photo, where="sidecar", sidecar_name="photo.xmp")[0].status == "sidecar"


def test_heic_with_a_sidecar_of_lightroom(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "album" / "a.heic")
    photo.with_suffix(".xmp").write_bytes(OTHERS)
    before = contents(photo.parent)
    outcome, _ = tagged(photo, sidecar_name="photo.xmp")
    assert outcome.written == photo.with_suffix(".xmp") and len(contents(photo.parent)) == 2
    check_entries(photo.with_suffix(".xmp"), names=["Anna"])
    assert untagged(photo.parent) == ["restored"] and contents(photo.parent) == before


def test_only_reversible_sidecars_where_that_is_asked_for(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo.with_suffix(".xmp").write_bytes(OTHERS)
    build = sidecar._build

    def irreversible(*arguments: Any) -> Any:
        done = build(*arguments)
        return type(done)(done.file, done.old, done.bare, done.new, False, done.added)

    monkeypatch.setattr(sidecar, "_build", irreversible)
    outcome, _ = tagged(photo, require_reversible=True)
    assert (outcome.status, outcome.code) == ("tagged", "not_reversible")
    assert photo.with_suffix(".xmp").read_bytes() == OTHERS
    outcome, _ = tagged(photo, where="sidecar", require_reversible=True)
    assert (outcome.status, outcome.code) == ("refused", "not_reversible")


def test_a_table_leads_to_no_sidecar_elsewhere(photo: Path) -> None:
    elsewhere = photo.parents[1] / "elsewhere.xmp"
    elsewhere.write_bytes(OTHERS)
    photo.with_suffix(".xmp").symlink_to(elsewhere)
    outcome, _ = tagged(photo)
    assert outcome.code == "outside" and elsewhere.read_bytes() == OTHERS
    with pytest.raises(BadInput):
        untag(UntagOptions([photo.parent / "none"]))


def test_the_photo_keeps_its_own_entries_and_the_sidecar_its_own(photo: Path) -> None:
    photo.write_bytes(with_packet(encode("JPEG"), OTHERS))
    photo.with_suffix(".xmp").write_bytes(OTHERS.replace(b"Anna", b"Berta"))
    before = contents(photo.parent)
    tagged(photo)
    check_entries(photo.with_suffix(".xmp"), names=["Berta"])
    (entry,) = exiftool("-XMP-mwg-rs:all", photo)
    assert entry["XMP-mwg-rs:RegionInfo"]["RegionList"][0]["Name"] == "Anna"
    untagged(photo.parent)
    assert contents(photo.parent) == before
