"""Rows of deliveries, for the tests of lists, which only read, and of callbacks, which need be
there only. Straight into their tables.
"""

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import CallbackId
from store.engine.database import Database
from store.tables import callbacks, deliveries
from tests.kit.making import CALLBACK, TOKEN

ABSENT = CallbackId("f" * 16)
"""A callback that is not there."""


def add_delivery(
    database: Database, event_id: str, callback_id: str = ABSENT, **columns: object
) -> None:
    """A pending row of a token that does not exist, unless said otherwise."""
    row = {
        "event_id": event_id,
        "callback_id": callback_id,
        "token_id": "tok_1",
        "type": EventType.MESSAGE_RECEIVED.value,
        "state": "pending",
        "created_at": 1,
    }
    rest = {
        "due_at": None,
        "leased": False,
        "lease": 0,
        "failures": 0,
        "reason": None,
        "status_code": None,
        "outcome": None,
    }
    with database.write() as connection:
        connection.execute(sa.insert(deliveries).values(row | rest | columns))


def add_callback(
    database: Database, callback_id: str = CALLBACK, kind: str = EventType.MESSAGE_RECEIVED
) -> None:
    with database.write() as connection:
        connection.execute(sa.insert(callbacks).values(callback_row(callback_id, TOKEN, kind)))


def callback_row(
    callback_id: str, token_id: str, kind: str = EventType.MESSAGE_RECEIVED
) -> dict[str, object]:
    """A token has one of a type."""
    row = {"id": callback_id, "token_id": token_id, "type": str(kind)}
    return row | {"url": "https://x", "enabled": True, "headers": b"", "created_at": 0}
