"""A spreadsheet for people: formatted columns, filters, a frozen header, faces by option, and a
sheet about it.

Text stays text: no formula and no link is ever made from a name, and what begins like a formula is
marked as text, so that it stays one when the cell is edited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from ..atomic import new_file
from ..errors import BadInput
from ..records import Failure, Result, rows
from ..tables.csv import FORMULA_STARTS
from ..tables.results import Results
from .common import NOTICE, Exported, Settings
from .portraits import portraits

SUFFIX = ".xlsx"
MAX_ROWS = 1_048_576
"""The most rows that a sheet can have, the header among them."""
OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
WORDS = {
    "ok": "judged",
    "no_people": "nobody found",
    "no_usable_crop": "too small or hidden",
    "error": "could not be read",
    "face+body": "face and body",
}
"""What the codes of the columns `status` and `used` mean."""
LAST_PRINTED = "message"
"""The columns behind it are for machines, and would make a printed page too small to read."""
ROW_HEIGHT = 18
"""In pixels."""


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is a column of the results; the width is in characters."""

    name: str
    title: str
    width: float
    number: str = ""


COLUMNS = (
    Column("path", "Photo", 38),
    Column("taken_at", "Taken", 17, "yyyy-mm-dd hh:mm"),
    Column("person", "Person", 8, "0"),
    Column("age", "Age", 7, "0.0"),
    Column("age_low", "Age from", 9, "0.0"),
    Column("age_high", "Age to", 8, "0.0"),
    Column("gender", "Gender", 9),
    Column("gender_score", "Sure", 7, "0%"),
    Column("used", "Seen from", 11),
    Column("status", "Result", 20),
    Column("error", "Problem", 14),
    Column("message", "What it means", 34),
    Column("width", "Width", 8, "0"),
    Column("height", "Height", 8, "0"),
    *(
        Column(f"{kind}_{corner}", f"{kind} {word}".capitalize(), 12, "0")
        for kind in ("face", "body")
        for corner, word in (("x1", "left"), ("y1", "top"), ("x2", "right"), ("y2", "bottom"))
    ),
    Column("face_score", "Face score", 11, "0%"),
    Column("body_score", "Body score", 11, "0%"),
    Column("root", "Folder scanned", 34),
)


@dataclass(frozen=True, slots=True)
class Styles:
    """The formats of a workbook: the headers', and each column's for numbers, text and text like a
    formula."""

    header: Format
    header_of_numbers: Format
    number: dict[str, Format]
    text: Format
    quoted: Format


def write(results: Results, target: Path, settings: Settings) -> Exported:
    """Two sheets. Raises BadInput for more rows than a sheet can hold."""
    if results.table.num_rows >= MAX_ROWS:
        raise BadInput(
            f"{results.table.num_rows} rows are more than a spreadsheet can hold ({MAX_ROWS - 1})",
            hint="scan in parts, or use the Parquet or CSV table",
        )
    with new_file(target) as temporary:
        book = xlsxwriter.Workbook(str(temporary), OPTIONS)
        book.set_properties({"title": "People in photos", "author": "mivolo", "comments": NOTICE})
        photos, people = _write_people(book, results, settings.thumbnails)
        _write_about(book, results, photos, people)
        _close(book)
    return Exported((target,), photos, people)


def _close(book: xlsxwriter.Workbook) -> None:
    """Write the file. Raises OSError."""
    try:
        book.close()
    except FileCreateError as error:
        raise OSError(str(error)) from error


def _write_people(book: xlsxwriter.Workbook, results: Results, side: int) -> tuple[int, int]:
    sheet, styles = book.add_worksheet("People"), _styles(book)
    first = int(bool(side))
    _write_header(sheet, styles, side)
    line = photos = people = 0
    for result in results:
        pictures = portraits(result, side) if side and isinstance(result, Result) else repeat(None)
        photos += 1
        for row, picture in zip(rows(result), pictures, strict=False):
            line += 1
            people += row["person"] is not None
            sheet.set_row_pixels(line, side + 6 if picture else ROW_HEIGHT)
            if picture:
                place = {
                    "image_data": BytesIO(picture),
                    "x_offset": 3,
                    "y_offset": 3,
                    "object_position": 1,
                }
                sheet.insert_image(
                    line, 0, "photo.jpg", place | {"description": "", "decorative": True}
                )
            for number, column in enumerate(COLUMNS, start=first):
                _write_cell(sheet, line, number, _in_words(row, column.name), column, styles)
    sheet.autofilter(0, 0, max(line, 1), first + len(COLUMNS) - 1)
    sheet.print_area(0, 0, line, first + [column.name for column in COLUMNS].index(LAST_PRINTED))
    _colour(book, sheet, line, first)
    return photos, people


def _in_words(row: Mapping[str, Any], name: str) -> Any:
    """A value of the table; its codes as people say them."""
    value = row[name]
    if name == "error" and value is not None:
        return value.replace("_", " ")
    return WORDS.get(value, value) if name in ("status", "used") else value


def _write_header(sheet: Worksheet, styles: Styles, side: int) -> None:
    first = int(bool(side))
    sheet.set_row_pixels(0, 26)
    sheet.freeze_panes(1, first + 1)
    if side:
        sheet.set_column_pixels(0, 0, side + 6)
        sheet.write_string(0, 0, "Picture", styles.header)
    for number, column in enumerate(COLUMNS, start=first):
        sheet.set_column(number, number, column.width)
        sheet.write_string(
            0, number, column.title, styles.header_of_numbers if column.number else styles.header
        )
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _write_cell(
    sheet: Worksheet, line: int, number: int, value: Any, column: Column, styles: Styles
) -> None:
    if value is None:
        return
    if isinstance(value, str):
        sheet.write_string(
            line, number, value, styles.quoted if value.startswith(FORMULA_STARTS) else styles.text
        )
    elif column.name == "taken_at":
        if value.year >= 1900:  # a spreadsheet's calendar begins there
            sheet.write_datetime(line, number, value, styles.number[column.number])
    else:
        sheet.write_number(line, number, value, styles.number[column.number])


def _styles(book: xlsxwriter.Workbook) -> Styles:
    plain = {"valign": "vcenter", "font_name": "Calibri", "font_size": 11}
    header = {"bold": True, "font_color": "#ffffff", "bg_color": "#24507a", "border": 0}
    beside = {"indent": 1}  # else a number and the text to its right touch
    return Styles(
        book.add_format(plain | header | beside),
        book.add_format(plain | header | {"align": "right"}),
        {c.number: book.add_format(plain | {"num_format": c.number}) for c in COLUMNS if c.number},
        book.add_format(plain | beside),
        book.add_format(plain | beside | {"quote_prefix": True}),
    )


def _colour(book: xlsxwriter.Workbook, sheet: Worksheet, last: int, first: int) -> None:
    """Rows that failed in red; how sure the gender is as a bar."""
    names = [column.name for column in COLUMNS]
    status, sure = first + names.index("status"), first + names.index("gender_score")
    red = book.add_format({"font_color": "#9c0006", "bg_color": "#ffe4e1"})
    rule = {"type": "cell", "criteria": "==", "value": f'"{WORDS["error"]}"', "format": red}
    sheet.conditional_format(1, status, max(last, 1), status, rule)
    bar = {
        "type": "data_bar",
        "bar_solid": True,
        "bar_color": "#a9cdec",
        "min_type": "num",
        "max_type": "num",
    }
    sheet.conditional_format(1, sure, max(last, 1), sure, bar | {"min_value": 0.5, "max_value": 1})


def _write_about(book: xlsxwriter.Workbook, results: Results, photos: int, people: int) -> None:
    sheet = book.add_worksheet("About")
    bold, wrapped = (
        book.add_format({"bold": True, "valign": "top"}),
        book.add_format({"text_wrap": True}),
    )
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 90)
    for line, (title, value) in enumerate(_facts(results, photos, people)):
        sheet.write_string(line, 0, title, bold)
        sheet.write_string(line, 1, value, wrapped)


def _facts(results: Results, photos: int, people: int) -> Iterator[tuple[str, str]]:
    yield (
        "Photos",
        f"{photos}, {sum(isinstance(result, Failure) for result in results)} of them unreadable",
    )
    yield "People", str(people)
    for key, value in results.made_by.items():
        yield key.capitalize(), value
    yield (
        "What this is not",
        f"{NOTICE} Ages are least reliable under 5 and over 65. No proof of age, no identity.",
    )
    yield "Sure", "The probability of the gender that is named, from 50 % (a guess) to 100 %."
    yield "Boxes", "In pixels of the upright photo: left, top, right, bottom."
