"""The settings file: where it is found, what it may say, and that the command line wins."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.calls import keeping
from typer.testing import CliRunner
from typer.testing import Result as Outcome

from mivolo_cli import cli
from mivolo_cli.cli.settings import find
from mivolo_cli.errors import BadInput
from mivolo_cli.scan import run as scanning
from mivolo_cli.scan.options import Progress, ScanOptions

Scan = Callable[..., tuple[ScanOptions, Outcome]]


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scan:
    """The options that reach a scan in a folder below the one with that settings file."""
    asked: list[ScanOptions] = []
    monkeypatch.setattr(scanning, "scan", keeping(asked, lambda *_: Progress()))
    (tmp_path / "below" / "it").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "below" / "it")

    def run(
        settings: str, *arguments: str, before: tuple[str, ...] = ()
    ) -> tuple[ScanOptions, Outcome]:
        (tmp_path / "mivolo.toml").write_text(settings, encoding="utf-8")
        out = CliRunner().invoke(cli.app, [*before, "scan", "photos", *arguments])
        if out.exception is not None:
            raise out.exception
        return asked[-1], out

    return run


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find(tmp_path / "a" / "b") is None
    for folder in (tmp_path, tmp_path / "a"):
        (folder / "mivolo.toml").touch()
        assert find(tmp_path / "a" / "b") == folder / "mivolo.toml"


def test_settings_are_defaults(tmp_path: Path, scan: Scan) -> None:
    text = """[scan]
    model = "m"
    batch-size = 5
    hidden = true
    exclude = ["x", "y"]
    include = "z"
    output = "results/people.csv"
    """
    options, out = scan(text)
    assert (options.inference.model, options.inference.batch_size, options.hidden) == ("m", 5, True)
    assert (options.exclude, options.include) == (["x", "y"], ["z"])
    assert options.outputs == [tmp_path / "results" / "people.csv"], (
        "beside the file, wherever the command is given"
    )
    assert out.stderr == f"settings: {tmp_path / 'mivolo.toml'}\n"


def test_the_command_line_wins(scan: Scan) -> None:
    text = '[scan]\nmodel = "m"\nbatch-size = 5\nexclude = ["x"]\n'
    options, _ = scan(text, "--model", "other", "--exclude", "y")
    assert (options.inference.model, options.inference.batch_size, options.exclude) == (
        "other",
        5,
        ["y"],
    )
    options, out = scan(text, before=("--no-settings",))
    assert (options.inference.model, options.inference.batch_size, out.stderr) == ("auto", 32, "")


def test_a_file_can_be_named(tmp_path: Path, scan: Scan) -> None:
    (tmp_path / "mine.toml").write_text("[scan]\nbatch-size = 7\n")
    options, _ = scan(
        "[scan]\nbatch-size = 5\n", before=("--settings", str(tmp_path / "mine.toml"))
    )
    assert options.inference.batch_size == 7


def test_other_commands_settings_are_not_mentioned(scan: Scan) -> None:
    assert scan("[report]\nsize = 100\n")[1].stderr == ""
    assert scan("[scan]\nquiet = true\n")[1].output == ""


@pytest.mark.parametrize(
    "text, message, hint",
    [
        ("[scna]\n", "[scna]", "did you mean scan?"),
        ("[scan]\nbatchsize = 4\n", "scan.batchsize", "did you mean batch-size?"),
        ("[weights.fetch]\nofline = true\n", "weights.fetch.ofline", "did you mean offline?"),
        ("[scan]\nbatch-size = 'many'\n", "scan.batch-size is 'many'", "mivolo scan --help"),
        ("[scan]\nbatch-size = 0\n", "scan.batch-size", "mivolo scan --help"),
        ("[scan]\nbatch-size = true\n", "must be int", "mivolo scan --help"),
        ("[scan]\nuse = 'hands'\n", "hands", "mivolo scan --help"),
        ("[scan]\nhidden = 1\n", "must be bool", "mivolo scan --help"),
        ("[scan]\nexclude = [1]\n", "scan.exclude", "mivolo scan --help"),
        ("[scan]\ntag = true\n", "--tag", "each time"),
        ("[report]\nroot = ['C:=/etc']\n", "--root", "each time"),
        ("[weights.add]\ntrust = true\n", "--trust", "each time"),
        ("[scan]\npaths = ['a']\n", "scan.paths", "there can be"),
        ("scan = 1\n", "scan is not a table", ""),
        ("[scan\n", "not valid TOML", "quotes"),
    ],
)
def test_what_a_file_may_not_say(scan: Scan, text: str, message: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        scan(text)
    assert "mivolo.toml" in str(caught.value) and message in str(caught.value)
    assert hint in caught.value.hint


def test_info_says_which_file_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "settings     none" in CliRunner().invoke(cli.app, ["info"]).stdout
    (tmp_path / "mivolo.toml").write_text("[scan]\nbatch-size = 4\n")
    assert (
        f"settings     {tmp_path / 'mivolo.toml'}" in CliRunner().invoke(cli.app, ["info"]).stdout
    )
    facts = json.loads(CliRunner().invoke(cli.app, ["info", "--json"]).stdout)
    assert facts["settings"] == str(tmp_path / "mivolo.toml")


def test_a_file_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["mivolo", "--settings", "gone.toml", "info"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "cannot read the settings gone.toml" in capsys.readouterr().err


def option_lines(*command: str) -> dict[str, Any]:
    """Of the help in a wide terminal: each option's line."""
    out = CliRunner().invoke(
        cli.app, [*command, "--help"], env={"TERMINAL_WIDTH": "400", "COLUMNS": "400"}
    )
    words = [
        line.strip("│* \n").split() for line in out.stdout.splitlines() if line.startswith("│")
    ]
    return {line[0]: " ".join(line) for line in words if line and line[0].startswith("--")}


COMMANDS = [
    "scan",
    "tag",
    "untag",
    "demo",
    "report",
    "export",
    "eval",
    "calibrate",
    "train",
    "votes",
    "info",
    "purge",
]


@pytest.mark.parametrize(
    "command", [*COMMANDS, *(f"weights {name}" for name in ("list", "verify", "add", "fetch"))]
)
def test_every_option_says_its_default(command: str) -> None:
    lines = option_lines(*command.split())
    del lines["--help"]
    assert lines or command == "weights"
    assert [
        name
        for name, line in lines.items()
        if not any(word in line for word in ("[default: ", "[required]"))
    ] == []


def test_defaults_that_need_words() -> None:
    lines = option_lines("scan")
    assert "[default: (off)]" in lines["--hidden"] and "[default: (none)]" in lines["--output"]
    assert "[default: 0]" in lines["--workers"] and "[default: auto]" in lines["--model"]
