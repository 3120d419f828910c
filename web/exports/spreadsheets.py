"""Tables as Excel workbooks and as CSV, the only place that knows xlsxwriter. Rows are streamed:
memory does not grow with their number.

Texts of third parties may begin like a formula: they stay text. Called by the exports and the
command line.
"""

import csv
import datetime as dt
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.utility import xl_col_to_name

from schemas.times import UnixMs, to_rfc3339

Cell = str | int | float | bool | dt.datetime | None

_Workbook: TypeAlias = Any  # xlsxwriter ships no types
_Page: TypeAlias = Any

ROWS_MAX = 1_048_575
"""Rows below the header of a sheet, Excel's limit. Further rows go to another sheet."""

_TEXT_MAX = 32_767
"""UTF-16 units in a cell, Excel's limit: it refuses a workbook with a longer text."""

_WIDTHS = range(8, 61)
# Excel reads the fullwidth characters in the same way.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")  # noqa: RUF001 - on purpose
_NUMBER = re.compile(r"[+-](\d+([.,]\d+)*|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

_EXCEL_MARKS = b"\xef\xbb\xbfsep=,\r\n"
"""The encoding, UTF-8, and the separator of columns: Excel expects semicolons where numbers have a
decimal comma, as in half of Europe.
"""

_ON_OFF = ("off", "on")
_ON_OFF_XML = tuple(f' t="inlineStr"><is><t>{word}</t></is></c>' for word in _ON_OFF)
_RESERVED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile("[&<>\\x00-\\x08\\x0b-\\x1f\\ud800-\\udfff\\ufffe\\uffff]|_x[0-9a-fA-F]{4}_")
_MANY_ROWS = 250
"""Lines of CSV that are made at a time: as many as rows are read at a time, so that none of them is
kept while the client reads the lines.
"""
_A4 = 9
_DAY_0, _DAY = dt.datetime(1899, 12, 30, tzinfo=dt.UTC), dt.timedelta(days=1)
_TIME_WIDTH = len("2026-11-22 10:00:00 ")
_LAST_SECOND = (dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC) - _DAY_0) / _DAY
"""Excel shows a later moment as the year 10000."""

_FIRST_DAY = 61
"""1 March 1900. Before it Excel counts a day that did not exist, and before 1900 it has no dates.
"""


@dataclass(frozen=True)
class Sheet:
    """A table with a header. Times are datetimes in UTC (`moment`)."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def moment(at: UnixMs | None) -> dt.datetime | None:
    """Return a time as a cell."""
    return None if at is None else dt.datetime.fromtimestamp(at / 1000, dt.UTC)


def write_workbook(path: Path, sheets: Iterable[Sheet]) -> None:
    """Write the sheets as a workbook. Raises OSError.

    Header rows have filters, stay visible and are repeated on each printed page. Dates are dates,
    columns are as wide as their content, and pages are in landscape. Rows are first collected in
    files of a temporary folder, which is always deleted.
    """
    with _temporary_folder() as folder:
        workbook = xlsxwriter.Workbook(path, {"constant_memory": True, "tmpdir": folder})
        try:
            styles = _styles(workbook)
            for sheet in sheets:
                _write_sheet(workbook, sheet, styles)
            workbook.close()
        except FileCreateError as error:
            raise error.args[0] from None
        finally:
            for page in workbook.worksheets():
                page.row_data_fh.close()


def _temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(prefix="ringback-")
    except OSError as error:
        raise OSError(
            error.errno,
            f"no temporary folder can be written to ({error.strerror or error}): set TMPDIR to one"
            " that can",
        ) from error


def csv_pieces(sheet: Sheet, *, for_excel: bool = False) -> Iterator[bytes]:
    """Yield the sheet as CSV (RFC 4180) in UTF-8, many lines at a time. Values are unchanged,
    except for those that a spreadsheet would run as a formula.
    """
    if for_excel:
        yield _EXCEL_MARKS
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


class _Styles(NamedTuple):
    """The XML attributes of cells, by the kind of content."""

    header: str
    time: str
    like_a_formula: str


def _styles(workbook: _Workbook) -> _Styles:
    formats = {"bold": True}, {"num_format": "yyyy-mm-dd hh:mm:ss"}, {"quote_prefix": True}
    indexes = (workbook.add_format(given)._get_xf_index() for given in formats)  # noqa: SLF001 - see `_write_page`
    return _Styles(*(f' s="{index}"' for index in indexes))


def _write_sheet(workbook: _Workbook, sheet: Sheet, styles: _Styles) -> None:
    rows, number, is_over = iter(sheet.rows), 1, False
    while not is_over:
        page = workbook.add_worksheet(sheet.name if number == 1 else f"{sheet.name} {number}")
        is_over = _write_page(page, sheet.columns, rows, styles)
        number += 1


def _write_page(
    page: _Page, columns: Sequence[str], rows: Iterator[Sequence[Cell]], styles: _Styles
) -> bool:
    """Write the rows of one page. Returns whether these were the last ones.

    The XML of rows is written here, into the file in which the library collects them. Its methods
    for single cells take three times as long, which for 100,000 tokens is most of the minute that
    an export may take, and they would write a text in <r> unescaped.
    """
    widths = [len(title) + 2 for title in columns]  # space for the filter button
    letters = [xl_col_to_name(at) for at in range(len(columns))]
    header = (
        f'<c r="{letter}1"{styles.header}{_text_xml(title)}'
        for letter, title in zip(letters, columns, strict=True)
    )
    page.fh.write(_row_xml(1, header))
    line = 1
    for line, row in enumerate(rows, 2):
        page.fh.write(_row_xml(line, _cells(line, row, letters, widths, styles)))
        if line > ROWS_MAX:
            break
    _lay_out(page, line, widths)
    return line <= ROWS_MAX


def _lay_out(page: _Page, lines: int, widths: Sequence[int]) -> None:
    """Set the size of the table, the behaviour of its header, the columns and the printed pages."""
    last_row, last_column = lines - 1, len(widths) - 1
    page.dim_rowmin, page.dim_rowmax = 0, last_row
    page.dim_colmin, page.dim_colmax = 0, last_column
    page.freeze_panes(1, 0)
    page.repeat_rows(0)
    page.set_landscape()
    page.set_paper(_A4)
    page.fit_to_pages(1, 0)  # one page wide, any number of pages high
    page.autofilter(0, 0, last_row, last_column)
    for at, width in enumerate(widths):
        page.set_column(at, at, min(max(width, _WIDTHS.start), _WIDTHS.stop - 1))


def _row_xml(line: int, cells: Iterable[str]) -> str:
    return f'<row r="{line}">{"".join(cells)}</row>'


def _cells(
    line: int, row: Sequence[Cell], letters: Sequence[str], widths: list[int], styles: _Styles
) -> Iterator[str]:
    """Yield the cells of a row as XML. Updates `widths` to fit their content."""
    for at, cell in enumerate(row):
        if cell is not None:
            xml, width = _cell_xml(cell, styles)
            widths[at] = max(widths[at], width)
            yield f'<c r="{letters[at]}{line}"{xml}'


def _cell_xml(cell: str | float | dt.datetime, styles: _Styles) -> tuple[str, int]:
    """Return the XML after the cell's reference, and the width in characters."""
    if isinstance(cell, str):
        style = styles.like_a_formula if cell.startswith(_FORMULA) else ""
        return style + _text_xml(cell), len(cell)
    if isinstance(cell, bool):
        return _ON_OFF_XML[cell], 3
    if isinstance(cell, dt.datetime):
        days = min((cell - _DAY_0) / _DAY, _LAST_SECOND)
        if days < _FIRST_DAY:
            return _cell_xml(_rfc3339(cell), styles)
        return f"{styles.time}><v>{days!r}</v></c>", _TIME_WIDTH
    return f"><v>{cell!r}</v></c>", len(str(cell))


def _text_xml(text: str) -> str:
    """Return a text as XML. A text that was cut ends with `…`."""
    if len(text) * 2 > _TEXT_MAX:
        text = _cut(text)
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(_escaped, text)
    space = ' xml:space="preserve"' if text[:1].isspace() or text[-1:].isspace() else ""
    return f' t="inlineStr"><is><t{space}>{text}</t></is></c>'


def _cut(text: str) -> str:
    units = text.encode("utf-16-le", "surrogatepass")
    return (
        text
        if len(units) <= 2 * _TEXT_MAX
        else units[: 2 * (_TEXT_MAX - 1)].decode("utf-16-le", "ignore") + "…"
    )


def _escaped(match: re.Match[str]) -> str:
    """Return what a workbook holds instead of text that XML reserves or cannot hold. Half of a
    surrogate pair has no such form, and is replaced.
    """
    special = match[0]
    if special in _RESERVED:
        return _RESERVED[special]
    if len(special) > 1:
        return f"_x005F{special}"
    return "\ufffd" if "\ud800" <= special <= "\udfff" else f"_x{ord(special):04X}_"


def _in_csv(cell: Cell) -> str | int | float:
    if isinstance(cell, bool):
        return _ON_OFF[cell]
    if isinstance(cell, dt.datetime):
        return _rfc3339(cell)
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell
    return "" if cell is None else cell


def _rfc3339(time: dt.datetime) -> str:
    return to_rfc3339(UnixMs(round(time.timestamp() * 1000)))
