"""Deliveries: list, show with attempts, retry by hand."""

from dataclasses import replace
from http import HTTPStatus

from flask import Response

from api.http.responses import json_response
from api.list_models import DeliveryPage
from api.parts import ApiParts
from api.response_models import DeliveryDetailAnswer, RetryAnswer
from api.routes import Route
from api.serializers import delivery_detail_answer, delivery_page
from schemas.errors import NotFound
from schemas.ids import DeliveryId, EventId, TokenId
from schemas.listings import DeliveryDetail
from schemas.tokens.permissions import Permission
from store.deliveries.listing import get_delivery, list_deliveries
from store.deliveries.requested_attempts import request_retry
from store.engine.database import Connection
from web.models.bodies import Nothing
from web.models.queries import DeliveriesQuery, IdPath

_TAG = "Deliveries"


def list_of_deliveries(parts: ApiParts, query: DeliveriesQuery) -> Response:
    """List deliveries, newest first.

    With a filter, a page reads a bounded number of deliveries: it may hold few, or none, and still
    have a `next_cursor`. Continue until `next_cursor` is null; `looked_until` says how far back the
    page read.
    """
    selected = query.to_filter(None if query.token is None else TokenId(query.token))
    selected = replace(selected, event=None if query.event is None else EventId(query.event))
    with parts.database.read() as connection:
        return json_response(
            delivery_page(list_deliveries(connection, selected, query.limit, query.cursor))
        )


def show_delivery(parts: ApiParts, path: IdPath) -> Response:
    """Show a delivery with its attempts."""
    with parts.database.read() as connection:
        return json_response(delivery_detail_answer(_find(connection, path)))


def retry_delivery(parts: ApiParts, path: IdPath, body: Nothing) -> Response:  # noqa: ARG001 - the model refuses any field
    """Make one attempt now, in addition to the automatic ones.

    A callback that is off may be called, too. 409 if the token is not active, the callback was
    deleted, the first attempt is still in progress, or a newer status of the same message was sent.
    """
    attempt_id = request_retry(parts.database, parts.tokens, DeliveryId(path.id))
    return json_response(RetryAnswer(attempt_id), HTTPStatus.ACCEPTED)


def _find(connection: Connection, path: IdPath) -> DeliveryDetail:
    detail = get_delivery(connection, DeliveryId(path.id))
    if detail is None:
        raise NotFound(f"there is no delivery {path.id}")
    return detail


_ADMIN = Permission.PLATFORM_ADMIN
_RETRY = "/v1/deliveries/<id>/retry"
_RETRY_PROBLEMS = frozenset({400, 404, 409, 413, 415, 422})

ROUTES = (
    Route(
        "GET",
        "/v1/deliveries",
        list_of_deliveries,
        _TAG,
        answer=DeliveryPage,
        needs=_ADMIN,
        problems=frozenset({422}),
    ),
    Route(
        "GET",
        "/v1/deliveries/<id>",
        show_delivery,
        _TAG,
        answer=DeliveryDetailAnswer,
        needs=_ADMIN,
        problems=frozenset({404}),
    ),
    Route(
        "POST",
        _RETRY,
        retry_delivery,
        _TAG,
        status=HTTPStatus.ACCEPTED,
        answer=RetryAnswer,
        needs=_ADMIN,
        problems=_RETRY_PROBLEMS,
    ),
)
