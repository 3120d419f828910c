"""A store with recoveries in it, and a dispatcher's recoverer to work on them, for the conformance
tests.
"""

import json
from typing import Any

import sqlalchemy as sa

from consumers.maintenance.recovery_runner import RecoveryRunner
from schemas.deliveries.recoveries import Recoverable, Recovery, RecoveryQuery, RecoveryState
from schemas.events.events import parse_event
from schemas.events.types import EventType
from schemas.ids import CallbackId, RecoveryId
from schemas.observer import NullObserver
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Token
from store.directory.directory import Directory
from store.engine.database import Database
from store.events import claims
from store.events.claims import Claim
from store.recoveries import jobs
from store.tables import callbacks, deliveries, status_locks, tokens
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.making import a_claim
from tests.kit.tokens import TESTER, token_fields

RECEIVED, STATUS = EventType.MESSAGE_RECEIVED, EventType.MESSAGE_STATUS
NOW = UnixMs(1_000_000)
FOR_EVER = UnixMs(10**14)
VAULT = Vault(["a-key-for-tests-" * 2])


class House:
    """A store with its directory, and a dispatcher's recoverer, whose slices are of three."""

    def __init__(self, database: Database):
        self.database = database
        self.tokens = Tokens(database, VAULT)
        self.directory = Directory(database, VAULT, NullObserver())

    def token(self, name: str = "crm", *kinds: EventType, **fields: Any) -> Token:
        callbacks = {kind: CallbackFields("https://x.example/") for kind in kinds or (RECEIVED,)}
        return self.tokens.create(token_fields(name, **fields), callbacks, NOW, TESTER).token

    def lay(self, event_id: str, callback_id: str, at: int = 1_000, **columns: object) -> None:
        """A claimed event and its delivery, given up unless said otherwise."""
        row = {
            "event_id": event_id,
            "callback_id": callback_id,
            "token_id": "tok_1",
            "type": RECEIVED.value,
            "state": "exhausted",
        }
        row |= {
            "created_at": at,
            "leased": False,
            "lease": 4,
            "failures": 3,
            "reason": "3 attempts failed",
        } | columns
        with self.database.write() as connection:
            claims.claim(connection, [a_claim(event_id, callback_id, accepted_at=at)], UnixMs(at))
            connection.execute(sa.insert(deliveries).values(row))

    def claim(self, *claimed: Claim) -> None:
        with self.database.write() as connection:
            claims.claim(connection, claimed, NOW)

    def ask(self, *states: Recoverable, **query: Any) -> RecoveryId:
        wanted = {"since": UnixMs(0), "until": FOR_EVER} | query
        return jobs.create(self.database, RecoveryQuery(states=states, **wanted)).id

    def recover(self, *states: Recoverable, **query: Any) -> tuple[int, int, int]:
        """All of it: total, done, skipped."""
        asked = self.ask(*states, **query)
        self.work()
        found = self.recovery(asked)
        assert found.state is RecoveryState.DONE
        return found.total, found.done, found.skipped

    def recoverer(self, slice_rows: int = 3) -> RecoveryRunner:
        return RecoveryRunner(self.database, self.directory, NullObserver(), slice_rows)

    def work(self) -> None:
        recoverer = self.recoverer()
        while recoverer.work():
            pass

    def recovery(self, recovery_id: RecoveryId) -> Recovery:
        with self.database.read() as connection:
            return jobs.get(connection, recovery_id)

    def change_callback(self, callback_id: CallbackId, **columns: object) -> None:
        """Before the directory first looks."""
        with self.database.write() as connection:
            connection.execute(
                sa.update(callbacks).where(callbacks.c.id == callback_id).values(columns)
            )

    def change_token(self, token: Token, **columns: object) -> None:
        with self.database.write() as connection:
            connection.execute(sa.update(tokens).where(tokens.c.id == token.id).values(columns))

    def change_delivery(self, event_id: str, callback_id: CallbackId, **columns: object) -> None:
        this = sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id == callback_id)
        with self.database.write() as connection:
            connection.execute(sa.update(deliveries).where(this).values(columns))

    def stand_at(self, callback_id: CallbackId, message_id: str, done_rank: int) -> None:
        """So far this message's statuses have come."""
        place = {
            "callback_id": callback_id,
            "message_id": message_id,
            "done_rank": done_rank,
            "sent_rank": done_rank,
            "holder_rank": 0,
        }
        with self.database.write() as connection:
            connection.execute(
                sa.insert(status_locks).values(
                    place | {"held_until": 0, "awaited": False, "touched_at": 0}
                )
            )

    def lay_status(
        self, event_id: str, callback_id: CallbackId, status: str, message_id: str
    ) -> None:
        row = {
            "event_id": event_id,
            "callback_id": callback_id,
            "token_id": "tok_1",
            "type": STATUS.value,
            "state": "exhausted",
        }
        self.claim(a_status_claim(event_id, status, message_id, callback_id))
        with self.database.write() as connection:
            connection.execute(
                sa.insert(deliveries).values(
                    row | {"created_at": 1_000, "leased": False, "lease": 1, "failures": 3}
                )
            )

    def recovering(self) -> set[tuple[str, str]]:
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(deliveries.c.event_id, deliveries.c.callback_id).where(
                    deliveries.c.is_recovery
                )
            ).all()
        return {(row.event_id, row.callback_id) for row in rows}

    def row(self, event_id: str, callback_id: str) -> sa.Row[Any]:
        this = sa.and_(deliveries.c.event_id == event_id, deliveries.c.callback_id == callback_id)
        with self.database.read() as connection:
            return connection.execute(sa.select(deliveries).where(this)).one()

    def due(self) -> set[str]:
        """Events whose deliveries are due."""
        with self.database.read() as connection:
            return set(
                connection.scalars(
                    sa.select(deliveries.c.event_id).where(deliveries.c.due_at.is_not(None))
                )
            )


def callback_of(token: Token, kind: EventType = RECEIVED) -> CallbackId:
    return token.callbacks[kind].id


def a_status_claim(event_id: str, status: str, message_id: str, *callbacks: str) -> Claim:
    data = {
        "message": {"id": message_id, "conversation_id": "cnv_1"},
        "status": status,
        "channel": {"id": "chn_1", "kind": "sms"},
    }
    event = parse_event(
        json.dumps({"id": event_id, "type": "message.status", "data": data}).encode()
    )
    return Claim(
        event,
        UnixMs(1_000),
        False,
        tuple(CallbackId(c) for c in callbacks),
        event.webhook_body(UnixMs(1_000)),
    )
