"""The hidden folder beside an output: what is in it, who may use it, and how it goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.tables import contents

from mivolo_cli.errors import BadInput, OutputError
from mivolo_cli.scan import workdir
from mivolo_cli.scan.workdir import Receipt, claim, find, folder_of, purge

HOLD = """
import sys
from pathlib import Path
from mivolo_cli.scan import workdir
with workdir.claim([Path(sys.argv[1])]):
    print("held", flush=True)
    input()
"""


def hold(output: Path) -> subprocess.Popen[str]:
    """A process with the output's lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, output],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_run_that_keeps_nothing_leaves_nothing(tmp_path: Path) -> None:
    with claim([tmp_path / "a.csv", tmp_path / "b.csv"]) as place:
        assert place.folder == tmp_path / ".a.csv.mivolo"
        assert (place.receipt({}), place.results("f").index, place.new_part().name) == (
            None,
            {},
            "part-000000.parquet",
        )
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_kept_away_until_it_dies(tmp_path: Path) -> None:
    process = hold(tmp_path / "a.csv")
    (tmp_path / "link.csv").symlink_to("a.csv")
    for name in ("a.csv", "link.csv"):
        with (
            pytest.raises(BadInput, match="another run is already writing") as error,
            claim([tmp_path / name]),
        ):
            pytest.fail("both have it")
        assert error.value.hint
    with pytest.raises(BadInput, match="another run"):
        purge(folder_of(tmp_path / "a.csv"))
    with claim([tmp_path / "b.csv"]):
        pass
    process.kill()
    process.communicate()  # waits, and closes the pipes
    with claim([tmp_path / "a.csv"]):
        pass
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.csv"]


def test_what_killed_runs_left_half_written_goes_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / ".a.csv.mivolo"
    folder.mkdir()
    strangers = [
        tmp_path / ".b.csv.01234567.part",
        tmp_path / ".a.csv.part",
        tmp_path / "a.csv.01234567.part",
    ]
    leftovers = [tmp_path / ".a.csv.01234567.part", folder / ".part-000001.parquet.89abcdef.part"]
    for file in (*strangers, *leftovers):
        file.touch()
    with claim([tmp_path / "a.csv"]):
        assert not any(file.exists() for file in leftovers)
    assert sorted(tmp_path.iterdir()) == sorted(strangers)


def test_numbers_of_parts_only_grow(tmp_path: Path) -> None:
    with claim([tmp_path / "a.csv"]) as place:
        for name in ("part-000007.parquet", "part-1000000.parquet", "part-1.parquet", "notes.txt"):
            (place.folder / name).touch()
        assert place.new_part().name == "part-1000001.parquet"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"request": 1}', b"\xff", b'{"order": []}', b"[" * 100_000]
)
def test_a_receipt_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    with claim([tmp_path / "a.csv"]) as place:
        (place.folder / "receipt.json").write_bytes(content)
        assert place.receipt({}) is None


def test_a_receipt_knows_outputs_that_were_touched(tmp_path: Path) -> None:
    outputs = [tmp_path / "a.csv", tmp_path / "b.csv"]
    with claim(outputs) as place:
        for output in outputs:
            output.write_text("table")
        place.finish(
            lambda looks: Receipt({"x": [1]}, {"fingerprint": "f"}, "order", {"photos": 2}, looks)
        )
        receipt = place.receipt({"x": [1]})
        assert receipt is not None and place.receipt({"x": [2]}) is None
        assert place.is_untouched(receipt)
        for change in ("other table", "a"):
            outputs[1].write_text(change)
            assert not place.is_untouched(receipt)
        outputs[1].unlink()
        assert not place.is_untouched(receipt)
    with claim([tmp_path / "c.csv"]) as place:
        assert not place.is_untouched(receipt)


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "part-000000.parquet").write_text("not ours")
    (tmp_path / ".a.csv.mivolo").symlink_to("precious")
    with pytest.raises(BadInput, match="is a link"), claim([tmp_path / "a.csv"]):
        pass
    assert find(tmp_path / "a.csv") == find(tmp_path) == []


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".a.csv.mivolo").write_text("a file")
    with pytest.raises(OutputError, match=r"\.a\.csv\.mivolo"), claim([tmp_path / "a.csv"]):
        pass


def test_purge_takes_what_is_ours_and_leaves_the_rest(tmp_path: Path) -> None:
    ours = (
        "part-000000.parquet",
        "results.parquet",
        "receipt.json",
        ".part-000000.parquet.0123abcd.part",
        "lock",
    )
    for name in ("a", "b"):
        folder = tmp_path / f".{name}.csv.mivolo"
        folder.mkdir()
        for file in ours:
            (folder / file).write_text("x")
    (tmp_path / ".b.csv.mivolo" / "mine.txt").write_text("mine")
    (tmp_path / "a.csv").write_text("table")
    before = contents(tmp_path)
    assert find(tmp_path / "a.csv") == [tmp_path / ".a.csv.mivolo"]
    assert find(tmp_path) == [tmp_path / ".a.csv.mivolo", tmp_path / ".b.csv.mivolo"]
    assert [purge(folder, dry_run=True).files for folder in find(tmp_path)] == [5, 5]
    assert contents(tmp_path) == before
    assert [purge(folder).bytes for folder in find(tmp_path)] == [5, 5]
    assert {file for file in contents(tmp_path) if not file.endswith("lock")} == {
        ".b.csv.mivolo/mine.txt",
        "a.csv",
    }


def test_purging_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(workdir.storage, "cache_folder", lambda: cache)
    assert workdir.purge_cache() == []
    (cache / "Ultralytics").mkdir(parents=True)
    (cache / "Ultralytics" / "settings.json").write_text("{}")
    assert [one.files for one in workdir.purge_cache(dry_run=True)] == [1]
    assert cache.exists()
    workdir.purge_cache()
    assert not cache.exists()


@pytest.mark.parametrize("name", ["part-000000.parquet", "results.parquet", "receipt.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_in_the_place_of_finished_work_are_passed_over(
    tmp_path: Path, name: str, kind: str
) -> None:
    file = tmp_path / ".a.csv.mivolo" / name
    file.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with claim([tmp_path / "a.csv"]) as place:
        assert (place.receipt({}), place.results("f").index) == (None, {})


WHOLE: dict[str, Any] = {
    "metadata": {"fingerprint": "f", "model_sha256": "1"},
    "counts": dict.fromkeys(workdir.COUNTS, 1)
    | {"failures": {"a": 1}, "unreadable": [["/p/a.jpg", "empty", ""]]},
}


@pytest.mark.parametrize("part", WHOLE)
def test_a_receipt_without_a_key_is_not_whole(part: str) -> None:
    assert Receipt({}, order="", **WHOLE).is_whole
    for key in WHOLE[part]:
        less = {name: value for name, value in WHOLE[part].items() if name != key}
        for changed in (less, WHOLE[part] | {key: None}, WHOLE[part] | {key: [1]}):
            assert not Receipt({}, order="", **WHOLE | {part: changed}).is_whole


@pytest.mark.parametrize("value", [None, 1, True, [1], {"a": 1}, "\ud800"])
@pytest.mark.parametrize("name", ["model", "detector_sha256", "settings"])
def test_a_receipt_that_no_table_can_repeat_is_none(
    tmp_path: Path, name: str, value: object
) -> None:
    whole = {"request": {}, "order": "", "outputs": []} | WHOLE
    file = folder_of(tmp_path / "a.csv") / "receipt.json"
    file.parent.mkdir()
    file.write_text(json.dumps(whole))
    with claim([tmp_path / "a.csv"]) as place:
        assert place.receipt({}) is not None
        file.write_text(json.dumps(whole | {"metadata": {**WHOLE["metadata"], name: value}}))
        assert place.receipt({}) is None


def test_what_killed_commands_have_left_is_purged(tmp_path: Path) -> None:
    page, pictures = tmp_path / ".r.html.0123abcd.part", tmp_path / ".r_pictures.0123abcd.part"
    page.write_bytes(b"faces")
    pictures.mkdir()
    (pictures / "0.webp").write_bytes(b"face")
    (tmp_path / "r.html").touch()
    (tmp_path / ".mine.part").touch()
    found = [(page, 1, 5), (pictures, 1, 4)]
    for dry_run in (True, False):
        purged = workdir.purge_leftovers(tmp_path, dry_run=dry_run)
        assert [(one.folder, one.files, one.bytes) for one in purged] == found
    assert sorted(file.name for file in tmp_path.iterdir()) == [".mine.part", "r.html"]
    page.touch()
    with claim([tmp_path / "b.html"]):
        assert [one.folder for one in workdir.purge_leftovers(tmp_path / "r.html")] == [page]
    assert workdir.purge_leftovers(tmp_path / "none" / "r.html") == []


def test_what_is_being_written_is_not_purged(tmp_path: Path) -> None:
    with claim([tmp_path / "r.html"]):
        (tmp_path / ".r.html.0123abcd.part").touch()
        with pytest.raises(BadInput, match="another run"):
            workdir.purge_leftovers(tmp_path)
    assert (tmp_path / ".r.html.0123abcd.part").exists()
