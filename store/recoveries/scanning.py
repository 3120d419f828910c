"""Scans of a recovery: bounded by the rows that they pass over, not only by those that they return,
because what is wanted may be rare. Called by `candidates`, `missing` and `counting`.
"""

import operator
from collections.abc import Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec
import sqlalchemy as sa

from schemas.events.data import Facts
from schemas.events.stored_bodies import stored_facts
from store.engine.database import Connection
from store.engine.paging import Row, bounded

Key: TypeAlias = tuple[int, str, str]
"""When it was made, the event, the callback: the order in which deliveries are recovered. The
callback of an event's key is empty.
"""

Columns: TypeAlias = Sequence[sa.ColumnElement[int] | sa.ColumnElement[str]]
Conditions: TypeAlias = list[sa.ColumnElement[bool]]

READ_PER_ROW = 20
"""Rows that a slice reads for each that it may return. More: one takes longer. Fewer: what is rare
takes more of them.
"""

T = TypeVar("T")

AT_A_TIME = 32
"""Rows that the driver holds at once: each comes with the event's whole body, of which only the
facts are kept. More: more memory. Fewer: more round trips.
"""


class CandidatePage(msgspec.Struct, Generic[T], frozen=True):
    """The candidates of a slice."""

    found: list[T]
    """The candidates, in their order."""
    following: Key | None
    """The row after which the next slice begins; None: this was all."""


def after_key(columns: Columns, key: Sequence[int | str] | None) -> Conditions:
    """Return the conditions that a row comes after `key`; None: every row does."""
    return [] if key is None else bounded(columns, key, operator.gt)


def up_to(columns: Columns, end: Sequence[int | str] | None) -> Conditions:
    """Return the conditions that a row does not come after `end`; None: no row does."""
    return [] if end is None else bounded(columns, end, operator.le)


def end_of(connection: Connection, columns: Columns, among: Conditions, most: int) -> Key | None:
    """Return the key of the last of `most` rows, read from the index; None: there are fewer."""
    row: Row | None = connection.execute(
        sa.select(*columns).where(*among).order_by(*columns).offset(most - 1).limit(1)
    ).first()
    return None if row is None else (row[0], row[1], row[2] if len(row) > 2 else "")


def end_of_slice(
    connection: Connection, columns: Columns, among: Conditions, limit: int
) -> Key | None:
    """Return the key of the last row that a slice of `limit` rows may read; None: all of them."""
    return end_of(connection, columns, among, limit * READ_PER_ROW)


def facts_of_row(row: Row) -> Facts | None:
    """Return what an event says; None when it cannot be read: that must not end the recovery of all
    others.
    """
    return None if row.body is None else stored_facts(row.type, bytes(row.body))
