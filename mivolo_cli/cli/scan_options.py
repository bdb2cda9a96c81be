"""The options of `mivolo scan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import CLUSTER, FIND, MODEL, RESULT

Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Files, folders, URLs of buckets (s3://, gs://, az://);"
        " - reads a list from standard input."
    ),
]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        help="Table to write: .parquet, .csv, .jsonl; repeatable.",
        rich_help_panel=RESULT,
    ),
]
Annotate = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also draw boxes and labels into pictures in DIR.",
        rich_help_panel=RESULT,
    ),
]
Detector = Annotated[
    str,
    typer.Option(
        help="auto, embedded, given, published, yolo, retinaface, or a file.", rich_help_panel=MODEL
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Your own boxes (CSV or Parquet), for the detector `given`.",
        rich_help_panel=MODEL,
    ),
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="People per batch of the model.", rich_help_panel=MODEL)
]
Devices = Annotated[
    str, typer.Option(help="auto, cpu, cuda (all GPUs), cuda:0,1 or mps.", rich_help_panel=MODEL)
]
Int8Samples = Annotated[
    Path | None,
    typer.Option(
        "--int8-samples",
        metavar="DIR",
        help="Photos of people, for the precision int8.",
        show_default="those of the first scan",
        rich_help_panel=MODEL,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="On a GPU: minutes more at the start, then less a photo.",
        rich_help_panel=MODEL,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0, help="Threads that decode photos; 0 means one a core.", rich_help_panel=MODEL
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="For photos that are decoded at a time: auto (half of the machine's), 2GB, 700MB.",
        rich_help_panel=MODEL,
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Refuse photos of more than N pixels; 0 means only those that do not fit the memory.",
        rich_help_panel=MODEL,
    ),
]
FullResolution = Annotated[
    bool,
    typer.Option(
        "--full-resolution",
        help="Decode large JPEGs whole, even where people on them are made smaller anyway: slower.",
        rich_help_panel=MODEL,
    ),
]
MinFaceScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Leave out faces that score less: fewer false faces, more missed ones.",
        show_default="the detector's own",
        rich_help_panel=MODEL,
    ),
]
MinPersonScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Leave out persons that score less: fewer false bodies, more missed ones.",
        show_default="the detector's own",
        rich_help_panel=MODEL,
    ),
]
MinFace = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="PIXELS",
        help="Leave out faces whose longer side is shorter, in pixels of the photo.",
        rich_help_panel=MODEL,
    ),
]
Level = Annotated[
    Literal["auto", "on", "off"],
    typer.Option(
        help="Turn heads that lean upright for the model; auto: if it was trained so.",
        rich_help_panel=MODEL,
    ),
]
AnyWayUp = Annotated[
    bool,
    typer.Option(
        "--any-way-up/--no-any-way-up",
        help="Turn photos on which only a quarter or half turn shows faces.",
        rich_help_panel=MODEL,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Only these, as '2024/**' or '*.jpg'.", rich_help_panel=FIND),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Not these files and folders.", rich_help_panel=FIND),
]
Archives = Annotated[
    bool,
    typer.Option(
        "--archives",
        help="Also the pictures in .zip, .tar, .tar.gz and .parquet files in folders.",
        rich_help_panel=FIND,
    ),
]
SystemFolders = Annotated[
    bool,
    typer.Option(
        "--system-folders",
        help="Also folders of systems and programs: recycle bins, @eaDir, thumbnails.",
        rich_help_panel=FIND,
    ),
]
Hidden = Annotated[
    bool, typer.Option("--hidden", help="Hidden files and folders, too.", rich_help_panel=FIND)
]
KeepMissing = Annotated[
    bool,
    typer.Option("--keep-missing", help="Keep the rows of deleted photos.", rich_help_panel=RESULT),
]
SpreadsheetSafe = Annotated[
    bool,
    typer.Option(
        "--spreadsheet-safe",
        help="In CSV, put ' before text that a spreadsheet would take for a formula.",
        rich_help_panel=RESULT,
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="The I-th of N parts; see `mivolo merge`.",
        rich_help_panel=FIND,
    ),
]
SkipTagged = Annotated[
    bool,
    typer.Option(
        "--skip-tagged",
        help="Not photos with tags of the same model in them.",
        rich_help_panel=FIND,
    ),
]
OnRay = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Work on a Ray cluster of this machine;"
        " an output with no suffix is a folder of Parquet files.",
        rich_help_panel=CLUSTER,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Work on the cluster there: HOST:PORT, or auto.",
        rich_help_panel=CLUSTER,
    ),
]
Tag = Annotated[
    bool,
    typer.Option(
        "--tag",
        help="Then put the results into the photos, as `mivolo tag`.",
        rich_help_panel=RESULT,
    ),
]
