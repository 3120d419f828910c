"""What the store can say about itself for the dashboards: how much waits, and how long already.
Called a few times a minute.
"""

import msgspec
import sqlalchemy as sa

from schemas.times import UnixMs
from schemas.tokens.tokens import CallbackState, TokenState
from store.engine.database import Connection, Database
from store.events import outbox
from store.tables import callbacks, deliveries, events, tokens

DUE_COUNTED = 100_000
"""Due deliveries that are counted; of more it is said that there are so many. Larger: each scrape
of each process costs the database more while a backlog waits. Smaller: backlogs of different sizes
look alike sooner.
"""


class Gauges(msgspec.Struct, frozen=True):
    """Counts and ages (seconds; 0 when nothing waits). Held deliveries are not due, nor are leased
    ones, nor those that wait for a failing callback. `deliveries_due` ends at DUE_COUNTED.
    """

    deliveries_due: int
    deliveries_due_oldest_s: float
    events_oldest_s: float
    outbox_depth: int
    outbox_oldest_s: float
    outbox_dead: int
    callbacks: dict[CallbackState, int]
    tokens: dict[TokenState, int]


def read(database: Database) -> Gauges:
    """All figures in one transaction. Raises StoreUnavailable."""
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
    """How many, and since when the oldest. Both follow the index of due rows, callback by callback:
    what is open and not due yet, or due beyond what is counted, costs nothing.
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
    named = sendable.subquery()
    firsts = (sa.func.min(_first_due(named, is_retry)) for is_retry in (False, True))
    oldest = connection.execute(sa.select(*firsts).select_from(named)).one()
    return count, min((at for at in oldest if at is not None and at <= now), default=None)


def _first_due(named: sa.Subquery, is_retry: bool) -> sa.ScalarSelect[int | None]:
    this = sa.and_(
        deliveries.c.callback_id == named.c.id,
        deliveries.c.is_retry == is_retry,
        deliveries.c.due_at.is_not(None),
    )
    return (
        sa.select(sa.func.min(deliveries.c.due_at)).where(this).correlate(named).scalar_subquery()
    )


def _callbacks(connection: Connection) -> dict[CallbackState, int]:
    """The rule of `Callback.state`, as SQL: a test holds the two together."""
    state = sa.case(
        (sa.not_(callbacks.c.enabled), CallbackState.OFF.value),
        (callbacks.c.disabled_at.is_not(None), CallbackState.DISABLED.value),
        (callbacks.c.failing_since.is_not(None), CallbackState.FAILING.value),
        else_=CallbackState.HEALTHY.value,
    ).label("state")
    of_living = sa.select(state, sa.func.count().label("n")).join_from(
        callbacks, tokens, tokens.c.id == callbacks.c.token_id
    )
    rows = connection.execute(of_living.where(tokens.c.revoked_at.is_(None)).group_by(state))
    found = {row.state: row.n for row in rows}
    return {callback_state: found.get(callback_state.value, 0) for callback_state in CallbackState}


def _tokens(connection: Connection, now: UnixMs) -> dict[TokenState, int]:
    """The rule of `Token.state`, as SQL: a test holds the two together."""
    state = sa.case(
        (tokens.c.revoked_at.is_not(None), TokenState.REVOKED.value),
        (tokens.c.expires_at <= now, TokenState.EXPIRED.value),
        (sa.not_(tokens.c.enabled), TokenState.SUSPENDED.value),
        (tokens.c.activates_at > now, TokenState.SCHEDULED.value),
        else_=TokenState.ACTIVE.value,
    ).label("state")
    rows = connection.execute(sa.select(state, sa.func.count().label("n")).group_by(state))
    found = {row.state: row.n for row in rows}
    return {token_state: found.get(token_state.value, 0) for token_state in TokenState}


def _age_s(since: UnixMs | None, now: UnixMs) -> float:
    return 0.0 if since is None else max(0.0, (now - since) / 1000)
