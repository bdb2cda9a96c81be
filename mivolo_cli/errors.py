"""Errors shown to users. Each class has an exit code; each error has a hint at what to do next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of commands. Scripts rely on them: a number never changes its meaning."""

    OK = 0
    """Everything succeeded."""
    FAILURE = 1
    """Any error without a code of its own."""
    BAD_INPUT = 2
    """The command could not start and changed nothing; also for unknown options."""
    PHOTOS_FAILED = 3
    """Done except for some photos, which are listed."""
    STOPPED = 4
    """The command stopped midway. Finished work is kept."""
    INTERRUPTED = 130
    """Interrupted with Ctrl-C: 128 plus the signal number, as in shells."""


class MivoloError(Exception):
    """An error for the user: one sentence, and a hint at what to do next."""

    exit_code = ExitCode.FAILURE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadInput(MivoloError):
    """An invalid option, path or file: the command could not start and changed nothing."""

    exit_code = ExitCode.BAD_INPUT


class WeightsError(MivoloError):
    """Weights are missing, do not match their hash, or do not fit the architecture."""

    exit_code = ExitCode.BAD_INPUT


class OutputError(MivoloError):
    """A result could not be written; an existing file of that name is intact."""

    exit_code = ExitCode.STOPPED


class Stopped(MivoloError):
    """The run stopped midway. Finished work is kept; the same command resumes."""

    exit_code = ExitCode.STOPPED


class PhotoError(MivoloError):
    """A photo could not be read. `code` is stable across versions."""

    exit_code = ExitCode.PHOTOS_FAILED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
