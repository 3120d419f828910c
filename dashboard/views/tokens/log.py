"""The request log of a token: what was asked with it, what was answered, and what was refused and
why.
"""

import datetime as dt
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Response

from dashboard.explaining.refusals import Refusal, refusal
from dashboard.filters.periods import PRESETS
from dashboard.filters.requests import METHODS, AskedRequests, asked_requests
from dashboard.pages import Page, shown
from dashboard.views.tokens.one_token import id_of_page, token_of_page
from dashboard.visit import Visit
from schemas.errors import Invalid
from schemas.listings import Page as ListPage
from schemas.request_log import LoggedRequest
from schemas.texts import shortened
from schemas.tokens.tokens import Token
from store.request_log.listing import list_requests
from web.exports.request_downloads import requests_csv_download, requests_xlsx_download

MOST_SHOWN = 200
"""Characters of a path and of a user agent that a row shows; the downloads have them whole. More: a
page of long ones takes long to load. Fewer: paths that differ look alike.
"""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One row of the table."""

    request: LoggedRequest
    path: str
    """The beginning of the path."""
    user_agent: str
    """The beginning of what the client says that it is."""
    refusal: Refusal | None
    link: str
    """The address of the list that begins here."""


def token_log(visit: Visit, token_id: str) -> Response:
    """The list, newest first."""
    asked = asked_requests(visit)
    token = token_of_page(visit, token_id)
    found = _found(visit, token, asked)
    return visit.render(
        "token_log.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if asked.faults else HTTPStatus.OK,
        token=token,
        asked=asked,
        found=found,
        rows=[_row(visit, request) for request in found.rows],
        is_full=len(found.rows) == asked.query.limit,
        presets=PRESETS,
        methods=METHODS,
    )


def token_log_csv(visit: Visit, token_id: str) -> Response:
    """The same as CSV, as many as there are."""
    asked = asked_requests(visit)
    if asked.faults:
        return _back(visit, token_id)
    token = token_of_page(visit, token_id)
    wanted = asked.query.to_filter()
    return requests_csv_download(visit.parts.database, token.id, wanted, for_excel=False)


def token_log_xlsx(visit: Visit, token_id: str) -> Response:
    """The same for Excel."""
    asked = asked_requests(visit)
    if asked.faults:
        return _back(visit, token_id)
    token = token_of_page(visit, token_id)
    try:
        return requests_xlsx_download(visit.parts.database, token.id, asked.query.to_filter())
    except Invalid:
        notice = visit.say(
            "There are too many rows for Excel: choose a shorter period, or download the CSV."
        )
        return _back(visit, token_id, notice)


def _found(visit: Visit, token: Token, asked: AskedRequests) -> ListPage[LoggedRequest]:
    if asked.faults:
        return ListPage([], None)
    query = asked.query
    with visit.parts.database.read() as connection:
        return list_requests(connection, token.id, query.to_filter(), query.limit, query.cursor)


def _row(visit: Visit, request: LoggedRequest) -> RequestRow:
    return RequestRow(
        request,
        shortened(request.path or "?", MOST_SHOWN),
        shortened(request.user_agent or "", MOST_SHOWN),
        refusal(visit, request),
        _link(request, visit.zone),
    )


def _link(request: LoggedRequest, zone: ZoneInfo) -> str:
    """Return an address whose list begins with this request, and others of the same second."""
    until = dt.datetime.fromtimestamp(request.at // 1000 + 1, zone).replace(tzinfo=None)
    parameters = {"until": until.isoformat(), "zone": zone.key}
    return f"/tokens/{request.token_id}/log?{urlencode(parameters)}#{request.id}"


def _back(visit: Visit, token_id: str, notice: str | None = None) -> Response:
    """Go to the list with this filter, which says what is wrong with it."""
    sent = dict(visit.query.items())
    return visit.go(f"/tokens/{id_of_page(token_id)}/log?{urlencode(sent)}", notice)


PAGES: tuple[Page, ...] = (
    shown("/tokens/<token_id>/log", token_log),
    shown("/tokens/<token_id>/log.csv", token_log_csv),
    shown("/tokens/<token_id>/log.xlsx", token_log_xlsx),
)
