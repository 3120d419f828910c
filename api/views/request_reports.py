"""Reports of requests to the chat platform's own API, for the request log."""

from collections.abc import Iterable, Sequence
from http import HTTPStatus

from flask import Response

from api.http.bodies import MAX_BATCH_BYTES
from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import ReportedAnswer
from api.routes import Route
from schemas.errors import Fault, Invalid, Unavailable
from schemas.ids import RequestId, TokenId, first_request_id, new_request_id
from schemas.request_log import Completion, LoggedRequest, logged_request
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from store.tokens.listing import known_tokens
from web.models.request_log import CompletedRequest, ReportRequests, WholeRequest

_MAX_AHEAD_MS = 5 * 60_000
"""How far a reporter's clock may be ahead. Larger: rows from the future stay at the top of the
list, and retention does not reach them.
"""

_TAG = "Request log"


def report_requests(parts: ApiParts, body: ReportRequests) -> Response:
    """Report requests to the chat platform's own API.

    A call takes up to 1000 reports. A report is either the result of an introspected request, by
    the `request_id` that introspection returned, or a whole request that was not introspected. 422
    names every invalid report by pointer, and no report is accepted.
    """
    now = parts.directory.now()
    if faults := [*_unknown_tokens(parts, body.requests), *_in_the_future(body.requests, now)]:
        raise Invalid("a report is invalid", faults=faults)
    # Only rows of this API's own requests are dropped when the log is full: a reporter can retry.
    if parts.request_log.is_full():
        raise Unavailable(
            "the request log cannot be written at the moment: report these requests again",
            headers={"Retry-After": "1"},
        )
    for report in body.requests:
        if isinstance(report, CompletedRequest):
            parts.request_log.add(_completion(report, now))
        elif (row := _whole(report, now)).allowed:
            parts.request_log.add(row)
        else:
            parts.request_log.add_refused(row)
    return json_response(ReportedAnswer(len(body.requests)), HTTPStatus.ACCEPTED)


def _unknown_tokens(
    parts: ApiParts, reports: Sequence[CompletedRequest | WholeRequest]
) -> Iterable[Fault]:
    """Yield a fault for each unknown token. Memory is asked first, then the store: a token may be
    new, or revoked since the request was made.
    """
    token_ids = {TokenId(report.token) for report in reports if isinstance(report, WholeRequest)}
    unsure = {token_id for token_id in token_ids if parts.directory.token(token_id) is None}
    if not unsure:
        return
    with parts.database.read() as connection:
        unknown = unsure - known_tokens(connection, unsure)
    for number, report in enumerate(reports):
        if isinstance(report, WholeRequest) and report.token in unknown:
            yield Fault(
                "there is no such token: send its id, which is introspection's `client_id`",
                f"/requests/{number}/token",
            )


def _in_the_future(
    reports: Sequence[CompletedRequest | WholeRequest], now: UnixMs
) -> Iterable[Fault]:
    """Yield a fault for each report from the future, by its `at` or by the time in its id, which
    retention uses.
    """
    ahead = first_request_id(now + _MAX_AHEAD_MS + 1)
    for number, report in enumerate(reports):
        if isinstance(report, CompletedRequest):
            if report.request_id >= ahead:
                yield Fault(
                    "this id is from the future: send the one that introspection returned",
                    f"/requests/{number}/request_id",
                )
        elif report.at is not None and report.at > now + _MAX_AHEAD_MS:
            yield Fault("this is in the future: check the clock", f"/requests/{number}/at")


def _completion(report: CompletedRequest, now: UnixMs) -> Completion:
    return Completion(RequestId(report.request_id), now, report.status, report.duration_ms)


def _whole(report: WholeRequest, now: UnixMs) -> LoggedRequest:
    return logged_request(
        new_request_id(),
        TokenId(report.token),
        now if report.at is None else report.at,
        method=report.method,
        path=report.path,
        status=report.status,
        duration_ms=report.duration_ms,
        address=report.ip,
        user_agent=report.user_agent,
        permission=report.permission,
        allowed=report.reason is None if report.allowed is None else report.allowed,
        reason=report.reason,
    )


_PROBLEMS = frozenset({400, 413, 415, 422})

ROUTES = (
    Route(
        "POST",
        "/v1/requests",
        report_requests,
        _TAG,
        status=HTTPStatus.ACCEPTED,
        answer=ReportedAnswer,
        needs=Permission.TOKENS_INTROSPECT,
        problems=_PROBLEMS,
        max_bytes=MAX_BATCH_BYTES,
    ),
)
