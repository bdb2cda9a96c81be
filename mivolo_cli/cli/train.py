"""`mivolo train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device


def train(
    data: Annotated[
        list[Path], typer.Argument(help="Labelled pictures: Parquet files in the Hugging Face convention.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model, its log and checkpoint.")],
    recipe: Annotated[Path | None, typer.Option(help="TOML file of settings; see weights/recipes.")] = None,
    validation: Annotated[list[Path] | None, typer.Option(help="Labelled pictures to measure on; repeatable.")] = None,
    init: Annotated[str | None, typer.Option(help="Start from this model (name or file).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the folder.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    device: Device = "auto",
) -> None:
    """Train a model on labelled faces and bodies."""
    from .. import auto
    from ..train import TrainOptions, read_recipe
    from ..train import train as run

    options = TrainOptions(
        data=data,
        out=out,
        recipe=read_recipe(recipe, epochs=epochs),
        validation=validation or [],
        device=auto.choose_device(device).name,
        init=init,
        resume=resume,
    )
    model = run(options, report=lambda row: typer.echo("  ".join(f"{k} {_short(v)}" for k, v in row.items())))
    typer.echo(f"model: {model}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
