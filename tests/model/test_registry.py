import hashlib
import json
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
from helpers.logs import warned

from mivolo_cli.errors import WeightsError
from mivolo_cli.model import checkpoint, install, registry
from mivolo_cli.model.architecture import create_model
from mivolo_cli.model.registry import Record

REGISTRY = """
[[weights]]
name = "small"
kind = "model"
file = "small.safetensors"
sha256 = "{shipped}"
licence = "MIT"
embedded = true

[[weights]]
name = "large"
kind = "model"
file = "large.safetensors"
url = "https://publisher.test/large"
sha256 = "{large}"
bytes = 5
licence = "MIT"

[[weights]]
name = "unhashed"
kind = "model"
file = "unhashed.pth"
url = "https://publisher.test/unhashed"
licence = "not stated by the publisher"

[[weights]]
name = "trap"
kind = "detector"
file = "trap.pt"
url = "https://publisher.test/trap"
licence = "AGPL-3.0"
pickle = true
"""


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of four weights, the first of which travels with the program; returns the user's
    folder."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "small.safetensors").write_bytes(b"small")
    (shipped / registry.REGISTRY).write_text(
        REGISTRY.format(shipped=sha(b"small"), large=sha(b"large"))
    )
    monkeypatch.setattr(registry, "folder", lambda: shipped)
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path / "home"))
    user = registry.user_folder()
    user.mkdir(parents=True)
    return user


def test_the_registry_names_all_published_weights() -> None:
    published = {"mivolo-v2", "mivolo-d1-imdb", "volo-d1-imdb", "yolov8x-person-face"}
    detectors = {
        "retinaface-resnet50",
        "retinaface-mobile0.25",
        "deimv2-femto-416",
        "yunet-n",
    }
    assert published | detectors | {"mivolo-xs"} <= set(registry.registry())


def test_every_registered_entry_can_be_used() -> None:
    files = [entry.file for entry in registry.registry().values()]
    assert len(set(files)) == len(files)
    for name, entry in registry.registry().items():
        assert name == entry.name and entry.licence and entry.kind in ("model", "detector")
        assert entry.embedded != bool(entry.url), (
            "either it travels with the program or it has an address"
        )
        assert entry.url.startswith("https://" if entry.url else "")
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
        assert entry.pickle == entry.file.endswith(".pt")


def test_what_travels_with_the_program_has_its_registered_hash() -> None:
    shipped = [name for name, entry in registry.registry().items() if entry.embedded]
    assert {check for _, check in registry.verify(shipped)} == {"ok"}


def test_the_folder_of_the_program_holds_the_registry() -> None:
    assert (registry.folder() / registry.REGISTRY).is_file()


def test_without_its_folder_the_program_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "package" / "model" / "registry.py"))
    with pytest.raises(WeightsError, match="missing"):
        registry.folder()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / registry.REGISTRY).touch()
    assert registry.folder() == tmp_path / "weights"
    (tmp_path / "package" / "_weights").mkdir(parents=True)
    (tmp_path / "package" / "_weights" / registry.REGISTRY).touch()
    assert registry.folder() == tmp_path / "package" / "_weights"


def test_the_users_folder_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path))
    assert registry.user_folder() == tmp_path / "weights"
    monkeypatch.setenv("MIVOLO_HOME", "")
    assert "mivolo" in registry.user_folder().parts and registry.user_folder().is_absolute()


def test_files_are_found_with_the_program_and_with_the_user(house: Path) -> None:
    assert registry.find("small") == registry.folder() / "small.safetensors"
    (house / "large.safetensors").write_bytes(b"large")
    assert registry.find("large") == house / "large.safetensors"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("large", "mivolo weights fetch large"),
        ("unhashed", "mivolo weights fetch unhashed"),
        ("trap", "mivolo weights fetch trap"),
        ("small", "reinstall mivolo-cli"),
    ],
)
def test_what_is_not_here_is_refused_with_the_way_to_get_it(
    house: Path, name: str, hint: str
) -> None:
    (registry.folder() / "small.safetensors").unlink()
    with pytest.raises(WeightsError, match="not been downloaded yet") as error:
        registry.find(name)
    assert error.value.hint == hint


def test_an_altered_file_is_never_used(house: Path) -> None:
    file = house / "large.safetensors"
    file.write_bytes(b"wrong")
    with pytest.raises(WeightsError, match="does not have the registered sha256") as error:
        registry.find("large")
    assert error.value.hint == "delete it, then mivolo weights fetch large"
    file.write_bytes(b"large")
    assert registry.find("large") == file
    file.write_bytes(b"worse!")
    with pytest.raises(WeightsError, match="does not have the registered sha256"):
        registry.find("large")
    (registry.folder() / "small.safetensors").write_bytes(b"Small")
    with pytest.raises(WeightsError) as error:
        registry.find("small")
    assert error.value.hint == "reinstall mivolo-cli"


def test_a_file_that_was_only_put_there_is_not_used(house: Path) -> None:
    (house / "unhashed.pth").write_bytes(b"anything")
    (house / "trap.pt").write_bytes(b"anything")
    with pytest.raises(WeightsError, match="not been verified") as error:
        registry.find("unhashed")
    assert error.value.hint == f"`mivolo weights add {house / 'unhashed.pth'}` checks it"
    with pytest.raises(WeightsError, match="not been verified") as error:
        registry.find("trap")
    assert error.value.hint == f"`mivolo weights add {house / 'trap.pt'}` checks it"


def test_the_hash_of_the_first_use_is_checked_from_then_on(house: Path) -> None:
    (house / "unhashed.pth").write_bytes(b"first")
    registry.remember("unhashed.pth", Record("unhashed", "model", sha(b"first")))
    assert registry.find("unhashed") == house / "unhashed.pth"
    assert registry.get("unhashed").sha256 == sha(b"first")
    (house / "unhashed.pth").write_bytes(b"second")
    with pytest.raises(WeightsError, match="does not have the registered sha256"):
        registry.find("unhashed")


def test_a_record_never_replaces_a_registered_hash(house: Path) -> None:
    (house / "large.safetensors").write_bytes(b"other")
    registry.remember("large.safetensors", Record("large", "model", sha(b"other")))
    with pytest.raises(WeightsError, match="does not have the registered sha256"):
        registry.find("large")


def test_the_users_own_weights_have_a_name_too(house: Path) -> None:
    (house / "mine.pth").write_bytes(b"mine")
    registry.remember("mine.pth", Record("mine", "model", sha(b"mine")))
    assert registry.find("mine") == house / "mine.pth"
    assert registry.get("mine").licence == registry.OWN_LICENCE
    (house / "mine.safetensors").write_bytes(b"newer")
    registry.remember("mine.safetensors", Record("mine", "model", sha(b"newer")))
    assert registry.find("mine") == house / "mine.safetensors"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_in_place_of_weights_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    assert registry.terms(tmp_path / "model.safetensors") == registry.OWN_LICENCE
    with pytest.raises(WeightsError, match="no model or file named"):
        registry.model_file(tmp_path / "model.safetensors")


def test_the_terms_of_own_weights_are_those_in_their_header(house: Path) -> None:
    model = create_model("mivolo_xs_32")
    spec = checkpoint.spec_of(model, "mine", 0, 100)
    file = house / "mine.safetensors"
    checkpoint.save(model, replace(spec, card={"terms": "for research"}), file)
    registry.remember(file.name, Record("mine", "model", sha(file.read_bytes())))
    assert registry.get("mine").licence == "for research"
    checkpoint.save(model, spec, file)
    assert registry.terms(file) == registry.terms(house / "none") == registry.OWN_LICENCE


def test_own_weights_cannot_take_a_registered_name(house: Path) -> None:
    (house / "evil.pth").write_bytes(b"evil")
    registry.remember("evil.pth", Record("large", "model", sha(b"evil")))
    assert registry.get("large").file == "large.safetensors"


def test_an_unknown_name_is_answered_with_those_that_come_near(house: Path) -> None:
    with pytest.raises(WeightsError, match="'larg'") as error:
        registry.get("larg")
    assert error.value.hint == "did you mean large?"
    with pytest.raises(WeightsError) as error:
        registry.find("zzz")
    assert error.value.hint == "see `mivolo weights list`"


def test_the_list_shows_what_is_here_and_how_large(house: Path) -> None:
    rows = {row.entry.name: (row.path, row.bytes) for row in registry.status()}
    assert rows == {
        "small": (registry.folder() / "small.safetensors", 5),
        "large": (None, 5),
        "unhashed": (None, None),
        "trap": (None, None),
    }


def test_verify_hashes_everything_anew(house: Path) -> None:
    (house / "large.safetensors").write_bytes(b"wrong")
    (house / "trap.pt").write_bytes(b"anything")
    checks = {entry.name: check for entry, check in registry.verify()}
    assert checks == {
        "small": "ok",
        "large": "mismatch",
        "unhashed": "missing",
        "trap": "no registered hash",
    }
    assert [check for _, check in registry.verify(["small"])] == ["ok"]
    with pytest.raises(WeightsError):
        registry.verify(["small", "nothing"])


def test_a_pickle_must_be_vouched_for(house: Path, tmp_path: Path) -> None:
    file = tmp_path / "yolo.pt"
    file.write_bytes(b"pickle")
    with pytest.raises(WeightsError, match="arbitrary code") as error:
        registry.require_trusted_pickle(file)
    assert error.value.hint.endswith(f"mivolo weights add --trust {file}")
    registry.remember("yolo.pt", Record("yolo", "detector", sha(b"pickle"), trusted=False))
    with pytest.raises(WeightsError):
        registry.require_trusted_pickle(file)
    registry.remember("yolo.pt", Record("yolo", "detector", sha(b"pickle"), trusted=True))
    registry.require_trusted_pickle(file)
    file.write_bytes(b"Pickle")
    with pytest.raises(WeightsError):
        registry.require_trusted_pickle(file)
    file.write_bytes(b"large")
    registry.require_trusted_pickle(file)


@pytest.mark.parametrize("where", ["folder", "file", "above"])
def test_trust_that_others_can_have_written_is_none(
    house: Path, tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "yolo.pt"
    file.write_bytes(b"\x80pickle")
    registry.remember("yolo.pt", Record("yolo", "detector", sha(b"\x80pickle"), trusted=True))
    (house / "yolo.pt").write_bytes(b"\x80pickle")
    registry.find("yolo")
    assert warned(caplog) == []
    path = {"folder": house, "file": house / registry.RECORDS, "above": house.parent}[where]
    path.chmod(0o777)
    with pytest.raises(WeightsError, match=f"other users can write to {path}") as error:
        registry.require_trusted_pickle(file)
    assert "MIVOLO_HOME" in error.value.hint
    with pytest.raises(WeightsError, match="other users can write to"):
        install.add(file, name="again", trust=True)
    registry.find("yolo")
    registry.find("yolo")
    (note,) = warned(caplog, "model.registry")
    assert f"other users can write to {path}" in note and "yolo" in note
    file.write_bytes(b"large")
    registry.require_trusted_pickle(file)  # the program itself knows this one


def test_hashes_are_closed_to_others_whatever_the_mask(house: Path) -> None:
    house.rmdir()
    mask = os.umask(0)
    try:
        registry.remember("a.pth", Record("a", "model", sha(b"a")))
    finally:
        os.umask(mask)
    assert not (house.stat().st_mode | (house / registry.RECORDS).stat().st_mode) & 0o022


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"a.pt": {}}', '{"a.pt": {"colour": "blue"}}', '{"a.pt": 3}']
)
def test_a_broken_list_of_records_is_told(house: Path, content: str) -> None:
    (house / registry.RECORDS).write_text(content)
    with pytest.raises(WeightsError, match="hashes.json") as error:
        registry.find("small")
    assert "delete it" in error.value.hint


def test_records_are_kept_as_they_were_given(house: Path) -> None:
    first, second = (
        Record("a", "model", sha(b"a")),
        Record("b", "detector", sha(b"b"), trusted=True),
    )
    registry.remember("a.pth", first)
    registry.remember("b.pt", second)
    assert registry.records() == {"a.pth": first, "b.pt": second}
    assert set(json.loads((house / registry.RECORDS).read_text())["a.pth"]) == {
        field.name for field in fields(Record)
    }


@pytest.mark.parametrize(
    ("file", "name", "suffix"),
    [
        ("model_4.24_99.46.pth.tar", "model_4.24_99.46", ".pth.tar"),
        ("x.SAFETENSORS", "x", ".safetensors"),
        ("plain", "plain", ""),
        ("a.b", "a.b", ""),
    ],
)
def test_names_are_told_from_formats(tmp_path: Path, file: str, name: str, suffix: str) -> None:
    assert (registry.plain_name(tmp_path / file), registry.suffix(tmp_path / file)) == (
        name,
        suffix,
    )


def test_a_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = bytes(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert registry.sha256(tmp_path / "file") == sha(content)
