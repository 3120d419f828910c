"""Deliveries as rows of a table. `templates/parts/delivery_table.html` shows them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard import labels
from dashboard.explaining.reader import Reader
from dashboard.labels import Speaker
from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import DeliveryId, TokenId
from schemas.listings import ListedDelivery
from schemas.texts import shortened
from schemas.times import UnixMs
from schemas.tokens.masking import host_of, masked_url
from store.engine.database import Connection
from store.tokens.names import names_of

MOST_OF_URL = 200
"""Characters after the host that a row shows. More: a page of long URLs takes long to load. Fewer:
URLs that differ look alike.
"""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery, in the person's language."""

    id: DeliveryId
    type: str
    """The name of the event type."""
    is_test: bool
    token_id: TokenId
    token: str
    """The token's name."""
    host: str | None
    """The host that is called; None once the callback is deleted."""
    url: str | None
    """The callback's URL, its query hidden."""
    rest: str
    """The beginning of what follows the host in the URL, its query hidden."""
    state: str
    colour: str
    """The class of the state's mark."""
    answer: str | None
    """What the last attempt met; None: there was none."""
    created_at: UnixMs
    next_attempt_at: UnixMs | None
    """When the next attempt comes; None: at no known time."""
    is_due: bool
    """Whether the time of its next attempt has come: it waits for its turn, or for its callback."""
    is_under_way: bool
    """Whether an attempt is being made."""


def delivery_rows(
    to: Reader, connection: Connection, listed: Sequence[ListedDelivery]
) -> list[DeliveryRow]:
    """Return the rows of these deliveries, in their order. One query."""
    names = names_of(connection, (delivery.token_id for delivery in listed))
    return [_row(to, delivery, names) for delivery in listed]


def last_answer(to: Speaker, delivery: ListedDelivery) -> str | None:
    """Return what the last attempt met, as a status or in a few words; None: there was none."""
    if delivery.outcome is None:
        return None
    words = labels.outcome(to, delivery.outcome)
    return words if delivery.status_code is None else f"{delivery.status_code} · {words}"


def _row(to: Reader, delivery: ListedDelivery, names: dict[TokenId, str]) -> DeliveryRow:
    url = None if delivery.url is None else masked_url(delivery.url)
    next_at = delivery.next_attempt_at
    return DeliveryRow(
        id=delivery.id,
        type=labels.event_type(to, delivery.type),
        is_test=delivery.is_test,
        token_id=delivery.token_id,
        token=names.get(delivery.token_id, delivery.token_id),
        host=url and host_of(url),
        url=url,
        rest=shortened(_rest(url), MOST_OF_URL) if url else "",
        state=labels.delivery_state(to, delivery.state),
        colour=labels.STATE_COLOURS[delivery.state],
        answer=last_answer(to, delivery),
        created_at=delivery.created_at,
        next_attempt_at=next_at if next_at is not None and next_at > to.now else None,
        is_due=next_at is not None and next_at <= to.now,
        is_under_way=delivery.state is DeliveryState.PENDING and next_at is None,
    )


def _rest(url: str) -> str:
    rest = url.partition("://")[2].removeprefix(host_of(url))
    return "" if rest == "/" else rest
