"""`untag`: our entries go, the original bytes come back where that was promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.photos import save_broken, save_photo
from helpers.tables import contents
from helpers.tagging import OTHERS, encode, rows_of, with_packet, without_room, write_results

from mivolo_cli.errors import BadInput
from mivolo_cli.metadata import sidecar
from mivolo_cli.metadata.xmp import OURS
from mivolo_cli.tagging.outcome import TagOutcome
from mivolo_cli.tagging.tag import TagOptions, tag
from mivolo_cli.tagging.untag import UntagOptions, untag


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    for suffix in (".jpg", ".png", ".webp", ".tif", ".heic"):
        save_photo(folder / f"a{suffix}", orientation=6)
    (folder / "b.jpg").write_bytes(with_packet(save_photo(folder / "b.jpg").read_bytes(), OTHERS))
    (folder / "b.jpg.xmp").write_bytes(OTHERS)
    return folder


def tag_all(folder: Path, **options: Any) -> Path:
    files = [file for file in sorted(folder.iterdir()) if file.suffix != ".xmp"]
    results = write_results(
        folder.parent / "people.parquet", [row for file in files for row in rows_of(file)]
    )
    tag(TagOptions(results, **options))
    return results


def run(*paths: Path, **options: Any) -> list[tuple[str, str]]:
    outcomes: list[TagOutcome] = []
    untag(UntagOptions(paths, **options), outcomes.append)
    return [(outcome.photo.path, outcome.status) for outcome in outcomes]


@pytest.mark.parametrize(
    "options", [{}, {"keywords": True, "microsoft": True}, {"where": "sidecar"}]
)
def test_the_whole_folder_is_as_it_was(album: Path, options: dict[str, Any]) -> None:
    before, times = (
        contents(album),
        {file.name: file.stat().st_mtime_ns for file in album.glob("*[a-z]g")},
    )
    tag_all(album, **options)
    assert contents(album) != before
    names = [name for name in sorted(before) if not name.endswith(".xmp")]
    assert run(album, dry_run=True) == [(name, "restored") for name in names]
    assert run(album) == [(name, "restored") for name in names]
    assert contents(album) == before
    assert {name: (album / name).stat().st_mtime_ns for name in times} == times
    assert {status for _, status in run(album)} == {"none"}


def test_a_photo_and_its_sidecars_are_one_photo(tmp_path: Path) -> None:
    album = save_photo(tmp_path / "album" / "a.jpg").parent
    save_photo(album / "b.png")
    before = contents(album)
    results = tag_all(album, where="sidecar", sidecar_name="photo.xmp")
    tag_all(album, where="photo")
    (album / "a.jpg.xmp").write_bytes(b"<broken " + OURS.encode())
    for dry_run in (True, False):
        outcomes: list[TagOutcome] = []
        tally = untag(UntagOptions([results, album], dry_run), outcomes.append)
        names = [outcome.photo.path for outcome in outcomes]
        assert tally.photos == len(names) == len(set(names)) == 2
    assert {outcome.status for outcome in outcomes} == {"restored"} and tally.failed == 1
    assert outcomes[0].code and outcomes[0].message.startswith("a.jpg.xmp: ")
    (album / "a.jpg.xmp").unlink()
    assert contents(album) == before


def test_the_exif_text_goes_too(album: Path) -> None:
    before = contents(album)
    results = tag_all(album, exif="UserComment")
    assert b"1 person" in (album / "a.webp").read_bytes()
    assert {status for _, status in run(results)} == {"restored"}
    assert contents(album) == before


def test_changes_of_other_programs_stay(album: Path) -> None:
    tag_all(album)
    photo = album / "b.jpg"
    photo.write_bytes(photo.read_bytes().replace(b'Rating="4"', b'Rating="2"'))
    outcomes: list[TagOutcome] = []
    untag(UntagOptions([photo]), outcomes.append)
    assert outcomes[0].status == "removed" and "another program" in outcomes[0].message
    assert b'Rating="2"' in photo.read_bytes() and b"mivolo" not in photo.read_bytes()


def test_what_was_not_promised_is_said(tmp_path: Path) -> None:
    photo = tmp_path / "album" / "a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(without_room())
    tag_all(photo.parent, keywords=True)
    outcomes: list[TagOutcome] = []
    tally = untag(UntagOptions([photo]), outcomes.append)
    assert (outcomes[0].status, tally.failed) == ("removed", 0) and "as announced" in outcomes[
        0
    ].message


def test_a_photo_that_must_not_be_changed_is_named(album: Path) -> None:
    tag_all(album)
    (album / "a.jpg").chmod(0o444)
    before = (album / "a.jpg").read_bytes()
    assert ("a.jpg", "refused") in run(album)
    assert (album / "a.jpg").read_bytes() == before


def test_files_that_are_no_photos_have_nothing_to_remove(tmp_path: Path) -> None:
    save_broken(tmp_path / "a.jpg", "text")
    assert run(tmp_path) == [("a.jpg", "none")]


def test_a_backup_is_kept(album: Path) -> None:
    tag_all(album)
    tagged = (album / "a.jpg").read_bytes()
    untag(UntagOptions([album / "a.jpg"], backup=True))
    assert (album / "a.jpg_original").read_bytes() == tagged


def test_nothing_to_look_at_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no photos"):
        untag(UntagOptions([tmp_path]))
    with pytest.raises(BadInput, match="no such file"):
        untag(UntagOptions([tmp_path / "gone"]))


NEVER_TAGGED = {
    "stray bytes": encode("JPEG")[:20] + b"0123456789abcd" + encode("JPEG")[20:],
    "utf-16": with_packet(encode("JPEG"), OTHERS.decode().encode("utf-16")),
    "broken packet": with_packet(encode("JPEG"), b"<broken"),
    "two packets": with_packet(with_packet(encode("JPEG"))),
    "broken off": encode("JPEG")[:100],
    "webp with more behind": encode("WEBP") + b"more",
    "png that breaks off": encode("PNG")[:-30],
    "tiff without a directory": encode("TIFF")[:4] + b"\xff\xff\xff\0" + encode("TIFF")[8:],
}


@pytest.mark.parametrize("name", NEVER_TAGGED)
@pytest.mark.parametrize("beside", [None, b"<broken", OTHERS.decode().encode("utf-16"), b""])
def test_what_was_never_tagged_is_left_alone(
    tmp_path: Path, name: str, beside: bytes | None
) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(NEVER_TAGGED[name])
    if beside is not None:
        sidecar.path(photo).write_bytes(beside)
    before = contents(tmp_path)
    outcomes: list[TagOutcome] = []
    tally = untag(UntagOptions([tmp_path]), outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["none"] and tally.failed == 0
    assert contents(tmp_path) == before


def test_what_may_hold_entries_of_ours_is_named(album: Path) -> None:
    tag_all(album)
    photo = album / "a.jpg"
    photo.write_bytes(photo.read_bytes().replace(b"</rdf:RDF>", b"</rdf:Rdf>"))
    assert ("a.jpg", "refused") in run(photo)


@pytest.mark.parametrize("length", [241, 251, 252, 255])
@pytest.mark.parametrize("letter", ["a", "\u00e4"])
def test_long_names_do_not_keep_later_photos_from_being_done(
    tmp_path: Path, length: int, letter: str
) -> None:
    album = tmp_path / "album"
    stem = letter * ((length - 4) // len(letter.encode()))
    photo = save_photo(album / f"{stem:x<{len(stem) + length - 4 - len(stem.encode())}}.jpg")
    later = save_photo(album / "zz.jpg")
    before = contents(album)
    assert len(photo.name.encode()) == length
    tag_all(album)
    assert photo.read_bytes() != before[photo.name] and later.read_bytes() != before[later.name]
    assert {status for _, status in run(album)} == {"restored"} and contents(album) == before
    tag_all(album, where="sidecar")
    assert sidecar.path(later).exists() and ("zz.jpg", "restored") in run(album)
    assert contents(album) == before
    tag_all(album, backup=True)
    assert later.with_name("zz.jpg_original").exists() and ("zz.jpg", "restored") in run(album)
    assert photo.read_bytes() == before[photo.name]
