"""A settings file that was found may have come with somebody's photos: it says nothing about files
elsewhere, addresses, or what is not the user's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from helpers.photos import save_photo
from helpers.tables import contents
from helpers.tagging import rows_of, write_results
from typer.core import TyperOption
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.cli import confine, files, settings
from mivolo_cli.errors import BadInput

Mivolo = Callable[..., Outcome]
PROGRAM: Any = typer.main.get_command(cli.app)
OUTSIDE = [
    "../people.csv",
    "a/../../people.csv",
    "..",
    "..\\people.csv",
    "/etc/people.csv",
    "//host/share/people.csv",
    "~/people.csv",
    "~root/.profile",
    "link/people.csv",
    "s3://bucket/people.csv",
    "s3:/bucket/people.csv",
    "S3://bucket/people.csv",
    "file:///etc/people.csv",
    "http://example.org/people.csv",
    "x\0y",
]


def options(group: Any = PROGRAM, under: str = "") -> Iterator[tuple[str, TyperOption]]:
    """Every option of every command whose value is text that could be a path."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from options(command, f"{under}{name}.")
            continue
        for param in command.params:
            if not isinstance(param, TyperOption) or param.is_flag:
                continue
            if {str, Path} & set(files.kinds(param)) and not param.type_descriptor.is_choice:
                yield f"{under}{name}", param


TEXTS = [
    (command, option) for command, option in options() if option.name not in settings.SAID_EACH_TIME
]
NAMES = [f"{command}.{settings.long_name(option)}" for command, option in TEXTS]
each_option = pytest.mark.parametrize("command, option", TEXTS, ids=NAMES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a link that points outside of it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder / "link").symlink_to("../elsewhere")
    monkeypatch.chdir(folder)
    return folder


def read(folder: Path, command: str, option: TyperOption, text: str, found: bool) -> Any:
    key = settings.long_name(option)
    value = json.dumps([text] if option.multiple else text)
    file = folder / "mivolo.toml"
    file.write_text(f"[{command}]\n{key} = {value}\n", encoding="utf-8")
    context = PROGRAM.make_context("mivolo", ["info"])
    return settings.read(file, PROGRAM, context, found=found)


def test_every_option_is_tried() -> None:
    assert {"scan.log", "scan.output", "tag.report", "scan.annotate", "scan.ray-address"} <= {
        *NAMES
    }
    assert {"scan.model", "train.recipe", "eval.plots", "votes.output", "export.url"} <= {*NAMES}


@each_option
def test_no_option_leads_out_of_the_folder(folder: Path, command: str, option: TyperOption) -> None:
    if option.name in confine.PLAIN:
        assert read(folder, command, option, "../*.jpg", True)
        return
    for text in OUTSIDE:
        with pytest.raises(BadInput) as caught:
            read(folder, command, option, text, True)
        assert "mivolo.toml" in str(caught.value)
    address = option.name in ("ray_address", "url")
    for text in ("people.csv", "trip/people.csv"):
        if address:
            with pytest.raises(BadInput, match="names an address"):
                read(folder, command, option, text, True)
        else:
            assert read(folder, command, option, text, True)


@each_option
def test_a_file_that_was_named_may_say_more(
    folder: Path, command: str, option: TyperOption
) -> None:
    for text in ("../people.csv", "/etc/people.csv", "link/people.csv", "s3://bucket/people.csv"):
        assert read(folder, command, option, text, False)


@pytest.mark.parametrize("key", ["output", "annotate", "log"])
@pytest.mark.parametrize("name", [".bashrc", "a/.profile", ".config/x.csv", ".bash_login/"])
def test_no_hidden_file_is_written(folder: Path, key: str, name: str) -> None:
    option = next(o for c, o in TEXTS if c == "scan" and settings.long_name(o) == key)
    with pytest.raises(BadInput, match="hidden"):
        read(folder, "scan", option, name, True)


def test_old_names_are_no_way_out(folder: Path) -> None:
    (folder / "mivolo.toml").write_text('[scan]\ncalibration = "/etc"\n')
    with pytest.raises(BadInput, match="scan.calibration points outside"):
        settings.read(
            folder / "mivolo.toml", PROGRAM, PROGRAM.make_context("m", ["info"]), found=True
        )


@pytest.fixture
def mivolo(no_weights_of_the_user: None) -> Mivolo:
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.mark.parametrize("below", [".", "2024/june"])
def test_the_attack_writes_nothing(folder: Path, mivolo: Mivolo, below: str) -> None:
    """A log in a start-up file, whose lines hold the name of a photo."""
    photo = save_photo(folder / below / "$(touch pwned).jpg")
    results = write_results(folder / "people.parquet", rows_of(photo))
    os.chdir(photo.parent)
    for name in ("../.bash_login", str(folder.parent / ".bashrc"), "link/.profile"):
        (folder / "mivolo.toml").write_text(f'[tag]\nlog = "{name}"\nreport = "{name}"\n')
        before = contents(folder.parent)
        out = mivolo("tag", results)
        assert isinstance(out.exception, BadInput) and "--settings" in out.exception.hint
        assert contents(folder.parent) == before
        assert mivolo("--no-settings", "tag", results, "--dry-run").exit_code == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners here")
def test_what_is_somebody_elses_is_not_read(
    folder: Path, mivolo: Mivolo, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "mivolo.toml"
    file.write_text("[scna]\n")
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    out = mivolo("weights", "verify", "mivolo-xs")
    assert out.exit_code == 0 and "belongs to another user and is ignored" in out.stderr
    assert isinstance(mivolo("--settings", file, "info").exception, BadInput), "named, it is read"


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives files away")
@pytest.mark.parametrize("theirs", ["file", "link"])
def test_both_a_link_and_its_file_have_to_be_ones_own(folder: Path, theirs: str) -> None:
    file, link = folder / "target.toml", folder / "mivolo.toml"
    file.touch()
    link.symlink_to(file)
    assert confine.is_own(link)
    os.chown(file if theirs == "file" else link, 12345, -1, follow_symlinks=False)
    assert not confine.is_own(link)


def test_ones_own_file_is_read(folder: Path, mivolo: Mivolo) -> None:
    (folder / "mivolo.toml").write_text("[scna]\n")
    assert isinstance(mivolo("info").exception, BadInput)
