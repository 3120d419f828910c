"""What a token's holder may ask: who am I, what became of my deliveries, what did I miss. A token
sees its own and nothing else.

What is another's is not found, whether or not it exists: an answer must not tell.
"""

from flask import Response

from api.http.responses import json_response
from api.list_models import DeliveryPage
from api.parts import ApiParts
from api.response_models import DeliveryDetailAnswer, PulledEvents, StatsAnswer, TokenAnswer
from api.routes import Route
from api.serializers import (
    delivery_detail_answer,
    delivery_page,
    pulled_events,
    stats_answer,
    token_answer,
)
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
from web.exports.streaming import CSV, XLSX, csv_download, few_enough, xlsx_download
from web.models.queries import (
    ChosenDeliveries,
    DeliveriesCsvQuery,
    IdPath,
    OwnDeliveriesQuery,
    PullQuery,
    StatsQuery,
)

_TAG = "Own token"
_DAY_MS = 24 * 60 * 60 * 1000


def show_me(parts: ApiParts, caller: Token) -> Response:
    """Show the token that this request carries."""
    return json_response(token_answer(caller, parts.directory.now()))


def list_of_own_deliveries(parts: ApiParts, caller: Token, query: OwnDeliveriesQuery) -> Response:
    """List the token's own deliveries, newest first.

    A page with a filter other than `since` and `until` looks at a bounded number of deliveries: it
    may hold few of them, or none, and have a `next_cursor` all the same. Go on until that is null;
    `looked_until` says how far back each page looked.
    """
    with parts.database.read() as connection:
        return json_response(
            delivery_page(
                list_deliveries(connection, query.of(caller.id), query.limit, query.cursor)
            )
        )


def show_own_delivery(parts: ApiParts, caller: Token, path: IdPath) -> Response:
    """Show a delivery of the token with its attempts: why did my call fail?"""
    with parts.database.read() as connection:
        detail = get_delivery(connection, DeliveryId(path.id))
    if detail is None or detail.delivery.token_id != caller.id:
        raise NotFound(f"this token has no delivery {path.id}")
    return json_response(delivery_detail_answer(detail))


def pull_events(parts: ApiParts, caller: Token, query: PullQuery) -> Response:
    """Pull events, oldest first: those that the token may see, whether or not it has a callback.

    Go on with `next_cursor`, for ever: nothing is passed over and nothing comes twice. Ask at once
    while `has_more` is true; when it is false, that is all for the moment. Events can be pulled
    within a second, and as long as they are kept.
    """
    chosen = PullFilter(caller.channels, query.type, query.since, query.until)
    return json_response(pulled_events(pull(parts.database, chosen, query.limit, query.cursor)))


def own_stats(parts: ApiParts, caller: Token, query: StatsQuery) -> Response:
    """Count the token's deliveries by type and state.

    Of the last 24 hours, if nothing else is asked for. Of very many the newest are counted: `since`
    in the answer says how far back.
    """
    until = now_ms() if query.until is None else query.until
    since = max(EARLIEST, UnixMs(until - _DAY_MS)) if query.since is None else query.since
    if since > until:
        raise Invalid(
            "the period ends before it begins", faults=[Fault("since is not after until", "/since")]
        )
    return json_response(stats_answer(count(parts.database, caller.id, since, until)))


def own_deliveries_csv(parts: ApiParts, caller: Token, query: DeliveriesCsvQuery) -> Response:
    """Download the token's own deliveries as CSV, newest first.

    For programs: values are as they are. Only what a spreadsheet would take for a formula has an
    apostrophe before it. `excel=true` adds the marks that Excel needs: a byte order mark, and
    `sep=,` as the first line.
    """
    return csv_download(
        "deliveries", deliveries_sheet(parts.database, query.of(caller.id)), for_excel=query.excel
    )


def own_deliveries_xlsx(parts: ApiParts, caller: Token, query: ChosenDeliveries) -> Response:
    """Download the token's own deliveries as an Excel workbook, newest first.

    422 when there are more than 250,000: choose a shorter time by `since` and `until`, or take the
    CSV. 503 while another workbook is being made.
    """
    sheet = deliveries_sheet(parts.database, query.of(caller.id))
    return xlsx_download("deliveries", [few_enough(sheet)])


_EXPORT, _REFUSED = Permission.DATA_EXPORT, frozenset({422})
_DELIVERIES = "/v1/me/deliveries"

ROUTES = (
    Route("GET", "/v1/me", show_me, _TAG, answer=TokenAnswer),
    Route("GET", _DELIVERIES, list_of_own_deliveries, _TAG, answer=DeliveryPage, problems=_REFUSED),
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
        problems=_REFUSED,
    ),
    Route(
        "GET",
        "/v1/me/stats",
        own_stats,
        _TAG,
        answer=StatsAnswer,
        needs=Permission.STATS_READ,
        problems=_REFUSED,
    ),
    Route(
        "GET",
        _DELIVERIES + ".csv",
        own_deliveries_csv,
        _TAG,
        file=CSV,
        needs=_EXPORT,
        problems=_REFUSED,
    ),
    Route(
        "GET",
        _DELIVERIES + ".xlsx",
        own_deliveries_xlsx,
        _TAG,
        file=XLSX,
        needs=_EXPORT,
        problems=_REFUSED,
    ),
)
