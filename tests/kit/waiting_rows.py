"""A token with one callback in a database, and open deliveries that wait for it, each as the test
wants it.
"""

from math import inf
from typing import Any

import sqlalchemy as sa

from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Callback, Token
from store.engine.database import Database
from store.events import claims
from store.tables import deliveries
from store.tokens import callback_health
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.making import a_claim
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
VAULT = Vault(["a-key-for-tests-" * 2])


class Patient:
    """The token and the callback. Times are the test's."""

    def __init__(self, database: Database, name: str = "x"):
        self.database, self.name = database, name
        self.tokens, self.callbacks = Tokens(database, VAULT), Callbacks(database, VAULT)
        made = self.tokens.create(
            token_fields(name),
            {RECEIVED: CallbackFields(f"https://{name}.example/")},
            UnixMs(1),
            TESTER,
        )
        self.token_id: TokenId = made.token.id
        self.id: CallbackId = made.token.callbacks[RECEIVED].id

    @property
    def token(self) -> Token:
        return self.tokens.get(self.token_id)

    @property
    def callback(self) -> Callback:
        return self.token.callbacks[RECEIVED]

    def put(self, **fields: Any) -> Callback:
        return self.callbacks.put(
            self.token_id,
            RECEIVED,
            CallbackFields(fields.pop("url", f"https://{self.name}.example/"), **fields),
            TESTER,
        )

    def found(
        self,
        finding: HealthFinding,
        now: int,
        *,
        failing_for_s: float = 0,
        generation: int | None = None,
        reason: str | None = None,
        disable_after_s: float = inf,
    ) -> None:
        """An attempt found this out about the callback as it is now, or was in `generation`."""
        known = self.callback.health.generation if generation is None else generation
        report = HealthReport(
            self.id, known, finding, failing_for_s, reason, disable_after_s=disable_after_s
        )
        with self.database.write() as connection:
            callback_health.record(connection, [report], UnixMs(now))

    def wait(
        self, event_id: str, queued_at: int, *, channel: str = "chn_1", **columns: object
    ) -> None:
        """An open delivery, due when its age began to count."""
        row = {
            "event_id": event_id,
            "callback_id": self.id,
            "token_id": self.token_id,
            "type": RECEIVED.value,
            "state": "pending",
            "created_at": queued_at,
            "queued_at": queued_at,
            "due_at": queued_at,
            "conversation_id": "cnv_1",
        }
        with self.database.write() as connection:
            claims.claim(
                connection, [a_claim(event_id, self.id, channel=channel)], UnixMs(queued_at)
            )
            connection.execute(
                sa.insert(deliveries).values(
                    row | {"leased": False, "lease": 0, "failures": 0} | columns
                )
            )

    def rows(self, *columns: str) -> dict[str, Any]:
        """By event, of one column its value, of several a tuple."""
        with self.database.read() as connection:
            found = (
                connection.execute(sa.select(deliveries).where(deliveries.c.callback_id == self.id))
                .mappings()
                .all()
            )
        return {
            row["event_id"]: row[columns[0]]
            if len(columns) == 1
            else tuple(row[name] for name in columns)
            for row in found
        }
