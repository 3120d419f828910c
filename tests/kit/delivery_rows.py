"""Rows of deliveries, straight into the table: for the tests of lists, which only read."""

import sqlalchemy as sa

from schemas.event_types import EventType
from schemas.ids import CallbackId
from store.database import Database
from store.tables import deliveries

ABSENT = CallbackId("f" * 16)
"""A callback that is not there."""


def add_delivery(database: Database, event_id: str, callback_id: str = ABSENT, **columns: object) -> None:
    """Pending, and of nobody who is there, unless said otherwise."""
    row = {
        "event_id": event_id,
        "callback_id": callback_id,
        "token_id": "tok_1",
        "type": EventType.MESSAGE_RECEIVED.value,
        "state": "pending",
        "created_at": 1,
    }
    rest = {"due_at": None, "leased": False, "lease": 0, "failures": 0, "reason": None, "status_code": None, "outcome": None}
    with database.write() as connection:
        connection.execute(sa.insert(deliveries).values(row | rest | columns))
