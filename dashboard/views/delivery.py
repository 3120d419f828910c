"""One delivery, fully explained: its state in words, its life, its attempts, its payload. It can be
tried again, and repeated from a shell.
"""

import time
from http import HTTPStatus

from flask import Response

from dashboard.explaining.comparison import Part, comparison
from dashboard.explaining.curl import CurlCommand, curl_command
from dashboard.explaining.life import life
from dashboard.explaining.sentence import explain
from dashboard.faults import fault_in_words
from dashboard.pages import Page, changing, shown
from dashboard.rows.attempts import attempt_rows
from dashboard.rows.deliveries import delivery_rows
from dashboard.rows.payloads import shown_payload
from dashboard.visit import Visit
from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.errors import Conflict, NotFound
from schemas.ids import CallbackId, DeliveryId, EventId, split_delivery_id
from schemas.listings import DeliveryDetail
from schemas.signature import sign, webhook_headers
from schemas.tokens.masking import MASK
from schemas.tokens.tokens import Callback, Token
from store.deliveries.listing import get_delivery
from store.deliveries.requested_attempts import request_retry
from store.deliveries.waiting import read_waiting
from store.engine.database import Connection
from store.events.heads import find_with_body

_OPEN = frozenset({DeliveryState.PENDING, DeliveryState.HELD})


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
    event_id, callback_id = _key(delivery_id)
    with visit.parts.database.read() as connection:
        detail, body = _find(connection, delivery_id), find_with_body(connection, event_id)[1]
    if body is None:
        raise NotFound(f"the event {event_id} is gone: it was older than RINGBACK_RETENTION")
    token, callback = visit.parts.callbacks.get(detail.delivery.token_id, detail.delivery.type)
    if callback.id != callback_id:
        raise Conflict("the callback was deleted: there is nowhere to send this to")
    command = _command(visit, detail, token, callback, body)
    return visit.render(
        "curl.html",
        command=command,
        delivery_id=delivery_id,
        event_id=event_id,
        own_headers=sorted(callback.headers),
    )


def _command(
    visit: Visit, detail: DeliveryDetail, token: Token, callback: Callback, body: bytes
) -> CurlCommand:
    """Return the command. The values of the callback's own headers are never shown again."""
    event_id, now_s = detail.delivery.event_id, int(time.time())
    signature = sign(token.live_signing_keys(visit.now), event_id, now_s, body)
    number = len(detail.attempts) + 1
    headers = {
        "content-type": "application/json",
        "user-agent": f"Ringback/{visit.parts.version}",
        **dict.fromkeys(callback.headers, MASK),
        **webhook_headers(event_id, now_s, signature, number, Trigger.MANUAL),
    }
    return curl_command(callback.url, headers, body, f"{event_id}.json")


def _page(
    visit: Visit, delivery_id: str, status: int = HTTPStatus.OK, fault: str | None = None
) -> Response:
    event_id, callback_id = _key(delivery_id)
    with visit.parts.database.read() as connection:
        detail = _find(connection, delivery_id)
        waiting = read_waiting(connection, event_id, callback_id, visit.now)
        event, body = find_with_body(connection, event_id)
        row = delivery_rows(visit, connection, [detail.delivery])[0]
    return visit.render(
        "delivery.html",
        status,
        delivery=detail.delivery,
        row=row,
        event=event,
        sentences=explain(visit, detail, waiting),
        life=life(visit, detail, waiting, None if event is None else event.accepted_at),
        attempts=attempt_rows(visit, detail.attempts, visit.query.get("attempt")),
        attempts_total=len(detail.attempts),
        compared=_compared(visit, detail),
        payload=shown_payload(body) if body is not None and visit.may_see_payloads else None,
        is_live=detail.delivery.state in _OPEN or bool(waiting.requested),
        may_retry=waiting.callback is not None and not waiting.requested,
        fault=fault,
    )


def _compared(visit: Visit, detail: DeliveryDetail) -> tuple[str, str, list[Part]] | None:
    """Return the two attempts that the address asks to compare, and what they have."""
    by_id = {str(attempt.id): attempt for attempt in detail.attempts}
    left = by_id.get(visit.query.get("compare", ""))
    right = by_id.get(visit.query.get("with", ""))
    if left is None or right is None:
        return None
    return left.id, right.id, comparison(visit, left, right, with_answers=visit.may_see_payloads)


def _key(delivery_id: str) -> tuple[EventId, CallbackId]:
    key = split_delivery_id(delivery_id)
    if key is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    return key


def _find(connection: Connection, delivery_id: str) -> DeliveryDetail:
    detail = get_delivery(connection, DeliveryId(delivery_id))
    if detail is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    return detail


PAGES: tuple[Page, ...] = (
    shown("/deliveries/<delivery_id>", delivery),
    changing("/deliveries/<delivery_id>/retry", retry_delivery),
    changing("/deliveries/<delivery_id>/curl", delivery_as_curl),
)
