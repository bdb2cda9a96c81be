"""Sidecars: what is there is kept, what we made goes again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.tagging import OTHERS, make_tags

from mivolo_cli.metadata import Refused, packet, sidecar
from mivolo_cli.metadata.packet import TagEntries
from mivolo_cli.metadata.xmp import SKELETON


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return tmp_path / "a.heic"


def write(photo: Path, embedded: bytes | None = None, age: float = 33.4) -> sidecar.Sidecar:
    done = sidecar.plan(photo, lambda: embedded, make_tags(age=age), TagEntries(keywords=True))
    done.file.write_bytes(done.new)
    return done


def test_a_new_sidecar_goes_when_our_entries_go(photo: Path) -> None:
    done = write(photo)
    assert (done.file.name, done.old, done.reversible) == ("a.heic.xmp", None, True)
    left = sidecar.strip(done.new)
    assert left.restored and left.superfluous
    found = packet.read(sidecar.content(sidecar.path(photo)) or b"")
    assert found is not None and found.people == make_tags().people


def test_a_sidecar_of_others_is_restored_to_the_byte(photo: Path) -> None:
    sidecar.path(photo).write_bytes(OTHERS)
    done = write(photo)
    assert done.old == OTHERS and done.reversible
    left = sidecar.strip(done.new)
    assert (left.data, left.restored, left.superfluous) == (OTHERS, True, False)


@pytest.mark.parametrize("where", ["embedded", "beside"])
def test_a_new_sidecar_hides_nothing_that_was_there(photo: Path, where: str) -> None:
    if where == "beside":
        photo.with_suffix(".xmp").write_bytes(OTHERS)
    done = write(photo, OTHERS if where == "embedded" else None)
    assert b"Anna" in done.new and done.file.name == "a.heic.xmp"
    assert sidecar.strip(done.new).superfluous
    again = write(photo, age=70.0)
    assert b"Anna" in again.new and sidecar.strip(again.new).superfluous


def test_what_others_add_to_our_sidecar_stays(photo: Path) -> None:
    done = write(photo)
    rated = done.new.replace(
        b"</rdf:RDF>", b"<rdf:Description><q>1</q></rdf:Description></rdf:RDF>"
    )
    left = sidecar.strip(rated)
    assert (
        not left.restored
        and not left.superfluous
        and left.data is not None
        and b"<q>1</q>" in left.data
    )


def test_a_second_run_changes_nothing_or_our_entries_alone(photo: Path) -> None:
    write(photo)
    assert write(photo).unchanged
    other = write(photo, age=70.0)
    assert not other.unchanged and other.new.count(b"mivolo:Age>") == 2
    assert sidecar.strip(other.new).superfluous


def test_a_broken_sidecar_is_left_alone(photo: Path) -> None:
    sidecar.path(photo).write_bytes(b"<x:xmpmeta")
    with pytest.raises(Refused) as caught:
        write(photo)
    assert caught.value.code == "bad_xmp"


def test_a_sidecar_without_entries_of_ours_is_not_changed() -> None:
    assert sidecar.strip(OTHERS).data == OTHERS and sidecar.strip(OTHERS).tags is None
    assert sidecar.strip(SKELETON).data == SKELETON


@pytest.mark.parametrize("name", ["a.heic.xmp", "a.xmp"])
@pytest.mark.parametrize("kind", ["pipe", "device", "3 GB"])
def test_a_sidecar_that_is_no_file_of_a_sane_size_is_refused(
    photo: Path, name: str, kind: str
) -> None:
    file = photo.with_name(name)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        with file.open("wb") as sparse:
            sparse.truncate(3 * 1024**3)
    with pytest.raises(Refused, match="not a regular file|more than 64 MB") as caught:
        sidecar.plan(photo, lambda: None, make_tags(), TagEntries())
    assert caught.value.code == "unreadable"
