"""The list of deliveries: every filter in the address, page by page, and what is ticked sent again."""

from http import HTTPStatus

from flask import Response

from dashboard.filters.deliveries import CHOICES, AskedDeliveries, asked_deliveries
from dashboard.pages import Page, shown
from dashboard.rows.deliveries import DeliveryRow, delivery_rows
from dashboard.visit import Visit
from schemas.listings import ListedDelivery
from schemas.listings import Page as ListPage
from store.deliveries.listing import list_deliveries
from store.engine.database import Connection
from store.people.saved_views import views_of


def deliveries(visit: Visit) -> Response:
    """The list."""
    with visit.parts.database.read() as connection:
        asked = asked_deliveries(visit, connection)
        found, rows = _found(visit, connection, asked)
        saved = views_of(connection, visit.person.email)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if asked.faults else HTTPStatus.OK
    return visit.render(
        "deliveries.html",
        status,
        asked=asked,
        rows=rows,
        found=found,
        saved=saved,
        is_full=len(rows) == asked.query.limit,
        **CHOICES,
    )


def _found(
    visit: Visit, connection: Connection, asked: AskedDeliveries
) -> tuple[ListPage[ListedDelivery], list[DeliveryRow]]:
    if not asked.is_usable:
        return ListPage([], None), []
    query = asked.query
    found = list_deliveries(connection, asked.criteria, query.limit, query.cursor)
    return found, delivery_rows(visit, connection, found.rows)


PAGES: tuple[Page, ...] = (shown("/deliveries", deliveries),)
