"""Callbacks that refuse everything: what has waited for them for too long is given up. Called by
`consumers.maintenance.callback_monitor`.
"""

from collections import Counter

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.deliveries import aging
from store.deliveries.held import is_called
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import callbacks, deliveries, tokens
from store.tokens.callback_throttling import GOES_ON_MS, is_obeyed

_row, _owner = deliveries.c, callbacks.c
_any = Prepared(
    sa.select(
        sa.exists().where(
            _owner.throttled_since <= sa.bindparam("before"),
            _owner.throttled_until > sa.bindparam("recently"),
        )
    )
)


def any_aged(connection: Connection, age_ms: int, now: UnixMs) -> bool:
    """Whether a callback has refused everything for `age_ms`. In quiet times there is none."""
    return bool(
        _any.run(connection, {"before": now - age_ms, "recently": now - GOES_ON_MS}).scalar()
    )


def refusing(age_ms: int, now: UnixMs) -> sa.Select[str]:
    """Return the query of the callbacks that have refused everything for `age_ms`, and that may be
    called at all.
    """
    refuses = sa.and_(
        _owner.throttled_since <= now - age_ms, is_obeyed(now), _owner.failing_since.is_(None)
    )
    return (
        sa.select(_owner.id)
        .join_from(callbacks, tokens, tokens.c.id == _owner.token_id)
        .where(refuses, is_called(now))
    )


def with_aged(connection: Connection, age_ms: int, now: UnixMs) -> list[CallbackId]:
    """Return the callbacks of `refusing` for which a delivery has waited for `age_ms` too."""
    waits = sa.exists().where(
        _row.callback_id == _owner.id, aging.is_aged(age_ms, now, _owner.held_before)
    )
    return [CallbackId(row_id) for row_id in connection.scalars(refusing(age_ms, now).where(waits))]


def exhaust_aged(
    connection: Connection, callback_id: CallbackId, age_ms: int, reason: str, now: UnixMs
) -> Counter[EventType]:
    """Give up what has waited for `age_ms`, at most a slice, if the callback still refuses
    everything.

    Return how many were given up, by type.
    """
    return aging.exhaust(
        connection, refusing(age_ms, now), callback_id, age_ms, reason=reason, now=now
    )
