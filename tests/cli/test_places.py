"""Addresses and patterns where paths belong, in every command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mivolo_cli import cli
from mivolo_cli.cli import places
from mivolo_cli.errors import BadInput
from mivolo_cli.storage import Url

READING = [
    "scan {} -o p.csv",
    "scan album {} -o p.csv",
    "scan . --detector given --boxes {} -o p.csv",
    "merge {} -o p.parquet",
    "tag {}",
    "untag {}",
    "find {}",
    "report {} -o r.html",
    "export {} --to coco -o c.json",
    "eval {}",
    "eval {} --images {}",
    "eval a.csv --predictions {}",
    "train {} -o run",
    "calibrate m.safetensors {} -o n.safetensors",
    "votes {} --controls c.csv -o l.csv",
    "weights add {}",
    "purge {}",
]
WRITING = [
    "scan . -o {}",
    "scan . -o p.csv --annotate {}",
    "scan . -o p.csv --log {}",
    "merge a.parquet -o {}",
    "report p.parquet -o {}",
    "export p.parquet --to xlsx -o {}",
    "find p.parquet --copy {}",
    "tag p.parquet --report {}",
    "train a.csv -o {}",
    "calibrate m.safetensors a.csv -o {}",
]
MODELS = ["scan . -o p.csv --model {}", "scan . -o p.csv --detector {}", "eval a.csv --model {}"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_weights_of_the_user: None) -> None:
    monkeypatch.chdir(tmp_path)


def refused(command: str, word: str) -> BadInput:
    words = [part.format(word) for part in command.split()]
    error = CliRunner().invoke(cli.app, words).exception
    assert isinstance(error, BadInput), error
    assert not list(Path().iterdir())
    return error


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize(
    "address", ["https://example.com/a b.zip", "http://x/p", "hf://datasets/x"]
)
def test_nothing_is_downloaded(command: str, address: str) -> None:
    if " " in address and command.startswith("eval {} --images"):
        address = address.replace(" ", "")
    error = refused(command, address)
    assert address in str(error) and "web address" in str(error)
    assert "download it first" in error.hint and "s3://" in error.hint


@pytest.mark.parametrize("command", WRITING)
def test_nothing_is_uploaded(command: str) -> None:
    error = refused(command, "https://example.com/x.csv")
    assert "https://example.com/x.csv" in str(error) and "upload it" in error.hint


@pytest.mark.parametrize("command", MODELS)
def test_models_are_fetched_by_name(command: str) -> None:
    error = refused(command, "https://example.com/x.pt")
    assert "https://example.com/x.pt" in str(error) and "weights fetch" in error.hint


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("pattern", ["*.jpg", "trip/IMG_[0-9]?.jpg", "people-*.parquet"])
def test_patterns_that_no_shell_has_replaced(command: str, pattern: str) -> None:
    error = refused(command, pattern)
    assert f"no such file or folder: {pattern}" in str(error)
    assert "remove the quotes" in error.hint
    assert ("--include" in error.hint) == (command.split()[0] == "scan")


@pytest.mark.parametrize(
    "pattern, command",
    [
        ("*.jpg", "mivolo scan . --include '*.jpg'"),
        ("trip/2024/**/*.png", "mivolo scan trip/2024 --include '**/*.png'"),
        ("/photos/day ?/a.jpg", "mivolo scan /photos --include 'day ?/a.jpg'"),
    ],
)
def test_a_pattern_for_include(pattern: str, command: str) -> None:
    with pytest.raises(BadInput) as caught:
        places.check_inputs([Path(pattern)], scans=True)
    assert caught.value.hint.endswith(command)


def test_names_that_only_look_like_one() -> None:
    for name in ("photo[1].jpg", "what?", "https:/x.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
        places.check_inputs([Path(name)])
    places.check_inputs([Url("s3://bucket/a*"), Path("C:/photos"), Path("-"), Path("gone.jpg")])
    places.check_outputs([Url("s3://bucket/p.csv"), Path("C:/p.csv"), Path("*.csv")])


def test_many_patterns_are_counted() -> None:
    with pytest.raises(BadInput, match=r"a\*, b\*, c\* and 2 more"):
        places.check_inputs([Path(f"{letter}*") for letter in "abcde"])


def test_a_list_of_addresses() -> None:
    out = CliRunner().invoke(cli.app, ["scan", "-", "-o", "p.csv"], input="https://x/a.jpg\n")
    assert isinstance(out.exception, BadInput) and "web address" in str(out.exception)
