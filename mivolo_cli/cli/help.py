"""Commands whose help shows every default and which record where their settings come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.exceptions import TyperException

from . import files
from .text import echo, shown

SETTINGS = "mivolo.settings"
"""Key of the settings file in a context."""
METAVARS = {Path: "PATH", str: "TEXT", int: "N", float: "N"}


OLD_NAMES = {
    "--samples": "--archives",
    "--calibration": "--int8-samples",
    "--stems": "--backbones",
}
"""Option names of version 0.1, which still work for commands that have the new name."""


class Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [self._renamed(arg) for arg in args])

    def _renamed(self, arg: str) -> str:
        """Return the new name of an old option, with or without `=value`."""
        old, equals, value = arg.partition("=")
        new = OLD_NAMES.get(old, "")
        known = {name for param in self.params for name in getattr(param, "opts", ())}
        return new + equals + value if new in known else arg

    def get_params(self, ctx: Any) -> list[Any]:
        return _described(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        files.check(self.params, ctx.params, ctx.meta.get(SETTINGS))
        file = ctx.meta.get(SETTINGS)
        if (
            file is not None
            and ctx.default_map
            and not (ctx.params.get("quiet") or ctx.params.get("as_json"))
        ):
            echo(f"settings: {file}", err=True)
        return super().invoke(ctx)


class CommandGroup(TyperGroup):
    def make_context(self, *args: Any, **settings: Any) -> Any:
        with _shown_errors():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: Any) -> Any:
        with _shown_errors():
            return super().invoke(ctx)

    def get_params(self, ctx: Any) -> list[Any]:
        return _described(super().get_params(ctx))


@contextmanager
def _shown_errors() -> Iterator[None]:
    """Escape control characters in typer's errors, which contain what the user has typed."""
    try:
        yield
    except TyperException as error:
        if hasattr(error, "message"):
            error.message = shown(error.message)
        raise


class App(typer.Typer):
    """A program, or a group of commands, with our help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            cls=CommandGroup, no_args_is_help=True, pretty_exceptions_enable=False, **settings
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        return super().command(name, **{"cls": Command, **settings})


def _described(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperOption):
            param.metavar = _metavar(param)
            if param.show_default is True and not param.required:
                param.show_default = _default(param)
        elif isinstance(param, TyperArgument):
            param.metavar = param.metavar or str(param.name).upper()
    return params


def _metavar(option: TyperOption) -> str | None:
    """Return the placeholder of the value: nothing for a flag, and None for choices, which typer
    lists."""
    if option.is_flag or option.metavar is not None or option.type_descriptor.is_choice:
        return "" if option.is_flag else option.metavar
    return next((METAVARS[kind] for kind in files.kinds(option) if kind in METAVARS), None)


def _default(option: TyperOption) -> str | bool:
    """Return the default as text if typer would show nothing."""
    if option.default is None or option.default in ((), []):
        return "none"
    return "off" if option.default is False and not option.secondary_opts else True
