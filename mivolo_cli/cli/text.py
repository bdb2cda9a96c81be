"""Format figures and tables as text."""

from __future__ import annotations

import re
import shutil
import textwrap
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from ..evaluation.metrics import Figure

CONTROL = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control characters, format characters, surrogates, and line separators."""
JOINERS = "\u200c\u200d"
"""Harmless format characters that words and emoji need."""
INTERNAL = re.compile(
    r"\[(Errno|WinError) -?\d+\] ?| ?'?<[\w.]+ object at 0x[0-9a-f]+>'?| input source '<Buffer>'"
)
NOT_UTF8 = re.compile(r"'utf-?8' codec can't decode .*?: [a-z ]+")
UNCERTAINTY = "±: half-width of a 95 % bootstrap interval over people"


def shown(text: str) -> str:
    """Return text for a terminal: characters that would move the cursor, break the line or change
    the text direction are escaped, for example in a file name `a\\x1b[2J.jpg`."""
    return "".join(_code(char) if _is_control(char) else char for char in text)


def without_internals(message: str) -> str:
    """Return a library's message without Python's numbers and object names."""
    return INTERNAL.sub("", NOT_UTF8.sub("it is not encoded as UTF-8", message))


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in CONTROL and char not in JOINERS


def _code(char: str) -> str:
    return char.encode("unicode_escape").decode()


def echo(line: str, err: bool = False) -> None:
    """Print one line on standard output or standard error."""
    typer.echo(shown(line), err=err)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: the first one to the left, numbers to the right."""
    first, *others = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                name + " " * (first - columns(name)),
                *(cell.rjust(width) for cell, width in zip(cells, others, strict=True)),
            ]
        )
        for name, *cells in rows
    ]


def columns(text: str) -> int:
    """Return the width of text in a terminal: East Asian characters take two columns, accents
    none."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or char in JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrapped(line: str, stream: TextIO, indent: int = 2, break_paths: bool = False) -> str:
    """Wrap a sentence, escaped as by `shown`, to the width of a terminal, never inside a word, and
    inside a path only with `break_paths`. If the stream is not a terminal, it stays on one line.

    Lines after the first are indented by this many columns more.
    """
    line = shown(line)
    if not stream.isatty():
        return line
    margin = " " * (len(line) - len(line.lstrip()) + indent)
    width = shutil.get_terminal_size().columns
    wrapper = _PathWrapper if break_paths else textwrap.TextWrapper
    return wrapper(
        width, subsequent_indent=margin, break_long_words=break_paths, break_on_hyphens=False
    ).fill(line)


class _PathWrapper(textwrap.TextWrapper):
    """Breaks words that are too long for a line after a slash, if possible."""

    def _handle_long_word(
        self, reversed_chunks: list[str], cur_line: list[str], cur_len: int, width: int
    ) -> None:
        room, word = max(width - cur_len, 1), reversed_chunks[-1]
        end = max(word.rfind(slash, 0, room) + 1 for slash in "/\\") or room
        cur_line.append(word[:end])
        reversed_chunks[-1] = word[end:]


def years(figure: Figure | None, form: str = "{:.2f}") -> str:
    """Format a mean in years, with half the width of its interval."""
    return "-" if figure is None else form.format(figure.value) + _uncertainty(figure, "{:.2f}")


def share(figure: Figure | None) -> str:
    """Format a share, with half the width of its interval."""
    return "-" if figure is None else f"{figure.value:.1%}" + _uncertainty(figure, "{:.1%}")


def _uncertainty(figure: Figure, form: str) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f" ±{form.format((figure.high - figure.low) / 2)}"
