"""Answers that are files: streamed, never whole in memory. The application leaves them as they are
(`STREAMS`).
"""

import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from flask import Response, request

from schemas.errors import Fault, Invalid, Unavailable
from web.exports.spreadsheets import Cell, Sheet, csv_pieces, write_workbook

STREAMS = "ringback.streams"
"""Under this key the WSGI environ says that the answer is to be sent piece by piece."""

CSV, XLSX = (
    "text/csv; charset=utf-8",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)

MOST_IN_EXCEL = 250_000
"""Rows of a workbook, which is written whole before it is sent. More: proxies give up waiting for
it.
"""

_PIECE = 256 * 1024
_one_at_a_time = threading.Lock()
"""A large workbook keeps a core busy for a minute: several at once would slow down every other
answer of this process.
"""


def csv_download(name: str, sheet: Sheet, *, for_excel: bool) -> Response:
    """Rows are read while they are sent: what goes wrong then breaks the download off. So the first
    pieces are made at once.
    """
    pieces = csv_pieces(sheet, for_excel=for_excel)
    first = b"".join(next(pieces) for _ in range(1 + for_excel))
    return _download(f"{name}.csv", CSV, _chained(first, pieces))


def xlsx_download(name: str, sheets: Iterable[Sheet]) -> Response:
    """Written into a file first, which is gone when the answer ends. Raises Unavailable while this
    process makes another one, and where there is no room for it.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise Unavailable(
            "another workbook is just being made: try again when it is done",
            headers={"Retry-After": "30"},
        )
    try:
        file = _workbook(sheets)
    except OSError as error:
        why = f"a workbook is made in the API's temporary folder, which cannot be written to ({error.strerror or error})"
        raise Unavailable(
            f"{why}: set TMPDIR to one that has room, or take the CSV",
            headers={"Retry-After": "60"},
        ) from error
    finally:
        _one_at_a_time.release()
    answer = _download(f"{name}.xlsx", XLSX, _read(file))
    answer.call_on_close(file.close)
    return answer


def few_enough(sheet: Sheet) -> Sheet:
    """For a workbook. Reading its rows raises Invalid when there are more."""
    return replace(sheet, rows=_up_to_most(sheet.rows))


def _up_to_most(rows: Iterable[Sequence[Cell]]) -> Iterator[Sequence[Cell]]:
    for number, row in enumerate(rows):
        if number == MOST_IN_EXCEL:
            told = f"there are more than the {MOST_IN_EXCEL:,} rows of a workbook: choose a shorter time by `since` and `until`"
            raise Invalid(f"{told}, or take the CSV", faults=[Fault(told, "/since")])
        yield row


def _workbook(sheets: Iterable[Sheet]) -> IO[bytes]:
    file = tempfile.NamedTemporaryFile(prefix="ringback-", suffix=".xlsx")  # noqa: SIM115 - open as long as the answer
    try:
        write_workbook(Path(file.name), sheets)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _download(name: str, kind: str, pieces: Iterable[bytes]) -> Response:
    request.environ[STREAMS] = True
    return Response(
        pieces,
        content_type=kind,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
