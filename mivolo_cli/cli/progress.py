"""Progress: a bar on a terminal, an occasional line elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import typer

TICK_SECONDS = 1.0
"""Interval between updates of a bar's clock while nothing else changes, for example while models
are loaded."""
LINE_SECONDS = 30.0
"""Interval between lines in a log of continuous integration, or in a notebook."""


class Bar:
    """A progress bar. Call it with the number done so far, the total if known, and values to show
    next to it."""

    def __init__(self, verb: str, unit: str, quiet: bool = False, scale: bool = False) -> None:
        from tqdm import tqdm

        moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._verb, self._unit, self._scale = verb, unit, scale
        self._silent = quiet or moving
        self._due = monotonic() + LINE_SECONDS
        self._bar = tqdm(
            desc=verb,
            unit=unit,
            unit_scale=scale,
            disable=quiet or not moving,
            dynamic_ncols=True,
            leave=False,
        )
        self._ended = Event()
        self._clock = Thread(target=self._tick, daemon=True)
        if not self._bar.disable:
            self._clock.start()

    def __call__(self, done: int, total: int | None = None, **facts: int) -> None:
        self._bar.total = total
        self._bar.set_postfix(facts, refresh=False)
        self._bar.update(done - self._bar.n)
        if not self._silent and monotonic() >= self._due:
            self._due = monotonic() + LINE_SECONDS
            typer.echo(self._line(done, total, facts), err=True)

    def clear(self) -> None:
        """Make room for a line; the bar comes back below it."""
        self._bar.clear()

    def close(self) -> None:
        self._ended.set()
        if self._clock.ident is not None:
            self._clock.join()
        self._bar.close()

    def _tick(self) -> None:
        while not self._ended.wait(TICK_SECONDS):
            self._bar.refresh()

    def _line(self, done: int, total: int | None, facts: dict[str, int]) -> str:
        known = self._number(done) + ("" if total is None else f" of {self._number(total)}")
        return ", ".join(
            [
                f"{self._verb}: {known}{self._unit}",
                *(f"{name} {value}" for name, value in facts.items()),
            ]
        )

    def _number(self, value: int) -> str:
        return f"{value / 1e6:.1f} M" if self._scale else f"{value}"


class Stages:
    """A bar for each of several stages; call it with the stage, the number done so far, and the
    total."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet, self._verb = quiet, ""
        self._bar: Bar | None = None

    def __call__(self, verb: str, done: int, total: int) -> None:
        if self._bar is None or verb != self._verb:
            self.close()
            self._verb, self._bar = verb, Bar(verb, "", self._quiet)
        self._bar(done, total)

    def clear(self) -> None:
        """Make room for a line; the bar comes back below it."""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@contextmanager
def counting(verb: str, unit: str, quiet: bool = False, scale: bool = False) -> Iterator[Bar]:
    """Show a bar that disappears after the block; `scale` counts in millions."""
    bar = Bar(verb, unit, quiet, scale)
    try:
        yield bar
    finally:
        bar.close()
