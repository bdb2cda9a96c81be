"""Figures and tables as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..metrics import Figure


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the columns below each other: the first one to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def years(figure: Figure | None, form: str = "{:.2f}") -> str:
    """A mean in years and its interval."""
    return "-" if figure is None else form.format(figure.value) + _between(figure, form)


def share(figure: Figure | None) -> str:
    """A part of the whole and its interval."""
    return "-" if figure is None else f"{figure.value:.1%}" + _between(figure, "{:.1%}")


def _between(figure: Figure, form: str) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" ({form.format(figure.low)} to {form.format(figure.high)})"
