"""A supplier's first page: its token, how its callbacks do, its newest deliveries, documentation."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from flask import Response

from dashboard.callbacks.cards import Pending, cards
from dashboard.explaining.advice import advice
from dashboard.pages import Page, supplied
from dashboard.rows.deliveries import delivery_rows, last_answer
from dashboard.tokens.words import Words
from dashboard.views.supplier.own import own_deliveries, own_failures, own_lately
from dashboard.visit import Visit
from schemas.events.types import EventType
from schemas.ids import DeliveryId
from schemas.listings import DeliveryFilter
from schemas.tokens.tokens import TokenState

NEWEST = 10
"""Deliveries that are shown. More: a longer page. Fewer: less is seen at a glance."""


class Failure(NamedTuple):
    """Why a callback fails, as its last failure shows it."""

    delivery_id: DeliveryId
    what: str | None
    advice: str | None


def supplier_overview(visit: Visit) -> Response:
    """The page."""
    return overview_page(visit, {})


def overview_page(
    visit: Visit, pending: Mapping[EventType, Pending], status: int = HTTPStatus.OK
) -> Response:
    """Answer with the page, and what a test has shown."""
    token = visit.own_token
    with visit.parts.database.read() as connection:
        newest = own_deliveries(visit, connection, DeliveryFilter(), NEWEST)
        rows = delivery_rows(visit, connection, newest.rows)
        lately = own_lately(visit, connection)
        failed = own_failures(visit, connection, lately)
    return visit.render(
        "supplier_overview.html",
        status,
        words=Words(visit),
        cards=[card for card in cards(visit, token, dict(pending)) if card.callback],
        missing=[kind for kind in EventType if kind not in token.callbacks],
        lately=lately,
        failures={
            callback_id: Failure(one.id, last_answer(visit, one), advice(visit, one))
            for callback_id, one in failed.items()
        },
        rows=rows,
        may_test=token.state(visit.now) is TokenState.ACTIVE and token.is_readable,
    )


PAGES: tuple[Page, ...] = (supplied("/supplier/<token_id>", supplier_overview),)
