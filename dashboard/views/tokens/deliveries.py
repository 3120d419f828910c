"""The newest deliveries of a token. The list of all deliveries has every filter."""

from flask import Response

from dashboard.pages import Page, shown
from dashboard.rows.deliveries import delivery_rows
from dashboard.views.tokens.one_token import token_of_page
from dashboard.visit import Visit
from schemas.listings import DeliveryFilter
from store.deliveries.listing import list_deliveries

ROWS = 50
"""Deliveries of the page, as of one page of the list."""


def token_deliveries(visit: Visit, token_id: str) -> Response:
    """The list, newest first."""
    token = token_of_page(visit, token_id)
    with visit.parts.database.read() as connection:
        found = list_deliveries(connection, DeliveryFilter(token=token.id), ROWS)
        rows = delivery_rows(visit, connection, found.rows)
    return visit.render(
        "token_deliveries.html", token=token, rows=rows, next_cursor=found.next_cursor
    )


PAGES: tuple[Page, ...] = (shown("/tokens/<token_id>/deliveries", token_deliveries),)
