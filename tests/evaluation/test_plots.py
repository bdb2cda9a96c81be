"""Pictures of an evaluation."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from mivolo_cli.datasets.labels import Label
from mivolo_cli.errors import OutputError
from mivolo_cli.evaluation import plots
from mivolo_cli.evaluation.metrics import Outcome
from mivolo_cli.records import Prediction


def people(with_intervals: bool) -> list[Outcome]:
    rng = np.random.default_rng(1)
    found = []
    for age in rng.uniform(0, 90, 80):
        said = float(age + rng.normal(0, 6))
        ends = (said - 5, said + 5) if with_intervals else (None, None)
        found.append(
            Outcome(Label(float(age), float(age)), Prediction(said, None, None, "face", *ends))
        )
    return [
        *found,
        Outcome(Label(30, 30), None),
        Outcome(Label(16, 30), Prediction(20, None, None, "body")),
    ]


@pytest.mark.parametrize(
    "with_intervals, names", [(True, "ages errors intervals"), (False, "ages errors")]
)
def test_as_many_pictures_as_the_labels_allow(
    tmp_path: Path, with_intervals: bool, names: str
) -> None:
    files = plots.save_plots(people(with_intervals), "a model", tmp_path / "new", "run")
    assert [file.name for file in files] == [f"run-{name}.png" for name in names.split()]
    for file in files:
        with PIL.Image.open(file) as picture:
            assert picture.format == "PNG" and min(picture.size) > 500
            assert len(set(np.asarray(picture.convert("L")).ravel().tolist())) > 20


def test_without_known_ages_there_is_nothing_to_draw(tmp_path: Path) -> None:
    assert plots.save_plots(people(False)[-2:], "a model", tmp_path, "run") == []


def test_the_points_are_where_the_people_are() -> None:
    axes = Figure().subplots()
    plots.draw_ages(axes, np.array([[30, 33, np.nan, np.nan], [50, 40, np.nan, np.nan]]))
    assert np.asarray(axes.collections[0].get_offsets()).tolist() == [[30, 33], [50, 40]]


def test_shares_of_intervals_that_hold_are_drawn_by_age() -> None:
    axes = Figure().subplots()
    points = np.array(
        [[30, 33, 25, 35], [31, 33, 25, 35], [45, 33, 25, 35], [70, 68, 60, 90]], float
    )
    plots.draw_intervals(axes, points)
    (bars,) = axes.containers
    assert isinstance(bars, ErrorbarContainer)
    assert bars.lines[0].get_ydata() == pytest.approx([2 / 3, 1])


def test_a_disk_that_is_full_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="plots.*No space left"):
        plots.save_plots(people(False), "a model", tmp_path, "run")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="plots"):
        plots.save_plots(people(False), "a model", tmp_path / "file" / "sub", "run")
