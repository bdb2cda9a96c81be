"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from typing import Annotated

import typer

FIND, MODEL, RESULT = "Which photos", "Detector and model", "Results"
Model = Annotated[
    str, typer.Option("--model", help="auto, a name of `mivolo weights list`, or a file.", rich_help_panel=MODEL)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)]
Precision = Annotated[str, typer.Option(help="fp32, bf16 or fp16.", rich_help_panel=MODEL)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=RESULT)]
