"""A store with rows of a known age in it, and the sweeps that delete what is old, for the
conformance tests.
"""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Token
from store import tables
from store.engine.database import Database
from store.events import claims
from store.maintenance.retention import STATUS_LOCKS, SWEEPS, Age, Sweep
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.making import a_claim
from tests.kit.tokens import TESTER, token_fields

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(10_000_000)
CUTOFF = UnixMs(9_000_000)
OLD = CUTOFF - 1
AGE = Age(NOW, CUTOFF)
VAULT = Vault(["a-key-for-tests-" * 2])


class Attic:
    """`lay` and `add` put rows there, `sweep` takes those away that are old."""

    def __init__(self, database: Database):
        self.database = database
        self.tokens = Tokens(database, VAULT)

    def token(self, name: str = "crm") -> Token:
        """Active, with one callback."""
        callbacks = {RECEIVED: CallbackFields(f"https://{name}.example/")}
        made = self.tokens.create(token_fields(name), callbacks, UnixMs(1), TESTER).token
        with self.database.write() as connection:  # that it was made is no row of the test's
            connection.execute(
                sa.delete(tables.audit_log).where(tables.audit_log.c.token_id == made.id)
            )
        return made

    def lay(
        self,
        event_id: str,
        *callback_ids: str,
        at: int = OLD,
        claimed_at: int | None = None,
        **columns: object,
    ) -> None:
        """An event, and for each callback a delivery that was delivered, with its attempt;
        `columns` are of the deliveries.
        """
        with self.database.write() as connection:
            claims.claim(connection, [a_claim(event_id, *callback_ids, accepted_at=at)], NOW)
        self.change(
            tables.events, event_id, claimed_at=at if claimed_at is None else claimed_at
        )  # a claim takes the store's own clock
        for callback_id in callback_ids:
            self.add_delivery(event_id, callback_id, at, **columns)

    def add_delivery(
        self, event_id: str, callback_id: str, at: int = OLD, **columns: object
    ) -> None:
        row = {
            "event_id": event_id,
            "callback_id": callback_id,
            "token_id": "tok_1",
            "type": RECEIVED.value,
            "state": "delivered",
        }
        row |= {"created_at": at, "leased": False, "lease": 0, "failures": 0}
        self.add("deliveries", **row | columns)
        self.add_attempt(event_id, callback_id, at)

    def add_attempt(self, event_id: str, callback_id: str, at: int) -> None:
        row = {
            "event_id": event_id,
            "callback_id": callback_id,
            "id": f"att_{at}",
            "number": 1,
            "trigger": "first",
            "started_at": at,
        }
        self.add(
            "attempts",
            **row,
            duration_ms=3,
            outcome="delivered",
            request_headers=b"{}",
            response_body=b"ok",
        )

    def add_place(
        self, callback_id: str, message_id: str, touched_at: int = OLD, **columns: object
    ) -> None:
        row = {
            "callback_id": callback_id,
            "message_id": message_id,
            "holder_rank": 0,
            "held_until": 0,
            "sent_rank": 0,
            "done_rank": 0,
        }
        self.add("status_locks", **row | {"awaited": False, "touched_at": touched_at} | columns)

    def add(self, table: str, **columns: object) -> None:
        with self.database.write() as connection:
            connection.execute(sa.insert(tables.metadata.tables[table]).values(columns))

    def change(self, table: sa.Table, row_id: str, **columns: object) -> None:
        with self.database.write() as connection:
            connection.execute(sa.update(table).where(table.c.id == row_id).values(columns))

    def sweep(self, limit: int = 3) -> Counter[str]:
        """All tables, to the end; how many rows went from each."""
        return sum(
            (
                sum(slices(self.database, sweep, limit), Counter())
                for sweep in (*SWEEPS, STATUS_LOCKS)
            ),
            Counter(),
        )

    def ids(self, table: sa.Table = tables.events, column: str = "id") -> list[Any]:
        with self.database.read() as connection:
            return sorted(connection.scalars(sa.select(table.c[column])))


def slices(database: Database, sweep: Sweep, limit: int) -> list[Counter[str]]:
    """What each transaction removed."""
    removed, after = [], None
    while True:
        with database.read() as connection:
            look = sweep.scan(connection, AGE, after, limit)
        if look.expired:
            with database.write() as connection:
                removed.append(sweep.remove(connection, AGE, look.expired))
        if (after := look.following) is None:
            return removed


def callback_of(token: Token) -> CallbackId:
    return token.callbacks[RECEIVED].id
