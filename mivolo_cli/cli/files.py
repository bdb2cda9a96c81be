"""Check the files of a command line: no output is an input, and no two outputs are the same file.

Parameters that name files are recognised by their types, so that new ones are not forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperOption

from ..atomic import Kind, check_file, refuse_inputs, refuse_twins
from ..storage import place
from . import places

OUTPUTS = (
    *("output", "out", "annotate", "plots", "report", "log"),
    *("table", "playlist", "copy", "link"),
)
"""The parameters that name what a command writes; all other paths are read."""
MODELS = ("model", "detector", "init")
"""Parameters that are either a registered name or a file."""
Values = Mapping[str, Any]


def names_file(param: Any) -> bool:
    """Return whether a parameter's value is a path, or several."""
    return isinstance(param, TyperOption | TyperArgument) and Path in kinds(param)


def kinds(param: TyperOption | TyperArgument) -> tuple[Any, ...]:
    """Return the types of a parameter's value, or of each of its values."""
    annotation = param.type_descriptor.annotation
    return (annotation, *getattr(annotation, "__args__", ()))


def outputs(params: Iterable[Any], values: Values) -> list[Path]:
    return list(_paths(params, values, lambda param: names_file(param) and param.name in OUTPUTS))


def inputs(params: Iterable[Any], values: Values) -> list[Path]:
    """Return all paths that the command reads, including models that are files."""
    return list(
        _paths(
            params,
            values,
            lambda param: param.name in MODELS or (names_file(param) and param.name not in OUTPUTS),
        )
    )


def check(params: Sequence[Any], values: Values, settings: Path | None) -> None:
    """Reject a command line whose outputs are inputs, or the same as one another. Raises
    BadInput."""
    written = outputs(params, values)
    _check_places(params, values, written)
    refuse_inputs(written, [*inputs(params, values), *([settings] if settings else [])])
    refuse_twins(written)


def _check_places(params: Sequence[Any], values: Values, written: Sequence[Path]) -> None:
    """Reject addresses and patterns given as paths. Raises BadInput."""
    scans = any(param.name == "include" for param in params)
    for name in MODELS:
        places.check_model(values.get(name) or "")
    places.check_inputs(inputs([p for p in params if p.name not in MODELS], values), scans)
    places.check_outputs(written)


def check_inside(folder: Path, written: Mapping[str, Kind], inputs: Iterable[Path]) -> None:
    """Reject a folder in which files of these names cannot be written. Raises BadInput."""
    inputs = list(inputs)
    for name, kind in written.items() if folder.is_dir() else ():
        check_file(folder / name, kind, inputs=inputs)


def model_kind() -> Kind:
    from ..model.checkpoint import is_ours

    return Kind("model that mivolo has made", is_ours)


def _paths(params: Iterable[Any], values: Values, wanted: Any) -> Iterator[Path]:
    for param in filter(wanted, params):
        value = values.get(param.name)
        for one in value if isinstance(value, list | tuple) else [value]:
            if one:
                yield place(one)
