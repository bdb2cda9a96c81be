"""Handle standard streams that are closed, full or gone, and SIGTERM, without losing work."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer

from ..errors import ExitCode

BUFFER = 8192


class SteadyFile(io.FileIO):
    """A standard stream that ignores closed readers and full disks. `trouble` is the error of the
    first failed write."""

    trouble: OSError | None = None

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        if self.trouble is None:
            try:
                return super().write(view)
            except OSError as error:
                self.trouble = error
        return len(view)


def open_all() -> None:
    """Fill closed standard streams, so that no file of ours gets their numbers, to which libraries
    write. Keep failed writes from stopping the work."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _steady(sys.stdout, 1), _steady(sys.stderr, 2)


def trouble() -> OSError | None:
    """Return why standard output was not delivered. A reader that stops early, such as `head`, is
    not an error."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    found = raw.trouble if isinstance(raw, SteadyFile) else None
    return None if found is None or found.errno == errno.EPIPE else found


def run(program: Callable[[], None]) -> None:
    """Run the program, and set its exit code if everything was done but its output was not
    delivered."""
    open_all()
    end_on_sigterm()
    try:
        program()
    except SystemExit as end:
        found = trouble()
        if end.code or found is None:
            raise
        typer.echo(f"error: cannot write to standard output: {found.strerror}", err=True)
        sys.exit(ExitCode.STOPPED)


def end_on_sigterm() -> None:
    """Treat SIGTERM like Ctrl-C: finished work is kept."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _steady(stream: Any, number: int) -> Any:
    """Return the stream, with its encoding, on a file that ignores errors."""
    raw = SteadyFile(number, "w", closefd=False)
    encoding, errors = getattr(stream, "encoding", "utf-8"), getattr(stream, "errors", "replace")
    return io.TextIOWrapper(
        io.BufferedWriter(raw, BUFFER),
        encoding=encoding or "utf-8",
        errors=errors or "replace",
        line_buffering=number == 2 or raw.isatty(),
    )
