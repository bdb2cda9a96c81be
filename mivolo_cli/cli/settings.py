"""The settings file: default options, with a table for each command."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption

from ..errors import BadInput
from ..storage import is_url, read_file
from . import confine
from .files import kinds
from .help import OLD_NAMES

NAME = "mivolo.toml"
SAID_EACH_TIME = ("help", "overwrite", "replace", "root", "tag", "trust")
"""Options that a file may not set, because it could come with a folder of someone else's photos."""
MOST_BYTES = 1 << 20


def find(start: Path) -> Path | None:
    """Return the settings file of a folder or of the nearest one above it."""
    return next(
        (file for folder in (start, *start.parents) if (file := folder / NAME).is_file()), None
    )


def read(
    file: Path, program: TyperGroup, context: typer.Context, *, found: bool = False
) -> dict[str, Any]:
    """Return defaults for a program's commands, as parameters by command. Raises BadInput for
    unknown options, and, in a file that was `found` rather than named, for references outside its
    folder."""
    try:
        tables = tomllib.loads(read_file(file, MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise BadInput(
            f"cannot read the settings {file}: {error.strerror}", hint="or use --no-settings"
        ) from error
    except ValueError as error:
        raise BadInput(
            f"the settings {file} are not valid TOML: {error}",
            hint="put text into quotes: model = 'auto'",
        ) from error
    defaults = _group(tables, program, context, file, "")
    if found:
        confine.check(tables, file)
    return defaults


def _group(
    tables: Mapping[str, Any], group: TyperGroup, ctx: typer.Context, file: Path, under: str
) -> dict[str, Any]:
    defaults = {}
    for name, table in tables.items():
        command = group.commands.get(name)
        if command is None or not isinstance(table, dict):
            _refuse(
                file,
                f"[{under}{name}]" if isinstance(table, dict) else name,
                name,
                group.commands,
                "a table" if command else "a command",
            )
        elif isinstance(command, TyperGroup):
            defaults[name] = _group(table, command, ctx, file, f"{name}.")
        else:
            options = {
                long_name(param): param
                for param in command.params
                if isinstance(param, TyperOption)
            }
            defaults[name] = dict(
                _value(_new_name(key, options), value, options, ctx, file, f"{under}{name}")
                for key, value in table.items()
            )
    return defaults


def _new_name(key: str, options: Collection[str]) -> str:
    """Return the current name of an option of version 0.1."""
    new = OLD_NAMES.get(f"--{key}", "").lstrip("-")
    return new if new in options else key


def _value(
    key: str,
    value: Any,
    options: Mapping[str, TyperOption],
    ctx: typer.Context,
    file: Path,
    command: str,
) -> tuple[str, Any]:
    """Return the parameter's name and its validated value; paths are relative to the file's
    folder."""
    settable = [name for name in options if name not in SAID_EACH_TIME]
    if key in SAID_EACH_TIME and key in options:
        raise BadInput(
            f"{file}: --{key} of `mivolo {command}` is not allowed in a settings file",
            hint="give it on the command line each time",
        )
    if key not in settable:
        _refuse(file, f"{command}.{key}", key, settable, f"an option of `mivolo {command}`")
    option = options[key]
    wanted = _wanted(option)
    values = value if option.multiple and isinstance(value, list) else [value]
    if not all(type(one) in wanted for one in values):
        names = " or ".join(kind.__name__ for kind in wanted)
        raise BadInput(
            f"{file}: {command}.{key} is {value!r}, but must be {names}",
            hint=f"see `mivolo {command} --help`",
        )
    if Path in kinds(option):
        values = [
            one if is_url(one) else os.path.join(file.parent, os.path.expanduser(one))
            for one in values
        ]
    checked = values if option.multiple else values[0]
    try:
        option.process_value(ctx, checked)
    except typer.BadParameter as error:
        raise BadInput(
            f"{file}: {command}.{key}: {error.message}", hint=f"see `mivolo {command} --help`"
        ) from error
    return str(option.name), checked


def long_name(option: TyperOption) -> str:
    """Return an option's name without dashes: as-json is called json."""
    return max(option.opts, key=len).lstrip("-")


def _wanted(option: TyperOption) -> tuple[type, ...]:
    if option.is_flag:
        return (bool,)
    found = kinds(option)
    return (int, float) if float in found else (int,) if int in found else (str,)


def _refuse(file: Path, what: str, name: str, known: Iterable[str], kind: str) -> None:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there can be {', '.join(sorted(known))}"
    raise BadInput(f"{file}: {what} is not {kind}", hint=hint)
