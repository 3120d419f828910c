"""What a supplier's pages may show: the only place of them that reads the store. Everything is limited
to the token that the link opened; what belongs to another token is not there.
"""

from collections.abc import Mapping
from dataclasses import replace

from dashboard.views.one_delivery import find_delivery, no_delivery
from dashboard.visit import Visit
from schemas.deliveries.deliveries import Outcome
from schemas.errors import NotFound
from schemas.ids import CallbackId
from schemas.listings import DeliveryDetail, DeliveryFilter, EventHead, ListedDelivery, Page
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, CallbackState
from store.deliveries.listing import list_deliveries
from store.engine.database import Connection
from store.events.heads import find_with_body
from store.stats.own_callbacks import Lately, lately
from store.tokens.rows import readable

_TROUBLED = frozenset({CallbackState.FAILING, CallbackState.DISABLED})

_AT_ONCE = 50
"""Deliveries of one millisecond among which a failed one is looked for."""


def own_deliveries(
    visit: Visit,
    connection: Connection,
    criteria: DeliveryFilter,
    limit: int,
    cursor: str | None = None,
) -> Page[ListedDelivery]:
    """Return a page of the token's deliveries that a filter shows."""
    own = replace(criteria, token=visit.own_token.id)
    return list_deliveries(connection, own, limit, cursor)


def own_delivery(visit: Visit, connection: Connection, delivery_id: str) -> DeliveryDetail:
    """Return a delivery of the token. Raises NotFound, in the same words for one of another token."""
    detail = find_delivery(connection, delivery_id)
    if detail.delivery.token_id != visit.own_token.id:
        raise no_delivery(delivery_id)
    return detail


def own_webhook(visit: Visit, connection: Connection, detail: DeliveryDetail) -> bytes | None:
    """Return the webhook of a delivery of the token; None: it is no longer stored, or of a channel
    that the token may not see any more. Such a webhook may never have been sent.
    """
    event, body = find_with_body(connection, detail.delivery.event_id)
    return body if event is not None and _may_see(visit, event, detail) else None


def own_callback(visit: Visit, kind: str) -> Callback:
    """Return the token's callback for a type. Raises NotFound, and Conflict where the token's secrets
    cannot be read: nothing is sent or shown unsigned.
    """
    for event_type, callback in readable(visit.own_token).callbacks.items():
        if event_type == kind:
            return callback
    raise NotFound("there is no such callback")


def own_lately(visit: Visit, connection: Connection) -> Mapping[CallbackId, Lately]:
    """Return how the token's callbacks did lately."""
    token = visit.own_token
    ids = [callback.id for callback in token.callbacks.values()]
    return lately(connection, token.id, ids, visit.now)


def own_failures(
    visit: Visit, connection: Connection, known: Mapping[CallbackId, Lately]
) -> dict[CallbackId, ListedDelivery]:
    """Return the newest failed delivery of each callback of the token that fails or was disabled."""
    found = {}
    for callback in visit.own_token.callbacks.values():
        at = known[callback.id].failed_at
        if at is not None and callback.state in _TROUBLED:
            criteria = DeliveryFilter(type=callback.type, since=at, until=UnixMs(at + 1))
            for one in own_deliveries(visit, connection, criteria, _AT_ONCE).rows:
                if one.callback_id == callback.id and one.outcome not in {None, Outcome.DELIVERED}:
                    found[callback.id] = one
    return found


def with_own_token_again(visit: Visit) -> Visit:
    """Return the visit with its token as it is now, after something may have changed its health."""
    assert visit.supplier is not None, "only a supplier has a token"
    token = visit.parts.tokens.get(visit.own_token.id)
    return replace(visit, supplier=replace(visit.supplier, token=token))


def _may_see(visit: Visit, event: EventHead, detail: DeliveryDetail) -> bool:
    return detail.delivery.is_test or visit.own_token.sees(event.channel_id)
