"""The rows behind what needs attention: callbacks that fail, and the newest deliveries that failed.

Nothing here scans traffic. Callbacks are few; each delivery is found by an index, and every query
has a limit. Reads only; called by `store.attention.troubles`.
"""

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from schemas.attention import Answer, failure_kind
from schemas.deliveries.callback_health import PLAUSIBLE_PAUSE_MS
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.ids import CallbackId, EventId, delivery_id
from schemas.shared_outage import LEAST_ATTEMPTS, WINDOW_MS
from schemas.times import UnixMs
from store.deliveries.rows import DELIVERY_KEY
from store.deliveries.samples import no_test
from store.engine import bulk
from store.engine.database import Connection
from store.engine.sql_types import SqlRow
from store.tables import attempts, callbacks, deliveries, tokens

LOOKED_BACK_MS = 7 * 24 * 60 * 60 * 1000
"""Milliseconds for which a delivery that was given up needs attention. Longer: what no one will
recover any more stays on the page. Shorter: a long weekend hides it.
"""

MOST_SAMPLED = 1_000
"""Deliveries of each state that are looked at, newest first. More: the page takes longer. Fewer: a
callback with many failures hides those of others.
"""

MOST_COUNTED = 1_000
"""Waiting deliveries that are counted for each callback. More: the page takes longer. Fewer: less
is said about a backlog.
"""

MOST_CALLBACKS = 500
"""Failing callbacks that are looked at, those that began last first. More: the page takes longer.
Fewer: with very many failing at once, some are left out.
"""

MOST_ACTIVE = 3_000
"""Deliveries that say which callbacks are active, newest first. More: the page takes longer while
many callbacks fail. Fewer: busy callbacks hide quiet ones.
"""

MOST_ATTEMPTS = 2_000
"""Attempts of sampled deliveries that are read for their answers. A delivery has some ten."""

Pair = tuple[EventId, CallbackId]


class Failed(msgspec.Struct, frozen=True):
    """A delivery whose last attempt failed."""

    event_id: EventId
    callback_id: CallbackId
    created_at: UnixMs
    kind: str
    is_waiting: bool

    @property
    def pair(self) -> Pair:
        """What identifies it."""
        return self.event_id, self.callback_id


def failed_lately(connection: Connection, now: UnixMs) -> list[Failed]:
    """Return the newest deliveries that were given up, and that wait after a failed attempt."""
    d = deliveries.c
    columns = (d.event_id, d.callback_id, d.created_at, d.state, d.status_code, d.outcome)
    newest = [
        sa.select(
            sa.select(*columns)
            .where(
                # a parameter would not let the partial index be used
                d.state != sa.literal_column("'delivered'"),
                d.state == state.value,
                d.created_at >= now - LOOKED_BACK_MS,
                no_test(d.event_id),
            )
            .order_by(*(column.desc() for column in DELIVERY_KEY))
            .limit(MOST_SAMPLED)
            .subquery()
        )
        for state in (DeliveryState.EXHAUSTED, DeliveryState.PENDING)
    ]
    rows = connection.execute(sa.union_all(*newest))
    return [
        Failed(
            EventId(row.event_id),
            CallbackId(row.callback_id),
            UnixMs(row.created_at),
            failure_kind(row.outcome, row.status_code),
            is_waiting=row.state == DeliveryState.PENDING.value,
        )
        for row in rows
        if row.outcome not in {None, Outcome.DELIVERED.value}
    ]


def troubled_callbacks(
    connection: Connection, known: Collection[CallbackId], now: UnixMs
) -> Sequence[SqlRow]:
    """Return the callbacks that are called and fail, are disabled or throttled, and those `known`
    by a failure; each with how many deliveries wait, and the oldest of these.

    Callbacks that a person switched off need no one's attention.
    """
    c = callbacks.c
    is_known = bulk.among(connection, c.id, sorted(known))
    began = sa.func.coalesce(c.disabled_at, c.failing_since, c.throttled_since, 0)
    return connection.execute(
        sa.select(
            c.id,
            c.token_id,
            tokens.c.name,
            c.type,
            c.url,
            c.failing_since,
            c.disabled_at,
            c.disabled_reason,
            c.throttled_since,
            c.throttled_until,
            _waiting().label("waiting"),
            *(_of_oldest(name) for name in ("event_id", "created_at", "status_code", "outcome")),
        )
        .join_from(callbacks, tokens, tokens.c.id == c.token_id)
        .where(is_cared_for(now), sa.or_(fails_or_is_throttled(now), is_known))
        .order_by(began.desc(), c.id)
        .limit(MOST_CALLBACKS)
    ).all()


def is_cared_for(now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that no person switched the callback, or its joined token, off."""
    return sa.and_(
        callbacks.c.enabled,
        tokens.c.enabled,
        tokens.c.revoked_at.is_(None),
        sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
    )


def fails_or_is_throttled(now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that a callback fails, is disabled or throttled."""
    c = callbacks.c
    is_throttled = sa.and_(c.throttled_until > now, c.throttled_until <= now + PLAUSIBLE_PAUSE_MS)
    return sa.or_(c.failing_since.is_not(None), c.disabled_at.is_not(None), is_throttled)


def active_callbacks(connection: Connection, now: UnixMs) -> list[CallbackId]:
    """Return the callbacks with LEAST_ATTEMPTS or more lately."""
    d = deliveries.c
    newest = (
        sa.select(d.callback_id, d.outcome)
        .where(d.created_at >= now - WINDOW_MS, no_test(d.event_id))
        .order_by(*(column.desc() for column in DELIVERY_KEY))
        .limit(MOST_ACTIVE)
        .subquery()
    )
    counted = (
        sa.select(newest.c.callback_id)
        .where(newest.c.outcome.is_not(None))
        .group_by(newest.c.callback_id)
        .having(sa.func.count() >= LEAST_ATTEMPTS)
    )
    return [CallbackId(callback_id) for callback_id in connection.scalars(counted)]


def failed_answers(connection: Connection, pairs: Collection[Pair]) -> dict[Pair, list[Answer]]:
    """Return the answers of the attempts of these deliveries that failed, oldest first."""
    if not pairs:
        return {}
    a = attempts.c
    columns = (a.event_id, a.callback_id, a.started_at, a.duration_ms, a.status_code, a.error)
    # SQLite finds no index for `(event_id, callback_id) IN (…)`
    these = [
        sa.and_(a.event_id == event, a.callback_id == called) for event, called in sorted(pairs)
    ]
    rows = connection.execute(
        sa.select(*columns)
        .where(sa.or_(*these), a.outcome != Outcome.DELIVERED.value)
        .order_by(a.started_at)
        .limit(MOST_ATTEMPTS)
    )
    found: dict[Pair, list[Answer]] = {}
    for row in rows:
        pair = EventId(row.event_id), CallbackId(row.callback_id)
        ended_at = UnixMs(row.started_at + row.duration_ms)
        answer = Answer(delivery_id(*pair), ended_at, row.status_code, row.error)
        found.setdefault(pair, []).append(answer)
    return found


def _waiting() -> sa.ScalarSelect[int]:
    """Return how many deliveries of the callback are open, in the query of callbacks."""
    some = (
        sa.select(sa.literal(1).label("one"))
        .where(deliveries.c.callback_id == callbacks.c.id, deliveries.c.due_at.is_not(None))
        .correlate(callbacks)
        .limit(MOST_COUNTED)
        .subquery()
    )
    counted = sa.select(sa.func.count()).select_from(some)
    return counted.correlate(callbacks).scalar_subquery()


def _of_oldest(name: str) -> sa.Label[object]:
    """Return a column of the callback's oldest open delivery, in the query of callbacks."""
    oldest = (
        sa.select(deliveries.c[name])
        .where(deliveries.c.callback_id == callbacks.c.id, deliveries.c.due_at.is_not(None))
        .order_by(deliveries.c.queued_at)
        .limit(1)
    )
    return oldest.correlate(callbacks).scalar_subquery().label(f"oldest_{name}")
