"""Callbacks that fail now, with the worst first, for the overview. Reads only; called by the pages."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from schemas.attention import TroubleState
from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import UnixMs
from store.attention.samples import fails_or_is_throttled, is_cared_for
from store.engine.database import Connection
from store.engine.sql_types import SqlRow
from store.tables import callbacks, tokens


class FailingCallback(msgspec.Struct, frozen=True):
    """A callback that fails, is disabled, or whose receiver asked for a pause."""

    token_id: TokenId
    token_name: str
    type: EventType
    state: TroubleState
    since: UnixMs


def failing_callbacks(connection: Connection, now: UnixMs, limit: int) -> Sequence[FailingCallback]:
    """Return at most `limit` callbacks, disabled ones first, then those that failed last."""
    c = callbacks.c
    since = sa.func.coalesce(c.failing_since, c.disabled_at, c.throttled_since, now).label("since")
    rows = connection.execute(
        sa.select(c.token_id, tokens.c.name, c.type, c.disabled_at, c.failing_since, since)
        .join_from(callbacks, tokens, tokens.c.id == c.token_id)
        .where(is_cared_for(now), fails_or_is_throttled(now))
        .order_by(c.disabled_at.is_(None), since.desc(), c.id)
        .limit(limit)
    )
    return [
        FailingCallback(
            TokenId(row.token_id), row.name, EventType(row.type), _state(row), UnixMs(row.since)
        )
        for row in rows
    ]


def _state(row: SqlRow) -> TroubleState:
    if row.disabled_at is not None:
        return TroubleState.DISABLED
    return TroubleState.THROTTLED if row.failing_since is None else TroubleState.FAILING
