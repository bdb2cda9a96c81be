"""Shared by all sheets of a spreadsheet: columns, formats, the frozen header, and cells.

Text stays text: names never become formulas or links, and text that looks like a formula is marked
as text, so that it stays text when the cell is edited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..tables.csv import FORMULA_STARTS

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
"""Options of the workbook."""
HEADER_HEIGHT = 26
"""Height in pixels."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `name` is its source column, and the width is in characters."""

    name: str
    title: str
    width: float
    number: str = ""


@dataclass(frozen=True, slots=True)
class Styles:
    """Formats of a workbook: for headers, and for numbers by column, text, and text that looks like
    a formula."""

    header: Format
    header_of_numbers: Format
    number: dict[str, Format]
    text: Format
    quoted: Format


def styles(book: Workbook, columns: Iterable[Column]) -> Styles:
    plain = {"valign": "vcenter", "font_name": "Calibri", "font_size": 11}
    header = {"bold": True, "font_color": "#ffffff", "bg_color": "#24507a", "border": 0}
    beside = {"indent": 1}  # separates a number from the text to its right
    return Styles(
        book.add_format(plain | header | beside),
        book.add_format(plain | header | {"align": "right"}),
        {c.number: book.add_format(plain | {"num_format": c.number}) for c in columns if c.number},
        book.add_format(plain | beside),
        book.add_format(plain | beside | {"quote_prefix": True}),
    )


def write_header(sheet: Worksheet, columns: Sequence[Column], styles: Styles, first: int) -> None:
    """Write the titles from column `first` on; freeze them, and the columns up to the first
    title."""
    sheet.set_row_pixels(0, HEADER_HEIGHT)
    sheet.freeze_panes(1, first + 1)
    for number, column in enumerate(columns, start=first):
        sheet.set_column(number, number, column.width)
        sheet.write_string(
            0, number, column.title, styles.header_of_numbers if column.number else styles.header
        )
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def write_cell(
    sheet: Worksheet, line: int, number: int, value: Any, column: Column, styles: Styles
) -> None:
    if value is None:
        return
    if isinstance(value, str):
        sheet.write_string(
            line, number, value, styles.quoted if value.startswith(FORMULA_STARTS) else styles.text
        )
    elif column.name == "taken_at":
        if value.year >= 1900:  # the calendar of spreadsheets begins then
            sheet.write_datetime(line, number, value, styles.number[column.number])
    else:
        sheet.write_number(line, number, value, styles.number[column.number])
