"""`mivolo train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..atomic import Kind
from ..errors import ExitCode
from . import files
from .console import Console
from .interrupt import asked
from .labelled import reading
from .options import DATA, MODEL, AsJson, Device, Images, Invalid, Log, Pictures, Quiet
from .progress import Stages

RECIPE = "Recipe"
LOG_STARTS = (b"step,epoch,data,people,answered,", b"step,of,epoch,pace,")
"""The beginnings of the CSV files of a training run."""
EXAMPLES = """Examples:

mivolo train faces.parquet bodies.parquet --validation faces-val.parquet -o run

mivolo train labels.csv --images photos --pictures photo --init auto -o run

mivolo train labels.csv --images photos -o run --resume"""

Data = Annotated[
    list[Path],
    typer.Argument(
        help="Labelled pictures: Parquet with images, CSV with paths, or a folder in the style of "
        "UTKFace. Faces and bodies are detected once and stored."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--output", "--out", "-o", metavar="DIR", help="Folder for the model, logs and checkpoint."
    ),
]
Validation = Annotated[
    list[Path] | None,
    typer.Option(help="Labelled pictures for validation; repeatable.", rich_help_panel=DATA),
]
Recipe = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="TOML file with the training settings.", rich_help_panel=RECIPE
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of epochs.",
        show_default="the recipe's",
        rich_help_panel=RECIPE,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Random seed.", show_default="the recipe's", rich_help_panel=RECIPE),
]
Fusion = Annotated[
    str | None,
    typer.Option(
        help="attention or concatenation.", show_default="the recipe's", rich_help_panel=RECIPE
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        help="Fine-tune this model (auto, name or file); small steps unless --recipe is given.",
        rich_help_panel=MODEL,
    ),
]
Backbones = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Start from these pretrained backbones.", rich_help_panel=MODEL
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Resume from the last checkpoint in the folder.")
]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Also log to DIR/tensorboard.")]


def train(
    data: Data,
    out: Out,
    validation: Validation = None,
    images: Images = None,
    pictures: Pictures = "face",
    invalid: Invalid = "refuse",
    recipe: Recipe = None,
    epochs: Epochs = None,
    seed: Seed = None,
    fusion: Fusion = None,
    init: Init = None,
    backbones: Backbones = None,
    resume: Resume = False,
    tensorboard: Tensorboard = False,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
    log: Log = None,
) -> None:
    """Train a model on labelled faces and bodies, and calibrate it on validation data."""
    from ..model import checkpoint
    from ..pipeline import defaults
    from ..training.recipe import read_recipe
    from ..training.train import TrainOptions
    from ..training.train import train as run

    chosen = defaults.choose_device(device).name
    init = init and defaults.choose_model(init, chosen).name
    spec = checkpoint.load(init)[1] if init else None
    options = TrainOptions(
        data=data,
        out=out,
        recipe=read_recipe(recipe, spec, epochs=epochs, seed=seed, fusion=fusion),
        validation=validation or [],
        device=chosen,
        init=init,
        backbones=backbones,
        resume=resume,
        tensorboard=tensorboard,
        reading=reading([*data, *(validation or [])], images, pictures, invalid),
    )

    read = [*data, *options.validation, images, recipe, backbones, init]
    files.check_inside(out, _written(), [Path(file) for file in read if file])

    def show(row: dict[str, object]) -> None:
        console.log("progress", **row)
        stages.clear()
        console.say("  ".join(f"{k} {_short(v)}" for k, v in row.items() if v is not None))

    def on_progress(verb: str, done: int, total: int) -> None:
        stages(verb, done, total)
        if ctrl_c.is_set():
            raise KeyboardInterrupt

    stages = Stages(quiet)
    with Console("train", quiet, as_json, log) as console, asked() as ctrl_c:
        try:
            model = run(options, show, on_progress)
        except KeyboardInterrupt:
            stages.close()
            console.log("interrupted")
            typer.echo(_stopped(out), err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        finally:
            stages.close()
        console.finish([f"model: {model}"], {"model": model})


def _written() -> dict[str, Kind]:
    """Return the files in the folder of a training run."""
    from ..training.train import BEST, LAST, LOG, MODEL, PEOPLE, STEPS

    model, table = files.model_kind(), Kind("log of mivolo train", _is_log)
    checkpoint = Kind("checkpoint of mivolo train", _is_zip)
    return {BEST: model, MODEL: model, LOG: table, STEPS: table, LAST: checkpoint} | {
        PEOPLE: Kind("list of people of mivolo train", _is_people)
    }


def _is_log(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(100).startswith(LOG_STARTS)


def _is_people(file: Path) -> bool:
    from ..datasets.locate import is_cache

    return is_cache(file)


def _is_zip(file: Path) -> bool:
    """Return whether a file is a ZIP, as PyTorch's checkpoints are; their content is checked when
    training resumes."""
    with file.open("rb") as opened:
        return opened.read(4) == b"PK\x03\x04"


def _stopped(out: Path) -> str:
    from ..training.train import LAST

    if not (out / LAST).exists():
        return "stopped before the first checkpoint; run the same command again"
    return f"stopped; {out / LAST} is kept: run the same command with --resume to continue"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
