"""Console output of commands: lines for people or one JSON object for scripts, and a log with one
JSON object per line."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

import typer

from ..atomic import Kind, open_lines, reported
from ..errors import MivoloError, OutputError
from .text import echo, wrapped

LOG_LINE = re.compile(rb'\{"time": "[0-9T:.+-]{20,40}", "command": "')
"""The beginning of a log."""
PACKAGE = __name__.partition(".")[0]


class Console:
    """A context manager that logs errors leaving the block. Lines for people go to standard error
    if standard output carries the results."""

    def __init__(
        self,
        command: str,
        quiet: bool = False,
        as_json: bool = False,
        log: Path | None = None,
        lines_to: Literal["stdout", "stderr"] = "stdout",
    ) -> None:
        self.quiet, self.as_json = quiet, as_json
        self._lines_to = lines_to
        self._notes = Notes()
        self._command, self._path = command, log
        self._log: IO[str] | None = None

    @property
    def notes(self) -> list[str]:
        """Messages logged for the user so far, without duplicates."""
        return list(self._notes.texts)

    def __enter__(self) -> Console:
        with ExitStack() as undone:
            undone.callback(self._close)
            self._notes.listen()
            if self._path is not None:
                self._log = _open_log(self._path)
                self.log("start")
            undone.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, *_: object
    ) -> None:
        with ExitStack() as after:
            after.callback(self._close)
            if isinstance(error, MivoloError):
                self.log("error", message=str(error), hint=error.hint, exit_code=error.exit_code)

    def _close(self) -> None:
        self._notes.leave()
        if self._log is not None:
            # the error has been reported already, or the command has succeeded
            with suppress(OSError):
                self._log.close()

    @property
    def prints_lines(self) -> bool:
        """Whether standard output is read by people."""
        return not (self.quiet or self.as_json)

    def say(self, line: str = "") -> None:
        """Print a line for people."""
        if self.prints_lines:
            echo(line, err=self._lines_to == "stderr")

    def say_wrapped(self, line: str) -> None:
        """Print a line for people, wrapped to the width of the terminal."""
        if self.prints_lines:
            stream = getattr(sys, self._lines_to)
            typer.echo(wrapped(line, stream), file=stream)

    def log(self, event: str, **facts: object) -> None:
        """Write a line to the log: time, command and event. Raises OutputError."""
        if self._log is None:
            return
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"time": moment, "command": self._command, "event": event, **facts}
        try:
            self._log.write(json.dumps(entry, default=str) + "\n")
            self._log.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write the log {self._path}: {error.strerror}",
                hint="free some disk space, or omit --log",
            ) from error

    def finish(
        self, lines: Sequence[str], facts: Mapping[str, object], warnings: Sequence[str] = ()
    ) -> None:
        """Finish with lines for people and the notes, or with facts and warnings as one JSON
        object; both go to the log. `warnings` are those already included in the lines."""
        told = [*warnings, *self.notes]
        for warning in told:
            self.log("warning", message=warning)
        self.log("summary", **facts)
        if self.as_json:
            summary = {"command": self._command, **facts, "warnings": told}
            typer.echo(json.dumps(summary, default=str))
        for line in (*lines, *(f"note: {note}" for note in self.notes)):
            self.say_wrapped(line)


class Notes(logging.Handler):
    """Collects messages logged for the user, from INFO on; `texts` are in order."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.texts: dict[str, None] = {}
        self._logger = logging.getLogger(PACKAGE)

    def listen(self) -> None:
        self._level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)

    def leave(self) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts[record.getMessage()] = None


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    typer.echo(json.dumps(value, default=str, indent=2))


def _open_log(path: Path) -> IO[str]:
    """Open the log for appending. Raises OutputError, and BadInput for files other than our logs,
    so that no photo is ever written to."""
    with reported(path, hint="choose another place for --log"):
        hint = "choose another name for --log"
        kind = Kind("log of mivolo", _is_log, hint=hint, in_place=True)
        return open_lines(path, kind, append=True)


def _is_log(path: Path) -> bool:
    with path.open("rb") as file:
        return LOG_LINE.match(file.read(100)) is not None
