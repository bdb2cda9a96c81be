"""The sheets "By year" and "By folder" with numbers of photos and people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..tables.summary import AGES, Counts, Summary
from .sheets import Column, Styles, write_cell, write_header

if TYPE_CHECKING:
    from xlsxwriter import Workbook

NUMBER = "#,##0"
COLUMNS = tuple(
    Column(title, f"Age {title}" if title in AGES else title.capitalize(), 12, NUMBER)
    for title in Counts().columns()
)


def write(book: Workbook, summary: Summary, styles: Styles) -> None:
    years = ((year or "unknown", counts) for year, counts in summary.by_year())
    _write(book, "By year", Column("year", "Year", 10, "0"), years, styles)
    _write(book, "By folder", Column("folder", "Folder", 38), summary.named_folders(), styles)


def _write(
    book: Workbook,
    name: str,
    first: Column,
    parts: Iterable[tuple[int | str, Counts]],
    styles: Styles,
) -> None:
    sheet = book.add_worksheet(name)
    columns = (first, *COLUMNS)
    write_header(sheet, columns, styles, 0)
    line = 0
    for line, (part, counts) in enumerate(parts, start=1):
        values = (part, *counts.columns().values())
        for number, (value, column) in enumerate(zip(values, columns, strict=True)):
            write_cell(sheet, line, number, value, column, styles)
    sheet.autofilter(0, 0, max(line, 1), len(columns) - 1)
