"""Tables as Excel workbooks and as CSV: the one place that knows xlsxwriter. Rows are streamed;
memory does not grow with them.

What others wrote may begin like a formula: it stays text. Called by the exports and the command
line.
"""

import csv
import datetime as dt
import io
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import xlsxwriter
from xlsxwriter.exceptions import FileCreateError
from xlsxwriter.utility import xl_col_to_name

from schemas.times import UnixMs, to_rfc3339

Cell = str | int | float | bool | dt.datetime | None

ROWS_MAX = 1_048_575
"""Below the header. Excel's own limit is one more; what is beyond goes onto another sheet."""

_TEXT_MAX = 32_767
"""Of a cell, in UTF-16 units, Excel's limit: it refuses a workbook with a longer one."""

_WIDTHS = range(8, 61)
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")  # noqa: RUF001 - Excel reads wide ones alike
_NUMBER = re.compile(r"[+-](\d+([.,]\d+)*|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

_EXCEL_MARKS = b"\xef\xbb\xbfsep=,\r\n"
"""That it is UTF-8, and what separates its columns: where numbers have a comma, as in half of
Europe, Excel expects semicolons.
"""

_ON_OFF = ("off", "on")
_ON_OFF_XML = tuple(f' t="inlineStr"><is><t>{word}</t></is></c>' for word in _ON_OFF)
_RESERVED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile("[&<>\\x00-\\x08\\x0b-\\x1f\\ud800-\\udfff\\ufffe\\uffff]|_x[0-9a-fA-F]{4}_")
_MANY_ROWS = 500
_A4 = 9
_DAY_0, _DAY = dt.datetime(1899, 12, 30, tzinfo=dt.UTC), dt.timedelta(days=1)
_TIME_WIDTH = len("2026-11-22 10:00:00 ")
_LAST_SECOND = (
    dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC) - _DAY_0
) / _DAY  # a moment later is shown as the year 10000
# 1 March 1900: before it Excel counts a day that was none, and before 1900 it knows no dates
_FIRST_DAY = 61


@dataclass(frozen=True)
class Sheet:
    """A table with a header. A title is also the column's name in CSV; times are datetimes in UTC
    (`moment`).
    """

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def moment(at: UnixMs | None) -> dt.datetime | None:
    """A time as a cell."""
    return None if at is None else dt.datetime.fromtimestamp(at / 1000, dt.UTC)


def write_workbook(path: Path, sheets: Iterable[Sheet]) -> None:
    """Header rows that filter, stay in sight and head each printed page, dates as dates, columns as
    wide as what is in them, pages across. Raises OSError.

    Rows are gathered in files of a temporary folder, which is gone afterwards, however this ends.
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
            f"no temporary folder can be written to ({error.strerror or error}): set TMPDIR to one",
        ) from error


def csv_pieces(sheet: Sheet, *, for_excel: bool = False) -> Iterator[bytes]:
    """RFC 4180, in UTF-8; pieces of many lines. Values are as they are, but for those that a
    spreadsheet would run.
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
    """Attributes of a cell."""

    header: str
    time: str
    like_a_formula: str


def _styles(workbook: Any) -> _Styles:
    kinds = {"bold": True}, {"num_format": "yyyy-mm-dd hh:mm:ss"}, {"quote_prefix": True}
    return _Styles(*(f' s="{workbook.add_format(kind)._get_xf_index()}"' for kind in kinds))  # noqa: SLF001 - see `_write_page`


def _write_sheet(workbook: Any, sheet: Sheet, styles: _Styles) -> None:
    rows, number, is_over = iter(sheet.rows), 1, False
    while not is_over:
        page = workbook.add_worksheet(sheet.name if number == 1 else f"{sheet.name} {number}")
        is_over = _write_page(page, sheet.columns, rows, styles)
        number += 1


def _write_page(
    page: Any, columns: Sequence[str], rows: Iterator[Sequence[Cell]], styles: _Styles
) -> bool:
    """Whether that was the last of the rows.

    Rows are spelled here, into the file in which the library gathers them: cell by cell through its
    methods takes three times as long, which for 100,000 tokens is most of the minute that they may
    take; and a text in <r> would go into the sheet unescaped.
    """
    widths = [len(title) + 2 for title in columns]  # room for the filter's button
    letters = [xl_col_to_name(at) for at in range(len(columns))]
    page.fh.write(
        _row_xml(
            1,
            [
                f'<c r="{letter}1"{styles.header}{_text_xml(title)}'
                for letter, title in zip(letters, columns, strict=True)
            ],
        )
    )
    line = 1
    for line, row in enumerate(rows, 2):
        page.fh.write(_row_xml(line, _cells(line, row, letters, widths, styles)))
        if line > ROWS_MAX:
            break
    page.dim_rowmin, page.dim_rowmax, page.dim_colmin, page.dim_colmax = (
        0,
        line - 1,
        0,
        len(columns) - 1,
    )
    page.freeze_panes(1, 0)
    page.repeat_rows(0)
    page.set_landscape()
    page.set_paper(_A4)
    page.fit_to_pages(1, 0)  # as wide as one page, and as many as it takes
    page.autofilter(0, 0, line - 1, len(columns) - 1)
    for at, width in enumerate(widths):
        page.set_column(at, at, min(max(width, _WIDTHS.start), _WIDTHS.stop - 1))
    return line <= ROWS_MAX


def _row_xml(line: int, cells: Iterable[str]) -> str:
    return f'<row r="{line}">{"".join(cells)}</row>'


def _cells(
    line: int, row: Sequence[Cell], letters: Sequence[str], widths: list[int], styles: _Styles
) -> Iterator[str]:
    """Widens `widths` to what is in them."""
    for at, cell in enumerate(row):
        if cell is not None:
            xml, width = _cell_xml(cell, styles)
            widths[at] = max(widths[at], width)
            yield f'<c r="{letters[at]}{line}"{xml}'


def _cell_xml(cell: str | float | dt.datetime, styles: _Styles) -> tuple[str, int]:
    """The element behind its place, and how wide it is, in characters."""
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
    """What is cut off ends with a sign of it."""
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
    """As a workbook spells what XML reserves or cannot hold; half a surrogate pair cannot be
    spelled at all.
    """
    found = match[0]
    if found in _RESERVED:
        return _RESERVED[found]
    if len(found) > 1:
        return f"_x005F{found}"
    return "\ufffd" if "\ud800" <= found <= "\udfff" else f"_x{ord(found):04X}_"


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
