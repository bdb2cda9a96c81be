"""What is printed for people to read: the reference equals the program, and commands parse as they
are printed."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reference
import typer
from helpers.pages import ROOT, code, pages
from typer.testing import CliRunner

from mivolo_cli import cli
from mivolo_cli.cli import settings

PAGES = pages()
SHELLS = ("", "sh", "bash", "console")
PROGRAM: Any = typer.main.get_command(cli.app)


def printed_commands() -> list[str]:
    """Lines of the pages' plain blocks of code, and the examples of every help."""
    texts = [(ROOT / page).read_text("utf-8") for page in PAGES]
    lines = [line for text in texts for line in code_of(text)]
    lines += [
        line for _, command in commands(PROGRAM) for line in (command.epilog or "").splitlines()
    ]
    parts = [part.strip() for line in lines for part in re.split(r" [|&]+ ", line)]
    return sorted({part for part in parts if part.startswith("mivolo ")})


def code_of(text: str) -> list[str]:
    """Lines between fences that name no other language than a shell's, and indented ones."""
    fence = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.S | re.M)
    shells = [block for language, block in fence.findall(text) if language in SHELLS]
    indented = re.findall(r"^ {4,}(?:\$ )?(mivolo .*)$", fence.sub("", text), re.M)
    return [*"\n".join(shells).splitlines(), *indented]


def commands(group: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        yield (*above, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*above, name))


@pytest.mark.parametrize("line", printed_commands())
def test_commands_parse_as_they_are_printed(line: str) -> None:
    _, *words = shlex.split(line, comments=True)
    command, name = PROGRAM, "mivolo"
    while words and words[0] in getattr(command, "commands", ()):
        name = words.pop(0)
        command = command.commands[name]
    if command is not PROGRAM:
        command.make_context(name, words)
    else:
        assert words in (["--install-completion"],)


def test_the_reference_equals_the_program() -> None:
    assert (ROOT / "docs" / "commands.md").read_text("utf-8") == reference.page(), (
        "run `make docs` (python docs/reference.py)"
    )


def test_the_reference_is_for_people() -> None:
    """No types of Python, no entities of HTML, no default that says nothing or is said twice."""
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    assert not re.findall(
        r"<(?:list\[|path>|str>|int>|float>)|&#?\w+;|\(none\)|\(off\)|\[default", text
    )
    for line in text.splitlines():
        assert line.count("Default: ") <= 1, line
    assert "- `PATHS`: Files, folders" in text
    assert "`--batch-size N`" in text and "Default: `32`. At least 1." in text


def test_stars_of_a_help_text_are_no_emphasis() -> None:
    assert reference._escaped("'2024/**' or `*.jpg`") == r"'2024/\*\*' or `*.jpg`"


@pytest.mark.parametrize(
    "name, command", [(" ".join(names), command) for names, command in commands(PROGRAM)]
)
def test_the_reference_has_what_help_says(name: str, command: Any) -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    section = page.split(f"## `mivolo {name}`\n", 1)[1].split("\n##")[0]
    shown = (
        CliRunner().invoke(cli.app, [*name.split(), "--help"], env={"TERMINAL_WIDTH": "400"}).stdout
    )
    options = set(re.findall(r"--[a-z][a-z0-9-]+", shown)) - {"--help"}
    assert "--help" in shown and not {option for option in options if option not in section}


def test_the_settings_that_are_shown_are_valid(tmp_path: Path) -> None:
    (text,) = code("toml")
    file = tmp_path / "mivolo.toml"
    file.write_text(text, encoding="utf-8")
    read = settings.read(file, PROGRAM, PROGRAM.make_context("mivolo", ["info"]))
    assert read["scan"]["batch_size"] == tomllib.loads(text)["scan"]["batch-size"]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        if not target.startswith("http"):
            file = (ROOT / page).parent / name if name else ROOT / page
            assert file.exists(), target
            assert not heading or heading in anchors(file), target
    for name in re.findall(r"\]\[(\w+)\]", text):
        assert f"\n[{name}]: https://" in text, name
