"""`mivolo eval` and `mivolo calibrate`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..atomic import Kind, check_file
from .console import Console, print_json
from .files import model_kind
from .labelled import reading
from .options import (
    DATA,
    RESULT,
    AsJson,
    Device,
    Engine,
    Flip,
    Images,
    Invalid,
    Model,
    Pictures,
    Precision,
    Quiet,
    Use,
)
from .progress import counting
from .text import UNCERTAINTY, aligned, share, years

if TYPE_CHECKING:
    from ..evaluation.evaluate import EvalReport, Evaluation

EXAMPLES = """Examples:

mivolo eval faces.parquet

mivolo eval labels.csv --images photos --pictures photo --plots figures

mivolo eval faces.parquet --predictions people.parquet --compare others.csv --json"""
CALIBRATE_EXAMPLES = """Example:

mivolo calibrate run/model.safetensors faces-val.parquet -o model.safetensors"""
Data = Annotated[
    list[Path],
    typer.Argument(
        help=(
            "Labelled pictures: Parquet with images, CSV with paths, "
            "or a folder in the style of UTKFace."
        )
    ),
]
PLOT_NAME = re.compile(r".+-(ages|errors|intervals)\.png")
GROUPS = {"used": "seen from", "gender": "gender", "age": "age"}
ECE = "ECE: mean difference between gender_score and the share of correct genders"
HELD = "held: share of true ages between age_low and age_high; the target is 80 %"


def evaluate(
    data: Data,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="RESULTS", help="Evaluate this table instead of running the model."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="RESULTS", help="Also evaluate this table.")
    ] = None,
    model: Model = "auto",
    use: Use = "both",
    images: Images = None,
    pictures: Pictures = "face",
    invalid: Invalid = "refuse",
    level: Annotated[
        float, typer.Option(min=0, help="L of CS@L, in years.", rich_help_panel=RESULT)
    ] = 5.0,
    combine: Annotated[
        bool,
        typer.Option(
            "--combine",
            help="Also evaluate people combined from the data's faces and bodies.",
            rich_help_panel=DATA,
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="Use at most N people of each file, evenly spaced.", rich_help_panel=DATA
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save plots as PNG files in DIR.", rich_help_panel=RESULT),
    ] = None,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
    flip: Flip = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model or scan results on labelled data: MAE, CS@L, bias, gender accuracy,
    intervals."""
    from ..evaluation.evaluate import EvalOptions
    from ..evaluation.evaluate import evaluate as run
    from ..pipeline.options import InferenceOptions

    if plots is not None:
        _check_plots(plots)
    options = EvalOptions(
        data=data,
        predictions=predictions,
        compare=compare,
        inference=InferenceOptions(
            model=model, device=device, engine=engine, precision=precision, use=use, flip=flip
        ),
        level=level,
        combine=combine,
        limit=limit,
        reading=reading(data, images, pictures, invalid),
    )
    with Console("eval", quiet, as_json) as console:
        with counting("eval", " pictures", quiet) as show:
            found = run(options, show)
        drawn = _plot(found.evaluations, plots) if plots else []
        if as_json:
            print_json(_plain(found, drawn, level, console.notes))
        for line in _lines(found, level, console.notes):
            say = console.say if "  " in line else console.say_wrapped
            say(line)
        for file in drawn:
            console.say(f"plot: {file}")


def calibrate(
    model: Annotated[str, typer.Argument(help="Name or file of a model.")],
    data: Annotated[
        list[Path], typer.Argument(help="Labelled pictures that the model was not trained on.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--output", "--out", "-o", metavar="FILE", help="The calibrated model to write."
        ),
    ],
    images: Images = None,
    pictures: Pictures = "face",
    invalid: Invalid = "refuse",
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fit a model's 80 % prediction intervals to labelled people it was not trained on."""
    from ..evaluation.calibrate import CalibrateOptions
    from ..evaluation.calibrate import calibrate as run
    from ..pipeline import defaults

    chosen = defaults.choose_device(device).name
    model = defaults.choose_model(model, chosen).name
    check_file(out, model_kind(), inputs=[Path(model), *data])
    read = reading(data, images, pictures, invalid)
    options = CalibrateOptions(model, data, out, chosen, read)
    with Console("calibrate", quiet, as_json) as console:
        with counting("calibrate", " people", quiet) as show:
            checks = run(options, show)
        lines = [
            (
                f"{check.used}: intervals cover {share(check.coverage)} of "
                f"{check.coverage.count} people (cross-checked between two halves); mean "
                f"width {check.width.value:.1f} years"
            )
            for check in checks
        ]
        facts = {"model": out, "checks": [asdict(check) for check in checks]}
        console.finish([*lines, f"model: {out}"], facts)


def _check_plots(folder: Path) -> None:
    """Reject a folder with pictures of other programs that are named like plots."""
    for file in folder.glob("*.png"):
        if PLOT_NAME.fullmatch(file.name):
            check_file(file, PLOT)


def _is_plot(file: Path) -> bool:
    with file.open("rb") as opened:
        start = opened.read(1024)
    return start.startswith(b"\x89PNG") and b"Software\0Matplotlib" in start


PLOT = Kind("plot of mivolo eval", _is_plot, hint="choose another folder for --plots")


def _plot(evaluations: Sequence[Evaluation], folder: Path) -> list[Path]:
    from ..evaluation.plots import save_plots

    files = []
    for item in evaluations:
        stem = "-".join(
            part.replace(" ", "_") for part in (item.data, item.shows, Path(item.source).stem)
        )
        files += save_plots(
            item.outcomes, f"{item.source} on {item.data} ({item.shows})", folder, stem
        )
    return files


def _plain(
    found: EvalReport, drawn: Sequence[Path], level: float, notes: Sequence[str]
) -> dict[str, Any]:
    return {
        "level": level,
        "evaluations": [item.to_dict() for item in found.evaluations],
        "problems": [asdict(problem) for problem in found.problems],
        "plots": [str(file) for file in drawn],
        "warnings": notes,
    }


def _lines(found: EvalReport, level: float, notes: Sequence[str]) -> list[str]:
    lines = []
    for item in found.evaluations:
        lines += [
            "",
            f"{item.data}: {item.score.people} x {item.shows}, by {item.source}",
            *_table(item, level),
        ]
    if found.problems:
        lines += [
            "",
            (f"{len(found.problems)} rows were skipped, for example {found.problems[0].place}:"),
        ]
        lines += [f"  {problem.message}" for problem in found.problems[:1]]
    legend = ["MAE, bias and width are in years", UNCERTAINTY]
    legend[1:1] = [ECE] if any(item.score.gender_ece for item in found.evaluations) else []
    legend[1:1] = [HELD] if any(item.score.coverage for item in found.evaluations) else []
    return [*lines[1:], "", *legend, *(f"note: {note}" for note in notes)]


def _table(item: Evaluation, level: float) -> list[str]:
    """Return aligned text: a row for all people and one for each group, without empty columns."""
    rows = [("all", item.score), *((f"{GROUPS[g.by]} {g.name}", g.score) for g in item.groups)]
    columns = {
        "people": lambda s: str(s.people),
        "answered": lambda s: f"{s.answered / s.people:.1%}" if s.people else "-",
        "MAE": lambda s: years(s.mae),
        f"CS@{level:g}": lambda s: share(s.cs),
        "bias": lambda s: years(s.bias, "{:+.2f}"),
        "gender": lambda s: share(s.gender),
        "ECE": lambda s: "-" if s.gender_ece is None else f"{s.gender_ece.value:.1%}",
        "in range": lambda s: share(s.in_range),
        "one off": lambda s: share(s.one_off),
        "held": lambda s: share(s.coverage),
        "width": lambda s: "-" if s.width is None else f"{s.width.value:.1f}",
    }
    cells = {name: [tell(s) for _, s in rows] for name, tell in columns.items()}
    shown = {name: values for name, values in cells.items() if set(values) != {"-"}}
    names = [name for name, _ in rows]
    table = [
        ["", *shown],
        *([names[i], *(values[i] for values in shown.values())] for i in range(len(rows))),
    ]
    return aligned(table)
