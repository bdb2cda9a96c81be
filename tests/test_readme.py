"""Python in README.md and docs/ runs as it is printed, and README stays a page to begin with."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import pytest
from helpers.pages import ROOT, code
from helpers.photos import draw_scene, save_photo
from helpers.require import require
from helpers.tables import save_results, write_boxes

from mivolo_cli.records import Box, Person, Photo, Prediction, Result

README = (ROOT / "README.md").read_text("utf-8")
SNIPPETS = code("python")
TABLES = {"pandas": "female", "polars": "b.jpg", "duckdb": "a.jpg", "datasets": "num_rows: 2"}


def run(snippet: str, folder: Path) -> None:
    (folder / "snippet.py").write_text(snippet, encoding="utf-8")
    runpy.run_path(str(folder / "snippet.py"), run_name="__main__")


@pytest.mark.parametrize("library", TABLES)
def test_tables_open_in(
    library: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    require(library)
    monkeypatch.chdir(tmp_path)
    face = Person(Box(1, 2, 3, 4), None)
    people = [("a.jpg", 30.0, "female"), ("b.jpg", 8.0, "male")]
    found = [
        Result(Photo("/p", n), 9, 9, None, [(face, Prediction(a, g, 0.9, "face"))])
        for n, a, g in people
    ]
    save_results(tmp_path / "people.parquet", [*found, Result(Photo("/p", "c.jpg"), 9, 9)])
    (snippet,) = [
        text for text in SNIPPETS if re.search(rf"^(import|from) {library}\b", text, re.M)
    ]
    run(snippet, tmp_path)
    assert TABLES[library] in capsys.readouterr().out


def test_the_python_example_runs(
    tmp_path: Path, tiny_model: Path, no_weights_of_the_user: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    require("pandas")
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        save_photo(Path(name), pixels=draw_scene(150, 110))
    write_boxes(Path("boxes.csv"), [("a.jpg", "face", (20.0, 10.0, 45.0, 40.0))])
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert snippet.count("Mivolo()") == 1
    settings = f'model={str(tiny_model)!r}, detector="given", boxes=Path("boxes.csv"), device="cpu"'
    run("from pathlib import Path\n" + snippet.replace("Mivolo()", f"Mivolo({settings})"), tmp_path)
    assert "Box(x1=20.0" in capsys.readouterr().out
    assert os.path.getsize("drawn.png") > 0


def test_the_readme_begins_with_what_a_new_user_needs() -> None:
    lines = README.splitlines()
    assert len(lines) <= 170
    first_screen = "\n".join(lines[:12])
    assert "make demo" in first_screen and "make test" in first_screen
    headings = re.findall(r"^## (.*)$", README, re.M)
    assert headings[:2] == ["Install", "Five tasks"]
    assert headings.index("What these estimates are not") < headings.index("Compared with others")


def test_figures_of_the_readme_are_those_of_the_model_card() -> None:
    """Accuracy is said once by measurement, and copied from there."""
    card = (ROOT / "weights" / "MODEL_CARD.md").read_text("utf-8")
    rows = [
        [cell.strip(" %") for cell in line.strip("|").split("|")]
        for line in card.splitlines()
        if line.startswith("| ")
    ]
    tables = [row for row in rows if row[0] in ("as they are", "age 00-9")]
    whole = [row for row in tables if row[0] == "as they are"]
    appa, _, faces, utk, bodies = whole
    young = tables[tables.index(faces) + 1]
    said = {line.split("|")[1].strip(): line for line in README.splitlines() if line[:2] == "| "}
    assert f"| {float(appa[3]):.1f} years |" in said["mean age error"]
    assert f"| {float(appa[4]):.0f} % |" in said["age within 5 years"]
    assert f"| {float(appa[6]):.0f} % |" in said["true age inside the 80 % interval"]
    older = said["gender right, from ten years on"]
    assert f" {float(faces[4]):.0f} % (" in older and f"| {float(bodies[4]):.0f} % |" in older
    groups = [float(row[4]) for row in rows if row[0].startswith("perceived group")]
    assert f"worst perceived group {min(groups):.0f} %" in older
    assert f"| {float(young[3]):.0f} % |" in said["gender right, under ten"]
    assert f"are easier: {float(utk[3]):.1f} years" in README
