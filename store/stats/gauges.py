"""Gauges of the store for the metrics: how much waits, and for how long already. Called a few times
a minute.
"""

import msgspec
import sqlalchemy as sa

from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackState, TokenState
from store.engine.database import Connection, Database
from store.events import outbox
from store.tables import callbacks, deliveries, events, tokens
from store.tokens import states

DUE_COUNTED = 100_000
"""Due deliveries that are counted; with more the gauge stays at this number. Larger: each scrape of
each process costs the database more while a backlog waits. Smaller: backlogs of different sizes
look alike sooner.
"""


class Gauges(msgspec.Struct, frozen=True):
    """Counts, and ages in seconds, which are 0 when nothing waits.

    Held deliveries are not due, nor are leased ones, nor those that wait for a failing callback.
    """

    deliveries_due: int
    """Due deliveries, up to DUE_COUNTED."""
    deliveries_due_oldest_s: float
    """How long the oldest has been due."""
    events_oldest_s: float
    """The age of the oldest stored event."""
    outbox_depth: int
    """Messages that wait in the outbox."""
    outbox_oldest_s: float
    """The age of the oldest of them."""
    outbox_dead: int
    """Dead letters in the outbox."""
    callbacks: dict[CallbackState, int]
    """Callbacks of tokens that are not revoked, by state."""
    tokens: dict[TokenState, int]
    """Tokens by state."""


def read(database: Database) -> Gauges:
    """Read all gauges in one transaction. Raises StoreUnavailable."""
    with database.read() as connection:
        now = database.now(connection)
        due, due_since = _due(connection, now)
        return Gauges(
            deliveries_due=due,
            deliveries_due_oldest_s=_age_s(due_since, now),
            events_oldest_s=_age_s(
                connection.scalar(sa.select(sa.func.min(events.c.accepted_at))), now
            ),
            outbox_depth=outbox.depth(connection),
            outbox_oldest_s=_age_s(outbox.oldest_accepted_at(connection), now),
            outbox_dead=outbox.dead(connection),
            callbacks=_callbacks(connection),
            tokens=_tokens(connection, now),
        )


def _due(connection: Connection, now: UnixMs) -> tuple[int, UnixMs | None]:
    """Return how many deliveries are due, and since when the oldest.

    Both queries follow the index of due rows, callback by callback: what is open and not due yet,
    or due beyond what is counted, costs nothing.
    """
    sendable = (
        sa.select(callbacks.c.id)
        .join_from(callbacks, tokens, tokens.c.id == callbacks.c.token_id)
        .where(
            callbacks.c.enabled,
            callbacks.c.disabled_at.is_(None),
            callbacks.c.failing_since.is_(None),
        )
        .where(tokens.c.enabled, tokens.c.revoked_at.is_(None))
    )
    due = sa.and_(
        deliveries.c.callback_id.in_(sendable),
        deliveries.c.is_retry.in_((False, True)),
        deliveries.c.due_at <= now,
    )
    counted = (
        sa.select(sa.literal(1)).select_from(deliveries).where(due).limit(DUE_COUNTED).subquery()
    )
    count = connection.scalar(sa.select(sa.func.count()).select_from(counted)) or 0
    listed = sendable.subquery()
    firsts = (sa.func.min(_first_due(listed, is_retry)) for is_retry in (False, True))
    oldest = connection.execute(sa.select(*firsts).select_from(listed)).one()
    return count, min((at for at in oldest if at is not None and at <= now), default=None)


def _first_due(listed: sa.Subquery, is_retry: bool) -> sa.ScalarSelect[int | None]:
    this = sa.and_(
        deliveries.c.callback_id == listed.c.id,
        deliveries.c.is_retry == is_retry,
        deliveries.c.due_at.is_not(None),
    )
    return (
        sa.select(sa.func.min(deliveries.c.due_at)).where(this).correlate(listed).scalar_subquery()
    )


def _callbacks(connection: Connection) -> dict[CallbackState, int]:
    """Count the callbacks of tokens that are not revoked, by state."""
    state = states.callback_state().label("state")
    of_living = sa.select(state, sa.func.count().label("n")).join_from(
        callbacks, tokens, tokens.c.id == callbacks.c.token_id
    )
    rows = connection.execute(of_living.where(tokens.c.revoked_at.is_(None)).group_by(state))
    counts = {row.state: row.n for row in rows}
    return {callback_state: counts.get(callback_state.value, 0) for callback_state in CallbackState}


def _tokens(connection: Connection, now: UnixMs) -> dict[TokenState, int]:
    """Count the tokens by state."""
    state = states.token_state(now).label("state")
    rows = connection.execute(sa.select(state, sa.func.count().label("n")).group_by(state))
    counts = {row.state: row.n for row in rows}
    return {token_state: counts.get(token_state.value, 0) for token_state in TokenState}


def _age_s(since: UnixMs | None, now: UnixMs) -> float:
    return 0.0 if since is None else max(0.0, (now - since) / 1000)
