"""Counting deliveries that end without an attempt, outside of settling. Called where their state is
written, in the same transaction.

Each thread adds to rows of its own, so it never waits for another one.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.figures import HOUR_MS, MINUTE_MS, UNSUCCESSFUL
from schemas.ids import is_test_event
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Connection
from store.figures.rows import new_writer
from store.tables import figure_callback_hours, figure_minutes

_excluded = sa.table(
    "excluded", *(sa.column(name) for name in ("exhausted", "superseded", "cancelled"))
)


def _adding(table: sa.Table, *names: str) -> bulk.Upsert:
    return bulk.Upsert((), computed={name: table.c[name] + _excluded.c[name] for name in names})


_ADD_ENDED = {
    (table.name, state): _adding(table, state.value)
    for table in (figure_minutes, figure_callback_hours)
    for state in UNSUCCESSFUL
}


class Ended(NamedTuple):
    """A delivery that ended."""

    event_id: str
    callback_id: str
    type: str


class _Writer(threading.local):
    """The name under which a thread writes."""

    def __init__(self) -> None:
        self.name = new_writer()


_writer = _Writer()


def count_ended(
    connection: Connection, state: DeliveryState, ended: Iterable[Ended], now: UnixMs
) -> None:
    """Count deliveries that ended in this transaction without an attempt and without success."""
    rows = [one for one in ended if not is_test_event(one.event_id)]
    minute_at, hour_at = now - now % MINUTE_MS, now - now % HOUR_MS
    _add(
        connection,
        figure_minutes,
        state,
        {"minute_at": minute_at},
        ("type", Counter(str(one.type) for one in rows)),
    )
    _add(
        connection,
        figure_callback_hours,
        state,
        {"hour_at": hour_at},
        ("callback_id", Counter(str(one.callback_id) for one in rows)),
    )


def _add(
    connection: Connection,
    table: sa.Table,
    state: DeliveryState,
    at: Mapping[str, int],
    counts: tuple[str, Counter[str]],
) -> None:
    name, by_value = counts
    rows = [
        {**at, name: value, "writer": _writer.name, state.value: count}
        for value, count in sorted(by_value.items())
    ]
    bulk.insert(connection, table, rows, _ADD_ENDED[table.name, state])
