"""A spreadsheet with formatted columns, filters, a frozen header, optional faces, counts by year
and folder, and a sheet about the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.worksheet import Worksheet

from ..atomic import new_file
from ..errors import BadInput
from ..records import Result, rows
from ..tables.moved import MOVED
from ..tables.results import Results
from ..tables.summary import Counts, Summary
from . import counted
from .common import NOTICE, Exported, Settings
from .portraits import portraits
from .sheets import OPTIONS, Column, Styles, styles, write_cell, write_header

SUFFIX = ".xlsx"
MAX_ROWS = 1_048_576
"""Maximum number of rows in a sheet, including the header."""
WORDS = {
    "ok": "judged",
    "no_people": "nobody found",
    "no_usable_crop": "too small or hidden",
    "error": "could not be read",
    "face+body": "face and body",
}
"""Meaning of the codes in the columns `status` and `used`."""
LAST_PRINTED = "message"
"""Columns after this one are for programs, and would make printed pages too small to read."""
WITHOUT = "photos without a picture because they are missing or have changed"
ROW_HEIGHT = 18
"""Height in pixels."""
PICTURE = {
    **{"x_offset": 3, "y_offset": 3, "object_position": 1},
    **{"description": "", "decorative": True},
}


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


def write(results: Results, target: Path, settings: Settings) -> Exported:
    """Write a spreadsheet with four sheets. Raises BadInput if there are too many rows for a
    sheet."""
    if results.table.num_rows >= MAX_ROWS:
        raise BadInput(
            f"{results.table.num_rows} rows are more than a spreadsheet can hold ({MAX_ROWS - 1})",
            hint="scan in parts, or use the Parquet or CSV table",
        )
    with new_file(target) as temporary:
        book = xlsxwriter.Workbook(str(temporary), OPTIONS)
        book.set_properties({"title": "People in photos", "author": "mivolo", "comments": NOTICE})
        formats = styles(book, (*COLUMNS, *counted.COLUMNS))
        summary, missing = _write_people(book, results, settings.thumbnails, formats)
        counted.write(book, summary, formats)
        _write_about(book, results, summary.all)
        _close(book)
    people = summary.all.people + summary.all.not_judged
    notes = (f"{WITHOUT}: {missing}", MOVED) if missing else ()
    return Exported((target,), summary.all.photos, people, notes)


def _close(book: xlsxwriter.Workbook) -> None:
    """Write the file. Raises OSError."""
    try:
        book.close()
    except FileCreateError as error:
        raise OSError(str(error)) from error


def _write_people(
    book: xlsxwriter.Workbook, results: Results, side: int, styles: Styles
) -> tuple[Summary, int]:
    """Write a line for each row of the table; return a summary, and the number of photos without
    pictures."""
    sheet, summary = book.add_worksheet("People"), Summary()
    first = int(bool(side))
    write_header(sheet, COLUMNS, styles, first)
    if side:
        sheet.set_column_pixels(0, 0, side + 6)
        sheet.write_string(0, 0, "Picture", styles.header)
    line = missing = 0
    for result in results:
        pictures = list(portraits(result, side)) if side and isinstance(result, Result) else []
        missing += None in pictures
        found = list(rows(result))
        summary.add(found)
        for row, picture in zip_longest(found, pictures):
            line += 1
            sheet.set_row_pixels(line, side + 6 if picture else ROW_HEIGHT)
            if picture:
                sheet.insert_image(line, 0, "photo.jpg", PICTURE | {"image_data": BytesIO(picture)})
            for number, column in enumerate(COLUMNS, start=first):
                write_cell(sheet, line, number, _in_words(row, column.name), column, styles)
    sheet.autofilter(0, 0, max(line, 1), first + len(COLUMNS) - 1)
    sheet.print_area(0, 0, line, first + [column.name for column in COLUMNS].index(LAST_PRINTED))
    _colour(book, sheet, line, first)
    return summary, missing


def _in_words(row: Mapping[str, Any], name: str) -> Any:
    """Return a value of the table, with codes as words."""
    value = row[name]
    if name == "error" and value is not None:
        return value.replace("_", " ")
    return WORDS.get(value, value) if name in ("status", "used") else value


def _colour(book: xlsxwriter.Workbook, sheet: Worksheet, last: int, first: int) -> None:
    """Highlight failed rows in red, and show the gender's probability as a bar."""
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


def _write_about(book: xlsxwriter.Workbook, results: Results, counts: Counts) -> None:
    sheet = book.add_worksheet("About")
    bold, wrapped = (
        book.add_format({"bold": True, "valign": "top"}),
        book.add_format({"text_wrap": True}),
    )
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 90)
    for line, (title, value) in enumerate(_facts(results, counts)):
        sheet.write_string(line, 0, title, bold)
        sheet.write_string(line, 1, value, wrapped)


def _facts(results: Results, counts: Counts) -> Iterator[tuple[str, str]]:
    yield "Photos", f"{counts.photos}, {counts.unreadable} of them unreadable"
    yield "People", f"{counts.people} judged, {counts.not_judged} too small or hidden"
    for key, value in results.made_by.items():
        yield key.capitalize(), value
    yield (
        "What this is not",
        (f"{NOTICE} Ages are least reliable under 5 and over 65. Not proof of age or identity."),
    )
    yield "Sure", "Probability of the gender shown, from 50 % (a guess) to 100 %."
    yield "Boxes", "In pixels of the upright photo: left, top, right, bottom."
