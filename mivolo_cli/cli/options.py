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
        help="auto, published (with its detector), a name from `mivolo weights list`, or a file.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)]
Engine = Annotated[str, typer.Option(help="auto, torch or openvino.", rich_help_panel=MODEL)]
Precision = Annotated[
    str,
    typer.Option(
        help="fp32, bf16, fp16 or int8; auto: bf16 for embedded model and detectors, else fp32.",
        rich_help_panel=MODEL,
    ),
]
MinScore = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Skip people whose face (or body, without a face) has a lower detection score.",
        rich_help_panel=RESULT,
    ),
]
Root = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[OLD=]NEW",
        help="The folder the photos have moved to (from OLD, if there are several); repeatable.",
        rich_help_panel=FIND,
    ),
]
SAY = "Output and logging"
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=SAY)
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of text.", rich_help_panel=SAY)
]
Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Append events to a log, one JSON object per line.",
        rich_help_panel=SAY,
    ),
]
Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        help="Average with the mirrored image: slightly better, 2x slower.",
        show_default="only for doubtful genders, with models trained by mivolo",
        rich_help_panel=MODEL,
    ),
]
Use = Annotated[
    Literal["both", "face", "body"],
    typer.Option(help="Which inputs the model gets.", rich_help_panel=MODEL),
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the pictures named in a CSV.",
        show_default="beside it",
        rich_help_panel=DATA,
    ),
]
Pictures = Annotated[
    Literal["face", "body", "photo"],
    typer.Option(
        help="Content of pictures without boxes; in a photo, the largest person is used.",
        rich_help_panel=DATA,
    ),
]
Invalid = Annotated[
    Literal["refuse", "skip"],
    typer.Option(help="How to handle unusable rows.", rich_help_panel=DATA),
]
