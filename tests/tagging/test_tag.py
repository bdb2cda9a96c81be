"""`tag`: results into photos, with a reason for every photo that was left alone."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.calls import keeping
from helpers.photos import draw_scene, save_photo
from helpers.tables import contents, write_boxes
from helpers.tagging import (
    MODEL,
    OTHERS,
    encode,
    exif_block,
    row,
    rows_of,
    segment,
    with_packet,
    without_room,
    write_results,
)

from mivolo_cli.errors import BadInput
from mivolo_cli.metadata import embed, lookup, packet, replace, sidecar
from mivolo_cli.metadata.lookup import is_current, tags_of
from mivolo_cli.photos import decode as photos
from mivolo_cli.records import Photo
from mivolo_cli.tagging.outcome import TagOutcome, Tally
from mivolo_cli.tagging.tag import TagOptions, tag
from mivolo_cli.tagging.untag import UntagOptions, untag

Rows = list[dict[str, Any]]


def run(
    folder: Path, rows: Rows, metadata: dict[str, str] = MODEL, **options: Any
) -> tuple[Tally, list[TagOutcome]]:
    outcomes: list[TagOutcome] = []
    results = write_results(folder / "people.parquet", rows, metadata)
    tally = tag(TagOptions(results, **options), lambda outcome, total: outcomes.append(outcome))
    assert tally.photos == len(outcomes)
    return tally, outcomes


def one(folder: Path, rows: Rows, **options: Any) -> TagOutcome:
    _, (outcome,) = run(folder, rows, **options)
    return outcome


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "album" / "a.jpg", orientation=6)


def test_a_photo_is_tagged_and_a_second_run_writes_nothing(tmp_path: Path, photo: Path) -> None:
    rows, before = rows_of(photo), photo.read_bytes()
    outcome = one(tmp_path, rows)
    assert (outcome.status, outcome.written, outcome.reversible) == ("tagged", photo, True)
    assert outcome.original_sha256 == embed.sha256(before)
    tags = tags_of(photo)
    assert tags is not None and tags.people.size == (64, 80)
    written = photo.stat()
    assert one(tmp_path, rows).status == "unchanged"
    assert photo.stat() == written
    assert one(tmp_path, rows, keywords=True).status == "tagged"
    assert list(contents(photo.parent)) == ["a.jpg"]


def test_results_of_a_scan_after_the_tagging_are_as_good(tmp_path: Path, photo: Path) -> None:
    before, first = photo.read_bytes(), rows_of(photo)
    assert one(tmp_path, first).status == "tagged"
    second = rows_of(photo, age=70.0)
    assert [one(tmp_path, rows).status for rows in (second, second, first)] == [
        "tagged",
        "unchanged",
        "tagged",
    ]
    assert embed.strip(photo.read_bytes(), "JPEG").data == before


def test_a_scan_after_the_tagging_does_nothing_again(
    tmp_path: Path, scan_given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    album, people = tmp_path / "album", tmp_path / "people.csv"
    for name in ("a.jpg", "b.png", "c.webp", "d.tif", "e.jpg"):
        save_photo(album / name, pixels=draw_scene(150, 110))
    boxes = write_boxes(
        tmp_path / "boxes.csv", [(f.name, "face", (20, 10, 45, 40)) for f in album.iterdir()]
    )
    scan_given(album, boxes=boxes, outputs=[people])
    whole = people.read_bytes()
    assert tag(TagOptions(people)).statuses == {"tagged": 5}
    decoded: list[Photo] = []
    decode = photos.decode_or_fail
    monkeypatch.setattr(photos, "decode_or_fail", keeping(decoded, decode))
    assert scan_given(album, boxes=boxes, outputs=[people]).reused == 5
    assert people.read_bytes() == whole
    monkeypatch.setattr(
        lookup, "was_scanned", lambda *_: pytest.fail("that it was tagged is known by now")
    )
    assert scan_given(album, boxes=boxes, outputs=[people]).unchanged
    untag(UntagOptions([album]))
    assert scan_given(album, boxes=boxes, outputs=[people]).reused == 5
    assert (decoded, people.read_bytes()) == ([], whole)
    monkeypatch.undo()
    tag(TagOptions(people))
    other = album / "e.jpg"
    facts = other.stat()
    other.write_bytes(other.read_bytes() + b"more")  # by somebody else, who keeps the time
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert scan_given(album, boxes=boxes, outputs=[people]).reused == 4


def test_formats_that_cannot_be_changed_get_a_sidecar(tmp_path: Path) -> None:
    files = [
        save_photo(tmp_path / "album" / f"a{suffix}")
        for suffix in (".heic", ".avif", ".bmp", ".gif", ".jp2")
    ]
    before = contents(tmp_path / "album")
    tally, outcomes = run(tmp_path, [row for file in files for row in rows_of(file)])
    assert [(outcome.status, outcome.code) for outcome in outcomes] == [("sidecar", "")] * 5
    assert tally.failed == 0
    assert contents(tmp_path / "album").keys() - before.keys() == {
        f"{file.name}.xmp" for file in files
    }
    assert {name: contents(tmp_path / "album")[name] for name in before} == before
    _, outcomes = run(tmp_path, [row for file in files for row in rows_of(file)], where="photo")
    assert [outcome.code for outcome in outcomes] == ["format"] * 5


def test_sidecars_for_all(tmp_path: Path, photo: Path) -> None:
    before = photo.read_bytes()
    assert one(tmp_path, rows_of(photo), where="sidecar").written == sidecar.path(photo)
    assert photo.read_bytes() == before


def broken_packet(photo: Path) -> None:
    photo.write_bytes(with_packet(photo.read_bytes(), b"<broken"))


def regions_of_another_shape(photo: Path) -> None:
    photo.write_bytes(with_packet(encode("JPEG"), OTHERS.replace(b"<stDim:w>80", b"<stDim:w>20")))


def hard_link(photo: Path) -> None:
    os.link(photo, photo.with_name("b.jpg"))


def write_protection(photo: Path) -> None:
    photo.chmod(0o444)


@pytest.mark.parametrize(
    "harm, code, helps",
    [
        (broken_packet, "bad_xmp", False),
        (hard_link, "hard_linked", True),
        (write_protection, "read_only", True),
        (regions_of_another_shape, "other_size", False),
    ],
)
def test_a_photo_that_must_not_be_changed_is_named(
    tmp_path: Path, harm: Any, code: str, helps: bool
) -> None:
    photo = save_photo(tmp_path / "album" / "a.jpg")
    harm(photo)
    before = photo.read_bytes()
    tally, (outcome,) = run(tmp_path, rows_of(photo), where="photo")
    assert (outcome.status, outcome.code, tally.failed) == ("refused", code, 1)
    tally, (outcome,) = run(tmp_path, rows_of(photo))
    if helps:
        assert outcome.instead is not None and outcome.instead.code == code
    else:
        assert outcome.code == code
    assert (outcome.status, tally.failed) == (("sidecar", 0) if helps else ("refused", 1))
    assert photo.read_bytes() == before and sidecar.path(photo).exists() == helps


def test_a_photo_that_changed_since_the_scan_is_refused(tmp_path: Path, photo: Path) -> None:
    rows = rows_of(photo)
    os.utime(photo, ns=(1, 1))
    assert one(tmp_path, rows).code == "changed"
    photo.write_bytes(photo.read_bytes() + b"more")
    os.utime(photo, ns=(1, rows[0]["mtime_ns"]))
    assert one(tmp_path, rows).code == "changed"
    save_photo(photo, pixels=np.zeros((40, 40, 3), np.uint8))
    assert one(tmp_path, rows_of(photo)).code == "other_picture"
    photo.unlink()
    gone = one(tmp_path, rows)
    assert gone.code == "missing" and gone.message.endswith("no longer does")
    assert not list(photo.parent.iterdir())


@pytest.mark.parametrize("archive", ["photos.zip", "photos.tar", "photos.parquet", "gone.tar.gz"])
def test_photos_in_archives_are_refused_with_what_to_do(tmp_path: Path, archive: str) -> None:
    packed = tmp_path / "album" / archive
    packed.parent.mkdir()
    if archive != "gone.tar.gz":
        packed.write_bytes(b"an archive")
    rows = [row(f"{archive}/a.jpg", str(packed.parent), bytes=10, mtime_ns=1)]
    before = contents(packed.parent)
    for options in ({}, {"check": True}, {"dry_run": True}, {"where": "sidecar"}):
        outcome = one(tmp_path, rows, **options)
        assert (outcome.status, outcome.code) == ("refused", "in_archive")
        assert "photos in archives cannot be tagged: unpack" in outcome.message
    undone: list[TagOutcome] = []
    untag(UntagOptions([tmp_path / "people.parquet"]), undone.append)
    assert [outcome.code for outcome in undone] == ["in_archive"]
    assert contents(packed.parent) == before


def test_a_folder_that_is_called_like_an_archive_is_none(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "photos.zip" / "a.jpg")
    rows = [rows_of(photo)[0] | {"root": str(tmp_path), "path": "photos.zip/a.jpg"}]
    assert one(tmp_path, rows).status == "tagged"


def test_photos_in_buckets_are_refused_with_what_to_do(tmp_path: Path) -> None:
    outcome = one(tmp_path, [row("a.jpg", "s3://bucket/photos", bytes=10, mtime_ns=1)])
    assert (outcome.status, outcome.code) == ("refused", "in_bucket")
    assert "--root NEW" in outcome.message


def test_photos_without_people_are_not_touched(tmp_path: Path, photo: Path) -> None:
    before = photo.read_bytes()
    nobody = rows_of(photo, status="no_people")
    nobody[0] |= dict.fromkeys(("person", "age", "gender"))
    nobody[0] |= dict.fromkeys(f"face_{corner}" for corner in ("x1", "y1", "x2", "y2"))
    assert one(tmp_path, nobody).status == "nobody"
    unjudged = rows_of(photo, [{"age": None, "status": "no_usable_crop"}])
    assert one(tmp_path, unjudged).status == "nobody"
    assert photo.read_bytes() == before


def test_a_photo_that_could_not_be_scanned_keeps_its_reason(tmp_path: Path) -> None:
    failed = row(person=None, status="error", error="truncated", message="the end is missing")
    outcome = one(tmp_path, [failed])
    assert (outcome.status, outcome.code, outcome.message) == (
        "refused",
        "truncated",
        "the end is missing",
    )


def test_a_dry_run_shows_the_change_and_writes_nothing(tmp_path: Path, photo: Path) -> None:
    before = contents(photo.parent)
    outcome = one(tmp_path, rows_of(photo), dry_run=True)
    assert (
        outcome.status == "tagged" and "+<mivolo:Age>33.4</mivolo:Age>" in outcome.diff.splitlines()
    )
    beside = one(tmp_path, rows_of(photo), dry_run=True, where="sidecar")
    assert beside.status == "sidecar" and beside.diff.startswith("--- a.jpg.xmp")
    assert contents(photo.parent) == before


def test_what_cannot_be_restored_is_said_beforehand(tmp_path: Path) -> None:
    photo = tmp_path / "album" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(without_room())
    before = photo.read_bytes()
    assert one(tmp_path, rows_of(photo), dry_run=True, keywords=True).reversible is False
    outcome = one(tmp_path, rows_of(photo), require_reversible=True, keywords=True)
    assert (outcome.status, outcome.code, photo.read_bytes()) == ("sidecar", "", before)
    assert outcome.instead is not None and outcome.instead.code == "not_reversible"
    tally, (outcome,) = run(tmp_path, rows_of(photo), keywords=True)
    assert (outcome.status, outcome.reversible, tally.irreversible) == ("tagged", False, 1)


def test_a_backup_keeps_the_original(tmp_path: Path, photo: Path) -> None:
    before = photo.read_bytes()
    one(tmp_path, rows_of(photo), backup=True)
    assert photo.with_name("a.jpg_original").read_bytes() == before


def test_a_failed_check_leaves_the_photo(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = photo.read_bytes()
    write = embed.jpeg.write_xmp

    def damage(data: bytes, packet: bytes | None) -> bytes:
        new = write(data, packet)
        return new[:-40] + bytes((new[-40] ^ 1,)) + new[-39:]

    monkeypatch.setattr(embed.jpeg, "write_xmp", damage)
    assert one(tmp_path, rows_of(photo), where="photo").code == "failed_check"
    assert photo.read_bytes() == before


def test_an_exif_text_that_is_taken_does_not_keep_the_regions_away(
    tmp_path: Path, photo: Path
) -> None:
    rows = rows_of(photo)
    assert one(tmp_path, rows, exif="ImageDescription").code == ""
    assert b"1 person: looks about 33, male (97 %)" in photo.read_bytes()
    other = save_photo(tmp_path / "album" / "b.tif")
    outcome = one(tmp_path, rows_of(other), exif="ImageDescription")
    assert (outcome.status, outcome.code) == ("tagged", "no_exif")


def test_people_without_a_face_only_on_request(
    tmp_path: Path, photo: Path, notes: list[str]
) -> None:
    body = dict.fromkeys(("face_x1", "face_y1", "face_x2", "face_y2")) | {
        "body_x1": 0.0, "body_y1": 0.0, "body_x2": 40.0, "body_y2": 64.0,
    }  # fmt: skip
    rows = rows_of(photo, [body])
    _, (outcome,) = run(tmp_path, rows)
    assert outcome.status == "nobody" and "without a visible face skipped: 1" in notes[0]
    notes.clear()
    _, (outcome,) = run(tmp_path, rows, bodies=True)
    assert outcome.status == "tagged" and notes == []
    assert b"<mwg-rs:Type>" not in photo.read_bytes()


def test_check_compares_and_writes_nothing(tmp_path: Path, photo: Path) -> None:
    rows = rows_of(photo)
    tally, (outcome,) = run(tmp_path, rows, check=True)
    assert (outcome.status, tally.failed) == ("untagged", 1)
    one(tmp_path, rows)
    before = contents(photo.parent)
    tally, (outcome,) = run(tmp_path, rows, check=True)
    assert (outcome.status, tally.failed) == ("same", 0)
    tally, (outcome,) = run(tmp_path, rows_of(photo, age=70.0), check=True)
    assert (outcome.status, tally.failed) == ("differs", 1) and "looks about 70" in outcome.message
    _, (outcome,) = run(tmp_path, rows, {"model": "other", "model_sha256": "cd"}, check=True)
    assert outcome.status == "differs" and "mivolo-xs" in outcome.message
    assert contents(photo.parent) == before


def test_the_report_has_a_line_for_every_photo(tmp_path: Path, photo: Path) -> None:
    report = tmp_path / "tagged.csv"
    run(tmp_path, [*rows_of(photo), row("gone.jpg", str(photo.parent))], report=report)
    lines = list(csv.DictReader(report.read_text("utf-8").splitlines()))
    assert [(line["path"], line["status"], line["code"]) for line in lines] == [
        ("a.jpg", "tagged", ""), ("gone.jpg", "refused", "missing"),
    ]  # fmt: skip
    with pytest.raises(BadInput, match="does not exist"):
        run(tmp_path, rows_of(photo), report=tmp_path / "no" / "folder.csv")


def test_a_table_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput):
        tag(TagOptions(tmp_path / "people.csv"))
    with pytest.raises(BadInput, match="no rows"):
        run(tmp_path, [])


def test_current_tags_are_those_of_the_same_model(tmp_path: Path, photo: Path) -> None:
    def current(sha256: str = MODEL["model_sha256"]) -> bool:
        info = photo.stat()
        return is_current(
            Photo(str(photo.parent), photo.name, info.st_size, info.st_mtime_ns), sha256
        )

    assert not current()
    one(tmp_path, rows_of(photo), where="sidecar")
    assert current() and not current("other")
    save_photo(photo, quality=30)
    assert not current()
    sidecar.path(photo).unlink()
    one(tmp_path, rows_of(photo))
    assert current() and not current("other")
    photo.unlink()
    assert not is_current(Photo(str(photo.parent), photo.name), MODEL["model_sha256"])


def test_a_folder_that_cannot_be_written_to_is_a_reason(
    tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replace.os, "access", lambda *_: False)
    assert one(tmp_path, rows_of(photo)).code == "no_permission"


def test_a_time_that_a_spreadsheet_has_rounded_is_the_photos(tmp_path: Path, photo: Path) -> None:
    os.utime(photo, ns=(1, 1_620_123_072_123_456_789))
    whole, micro, other = (
        rows_of(photo, mtime_ns=time)
        for time in (1_620_123_072 * 10**9, 1_620_123_072_123_460_000, 1_620_123_072_123_000_000)
    )
    assert one(tmp_path, whole, dry_run=True).status == "tagged"
    assert one(tmp_path, micro, dry_run=True).status == "tagged"
    assert one(tmp_path, other, dry_run=True).code == "changed"


def put(tmp_path: Path, name: str, data: bytes) -> Path:
    photo = tmp_path / "album" / name
    photo.parent.mkdir(exist_ok=True)
    photo.write_bytes(data)
    return photo


@pytest.mark.parametrize("suffix", [".heic", ".avif", ".jpg"])
def test_a_new_sidecar_begins_with_the_photos_own_xmp(tmp_path: Path, suffix: str) -> None:
    photo = save_photo(tmp_path / "album" / f"a{suffix}", xmp=OTHERS)
    if suffix == ".jpg":  # not in UTF-8, so that nothing can be put into the photo itself
        photo.write_bytes(with_packet(encode("JPEG"), OTHERS.decode().encode("utf-16")))
    before = photo.read_bytes()
    outcome = one(tmp_path, rows_of(photo))
    reason = None if outcome.instead is None else outcome.instead.code
    assert (outcome.status, reason) == ("sidecar", "bad_xmp" if suffix == ".jpg" else None)
    new = sidecar.path(photo).read_bytes()
    assert b"Anna" in new and b'Rating="4"' in new and b"mivolo:Age" in new
    assert one(tmp_path, rows_of(photo), check=True).status == "same"
    assert {status.status for status in untagged(photo)} == {"restored"}
    assert photo.read_bytes() == before and not sidecar.path(photo).exists()


def untagged(photo: Path) -> list[TagOutcome]:
    outcomes: list[TagOutcome] = []
    untag(UntagOptions([photo]), outcomes.append)
    return outcomes


@pytest.mark.parametrize("name", ["a.jpg", "a.heic"])
def test_no_sidecar_hides_xmp_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    broken = OTHERS[:-300]
    if name == "a.jpg":
        photo = put(tmp_path, name, with_packet(encode("JPEG"), broken))
    else:
        photo = save_photo(tmp_path / "album" / name, xmp=broken)
    for where in ("auto", "sidecar"):
        outcome = one(tmp_path, rows_of(photo), where=where)
        assert (outcome.status, outcome.code) == ("refused", "bad_xmp")
    assert "hide" in outcome.message and list(contents(photo.parent)) == [name]
    sidecar.path(photo).write_bytes(OTHERS)  # whoever reads it does not look into the photo
    assert one(tmp_path, rows_of(photo)).status == "sidecar"


def test_a_named_face_is_extended_or_left_alone(tmp_path: Path) -> None:
    named = OTHERS.replace(b'x="0.75"', b'x="0.25"').replace(b'y="0.5"', b'y="0.4"')
    photo = put(tmp_path, "a.jpg", with_packet(encode("JPEG"), named))
    before = photo.read_bytes()
    assert one(tmp_path, rows_of(photo), named_faces="leave").status == "nobody"
    assert one(tmp_path, rows_of(photo), named_faces="leave", where="sidecar").status == "nobody"
    assert contents(photo.parent) == {"a.jpg": before}
    child = {"face_x1": 50.0, "face_y1": 40.0, "face_x2": 60.0, "face_y2": 55.0, "age": 4.0}
    rows = rows_of(photo, [{}, child])
    assert one(tmp_path, rows, named_faces="leave").status == "tagged"
    tags = tags_of(photo)
    assert tags is not None and [region.age for region in tags.people.regions] == [4.0]
    assert one(tmp_path, rows, check=True).status == "same"
    assert one(tmp_path, rows).status == "tagged"
    tags = tags_of(photo)
    assert tags is not None and [r.extends for r in tags.people.regions] == [True, False]
    assert packet.count_own(lookup.tagged_packet(photo, photo.read_bytes()) or b"") == 1
    assert one(tmp_path, rows, check=True).status == "same"
    assert untagged(photo)[0].status == "restored" and photo.read_bytes() == before


def test_full_exif_loses_its_line_and_not_the_regions(tmp_path: Path) -> None:
    full = segment(0xE1, b"Exif\0\0" + exif_block(1, bytes(65_300)))
    photo = put(tmp_path, "a.jpg", encode("JPEG")[:2] + full + encode("JPEG")[2:])
    rows = rows_of(photo, [{}] * 8)
    outcome = one(tmp_path, rows, exif="UserComment")
    assert (outcome.status, outcome.code, outcome.written) == ("tagged", "bad_exif", photo)
    assert tags_of(photo) is not None and not sidecar.path(photo).exists()


@pytest.mark.parametrize(
    "data",
    [
        encode("JPEG")[:20] + b"0123456789abcd" + encode("JPEG")[20:],
        encode("JPEG") + b"AXS*\0\1\0\0" + b"AXS*" + len(encode("JPEG")).to_bytes(4, "little"),
        encode("WEBP") + b"more",
    ],
    ids=["stray bytes", "offsets behind the picture", "more behind"],
)
def test_what_cannot_be_changed_safely_gets_a_sidecar(tmp_path: Path, data: bytes) -> None:
    photo = put(tmp_path, "a.jpg", data)
    for where in ("auto", "sidecar"):
        outcome = one(tmp_path, rows_of(photo), where=where)
        reason = None if outcome.instead is None else outcome.instead.code
        assert (outcome.code, reason) == ("", "bad_container" if where == "auto" else None)
        assert tags_of(photo) is not None and photo.read_bytes() == data
    assert one(tmp_path, rows_of(photo), check=True).status == "same"
    assert untagged(photo)[0].status == "restored" and list(contents(photo.parent)) == ["a.jpg"]


def test_metadata_that_does_not_fit_goes_to_a_sidecar(tmp_path: Path) -> None:
    photo = save_photo(tmp_path / "album" / "a.jpg")
    step = {"face_y1": 8.0, "face_y2": 40.0, "age": 33.4}
    crowd = [{"face_x1": n / 10, "face_x2": 20.0 + n / 10} | step for n in range(400)]
    before, rows = photo.read_bytes(), rows_of(photo, crowd)
    tally, (outcome,) = run(tmp_path, rows)
    assert (outcome.status, outcome.code, tally.failed) == ("sidecar", "", 0)
    assert outcome.instead is not None and outcome.instead.code == "too_large"
    tally, (outcome,) = run(tmp_path, rows)
    assert (outcome.status, outcome.message, tally.failed) == ("unchanged", "", 0)
    assert photo.read_bytes() == before and sidecar.path(photo).exists()


def test_sidecars_are_checked_by_exiv2_as_photos_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = save_photo(tmp_path / "album" / "a.heic", xmp=OTHERS)
    merge = packet.merge

    def lossy(*arguments: Any) -> bytes:
        return merge(*arguments).replace(b'Rating="4"', b'Rating="3"')

    monkeypatch.setattr(packet, "merge", lossy)
    assert one(tmp_path, rows_of(photo)).code == "failed_check"
    assert list(contents(photo.parent)) == ["a.heic"]


@pytest.mark.parametrize("where", ["photo", "sidecar"])
def test_a_name_too_long_for_a_file_beside_it_is_a_reason(tmp_path: Path, where: str) -> None:
    photo = save_photo(tmp_path / "album" / ("a" * 251 + ".jpg"))
    rows = rows_of(photo)
    outcome = one(tmp_path, rows, where=where, backup=True)
    assert (outcome.status, outcome.code) == ("refused", "name_too_long")
    assert one(tmp_path, rows, check=True).status == "untagged"
