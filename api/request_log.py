"""The request log: a token's requests listed and downloaded, and those to the chat platform's own API reported."""

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus

from flask import Response

from api.answers import ReportedAnswer, RequestPage
from api.downloads import CSV, XLSX, csv_download, few_enough, xlsx_download
from api.models import IdPath
from api.parts import ApiParts
from api.reading import MAX_BATCH_BYTES
from api.request_models import CompletedRequest, ReportRequests, RequestsFileQuery, RequestsQuery, WholeRequest
from api.responses import json_response
from api.routes import Route
from api.sheets import Cell, Sheet, moment
from api.showing import request_page
from schemas.errors import Fault, Invalid
from schemas.ids import RequestId, TokenId, first_request_id, new_request_id
from schemas.permissions import Permission
from schemas.request_log import (
    MAX_ADDRESS,
    MAX_METHOD,
    MAX_REASON,
    MAX_USER_AGENT,
    Completion,
    LoggedRequest,
    kept,
    kept_path,
)
from schemas.times import UnixMs, now_ms
from store.request_listings import every_request, known_tokens, list_requests

_AHEAD_MS = 5 * 60_000
"""How far a reporter's clock may be ahead. Further: rows that stay at the top of the list, where retention does not reach them."""

_TAG = "Request log"
_COLUMNS = (
    "Time (UTC)", "Method", "Path", "Status", "Duration (ms)", "Address", "User agent", "Permission", "Allowed", "Reason", "Request id",
)  # fmt: skip


def list_of_requests(parts: ApiParts, path: IdPath, query: RequestsQuery) -> Response:
    """List the requests made with a token, newest first.

    Those to this API, and those to the chat platform's own that it asked about or reported. A page looks at a bounded number of
    requests: with a filter that matches little it may hold few of them, or none, and have a `next_cursor` all the same. Go on until
    that is null. A request is listed within a second.
    """
    token_id = TokenId(path.id)
    with parts.database.read() as connection:
        parts.tokens.get_in(connection, token_id)
        return json_response(request_page(list_requests(connection, token_id, query.chosen(), query.limit, query.cursor)))


def requests_csv(parts: ApiParts, path: IdPath, query: RequestsFileQuery) -> Response:
    """Download them as CSV, newest first."""
    return csv_download(_name(path), _sheet(_every(parts, path, query)))


def requests_xlsx(parts: ApiParts, path: IdPath, query: RequestsFileQuery) -> Response:
    """Download them as an Excel workbook, newest first.

    422 when there are more than 250,000: choose a shorter time by `since` and `until`, or take the CSV. 503 while another workbook
    is being made.
    """
    return xlsx_download(_name(path), [few_enough(_sheet(_every(parts, path, query)))])


def report_requests(parts: ApiParts, body: ReportRequests) -> Response:
    """Report requests to the chat platform's own API.

    Up to 1000 at once, each either the `request_id` that introspection answered with what became of the request, or a whole request
    that was not introspected. 422 names every bad one by pointer, and none is taken.
    """
    now = now_ms()
    if faults := [*_unknown_tokens(parts, body.requests), *_in_the_future(body.requests, now)]:
        raise Invalid("a report breaks the rules", faults=faults)
    for report in body.requests:
        parts.request_log.add(_completion(report, now) if isinstance(report, CompletedRequest) else _whole(report, now))
    return json_response(ReportedAnswer(len(body.requests)), HTTPStatus.ACCEPTED)


def _every(parts: ApiParts, path: IdPath, query: RequestsFileQuery) -> Iterator[LoggedRequest]:
    token_id = parts.tokens.get(TokenId(path.id)).id  # now: a generator would find out when the answer has begun
    return every_request(parts.database, token_id, query.chosen())


def _name(path: IdPath) -> str:
    return f"requests-{path.id}"


def _sheet(requests: Iterable[LoggedRequest]) -> Sheet:
    return Sheet("Requests", _COLUMNS, map(_cells, requests))


def _cells(one: LoggedRequest) -> Sequence[Cell]:
    allowed = "yes" if one.allowed else "no"
    answered = one.status, one.duration_ms, one.address, one.user_agent
    return moment(one.at), one.method, one.path, *answered, one.permission, allowed, one.reason, one.request_id


def _unknown_tokens(parts: ApiParts, reports: Sequence[CompletedRequest | WholeRequest]) -> Iterable[Fault]:
    """By what is in memory, then by the store: a token may be new, or revoked since the request was made."""
    named = {TokenId(report.token) for report in reports if isinstance(report, WholeRequest)}
    unsure = {token_id for token_id in named if parts.directory.token(token_id) is None}
    if not unsure:
        return
    with parts.database.read() as connection:
        unknown = unsure - known_tokens(connection, unsure)
    for number, report in enumerate(reports):
        if isinstance(report, WholeRequest) and report.token in unknown:
            yield Fault("there is no such token: name it by its id, introspection's `client_id`", f"/requests/{number}/token")


def _in_the_future(reports: Sequence[CompletedRequest | WholeRequest], now: UnixMs) -> Iterable[Fault]:
    """By their `at`, or by the time in an id: retention goes by that."""
    ahead = first_request_id(now + _AHEAD_MS + 1)
    for number, report in enumerate(reports):
        if isinstance(report, CompletedRequest):
            if report.request_id >= ahead:
                yield Fault("this id is of the future: send the one that introspection answered", f"/requests/{number}/request_id")
        elif report.at is not None and report.at > now + _AHEAD_MS:
            yield Fault("this lies in the future: is the clock right?", f"/requests/{number}/at")


def _completion(report: CompletedRequest, now: UnixMs) -> Completion:
    return Completion(RequestId(report.request_id), now, report.status, report.duration_ms)


def _whole(report: WholeRequest, now: UnixMs) -> LoggedRequest:
    own = new_request_id()
    return LoggedRequest(
        id=own,
        at=now if report.at is None else report.at,
        token_id=TokenId(report.token),
        request_id=own,
        method=kept(report.method, MAX_METHOD),
        path=kept_path(report.path),
        status=report.status,
        duration_ms=report.duration_ms,
        address=report.ip and kept(report.ip, MAX_ADDRESS),
        user_agent=report.user_agent and kept(report.user_agent, MAX_USER_AGENT),
        permission=report.permission,
        allowed=report.reason is None if report.allowed is None else report.allowed,
        reason=report.reason and kept(report.reason, MAX_REASON),
    )


_ADMIN, _INTROSPECT = Permission.PLATFORM_ADMIN, Permission.TOKENS_INTROSPECT
_OF_TOKEN = "/v1/tokens/<id>/requests"
_FOUND = frozenset({404, 422})
_REPORTED = frozenset({400, 413, 415, 422})

ROUTES = (
    Route("GET", _OF_TOKEN, list_of_requests, _TAG, answer=RequestPage, needs=_ADMIN, problems=_FOUND),
    Route("GET", _OF_TOKEN + ".csv", requests_csv, _TAG, needs=_ADMIN, file=CSV, problems=_FOUND),
    Route("GET", _OF_TOKEN + ".xlsx", requests_xlsx, _TAG, needs=_ADMIN, file=XLSX, problems=_FOUND),
    Route(
        "POST", "/v1/requests", report_requests, _TAG, HTTPStatus.ACCEPTED, ReportedAnswer, _INTROSPECT, problems=_REPORTED,
        max_bytes=MAX_BATCH_BYTES,
    ),
)  # fmt: skip
