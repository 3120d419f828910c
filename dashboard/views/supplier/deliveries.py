"""The list of a supplier's deliveries, with the filters that people have, too."""

from http import HTTPStatus

from flask import Response

from dashboard.filters.deliveries import CHOICES, asked_deliveries
from dashboard.pages import Page, supplied
from dashboard.rows.deliveries import delivery_rows
from dashboard.views.supplier.own import own_deliveries
from dashboard.visit import Visit
from schemas.listings import ListedDelivery
from schemas.listings import Page as ListPage


def supplier_deliveries(visit: Visit) -> Response:
    """The list."""
    with visit.parts.database.read() as connection:
        asked = asked_deliveries(visit, connection)
        found: ListPage[ListedDelivery] = ListPage([], None)
        if asked.is_usable:
            query = asked.query
            found = own_deliveries(visit, connection, asked.criteria, query.limit, query.cursor)
        rows = delivery_rows(visit, connection, found.rows)
    return visit.render(
        "supplier_deliveries.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if asked.faults else HTTPStatus.OK,
        asked=asked,
        rows=rows,
        found=found,
        is_full=len(rows) == asked.query.limit,
        **CHOICES,
    )


PAGES: tuple[Page, ...] = (supplied("/supplier/<token_id>/deliveries", supplier_deliveries),)
