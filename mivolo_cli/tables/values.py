"""Convert the values of a result table to the types of SCHEMA.

Spreadsheets and other programs change tables when saving them: whole numbers as 12.0, decimal
commas, NaN for missing values, rounded large numbers. Values with a single meaning are accepted;
anything else is an error that names column and row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import BadInput
from ..records import LATER_COLUMNS, SCHEMA

MISSING = ("", "nan", "na", "n/a", "#n/a", "<na>", "nat", "none", "null")
"""How programs write missing values in fields other than text, ignoring case."""
NUMBERS = [
    field.name
    for field in SCHEMA
    if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
]
MIN_DIGITS = 7
"""A large number with fewer digits in a spreadsheet has been rounded."""
EPOCH = datetime(1970, 1, 1)
DAY_FIRST = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y")
"""Time formats with an unambiguous order of day and month."""
AGAIN = "correct it there, or use the original table of mivolo scan"
SHOWN = 40
"""Maximum characters of a value in a message."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows come from: a file, in which `first` rows precede them."""

    path: Path
    first: int = 0


class Unclear(ValueError):
    """A value that cannot be parsed, or is ambiguous."""


@dataclass(frozen=True, slots=True)
class DecimalMark:
    """Whether the numbers of a table have decimal commas."""

    comma: bool = False

    def number(self, value: Any) -> Decimal | None:
        """Parse a number; None if it is missing. Raises Unclear."""
        if not isinstance(value, str):
            return _finite(value)
        text = value.strip()
        if text.lower() in MISSING:
            return None
        if "," in text and "." in text or self.comma and "." in text or text.count(",") > 1:
            raise Unclear("mixes decimal points and commas, or has thousands divided by them")
        try:
            return _finite(Decimal(text.replace(",", ".")))
        except InvalidOperation:
            raise Unclear("is not a number") from None


def _finite(value: Any) -> Decimal | None:
    """Return exactly this number; None if it is missing. Raises Unclear."""
    if value is None or value != value:
        return None
    if not isinstance(value, int | float | Decimal):
        raise Unclear("is not a number")
    number = Decimal(value)
    if not number.is_finite():
        raise Unclear("is not a finite number")
    return number


def typed(table: pa.Table, origin: Origin) -> pa.Table:
    """Return the columns of SCHEMA in its types, without other columns. Those missing from schema
    version 1 are empty. Raises BadInput."""
    for name in set(LATER_COLUMNS) - set(table.column_names):
        table = table.append_column(name, pa.nulls(table.num_rows))
    mark = decimal_mark(table, NUMBERS, origin)
    columns = [_column(table[field.name], field, mark, origin) for field in SCHEMA]
    return pa.table(columns, schema=SCHEMA).replace_schema_metadata(table.schema.metadata)


def in_order(table: pa.Table) -> pa.Table:
    """Sort the rows by photo and person, as after a scan: other programs may have reordered them.
    Photos keep the order of their first rows."""
    photos = pc.binary_join_element_wise(table["root"], table["path"], "\0").combine_chunks()
    place = pa.chunked_array([photos.dictionary_encode().indices])
    keys = pa.table({"place": place, "person": table["person"]})
    order = pc.sort_indices(keys, [("place", "ascending"), ("person", "ascending")])
    return table if order.equals(pa.array(range(len(order)), order.type)) else table.take(order)


def refuse(origin: Origin, column: str, row: int, value: pa.Scalar, problem: str) -> BadInput:
    """Return the error for one value; rows count from 0 here, and from 1 for the user."""
    try:
        text = str(value.as_py())
    except (OverflowError, ValueError):  # a time that Python cannot represent
        text = str(value.cast(pa.int64()))
    shown = repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")
    what = f"{shown} {problem}" if value.is_valid else problem
    place = f"column {column}, row {origin.first + row + 1} (not counting the header)"
    return BadInput(f"{origin.path}: {place}: {what}", hint=AGAIN)


def _column(column: pa.ChunkedArray, field: pa.Field, mark: DecimalMark, origin: Origin) -> Any:
    """Convert one column to the type of its field."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        column = column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # errors are raised below, by row
        column = pa.chunked_array([_one_by_one(column, field, mark, origin)])
    if pa.types.is_floating(field.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column)
    if column.null_count and not field.nullable:
        row = next(row for row, value in enumerate(column) if not value.is_valid)
        raise refuse(origin, field.name, row, column[row], "is empty")
    return column


def _one_by_one(
    column: pa.ChunkedArray, field: pa.Field, mark: DecimalMark, origin: Origin
) -> pa.Array:
    values = []
    for row, scalar in enumerate(column):
        try:
            values.append(pa.scalar(_read(scalar.as_py(), field, mark), field.type).as_py())
        except (Unclear, pa.ArrowException, ArithmeticError, ValueError, TypeError) as error:
            problem = str(error) if isinstance(error, Unclear) else "does not fit this column"
            raise refuse(origin, field.name, row, scalar, problem) from error
    return pa.array(values, field.type)


def _read(value: Any, field: pa.Field, mark: DecimalMark) -> Any:
    """Convert a value to its Python type. Raises Unclear."""
    if pa.types.is_timestamp(field.type):
        return _time(value)
    if pa.types.is_integer(field.type):
        return _whole(value, mark)
    if pa.types.is_floating(field.type):
        number = mark.number(value)
        return None if number is None else float(number)
    return value if value is None or isinstance(value, str) else str(value)


def _whole(value: Any, mark: DecimalMark) -> int | None:
    """Parse a whole number. Programs write floats with all significant digits and `e`; spreadsheets
    may round what they show, with `E`. Raises Unclear."""
    number = mark.number(value)
    if number is None:
        return None
    if number != number.to_integral_value():
        raise Unclear("is not a whole number")
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    shown = isinstance(value, str) and "E" in value
    if shown and isinstance(exponent, int) and exponent > 0 and len(digits) < MIN_DIGITS:
        raise Unclear("was rounded: its last digits are lost")
    return int(number)


def _time(value: Any) -> datetime | None:
    """Parse a time without zone, as a clock showed it. Numbers are milliseconds since 1970, as
    pandas writes them. Raises Unclear."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None, microsecond=value.microsecond // 1000 * 1000)
    if value is None or str(value).strip().lower() in MISSING:
        return None
    if isinstance(value, int | float):
        return EPOCH + timedelta(milliseconds=value)
    text = str(value).strip().replace("/", "-")
    for read in (datetime.fromisoformat, *map(_reader, DAY_FIRST)):
        try:
            time = read(text)
        except ValueError:
            continue
        if time.utcoffset():
            raise Unclear("has a time zone, but times of photos have none")
        return time.replace(tzinfo=None, microsecond=time.microsecond // 1000 * 1000)
    raise Unclear("is not a time such as 2021-05-04T10:11:12")


def _reader(form: str) -> Any:
    return lambda text: datetime.strptime(text, form)


def decimal_mark(table: pa.Table, names: Iterable[str], origin: Origin) -> DecimalMark:
    """Detect decimal commas: a comma in one of these columns that can be nothing else. Raises
    BadInput if all of them could also separate thousands."""
    doubt: tuple[str, int, pa.Scalar] | None = None
    for name, row, value in _with_commas(table, names):
        if re.search(r",(?!\d{3}\s*$)|^\s*[+-]?0,", value.as_py()):
            return DecimalMark(comma=True)
        doubt = doubt or (name, row, value)
    if doubt is not None:
        raise refuse(origin, *doubt, "may be a fraction or thousands")
    return DecimalMark()


def _with_commas(table: pa.Table, names: Iterable[str]) -> Iterator[tuple[str, int, pa.Scalar]]:
    """Yield column, row and text of numbers with one comma."""
    for name in names:
        column = table[name]
        if not _is_text(column.type):
            continue
        commas = pc.fill_null(pc.equal(pc.count_substring(column, ","), 1), False)
        for row in pc.indices_nonzero(commas).to_pylist():
            yield name, row, column[row]


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
