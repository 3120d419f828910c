"""One delivery, fully explained: its state in words, its life, its attempts, its payload. It can be
tried again, and repeated from a shell.
"""

from http import HTTPStatus

from flask import Response

from dashboard.faults import fault_in_words
from dashboard.pages import Page, changing, shown
from dashboard.views.one_delivery import command_of, explained, find_delivery, stored_body
from dashboard.visit import Visit
from schemas.errors import Conflict
from schemas.ids import DeliveryId
from store.deliveries.requested_attempts import request_retry


def delivery(visit: Visit, delivery_id: str) -> Response:
    """A delivery."""
    return _page(visit, delivery_id)


def retry_delivery(visit: Visit, delivery_id: str) -> Response:
    """Ask for one attempt now, by the rule of the API."""
    parts = visit.parts
    try:
        request_retry(parts.database, parts.tokens, DeliveryId(delivery_id))
    except Conflict as refusal:
        reason = fault_in_words(visit.say, refusal.detail)
        return _page(visit, delivery_id, HTTPStatus.CONFLICT, reason)
    notice = visit.say("One attempt was asked for. It appears here when it has ended.")
    return visit.go(f"/deliveries/{delivery_id}", notice)


def delivery_as_curl(visit: Visit, delivery_id: str) -> Response:
    """Show the command that sends the webhook from a shell, signed now. It holds a signature, so
    that it is shown to administrators only, and on request.
    """
    with visit.parts.database.read() as connection:
        detail = find_delivery(connection, delivery_id)
        body = stored_body(connection, detail.delivery.event_id)
    token, callback = visit.parts.callbacks.get(detail.delivery.token_id, detail.delivery.type)
    return visit.render(
        "curl.html",
        command=command_of(visit, detail, token, callback, body),
        delivery_id=delivery_id,
        payload_address=f"/events/{detail.delivery.event_id}",
        own_headers=sorted(callback.headers),
        is_url_masked=False,
    )


def _page(
    visit: Visit, delivery_id: str, status: int = HTTPStatus.OK, fault: str | None = None
) -> Response:
    with visit.parts.database.read() as connection:
        detail = find_delivery(connection, delivery_id)
        waiting, values = explained(visit, connection, detail)
    may_retry = waiting.callback is not None and not waiting.requested
    return visit.render("delivery.html", status, **values, may_retry=may_retry, fault=fault)


PAGES: tuple[Page, ...] = (
    shown("/deliveries/<delivery_id>", delivery),
    changing("/deliveries/<delivery_id>/retry", retry_delivery),
    changing("/deliveries/<delivery_id>/curl", delivery_as_curl),
)
