"""Errors own the exit codes that scripts rely on."""

from __future__ import annotations

from mivolo_cli.errors import (
    BadInput,
    ExitCode,
    MivoloError,
    OutputError,
    PhotoError,
    Stopped,
    WeightsError,
)


def test_the_numbers_never_change() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILURE": 1,
        "BAD_INPUT": 2,
        "PHOTOS_FAILED": 3,
        "STOPPED": 4,
        "INTERRUPTED": 130,
    }


def test_every_kind_of_error_has_its_exit_code() -> None:
    kinds = (MivoloError, BadInput, WeightsError, PhotoError, OutputError, Stopped)
    assert [kind.exit_code for kind in kinds] == [1, 2, 2, 3, 4, 4]


def test_a_code_is_written_as_a_number() -> None:
    assert f"{BadInput.exit_code}" == "2"
