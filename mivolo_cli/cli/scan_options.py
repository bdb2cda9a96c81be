"""The options of `mivolo scan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import CLUSTER, FIND, MODEL, RESULT

Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Files, folders or bucket URLs (s3://, gs://, az://);"
        " - reads a list from standard input."
    ),
]
Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        help="Table to write (.parquet, .csv or .jsonl); repeatable.",
        rich_help_panel=RESULT,
    ),
]
Annotate = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also save copies with boxes and labels in DIR.",
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
        help="Your own boxes (CSV or Parquet), for `--detector given`.",
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
        help="Photos of people to calibrate `--precision int8` with.",
        show_default="those of the first scan",
        rich_help_panel=MODEL,
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Use torch.compile on a GPU: slow start-up, faster inference.",
        rich_help_panel=MODEL,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=0, help="Threads that decode photos; 0 means one per core.", rich_help_panel=MODEL
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        help="Memory for decoding photos: auto (half of the machine's), 2GB, 700MB.",
        rich_help_panel=MODEL,
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Refuse photos with more than N pixels; 0 means only those too large for the memory.",
        rich_help_panel=MODEL,
    ),
]
FullResolution = Annotated[
    bool,
    typer.Option(
        "--full-resolution",
        help="Decode large JPEGs at full size, even if people are scaled down anyway: slower.",
        rich_help_panel=MODEL,
    ),
]
MinFaceScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Skip faces with a lower score: fewer false faces, more missed ones.",
        show_default="the detector's own",
        rich_help_panel=MODEL,
    ),
]
MinPersonScore = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Skip persons with a lower score: fewer false bodies, more missed ones.",
        show_default="the detector's own",
        rich_help_panel=MODEL,
    ),
]
MinFace = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="PIXELS",
        help="Skip faces whose longer side is shorter, in pixels of the photo.",
        rich_help_panel=MODEL,
    ),
]
Level = Annotated[
    Literal["auto", "on", "off"],
    typer.Option(
        help="Turn tilted heads upright for the model; auto: if it was trained that way.",
        rich_help_panel=MODEL,
    ),
]
AnyWayUp = Annotated[
    bool,
    typer.Option(
        "--any-way-up/--no-any-way-up",
        help="Rotate photos that show faces only after a quarter or half turn.",
        rich_help_panel=MODEL,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Only scan paths matching GLOB, e.g. '2024/**' or '*.jpg'.",
        rich_help_panel=FIND,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Skip paths matching GLOB.", rich_help_panel=FIND),
]
Archives = Annotated[
    bool,
    typer.Option(
        "--archives",
        help="Also scan .zip, .tar, .tar.gz and .parquet files found in folders.",
        rich_help_panel=FIND,
    ),
]
SystemFolders = Annotated[
    bool,
    typer.Option(
        "--system-folders",
        help="Include folders of systems and programs: recycle bins, @eaDir, thumbnails.",
        rich_help_panel=FIND,
    ),
]
Hidden = Annotated[
    bool, typer.Option("--hidden", help="Include hidden files and folders.", rich_help_panel=FIND)
]
KeepMissing = Annotated[
    bool,
    typer.Option(
        "--keep-missing",
        help="Keep the rows of photos that no longer exist.",
        rich_help_panel=RESULT,
    ),
]
SpreadsheetSafe = Annotated[
    bool,
    typer.Option(
        "--spreadsheet-safe",
        help="In CSV, put ' before text that a spreadsheet would run as a formula.",
        rich_help_panel=RESULT,
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Scan the I-th of N parts; see `mivolo merge`.",
        rich_help_panel=FIND,
    ),
]
SkipTagged = Annotated[
    bool,
    typer.Option(
        "--skip-tagged",
        help="Skip photos already tagged by the same model, unless the table has them.",
        rich_help_panel=FIND,
    ),
]
OnRay = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Start a Ray cluster on this machine;"
        " an output without a suffix is a folder of Parquet files.",
        rich_help_panel=CLUSTER,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use an existing Ray cluster: HOST:PORT, or auto.",
        rich_help_panel=CLUSTER,
    ),
]
Tag = Annotated[
    bool,
    typer.Option(
        "--tag",
        help="Then write the results into the photos, like `mivolo tag`.",
        rich_help_panel=RESULT,
    ),
]
