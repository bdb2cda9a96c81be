"""A model gets intervals from labelled people, and is told how they do on others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.labels import label_row, write_labels

from mivolo_cli.datasets import DataOptions
from mivolo_cli.errors import BadInput
from mivolo_cli.evaluation.calibrate import CalibrateOptions, calibrate
from mivolo_cli.model import checkpoint


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ages = np.random.default_rng(2).integers(1, 80, 160)
    faces = [label_row(f"{i}.png", age=float(age)) for i, age in enumerate(ages)]
    return write_labels(
        tmp_path / "faces.parquet",
        faces + [label_row("b.png", "body", None, age_min=0, age_max=100)],
    )


def test_the_model_comes_back_with_intervals(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated.safetensors"
    done: list[int] = []
    checks = calibrate(CalibrateOptions(str(tiny_model), [data], out, "cpu"), done.append)
    assert [check.used for check in checks] == ["face", "face+body"] and done == [321]
    assert 0.6 < checks[0].coverage.value < 0.95 and checks[0].coverage.count == 160
    assert checks[0].width.value > 20
    model, spec = checkpoint.load(out)
    before, old = checkpoint.load(tiny_model)
    assert spec.intervals is not None and old.intervals is None and spec.name == old.name
    assert all(
        (a == b).all()
        for a, b in zip(model.state_dict().values(), before.state_dict().values(), strict=True)
    )


def test_too_few_people_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    few = write_labels(tmp_path / "few.parquet", [label_row(f"{i}.png") for i in range(20)])
    with pytest.raises(BadInput, match="too few"):
        calibrate(CalibrateOptions(str(tiny_model), [few], tmp_path / "out.safetensors", "cpu"))
    assert not (tmp_path / "out.safetensors").exists()


def test_whole_photos_are_refused(tiny_model: Path, data: Path, tmp_path: Path) -> None:
    from helpers.photos import save_photo

    save_photo(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,age\na.png,3\n")
    options = CalibrateOptions(
        str(tiny_model),
        [tmp_path / "labels.csv"],
        tmp_path / "out.safetensors",
        "cpu",
        DataOptions(shows="photo"),
    )
    with pytest.raises(BadInput, match="face or a body"):
        calibrate(options)
