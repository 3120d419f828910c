"""Events, deliveries and attempts on a store, as the pipeline writes them, for the tests of pages."""

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.deliveries.deliveries import Attempt, DeliveryState, Outcome
from schemas.deliveries.settlement import Settlement
from schemas.events.types import EventType
from schemas.ids import CallbackId, DeliveryId, EventId, delivery_id
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Token
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.events import claims
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.making import a_claim, a_delivery, an_attempt
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED


class Traffic:
    """Writes to one store."""

    def __init__(self, database: Database, vault: Vault):
        self.database, self.tokens = database, Tokens(database, vault)

    def token(
        self,
        name: str = "ACME CRM",
        *kinds: EventType,
        url: str = "https://crm.example/hook?key=geheim",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> Token:
        """A token with a callback for messages, unless said otherwise."""
        callback = CallbackFields(url, headers=headers)
        callbacks = dict.fromkeys(kinds or (RECEIVED,), callback)
        now = self.database.time()
        return self.tokens.create(token_fields(name, **fields), callbacks, now, TESTER).token

    def event(
        self,
        event_id: str,
        *tokens: Token,
        text: str = "hello",
        ago_s: float = 60,
        kind: EventType = RECEIVED,
    ) -> list[DeliveryId]:
        """An event that was matched to the callbacks of these tokens. Return their deliveries."""
        now = self.database.time()
        ids = [token.callbacks[kind].id for token in tokens]
        claim = a_claim(event_id, *ids, text=text, accepted_at=now - round(ago_s * 1000))
        with self.database.write() as connection:
            claims.claim(connection, [claim], now)
        return [delivery_id(EventId(event_id), callback_id) for callback_id in ids]

    def settled(
        self,
        event_id: str,
        token: Token,
        attempts: Iterable[Attempt] = (),
        state: DeliveryState = DeliveryState.DELIVERED,
        *,
        ago_s: float = 60,
        kind: EventType = RECEIVED,
        **settlement: Any,
    ) -> DeliveryId:
        """Write these attempts at a delivery, and its state after the last one."""
        now = self.database.time()
        made_at = UnixMs(now - round(ago_s * 1000))
        callback_id = CallbackId(token.callbacks[kind].id)
        delivery = msgspec.structs.replace(
            a_delivery(event_id, callback_id),
            token_id=token.id,
            type=kind,
            created_at=made_at,
            queued_at=made_at,
        )
        *earlier, last = list(attempts) or [None]
        written = [
            Settlement(delivery, DeliveryState.PENDING, due_in_s=0, attempt=one) for one in earlier
        ]
        for one in [*written, Settlement(delivery, state, attempt=last, **settlement)]:
            with self.database.write() as connection:
                settle(connection, [one], now)
        return delivery_id(EventId(event_id), callback_id)

    def delivery(
        self,
        event_id: str,
        token: Token,
        *attempts: Attempt,
        text: str = "hello",
        ago_s: float = 60,
        **rest: Any,
    ) -> DeliveryId:
        """An event and its only delivery: delivered, unless said otherwise."""
        self.event(event_id, token, text=text, ago_s=ago_s)
        return self.settled(event_id, token, attempts or [an_attempt()], ago_s=ago_s, **rest)


def failed(
    number: int = 1, outcome: Outcome = Outcome.HTTP_5XX, status: int | None = 500, **fields: Any
) -> Attempt:
    """An attempt that did not deliver."""
    attempt = an_attempt(outcome, status, number, error=f"HTTP {status}" if status else "no luck")
    return msgspec.structs.replace(attempt, **fields)
