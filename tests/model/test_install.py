import functools
import hashlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from helpers.models import SMALL

from mivolo_cli.errors import BadInput, OutputError, WeightsError
from mivolo_cli.model import checkpoint, registry
from mivolo_cli.model.architecture import create_model
from mivolo_cli.model.install import add, fetch
from mivolo_cli.model.registry import Record
from mivolo_cli.model.variants import SIZES

REGISTRY = """
[[weights]]
name = "small"
kind = "model"
file = "small.safetensors"
licence = "MIT"
embedded = true

[[weights]]
name = "large"
kind = "model"
file = "large.safetensors"
url = "{url}/published.bin"
sha256 = "{large}"
licence = "MIT"

[[weights]]
name = "unhashed"
kind = "model"
file = "unhashed.pth.tar"
url = "{url}/unhashed.pth.tar"
page = "https://publisher.test/page"
licence = "not stated by the publisher"

[[weights]]
name = "faces"
kind = "detector"
file = "detection.pth"
url = "{url}/detection.pth"
licence = "not stated by the publisher"

[[weights]]
name = "trap"
kind = "detector"
file = "trap.pt"
url = "{url}/trap.pt"
licence = "AGPL-3.0"
pickle = true
"""
LARGE = b"large" * 1000
OFFLINE = ("MIVOLO_OFFLINE", "HF_HUB_OFFLINE")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class House:
    """A folder that a server offers, the user's folder, and the paths that the server was asked
    for."""

    offered: Path
    user: Path
    asked: list[str]

    def left(self) -> set[str]:
        """The files in the user's folder, without locks."""
        return {file.name for file in self.user.glob("*") if file.suffix != ".lock"}


@pytest.fixture(scope="module", autouse=True)
def small_size() -> Iterator[None]:
    """Makes `mivolo_xs` much smaller, so that these tests are quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "xs", SMALL)
        yield


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, small_size: None) -> Path:
    """A checkpoint as the authors publish it."""
    file = tmp_path_factory.mktemp("published") / "unhashed.pth.tar"
    torch.save(
        {"state_dict": create_model("mivolo_xs_32").state_dict(), "min_age": 1, "max_age": 95}, file
    )
    return file


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    offered, shipped, asked = tmp_path / "offered", tmp_path / "shipped", []
    offered.mkdir()
    shipped.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *parts: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(offered))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    (shipped / registry.REGISTRY).write_text(REGISTRY.format(url=url, large=sha(LARGE)))
    monkeypatch.setattr(registry, "folder", lambda: shipped)
    monkeypatch.setenv("MIVOLO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for variable in OFFLINE:
        monkeypatch.delenv(variable, raising=False)
    yield House(offered, registry.user_folder(), asked)
    server.shutdown()
    thread.join()
    server.server_close()


def test_registered_weights_are_brought_once(house: House) -> None:
    (house.offered / "published.bin").write_bytes(LARGE)
    told = []
    file = fetch("large", on_progress=lambda *now: told.append(now))
    assert file == registry.find("large") and file.read_bytes() == LARGE
    assert told[-1] == (len(LARGE), len(LARGE))
    assert fetch("large") == file
    assert len(house.asked) == 1
    assert house.left() == {"large.safetensors"}


def test_an_altered_file_is_brought_again(house: House) -> None:
    (house.offered / "published.bin").write_bytes(LARGE)
    fetch("large").write_bytes(b"altered")
    assert fetch("large").read_bytes() == LARGE


def test_a_wrong_file_is_thrown_away(house: House) -> None:
    (house.offered / "published.bin").write_bytes(LARGE[:-1] + b"!")
    with pytest.raises(WeightsError, match="its sha256 is") as error:
        fetch("large")
    assert "mivolo weights add FILE --name large" in error.value.hint
    assert house.left() == set()


def test_what_an_earlier_call_left_is_continued(house: House) -> None:
    house.user.mkdir(parents=True)
    (house.user / "large.safetensors.part").write_bytes(LARGE)
    assert fetch("large").read_bytes() == LARGE
    assert house.asked == [] and house.left() == {"large.safetensors"}


def test_without_a_published_hash_the_first_use_counts(house: House, published: Path) -> None:
    (house.offered / "unhashed.pth.tar").write_bytes(published.read_bytes())
    file = fetch("unhashed")
    assert registry.get("unhashed").sha256 == registry.sha256(published)
    assert checkpoint.load("unhashed")[1].max_age == 95
    (house.offered / "unhashed.pth.tar").write_bytes(published.read_bytes() + b"changed")
    file.unlink()
    with pytest.raises(WeightsError, match="its sha256 is"):
        fetch("unhashed")
    assert house.left() == {registry.RECORDS}


@pytest.mark.parametrize("name", ["unhashed", "faces"])
def test_without_a_published_hash_only_weights_are_let_in(house: House, name: str) -> None:
    (house.offered / registry.get(name).file).write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match="neither a safetensors nor a PyTorch file"):
        fetch(name)
    assert house.left() == set() and registry.records() == {}


def test_weights_of_a_detector_need_not_be_those_of_a_model(house: House) -> None:
    torch.save({"body.weight": torch.ones(3)}, house.offered / "detection.pth")
    assert fetch("faces") == registry.find("faces")


def test_nothing_is_asked_for_offline(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="--offline is set") as error:
        fetch("unhashed", offline=True)
    assert error.value.hint == (
        "download https://publisher.test/page by hand, then:"
        " mivolo weights add FILE --name unhashed"
    )
    for variable in OFFLINE:
        monkeypatch.setenv(variable, "1")
        with pytest.raises(
            WeightsError, match=f"unhashed.pth.tar was not downloaded: {variable} is set"
        ):
            fetch("unhashed")
        monkeypatch.setenv(variable, "0")
    assert house.asked == []


def test_what_is_here_is_found_offline(house: House) -> None:
    (house.offered / "published.bin").write_bytes(LARGE)
    assert fetch("large") == fetch("large", offline=True)


def test_a_pickle_that_could_run_code_does_not_stay(house: House, tmp_path: Path) -> None:
    (house.offered / "trap.pt").write_bytes(pickle.dumps(Trap(tmp_path / "went-off")))
    with pytest.raises(WeightsError, match="arbitrary code") as error:
        fetch("trap")
    assert "--trust" in error.value.hint and house.left() == set()
    assert not (tmp_path / "went-off").exists()


def test_what_travels_with_the_program_is_not_downloaded(house: House) -> None:
    with pytest.raises(WeightsError, match="cannot be downloaded") as error:
        fetch("small")
    assert "reinstall mivolo-cli" in error.value.hint


def test_a_file_that_is_not_offered_is_told(house: House) -> None:
    with pytest.raises(WeightsError, match="returned 404"):
        fetch("large")


def test_an_unknown_name_is_told(house: House) -> None:
    with pytest.raises(WeightsError) as error:
        fetch("larg")
    assert error.value.hint == "did you mean large?"


def test_two_calls_do_not_write_the_same_file(house: House) -> None:
    house.user.mkdir(parents=True)
    with (
        FileLock(house.user / "large.safetensors.lock"),
        pytest.raises(WeightsError, match="another mivolo"),
    ):
        fetch("large")


def test_a_folder_that_cannot_be_written_is_told(house: House) -> None:
    house.user.parent.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot write") as error:
        fetch("large")
    assert "MIVOLO_HOME" in error.value.hint


def test_a_file_at_hand_is_recognised_by_its_hash(house: House, tmp_path: Path) -> None:
    (tmp_path / "downloaded").write_bytes(LARGE)
    assert add(tmp_path / "downloaded") == registry.get("large")
    assert registry.find("large").read_bytes() == LARGE
    assert house.left() == {"large.safetensors"}


@pytest.mark.parametrize(
    ("file", "name"), [("large.safetensors", None), ("other.bin", "large"), ("large.bin", None)]
)
def test_a_file_that_is_not_what_it_claims_is_refused(
    house: House, tmp_path: Path, file: str, name: str
) -> None:
    (tmp_path / file).write_bytes(b"something else")
    with pytest.raises(WeightsError, match="is not large") as error:
        add(tmp_path / file, name=name)
    assert error.value.hint == "mivolo weights fetch large"
    assert house.left() == set()


@pytest.mark.parametrize(
    ("file", "name"), [("unhashed.pth.tar", None), ("unhashed.pth", None), ("x.bin", "unhashed")]
)
def test_weights_without_a_hash_are_read_before_they_are_added(
    house: House, published: Path, tmp_path: Path, file: str, name: str
) -> None:
    (tmp_path / file).write_bytes(published.read_bytes())
    entry = add(tmp_path / file, name=name)
    assert (entry.name, entry.file, entry.sha256) == (
        "unhashed",
        "unhashed.pth.tar",
        registry.sha256(published),
    )
    assert registry.find("unhashed") == house.user / "unhashed.pth.tar"
    assert registry.verify(["unhashed"]) == [(entry, "ok")]


def test_own_models_get_a_name(house: House, published: Path, tmp_path: Path) -> None:
    file = tmp_path / "My Model (2).pth.tar"
    file.write_bytes(published.read_bytes())
    assert add(file).name == "my-model-2"
    assert add(file, name="mine").file == "mine.pth.tar"
    assert checkpoint.load("my-model-2")[1].name == "my-model-2"
    assert {row.entry.name for row in registry.status() if row.path} == {"my-model-2", "mine"}
    assert file.exists()


def test_own_weights_are_not_replaced_by_accident(
    house: House, published: Path, tmp_path: Path
) -> None:
    add(published, name="mine")
    other = tmp_path / "other.pth"
    torch.save(
        {"state_dict": create_model("mivolo_xs_48").state_dict(), "min_age": 1, "max_age": 95},
        other,
    )
    with pytest.raises(WeightsError, match="already have the name mine") as error:
        add(other, name="mine")
    assert str(house.user / "mine.pth.tar") in error.value.hint
    add(published, name="mine")
    registry.find("mine").unlink()
    add(other, name="mine")
    assert checkpoint.load("mine")[1].input_size == 48


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Ü", ".hidden", "A"])
def test_names_that_could_be_paths_are_refused(house: House, published: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is not a valid name"):
        add(published, name=name)


def test_a_name_cannot_take_the_place_of_another_file(
    house: House, published: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.pth"
    file.write_bytes(published.read_bytes())
    with pytest.raises(BadInput, match="belongs to other weights"):
        add(file, name="detection")
    with pytest.raises(WeightsError):
        add(file, name="large")
    assert house.left() == set()


def test_a_name_without_an_ending_is_kept_apart_from_the_records(
    house: House, published: Path, tmp_path: Path
) -> None:
    file = tmp_path / "hashes"
    file.write_bytes(published.read_bytes())
    assert add(file, name=registry.RECORDS).file == f"{registry.RECORDS}.bin"
    assert registry.find(registry.RECORDS).read_bytes() == published.read_bytes()


def test_an_onnx_file_is_a_detector(house: House, tmp_path: Path) -> None:
    (tmp_path / "people.onnx").write_bytes(b"\x08\x09rest of the graph")
    assert add(tmp_path / "people.onnx").kind == "detector"
    assert registry.find("people") == house.user / "people.onnx"
    (tmp_path / "text.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match="neither"):
        add(tmp_path / "text.onnx")


class Trap:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.witness}'",)


@pytest.mark.parametrize(("file", "name"), [("yolo.pt", "yolo"), ("trap.pt", "trap")])
def test_a_pickle_gets_in_by_trust_alone_and_is_not_opened(
    house: House, tmp_path: Path, file: str, name: str
) -> None:
    witness, path = tmp_path / "went-off", tmp_path / file
    path.write_bytes(pickle.dumps(Trap(witness)))
    with pytest.raises(WeightsError) as error:
        add(path)
    assert "--trust" in error.value.hint
    with pytest.raises(WeightsError, match="not trusted yet"):
        registry.require_trusted_pickle(path)
    assert house.left() == set()
    entry = add(path, trust=True)
    assert (entry.name, entry.kind, entry.pickle) == (name, "detector", True)
    registry.require_trusted_pickle(path)
    registry.require_trusted_pickle(registry.find(name))
    assert registry.records()[file] == Record(name, "detector", registry.sha256(path), trusted=True)
    assert not witness.exists()


def test_trust_is_not_spent_where_it_is_not_needed(house: House, published: Path) -> None:
    assert not add(published, trust=True).pickle
    with pytest.raises(WeightsError):
        registry.require_trusted_pickle(published)


def test_trust_does_not_let_anything_else_in(house: House, tmp_path: Path) -> None:
    (tmp_path / "notes.pt").write_text("no weights")
    with pytest.raises(WeightsError, match="neither"):
        add(tmp_path / "notes.pt", trust=True)


def test_a_file_that_is_not_there_is_told(house: House, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pth", tmp_path):
        with pytest.raises(BadInput, match="no such file"):
            add(path)


def test_a_file_of_the_users_folder_may_be_added_itself(house: House, published: Path) -> None:
    house.user.mkdir(parents=True)
    (house.user / "unhashed.pth.tar").write_bytes(published.read_bytes())
    with pytest.raises(WeightsError, match="not been verified"):
        registry.find("unhashed")
    add(house.user / "unhashed.pth.tar")
    assert registry.find("unhashed").read_bytes() == published.read_bytes()


def test_knowing_and_fetching_weights_does_not_need_pytorch() -> None:
    modules = "mivolo_cli.model.install, mivolo_cli.model.registry"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
