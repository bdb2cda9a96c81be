"""What can go wrong for the user, each kind with its exit code and a hint at what to do next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends. Scripts rely on these: a number never gets another meaning."""

    OK = 0
    """All is done."""
    FAILURE = 1
    """An error that no other code is for."""
    BAD_INPUT = 2
    """The command cannot begin, and nothing has been touched; of unknown options, too."""
    PHOTOS_FAILED = 3
    """All is done except for some photos, which are named."""
    STOPPED = 4
    """The command had to stop midway. Finished work is kept."""
    INTERRUPTED = 130
    """Stopped with Ctrl-C: 128 and the number of the signal, as shells have it."""


class MivoloError(Exception):
    """An error to show to the user: one sentence, and a hint that says what to do next."""

    exit_code = ExitCode.FAILURE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadInput(MivoloError):
    """The command cannot begin as it was given: a wrong option, path or file. Nothing has been
    touched."""

    exit_code = ExitCode.BAD_INPUT


class WeightsError(MivoloError):
    """Weights are missing, do not match their hash, or do not fit the architecture."""

    exit_code = ExitCode.BAD_INPUT


class OutputError(MivoloError):
    """A result could not be written; what stood under its name before is unharmed."""

    exit_code = ExitCode.STOPPED


class Stopped(MivoloError):
    """The run had to stop midway. Finished work is kept, and the same command goes on from
    there."""

    exit_code = ExitCode.STOPPED


class PhotoError(MivoloError):
    """One photo could not be read. `code` is stable: scripts may rely on it."""

    exit_code = ExitCode.PHOTOS_FAILED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
