"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

FIND, MODEL, RESULT, DATA = "Which photos", "Detector and model", "Results", "Labelled data"
CLUSTER = "Many machines"
Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="auto, published (with its detector), a name of `mivolo weights list`, or a file.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)]
Engine = Annotated[str, typer.Option(help="auto, torch or openvino.", rich_help_panel=MODEL)]
Precision = Annotated[str, typer.Option(help="fp32, bf16, fp16 or int8.", rich_help_panel=MODEL)]
MinScore = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Leave out people whose face (or body, without a face) scored less.",
        rich_help_panel=RESULT,
    ),
]
Root = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[OLD=]NEW",
        help="The photos have moved: their folder (OLD, if there are several) is NEW now;"
        " repeatable.",
        rich_help_panel=FIND,
    ),
]
SAY = "What is said"
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=SAY)
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for scripts.", rich_help_panel=SAY)
]
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Add what happens to a log, one JSON object a line.",
        rich_help_panel=SAY,
    ),
]
Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        help="Look at everybody mirrored, too: a little better, twice the work. "
        "Default: only at people of doubtful gender, if the model was trained by mivolo.",
        rich_help_panel=MODEL,
    ),
]
Use = Annotated[
    Literal["both", "face", "body"],
    typer.Option(help="What the model looks at.", rich_help_panel=MODEL),
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where the pictures are that a CSV names.",
        show_default="beside it",
        rich_help_panel=DATA,
    ),
]
Pictures = Annotated[
    Literal["face", "body", "photo"],
    typer.Option(
        help="What pictures without boxes show; in a photo the largest person counts.",
        rich_help_panel=DATA,
    ),
]
Invalid = Annotated[
    Literal["refuse", "skip"],
    typer.Option(help="What to do with rows that cannot be used.", rich_help_panel=DATA),
]
