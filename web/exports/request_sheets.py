"""A token's requests as a sheet, newest first. Called by the downloads of the request log."""

from collections.abc import Iterable

from schemas.request_log import LoggedRequest
from web.exports.spreadsheets import Cell, Sheet, moment

_COLUMNS = (
    "Time (UTC)", "Method", "Path", "Status", "Duration (ms)", "Address", "User agent", "Permission", "Allowed", "Reason", "Request ID", "Count",
)  # fmt: skip


def requests_sheet(requests: Iterable[LoggedRequest]) -> Sheet:
    """Read as it is written."""
    return Sheet("Requests", _COLUMNS, map(_cells, requests))


def _cells(one: LoggedRequest) -> tuple[Cell, ...]:
    allowed = "yes" if one.allowed else "no"
    answered = one.status, one.duration_ms, one.address, one.user_agent
    return (
        moment(one.at),
        one.method,
        one.path,
        *answered,
        one.permission,
        allowed,
        one.reason,
        one.request_id,
        one.count,
    )
