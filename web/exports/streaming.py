"""Downloads as responses. They are streamed, never whole in memory: the application leaves them as
they are (`STREAMS`).
"""

import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import IO

from flask import Response, request

from schemas.errors import Fault, Invalid, Unavailable
from web.exports.spreadsheets import Cell, Sheet, csv_pieces, write_workbook

STREAMS = "ringback.streams"
"""The key in the WSGI environ that marks a response as streamed."""

CSV = "text/csv; charset=utf-8"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

MAX_WORKBOOK_ROWS = 250_000
"""Rows of a workbook, which is written completely before it is sent. More: proxies give up before
it is complete.
"""

_PIECE = 256 * 1024
_one_at_a_time = threading.Lock()
"""A large workbook uses one core for a minute: several at once would slow down every other response
of this process.
"""


def csv_download(name: str, sheet: Sheet, *, for_excel: bool) -> Response:
    """Return a CSV file. Its rows are read while they are sent, so a later error breaks off the
    download. The first row is read at once, so that an early error becomes a problem.
    """
    rows = iter(sheet.rows)
    read = replace(sheet, rows=chain(list(islice(rows, 1)), rows))
    return _download(f"{name}.csv", CSV, csv_pieces(read, for_excel=for_excel))


def xlsx_download(name: str, sheets: Iterable[Sheet]) -> Response:
    """Return a workbook. It is written to a temporary file, which is deleted when the response
    ends. Raises Unavailable while this process generates another workbook, and if there is no disk
    space for it.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise Unavailable(
            "another workbook is being generated: retry later", headers={"Retry-After": "30"}
        )
    try:
        file = _workbook(sheets)
    except OSError as error:
        raise Unavailable(
            "the workbook cannot be written to the API's temporary folder"
            f" ({error.strerror or error}): set TMPDIR to a folder with enough space, or download"
            " the CSV",
            headers={"Retry-After": "60"},
        ) from error
    finally:
        _one_at_a_time.release()
    response = _download(f"{name}.xlsx", XLSX, _read(file))
    response.call_on_close(file.close)
    return response


def with_row_limit(sheet: Sheet) -> Sheet:
    """Return the sheet of a workbook. Reading its rows raises Invalid if there are too many."""
    return replace(sheet, rows=_up_to_limit(sheet.rows))


def _up_to_limit(rows: Iterable[Sequence[Cell]]) -> Iterator[Sequence[Cell]]:
    for number, row in enumerate(rows):
        if number == MAX_WORKBOOK_ROWS:
            fault = (
                f"there are more than the {MAX_WORKBOOK_ROWS:,} rows of a workbook: choose a"
                " shorter period with `since` and `until`"
            )
            raise Invalid(f"{fault}, or download the CSV", faults=[Fault(fault, "/since")])
        yield row


def _workbook(sheets: Iterable[Sheet]) -> IO[bytes]:
    """Return an open file, which the response closes."""
    file = tempfile.NamedTemporaryFile(prefix="ringback-", suffix=".xlsx")  # noqa: SIM115 - see above
    try:
        write_workbook(Path(file.name), sheets)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _download(name: str, content_type: str, pieces: Iterable[bytes]) -> Response:
    request.environ[STREAMS] = True
    return Response(
        pieces,
        content_type=content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
