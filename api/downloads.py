"""Answers that are files: streamed, never whole in memory. The application leaves them as they are (`STREAMS`)."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from flask import Response, request

from api.sheets import Sheet, csv_pieces, write_workbook

STREAMS = "ringback.streams"
"""Under this key the WSGI environ says that the answer is to be sent piece by piece."""

CSV, XLSX = "text/csv; charset=utf-8", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_PIECE = 256 * 1024


def csv_download(name: str, sheet: Sheet) -> Response:
    """Rows are read while they are sent: what goes wrong then breaks the download off. So the first piece is made at once."""
    pieces = csv_pieces(sheet)
    return _download(f"{name}.csv", CSV, _chained(next(pieces), pieces))


def xlsx_download(name: str, sheets: Iterable[Sheet]) -> Response:
    """Written into a file first, which is gone when the answer ends."""
    file = tempfile.NamedTemporaryFile(prefix="ringback-", suffix=".xlsx")  # noqa: SIM115 - open as long as the answer
    try:
        write_workbook(Path(file.name), sheets)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    answer = _download(f"{name}.xlsx", XLSX, _read(file))
    answer.call_on_close(file.close)
    return answer


def _download(name: str, kind: str, pieces: Iterable[bytes]) -> Response:
    request.environ[STREAMS] = True
    return Response(
        pieces, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    )


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
