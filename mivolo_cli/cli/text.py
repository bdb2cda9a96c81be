"""Figures and tables as text."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from ..evaluation.metrics import Figure

UNCERTAINTY = "±: half of a 95 % interval, by bootstrap over people"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the columns below each other: the first one to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]


def wrapped(line: str, stream: TextIO, indent: int = 2) -> str:
    """A sentence in the width of a terminal, never broken inside a word or path; elsewhere a line
    stays one.

    The lines that follow the first are indented by that many columns more than it.
    """
    if not stream.isatty():
        return line
    margin = " " * (len(line) - len(line.lstrip()) + indent)
    width = shutil.get_terminal_size().columns
    return textwrap.fill(
        line, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
    )


def years(figure: Figure | None, form: str = "{:.2f}") -> str:
    """A mean in years, and half the width of its interval."""
    return "-" if figure is None else form.format(figure.value) + _uncertainty(figure, "{:.2f}")


def share(figure: Figure | None) -> str:
    """A part of the whole, and half the width of its interval."""
    return "-" if figure is None else f"{figure.value:.1%}" + _uncertainty(figure, "{:.1%}")


def _uncertainty(figure: Figure, form: str) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" ±{form.format((figure.high - figure.low) / 2)}"
