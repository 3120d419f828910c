"""A test of a supplier's own callback: the sample is sent, signed, and what came of it is shown.

The data cannot be chosen: one who has the link could have any text signed, and pass it off to the
receiver as an event.
"""

from http import HTTPMethod, HTTPStatus

from flask import Response, request

from dashboard.callbacks.cards import Pending, card, sample_data
from dashboard.pages import Page, supplied
from dashboard.views.supplier.overview import overview_page
from dashboard.views.supplier.own import own_callback, with_own_token_again
from dashboard.views.tokens.callback_test import tried
from dashboard.visit import Visit


def supplier_test(visit: Visit, kind: str) -> Response:
    """Have a dispatcher send the sample now, as often as people may, and show what came of it."""
    callback = own_callback(visit, kind)
    status, report = tried(visit, visit.own_token, callback, sample_data(callback.type))
    visit = with_own_token_again(visit)
    pending = Pending(report=report)
    if not request.headers.get("HX-Request"):
        return overview_page(visit, {callback.type: pending}, status)
    is_made = status == HTTPStatus.OK
    return visit.render(
        "callback_test.html",
        HTTPStatus.OK if is_made else HTTPStatus.UNPROCESSABLE_ENTITY,  # htmx shows these two
        card=card(visit, visit.own_token, callback.type, pending),
    )


PAGES: tuple[Page, ...] = (
    supplied("/supplier/<token_id>/callbacks/<kind>/test", supplier_test, HTTPMethod.POST),
)
