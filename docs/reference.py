"""Writes commands.md, the reference of all commands and options: `make docs`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from mivolo_cli.cli import app

PAGE = Path(__file__).with_name("commands.md")
NOT_SAID = ("(none)", "(off)")
"""Defaults that an option's help does not need: no value, and a flag that is not set."""
RANGES = ((r"(.+)<=x<=(.+)", r"From \1 to \2."), (r"x>=(.+)", r"At least \1."))


def page() -> str:
    """The whole reference, as Markdown."""
    program = typer.main.get_command(app)
    return "\n".join(_sections(program, typer.Context(program, info_name="mivolo")))


def _sections(command: Any, ctx: typer.Context, level: int = 1) -> Iterator[str]:
    yield _section(command, ctx, level)
    for name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _sections(child, typer.Context(child, parent=ctx, info_name=name), level + 1)


def _section(command: Any, ctx: typer.Context, level: int) -> str:
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [
        f"{'#' * level} `{ctx.command_path}`",
        _escaped(command.help),
        f"```text\n{usage}\n```",
        _described(command, ctx, "argument"),
        _described(command, ctx, "option"),
        _children(command, ctx),
        _examples(command.epilog or ""),
    ]
    return "".join(f"{part}\n\n" for part in parts if part).rstrip() + "\n"


def _described(command: Any, ctx: typer.Context, kind: str) -> str:
    """The arguments or the options, one a line."""
    params = [param for param in command.get_params(ctx) if param.param_type_name == kind]
    records = [record for param in params if (record := param.get_help_record(ctx))]
    return _listed(
        f"{kind.capitalize()}s",
        [f"- `{_name(name)}`: {_help(text)}" for name, text in records if name != "--help"],
    )


def _children(command: Any, ctx: typer.Context) -> str:
    """What each command of a group is for."""
    shown = [child for child in getattr(command, "commands", {}).values() if not child.hidden]
    return _listed(
        "Commands", [f"- `{ctx.command_path} {child.name}`: {_line(child.help)}" for child in shown]
    )


def _listed(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", "", *lines]) if lines else ""


def _name(name: str) -> str:
    """Without the Python type that typer adds to an argument."""
    return re.sub(r" <[\w\[\], .]+>$", "", name)


def _help(text: str) -> str:
    """An option's help, with what typer puts into brackets as sentences."""
    text, _, extra = text.partition("  [")
    sentences = filter(None, map(_sentence, extra.removesuffix("]").split("; ")))
    return " ".join([_escaped(text), *sentences])


def _sentence(extra: str) -> str:
    word, _, value = extra.partition("default: ")
    if word or not value:
        for pattern, words in RANGES:
            word = re.sub(f"^{pattern}$", words, word)
        return "Required." if word == "required" else word
    if value in NOT_SAID:
        return ""
    return f"Default: {value[1:-1]}." if value.startswith("(") else f"Default: `{value}`."


def _line(text: str) -> str:
    """The first paragraph in one line."""
    return _escaped(" ".join(text.split("\n\n")[0].split()))


def _escaped(text: str) -> str:
    """Stars and the like stay what they are, except in code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else re.sub(r"([*_<])", r"\\\1", part) for part in parts)


def _examples(epilog: str) -> str:
    lines = [line for line in epilog.splitlines() if line]
    return "\n".join([lines[0], "", "```", *lines[1:], "```"]) if len(lines) > 1 else epilog


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
