"""Callbacks that refuse all they get: what has waited for them for too long is given up."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from store.deliveries import aging
from store.deliveries.held import is_called
from store.engine.database import Connection
from store.engine.prepared import Prepared
from store.tables import callbacks, tokens
from store.tokens.throttling import GOES_ON_MS, _owner, _row, is_obeyed

_any = Prepared(
    sa.select(
        sa.exists().where(
            _owner.throttled_since <= sa.bindparam("before"),
            _owner.throttled_until > sa.bindparam("recently"),
        )
    )
)


def any_aged(connection: Connection, patience_ms: int, now: UnixMs) -> bool:
    """Whether there is a callback that has taken nothing for so long: in quiet times there is none.
    """
    return bool(
        _any.run(connection, {"before": now - patience_ms, "recently": now - GOES_ON_MS}).scalar()
    )


def refusing(patience_ms: int, now: UnixMs) -> sa.Select[Any]:
    """Callbacks that have taken nothing for so long, and that may be called at all."""
    refuses = sa.and_(
        _owner.throttled_since <= now - patience_ms, is_obeyed(now), _owner.failing_since.is_(None)
    )
    return (
        sa.select(_owner.id)
        .join_from(callbacks, tokens, tokens.c.id == _owner.token_id)
        .where(refuses, is_called(now))
    )


def with_aged(connection: Connection, patience_ms: int, now: UnixMs) -> list[CallbackId]:
    """Those of them for which something has waited as long."""
    waits = sa.exists().where(
        _row.callback_id == _owner.id, aging.is_aged(patience_ms, now, _owner.held_before)
    )
    return [
        CallbackId(found) for found in connection.scalars(refusing(patience_ms, now).where(waits))
    ]


def exhaust_aged(
    connection: Connection, callback_id: CallbackId, patience_ms: int, reason: str, now: UnixMs
) -> Counter[EventType]:
    """Give that up, at most a slice of it, if the callback still takes nothing. Returns how many,
    by type.
    """
    return aging.exhaust(
        connection, refusing(patience_ms, now), callback_id, patience_ms, reason, now
    )
