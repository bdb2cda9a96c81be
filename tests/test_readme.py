"""The README's lines of Python run as they are printed."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import pytest
from helpers.photos import draw_scene, save_photo
from helpers.require import require
from helpers.tables import save_results, write_boxes

from mivolo_cli.records import Box, Person, Photo, Prediction, Result

README = Path(__file__).parents[1] / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)
TABLES = {"pandas": "female", "polars": "b.jpg", "duckdb": "a.jpg", "datasets": "num_rows: 2"}


def run(code: str, folder: Path) -> None:
    (folder / "snippet.py").write_text(code, encoding="utf-8")
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
    (code,) = [code for code in SNIPPETS if re.search(rf"^(import|from) {library}\b", code, re.M)]
    run(code, tmp_path)
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
    (code,) = [code for code in SNIPPETS if "mivolo_cli import Mivolo" in code]
    assert code.count("Mivolo()") == 1
    settings = f'model={str(tiny_model)!r}, detector="given", boxes=Path("boxes.csv"), device="cpu"'
    run("from pathlib import Path\n" + code.replace("Mivolo()", f"Mivolo({settings})"), tmp_path)
    assert "Box(x1=20.0" in capsys.readouterr().out
    assert os.path.getsize("drawn.png") > 0
