"""`mivolo eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Model, Precision


def evaluate(
    data: Annotated[
        list[Path], typer.Argument(help="Labelled pictures: Parquet files in the Hugging Face convention.")
    ],
    predictions: Annotated[
        Path | None, typer.Option(metavar="RESULTS", help="Measure this table of a scan instead of running the model.")
    ] = None,
    model: Model = "auto",
    device: Device = "auto",
    precision: Precision = "fp32",
) -> None:
    """Measure a model, or the results of a scan, on labelled data: MAE, CS@5, gender accuracy."""
    from .. import auto
    from ..evaluate import EvalOptions
    from ..evaluate import evaluate as run

    chosen = auto.choose_device(device).name
    name = auto.choose_model(model, chosen).name
    found = run(EvalOptions(data, predictions, name, chosen, precision))
    typer.echo(f"{'data':<24} {'shows':<6} {'people':>7} {'answered':>9} {'MAE':>7} {'CS@5':>8} {'gender':>8}")
    for item in found:
        score = item.score
        answered = 1 - score.refused / score.people if score.people else 0.0
        age = "-" if score.mae is None else f"{score.mae:.2f}"
        typer.echo(
            f"{item.data:<24} {item.crop:<6} {score.people:>7} {answered:>9.1%} {age:>7} "
            f"{_percent(score.cs5):>8} {_percent(score.gender_accuracy):>8}"
        )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
