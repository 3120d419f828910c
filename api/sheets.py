"""Tables as Excel workbooks and as CSV: the one place that knows xlsxwriter. Rows are streamed; memory does not grow with them.

What others wrote may begin like a formula: it stays text. Called by the exports and the command line.
"""

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import xlsxwriter

from schemas.times import UnixMs, to_rfc3339

Cell = str | int | float | bool | dt.datetime | None

ROWS_MAX = 1_048_575
"""Below the header. Excel's own limit is one more; what is beyond goes onto another sheet."""

_TEXT_MAX = 32_767  # characters of a cell, Excel's limit: it refuses a workbook with a longer one
_WIDTHS = range(8, 61)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MANY_ROWS = 500


@dataclass(frozen=True)
class Sheet:
    """A table with a header. A title is also the column's name in CSV; times are datetimes in UTC (`moment`)."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def moment(at: UnixMs | None) -> dt.datetime | None:
    """A time as a cell."""
    return None if at is None else dt.datetime.fromtimestamp(at / 1000, dt.UTC)


def write_workbook(path: Path, sheets: Iterable[Sheet]) -> None:
    """Header rows that filter and stay in sight, dates as dates, columns as wide as what is in them."""
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(path, options | {"remove_timezone": True}) as workbook:
        formats = _Formats(
            *(workbook.add_format(kind) for kind in ({"bold": True}, {"num_format": "yyyy-mm-dd hh:mm:ss"}, {"quote_prefix": True}))
        )
        for sheet in sheets:
            _write_sheet(workbook, sheet, formats)


def csv_pieces(sheet: Sheet) -> Iterator[bytes]:
    """RFC 4180, in UTF-8; pieces of many lines."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(sheet.columns)
    for number, row in enumerate(sheet.rows, 1):
        writer.writerow([_in_csv(cell) for cell in row])
        if number % _MANY_ROWS == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


class _Formats(NamedTuple):
    header: Any
    time: Any
    like_a_formula: Any


def _write_sheet(workbook: Any, sheet: Sheet, formats: _Formats) -> None:
    rows, number, is_over = iter(sheet.rows), 1, False
    while not is_over:
        page = workbook.add_worksheet(sheet.name if number == 1 else f"{sheet.name} {number}")
        is_over = _write_page(page, sheet.columns, rows, formats)
        number += 1


def _write_page(page: Any, columns: Sequence[str], rows: Iterator[Sequence[Cell]], formats: _Formats) -> bool:
    """Whether that was the last of the rows."""
    widths = [len(title) + 2 for title in columns]  # room for the filter's button
    for at, title in enumerate(columns):
        page.write_string(0, at, title, formats.header)
    line = 0
    for line, row in enumerate(rows, 1):
        for at, cell in enumerate(row):
            if cell is not None:
                widths[at] = max(widths[at], _write_cell(page, line, at, cell, formats))
        if line == ROWS_MAX:
            break
    page.freeze_panes(1, 0)
    page.autofilter(0, 0, line, len(columns) - 1)
    for at, width in enumerate(widths):
        page.set_column(at, at, min(max(width, _WIDTHS.start), _WIDTHS.stop - 1))
    return line < ROWS_MAX


def _write_cell(page: Any, line: int, at: int, cell: str | float | dt.datetime, formats: _Formats) -> int:
    """How wide it is, in characters."""
    if isinstance(cell, bool):
        page.write_string(line, at, "on" if cell else "off")
        return 3
    if isinstance(cell, dt.datetime):
        page.write_datetime(line, at, cell, formats.time)
        return 19
    if isinstance(cell, int | float):
        page.write_number(line, at, cell)
        return len(str(cell))
    page.write_string(line, at, cell[:_TEXT_MAX], formats.like_a_formula if cell.startswith(_FORMULA) else None)
    return len(cell)


def _in_csv(cell: Cell) -> str | int | float:
    if isinstance(cell, bool):
        return "on" if cell else "off"
    if isinstance(cell, dt.datetime):
        return to_rfc3339(UnixMs(round(cell.timestamp() * 1000)))
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA) else cell
    return "" if cell is None else cell
