"""A model gets intervals from labelled people, and is told how they do on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.labels import label_row, write_labels
from helpers.logs import warned
from helpers.photos import assets

from mivolo_cli.errors import BadInput
from mivolo_cli.evaluation.calibrate import CalibrateOptions, calibrate
from mivolo_cli.model import checkpoint
from mivolo_cli.model.intervals import Band, GenderScale, Intervals


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
    assert [check.used for check in checks] == ["face", "face+body"] and done == [256, 321]
    assert 0.6 < checks[0].coverage.value < 0.95 and checks[0].coverage.count == 320
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


def test_inputs_without_data_keep_their_calibration(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, spec = checkpoint.load(tiny_model)
    bands = {"face": [Band([0.0], [-1.0], [1.0])], "body": [Band([0.0], [-2.0], [2.0])]}
    before = tmp_path / "before.safetensors"
    scales = {"body": GenderScale([10.0], [0.5])}
    spec = replace(spec, intervals=Intervals(bands), gender_scales=scales, card={"terms": "some"})
    checkpoint.save(model, spec, before)
    faces = [label_row(f"{i}.png", age=float(i % 80)) for i in range(80)]
    data, out = write_labels(tmp_path / "faces.parquet", faces), tmp_path / "out.safetensors"
    calibrate(CalibrateOptions(str(before), [data], out, "cpu"))
    after = checkpoint.load(out)[1]
    assert after.intervals is not None and after.card == spec.card
    assert after.intervals.bands["body"] == bands["body"] != after.intervals.bands["face"]
    assert after.gender_scales["body"] == scales["body"]
    assert "too few people for body" in warned(caplog, "evaluation.views")[0]


def test_people_are_found_on_photos(tiny_model: Path, tmp_path: Path) -> None:
    image = {"bytes": (assets() / "bus.jpg").read_bytes(), "path": "bus.jpg"}
    rows = [label_row("", "photo") | {"image": image} for _ in range(130)]
    out = tmp_path / "out.safetensors"
    data = write_labels(tmp_path / "photos.parquet", rows)
    checks = calibrate(CalibrateOptions(str(tiny_model), [data], out, "cpu"))
    assert {check.used for check in checks} == {"face+body", "face", "body"}
