"""What the pages of a delivery share, for people and for suppliers: finding it, explaining it, and
the command that repeats it. Their callers judge who may see it.
"""

import time

from dashboard.explaining.advice import advice
from dashboard.explaining.comparison import Part, comparison
from dashboard.explaining.curl import CurlCommand, curl_command
from dashboard.explaining.life import life
from dashboard.explaining.sentence import explain
from dashboard.rows.attempts import attempt_rows
from dashboard.rows.deliveries import delivery_rows
from dashboard.rows.payloads import shown_payload
from dashboard.visit import Visit
from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.errors import Conflict, NotFound
from schemas.ids import CallbackId, DeliveryId, EventId, split_delivery_id
from schemas.listings import DeliveryDetail
from schemas.signature import sign, webhook_headers
from schemas.tokens.masking import MASK, masked_url
from schemas.tokens.tokens import Callback, Token
from store.deliveries.listing import get_delivery
from store.deliveries.waiting import Waiting, read_waiting
from store.engine.database import Connection
from store.events.heads import find_with_body

_OPEN = frozenset({DeliveryState.PENDING, DeliveryState.HELD})


def delivery_key(delivery_id: str) -> tuple[EventId, CallbackId]:
    """Return what an id names. Raises NotFound where it cannot be one."""
    key = split_delivery_id(delivery_id)
    if key is None:
        raise no_delivery(delivery_id)
    return key


def find_delivery(connection: Connection, delivery_id: str) -> DeliveryDetail:
    """Return a delivery. Raises NotFound."""
    detail = get_delivery(connection, DeliveryId(delivery_id))
    if detail is None:
        raise no_delivery(delivery_id)
    return detail


def no_delivery(delivery_id: str) -> NotFound:
    """Return the error for a delivery that there is not, or that is not to be known of."""
    return NotFound(f"there is no delivery {delivery_id}")


def explained(
    visit: Visit, connection: Connection, detail: DeliveryDetail
) -> tuple[Waiting, dict[str, object]]:
    """Return what a delivery waits for, and what its page shows."""
    event_id, callback_id = delivery_key(detail.delivery.id)
    waiting = read_waiting(connection, event_id, callback_id, visit.now)
    event, body = find_with_body(connection, event_id)
    return waiting, {
        "delivery": detail.delivery,
        "row": delivery_rows(visit, connection, [detail.delivery])[0],
        "event": event,
        "sentences": explain(visit, detail, waiting),
        "advice": _advice(visit, detail),
        "life": life(visit, detail, waiting, None if event is None else event.accepted_at),
        "attempts": attempt_rows(visit, detail.attempts, visit.query.get("attempt")),
        "attempts_total": len(detail.attempts),
        "compared": _compared(visit, detail),
        "payload": shown_payload(body) if body is not None and visit.may_see_payloads else None,
        "is_live": detail.delivery.state in _OPEN or bool(waiting.requested),
    }


def stored_body(connection: Connection, event_id: EventId) -> bytes:
    """Return the webhook of an event. Raises NotFound when it is gone."""
    _, body = find_with_body(connection, event_id)
    if body is None:
        raise NotFound(f"the event {event_id} is gone: it was older than RINGBACK_RETENTION")
    return body


def command_of(
    visit: Visit, detail: DeliveryDetail, token: Token, callback: Callback, body: bytes
) -> CurlCommand:
    """Return the command that sends the webhook from a shell, signed now. The values of the
    callback's own headers are never shown again, and to a supplier neither are those in the query
    of its address. Raises Conflict when the callback was deleted.
    """
    event_id, callback_id = delivery_key(detail.delivery.id)
    if callback.id != callback_id:
        raise Conflict("the callback was deleted: there is nowhere to send this to")
    now_s = int(time.time())
    signature = sign(token.live_signing_keys(visit.now), event_id, now_s, body)
    number = len(detail.attempts) + 1
    headers = {
        "content-type": "application/json",
        "user-agent": f"Ringback/{visit.parts.version}",
        **dict.fromkeys(callback.headers, MASK),
        **webhook_headers(event_id, now_s, signature, number, Trigger.MANUAL),
    }
    url = masked_url(callback.url) if visit.supplier else callback.url
    return curl_command(url, headers, body, f"{event_id}.json")


def _advice(visit: Visit, detail: DeliveryDetail) -> str | None:
    """Return what to change so that it arrives; None: it did, or nothing is known."""
    delivery = detail.delivery
    return None if delivery.state is DeliveryState.DELIVERED else advice(visit, delivery)


def _compared(visit: Visit, detail: DeliveryDetail) -> tuple[str, str, list[Part]] | None:
    """Return the two attempts that the address asks to compare, and what they have."""
    by_id = {str(attempt.id): attempt for attempt in detail.attempts}
    left = by_id.get(visit.query.get("compare", ""))
    right = by_id.get(visit.query.get("with", ""))
    if left is None or right is None:
        return None
    return left.id, right.id, comparison(visit, left, right, with_answers=visit.may_see_payloads)
