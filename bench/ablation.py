"""Compare cross-attention with plain concatenation of face and body, trained equally at small
scale, as in section 4 of the MiVOLO paper; writes bench/ablation.json, which bench/model_card.py
includes in the model card.

    python bench/ablation.py BACKBONES TRAINING... --validation FACES --validation BODIES

Each variant is trained with each seed by `mivolo train` (bench/ablation.toml: smaller pictures, few
epochs) and evaluated by `mivolo eval --combine` on whole pictures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from mivolo_cli.training.train import PEOPLE

HERE = Path(__file__).parent
FUSIONS = ("attention", "concatenation")
SETS = {"faces": 0, "bodies": 1, "combined pairs": 2}
"""Position of each set in the report of `eval --combine` on faces and bodies."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backbones", type=Path)
    parser.add_argument("training", nargs="+", type=Path)
    parser.add_argument(
        "--validation",
        nargs=2,
        action="extend",
        type=Path,
        required=True,
        metavar=("FACES", "BODIES"),
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--recipe", type=Path, default=HERE / "ablation.toml")
    parser.add_argument(
        "--people", type=Path, help="people.parquet of an earlier training, to skip detection"
    )
    given = parser.parse_args()
    rows = []
    for seed in given.seeds:
        for fusion in FUSIONS:
            rows.append({"fusion": fusion, "seed": seed} | measured(given, fusion, seed))
            print(json.dumps(rows[-1]), flush=True)
    facts = {"recipe": given.recipe.read_text("utf-8"), "rows": rows}
    HERE.joinpath("ablation.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    print(table(rows))


def measured(given: argparse.Namespace, fusion: str, seed: int) -> dict[str, float | None]:
    """Return the metrics of one training, by the set they are measured on."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "run").mkdir()
        if given.people is not None:
            shutil.copy(given.people, Path(place, "run", PEOPLE))
        start = [
            "--recipe",
            str(given.recipe),
            "--backbones",
            str(given.backbones),
            "--fusion",
            fusion,
            "--seed",
            str(seed),
        ]
        mivolo("train", *map(str, given.training), *start, "-o", f"{place}/run", "--quiet")
        validation = [str(file) for file in given.validation]
        said = mivolo(
            "eval", *validation, "--model", f"{place}/run/model.safetensors", "--combine", "--json"
        )
    evaluations = json.loads(said)["evaluations"]
    scores = {name: evaluations[index]["score"] for name, index in SETS.items()}
    return {
        f"{name} {key}": value(score, key)
        for name, score in scores.items()
        for key in ("mae", "gender")
    }


def mivolo(*arguments: str) -> str:
    """Run the program as a user does; return what it prints."""
    run = [sys.executable, "-m", "mivolo_cli", *arguments]
    return subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout


def value(score: dict[str, Any], key: str) -> float | None:
    return None if score[key] is None else score[key]["value"]


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table: a row per fusion, the mean over seeds, and each seed in brackets."""
    columns = [
        name for name in rows[0] if name not in ("fusion", "seed") and rows[0][name] is not None
    ]
    lines = [
        f"| fusion | {' | '.join(heading(name) for name in columns)} |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    for fusion in FUSIONS:
        found = [[row[name] for row in rows if row["fusion"] == fusion] for name in columns]
        cells = [cell(name, values) for name, values in zip(columns, found, strict=True)]
        lines.append(f"| {fusion} | {' | '.join(cells)} |")
    return "\n".join(lines)


def heading(name: str) -> str:
    data, _, figure = name.rpartition(" ")
    return f"{data}: {'MAE (years)' if figure == 'mae' else figure}"


def cell(name: str, values: list[float]) -> str:
    form = "{:.2f}" if name.endswith("mae") else "{:.1%}"
    return f"{form.format(mean(values))} ({', '.join(map(form.format, values))})"


if __name__ == "__main__":
    main()
