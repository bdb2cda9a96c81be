"""The notebook of the Python API runs from its first cell to its last, on the CPU, with the model
that ships with the package."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from helpers.require import require

import mivolo_cli

NOTEBOOK = Path(__file__).parents[1] / "docs" / "python.ipynb"
SECONDS = 600
"""For one cell, on a busy machine; on a quiet one all take a few."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(
    tmp_path: Path, no_weights_of_the_user: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbformat, nbclient = require("nbformat"), require("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(Path(mivolo_cli.__file__).parents[1]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=dict(os.environ))
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    text = "\n".join(
        out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs
    )
    assert (
        len(re.findall(r"^\d+ \(\d+-\d+\) years, (fe)?male \(\d+%\), seen from", text, re.M)) >= 2
    )
    assert "missing - the file does not exist" in text and "weights list" in text
    said = [out.text for out in outputs if out.output_type == "stream" and out.name == "stderr"]
    assert not [line for line in said if "tqdm" not in line]  # which misses Jupyter's widgets


def test_the_notebook_names_every_type_of_the_api() -> None:
    text = NOTEBOOK.read_text("utf-8")
    assert {"Answer", "Answers", "Result", "__version__"} == {
        name for name in mivolo_cli.__all__ if not re.search(rf"\b{name}\b", text)
    }
