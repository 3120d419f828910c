"""Requests to the chat platform's own API, as it reports them to the request log."""

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

_AHEAD_MS = 5 * 60_000
"""How far a reporter's clock may be ahead. Further: rows that stay at the top of the list, where
retention does not reach them.
"""

_TAG = "Request log"


def report_requests(parts: ApiParts, body: ReportRequests) -> Response:
    """Report requests to the chat platform's own API.

    Up to 1000 at once, each either the `request_id` that introspection answered with what became of
    the request, or a whole request that was not introspected. 422 names every bad one by pointer,
    and none is taken.
    """
    now = parts.directory.now()
    if faults := [*_unknown_tokens(parts, body.requests), *_in_the_future(body.requests, now)]:
        raise Invalid("a report breaks the rules", faults=faults)
    if (
        parts.request_log.is_full()
    ):  # a call of our own can only be dropped then; whoever reports can keep it
        raise Unavailable(
            "the request log cannot be written just now: report these again",
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
    """By what is in memory, then by the store: a token may be new, or revoked since the request was
    made.
    """
    named = {TokenId(report.token) for report in reports if isinstance(report, WholeRequest)}
    unsure = {token_id for token_id in named if parts.directory.token(token_id) is None}
    if not unsure:
        return
    with parts.database.read() as connection:
        unknown = unsure - known_tokens(connection, unsure)
    for number, report in enumerate(reports):
        if isinstance(report, WholeRequest) and report.token in unknown:
            yield Fault(
                "there is no such token: name it by its id, introspection's `client_id`",
                f"/requests/{number}/token",
            )


def _in_the_future(
    reports: Sequence[CompletedRequest | WholeRequest], now: UnixMs
) -> Iterable[Fault]:
    """By their `at`, or by the time in an id: retention goes by that."""
    ahead = first_request_id(now + _AHEAD_MS + 1)
    for number, report in enumerate(reports):
        if isinstance(report, CompletedRequest):
            if report.request_id >= ahead:
                yield Fault(
                    "this id is of the future: send the one that introspection answered",
                    f"/requests/{number}/request_id",
                )
        elif report.at is not None and report.at > now + _AHEAD_MS:
            yield Fault("this lies in the future: is the clock right?", f"/requests/{number}/at")


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


_ACCEPTED, _PROBLEMS = HTTPStatus.ACCEPTED, frozenset({400, 413, 415, 422})
_MAY = Permission.TOKENS_INTROSPECT

ROUTES = (
    Route(
        "POST",
        "/v1/requests",
        report_requests,
        _TAG,
        _ACCEPTED,
        ReportedAnswer,
        _MAY,
        problems=_PROBLEMS,
        max_bytes=MAX_BATCH_BYTES,
    ),
)
