"""Labelled data that is somewhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.photos import save_photo
from typer.testing import CliRunner

from mivolo_cli import cli
from mivolo_cli.cli.labelled import reading
from mivolo_cli.errors import BadInput

COMMANDS = ["eval {}", "train {} -o run", "calibrate mivolo-xs {} -o m.safetensors"]


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_weights_of_the_user: None) -> Path:
    monkeypatch.chdir(tmp_path)
    save_photo(tmp_path / "photos" / "trip" / "a.jpg")
    file = tmp_path / "labels.csv"
    file.write_text("file_name,age\ntrip/gone.jpg,4\n ,5\ntrip/a.jpg,6\n")
    return file


@pytest.mark.parametrize("command", COMMANDS)
def test_pictures_that_are_not_beside_their_table(command: str, labels: Path) -> None:
    words = [word.format(labels) for word in command.split()]
    error = CliRunner().invoke(cli.app, words).exception
    assert isinstance(error, BadInput) and "--images DIR" in error.hint
    assert "none of the pictures" in str(error) and "trip/gone.jpg" in str(error)
    error = CliRunner().invoke(cli.app, [*words, "--images", "photos/trip"]).exception
    assert isinstance(error, BadInput) and "relative to" in error.hint


@pytest.mark.parametrize("command", COMMANDS)
def test_data_that_is_not_there(command: str, labels: Path) -> None:
    words = [word.format("gone.parquet") for word in command.split()]
    error = CliRunner().invoke(cli.app, words).exception
    assert isinstance(error, BadInput) and "labelled data not found: gone.parquet" in str(error)


def test_one_picture_is_enough(labels: Path) -> None:
    images = labels.parent / "photos"
    assert reading([labels], images, "photo", "skip").images == images


@pytest.mark.parametrize("text", ["age\n4\n", "path,age\n", "\xff\xfe", ""])
def test_what_is_no_such_table_is_told_by_its_reader(text: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text, encoding="latin-1")
    reading([file], None, "face", "refuse")
