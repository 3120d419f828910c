"""Routes for the owner of a token: the token itself, its deliveries, and events to pull.

A token sees only its own deliveries. Those of other tokens are "not found", whether or not they
exist: the response must not reveal which.
"""

from flask import Response

from api.http.responses import json_response
from api.list_models import DeliveryPage
from api.parts import ApiParts
from api.response_models import DeliveryDetailAnswer, PulledEvents, StatsAnswer
from api.routes import Route
from api.serializers import (
    delivery_detail_answer,
    delivery_page,
    pulled_events,
    stats_answer,
    token_answer,
)
from api.token_models import TokenAnswer
from schemas.errors import Fault, Invalid, NotFound
from schemas.ids import DeliveryId
from schemas.listings import PullFilter
from schemas.times import EARLIEST, UnixMs, now_ms
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token
from store.deliveries.listing import get_delivery, list_deliveries
from store.events.pull import pull
from store.stats.by_period import count
from web.exports.delivery_sheets import deliveries_sheet
from web.exports.streaming import CSV, XLSX, csv_download, with_row_limit, xlsx_download
from web.models.queries import (
    DeliveriesCsvQuery,
    DeliveryFilterQuery,
    IdPath,
    OwnDeliveriesQuery,
    PullQuery,
    StatsQuery,
)

_TAG = "Own token"
_DAY_MS = 24 * 60 * 60 * 1000


def show_me(parts: ApiParts, caller: Token) -> Response:
    """Show the token of this request."""
    return json_response(token_answer(caller, parts.directory.now()))


def list_of_own_deliveries(parts: ApiParts, caller: Token, query: OwnDeliveriesQuery) -> Response:
    """List the token's own deliveries, newest first.

    With a filter other than `since` and `until`, a page reads a bounded number of deliveries: it
    may hold few, or none, and still have a `next_cursor`. Continue until `next_cursor` is null;
    `looked_until` says how far back the page read.
    """
    with parts.database.read() as connection:
        return json_response(
            delivery_page(
                list_deliveries(connection, query.to_filter(caller.id), query.limit, query.cursor)
            )
        )


def show_own_delivery(parts: ApiParts, caller: Token, path: IdPath) -> Response:
    """Show one of the token's own deliveries with its attempts."""
    with parts.database.read() as connection:
        detail = get_delivery(connection, DeliveryId(path.id))
    if detail is None or detail.delivery.token_id != caller.id:
        raise NotFound(f"this token has no delivery {path.id}")
    return json_response(delivery_detail_answer(detail))


def pull_events(parts: ApiParts, caller: Token, query: PullQuery) -> Response:
    """Pull events, oldest first: all that the token may see, whether or not it has a callback.

    Continue with `next_cursor`, for as long as you like: no event is missed, and none comes twice.
    While `has_more` is true, ask again at once; when it is false, there are no more at the moment.
    Events can be pulled within a second, and for as long as they are kept.
    """
    selected = PullFilter(caller.channels, query.type, query.since, query.until)
    return json_response(pulled_events(pull(parts.database, selected, query.limit, query.cursor)))


def own_stats(parts: ApiParts, caller: Token, query: StatsQuery) -> Response:
    """Count the token's deliveries by type and state.

    The default period is the last 24 hours. If there are too many deliveries, only the newest are
    counted: `since` in the response says how far back.
    """
    until = now_ms() if query.until is None else query.until
    since = max(EARLIEST, UnixMs(until - _DAY_MS)) if query.since is None else query.since
    if since > until:
        raise Invalid(
            "the period ends before it begins", faults=[Fault("this is after `until`", "/since")]
        )
    return json_response(stats_answer(count(parts.database, caller.id, since, until)))


def own_deliveries_csv(parts: ApiParts, caller: Token, query: DeliveriesCsvQuery) -> Response:
    """Download the token's own deliveries as CSV, newest first.

    The format is made for programs: values are unchanged. Only a value that a spreadsheet would run
    as a formula gets an apostrophe before it. `excel=true` adds the marks that Excel needs: a byte
    order mark, and `sep=,` as the first line.
    """
    return csv_download(
        "deliveries",
        deliveries_sheet(parts.database, query.to_filter(caller.id)),
        for_excel=query.excel,
    )


def own_deliveries_xlsx(parts: ApiParts, caller: Token, query: DeliveryFilterQuery) -> Response:
    """Download the token's own deliveries as an Excel workbook, newest first.

    422 if there are more than 250,000: choose a shorter period with `since` and `until`, or
    download the CSV. 503 while another workbook is being generated.
    """
    sheet = deliveries_sheet(parts.database, query.to_filter(caller.id))
    return xlsx_download("deliveries", [with_row_limit(sheet)])


_EXPORT, _PROBLEMS = Permission.DATA_EXPORT, frozenset({422})
_DELIVERIES = "/v1/me/deliveries"

ROUTES = (
    Route("GET", "/v1/me", show_me, _TAG, answer=TokenAnswer),
    Route(
        "GET", _DELIVERIES, list_of_own_deliveries, _TAG, answer=DeliveryPage, problems=_PROBLEMS
    ),
    Route(
        "GET",
        _DELIVERIES + "/<id>",
        show_own_delivery,
        _TAG,
        answer=DeliveryDetailAnswer,
        problems=frozenset({404}),
    ),
    Route(
        "GET",
        "/v1/me/events",
        pull_events,
        _TAG,
        answer=PulledEvents,
        needs=Permission.CONVERSATIONS_READ,
        problems=_PROBLEMS,
    ),
    Route(
        "GET",
        "/v1/me/stats",
        own_stats,
        _TAG,
        answer=StatsAnswer,
        needs=Permission.STATS_READ,
        problems=_PROBLEMS,
    ),
    Route(
        "GET",
        _DELIVERIES + ".csv",
        own_deliveries_csv,
        _TAG,
        file=CSV,
        needs=_EXPORT,
        problems=_PROBLEMS,
    ),
    Route(
        "GET",
        _DELIVERIES + ".xlsx",
        own_deliveries_xlsx,
        _TAG,
        file=XLSX,
        needs=_EXPORT,
        problems=_PROBLEMS,
    ),
)
