"""What can go wrong for the user, each kind with its exit code and a hint at what to do next."""


class MivoloError(Exception):
    """An error to show to the user: one sentence, and a hint that says what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class BadInput(MivoloError):
    """The command cannot begin as it was given: a wrong option, path or file. Nothing has been
    touched."""

    exit_code = 2


class WeightsError(MivoloError):
    """Weights are missing, do not match their hash, or do not fit the architecture."""

    exit_code = 2


class OutputError(MivoloError):
    """A result could not be written; what stood under its name before is unharmed."""

    exit_code = 4


class Stopped(MivoloError):
    """The run had to stop midway. Finished work is kept, and the same command goes on from
    there."""

    exit_code = 4


class PhotoError(MivoloError):
    """One photo could not be read. `code` is stable: scripts may rely on it."""

    exit_code = 3

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
