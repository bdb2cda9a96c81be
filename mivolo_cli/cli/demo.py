"""`mivolo demo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import BadInput
from .console import Console
from .options import Quiet
from .scan import NOT_IDENTITY, make_folder, run_scan, summary, summary_lines


def demo(
    out: Annotated[
        Path,
        typer.Option(
            "--output", "--out", "-o", help="Folder for the table and the annotated pictures."
        ),
    ] = Path("mivolo-demo"),
    quiet: Quiet = False,
) -> None:
    """Try mivolo on two photos that come with the ultralytics package."""
    from ..pipeline.options import InferenceOptions
    from ..scan.options import ScanOptions
    from ..tables import read_table

    photos = _demo_photos()
    make_folder(out, "choose another with -o")
    tables = [out / "people.parquet", out / "people.csv"]
    same_everywhere = InferenceOptions(precision="fp32")
    options = ScanOptions(
        paths=photos, outputs=tables, annotate=out / "annotated", inference=same_everywhere
    )
    with Console("demo", quiet) as console:
        progress = run_scan(options, console)
        people = _people_lines(read_table(tables[0]).to_pylist())
        lines = [*summary_lines(options, progress), NOT_IDENTITY, "", *people]
        console.finish(lines, summary(options, progress))


def _people_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{'photo':<14} {'person':<6} {'age':>4}  {'gender':<14} seen from"]
    for row in rows:
        age = "-" if row["age"] is None else f"{row['age']:.0f}"
        gender = "-" if row["gender"] is None else f"{row['gender']} ({row['gender_score']:.0%})"
        used = row["used"] or "(not judged)"
        lines.append(f"{row['path']:<14} {row['person']!s:<6} {age:>4}  {gender:<14} {used}")
    return lines


def _demo_photos() -> list[Path]:
    """Return two photos from the ultralytics package, without importing it."""
    from importlib.util import find_spec

    spec = find_spec("ultralytics")
    folders = (
        [] if spec is None else [Path(place) for place in spec.submodule_search_locations or []]
    )
    photos = [folder / "assets" / name for folder in folders for name in ("bus.jpg", "zidane.jpg")]
    if not photos or not all(photo.is_file() for photo in photos):
        raise BadInput(
            "the demo photos, bus.jpg and zidane.jpg of ultralytics, were not found",
            hint="pip install ultralytics",
        )
    return photos
