"""A token's requests as a sheet, newest first. Called by the downloads of the request log."""

from collections.abc import Iterable

from schemas.request_log import LoggedRequest
from web.exports.spreadsheets import Cell, Sheet, moment

_COLUMNS = (
    "Time (UTC)", "Method", "Path", "Status", "Duration (ms)", "Address", "User agent",
    "Permission", "Allowed", "Reason", "Request ID", "Count",
)  # fmt: skip


def requests_sheet(requests: Iterable[LoggedRequest]) -> Sheet:
    """Return a sheet whose rows are read while it is written."""
    return Sheet("Requests", _COLUMNS, map(_cells, requests))


def _cells(request: LoggedRequest) -> tuple[Cell, ...]:
    return (
        moment(request.at),
        request.method,
        request.path,
        request.status,
        request.duration_ms,
        request.address,
        request.user_agent,
        request.permission,
        "yes" if request.allowed else "no",
        request.reason,
        request.request_id,
        request.count,
    )
