"""Callbacks that work again, or that a person resumed: what becomes of the deliveries that waited
for that.

A backlog is walked slice by slice, oldest first, each slice in a transaction of its own. If the
process dies in between, the callback stays marked and the next process begins again. So every step
may be repeated. Called by `consumers.maintenance.callback_monitor`.
"""

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from schemas.deliveries.cancel_reason import CancelReason
from schemas.deliveries.deliveries import DeliveryState, Move, Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import LATEST, UnixMs
from schemas.tokens.tokens import OnResume
from store.engine import bulk
from store.engine.database import Connection
from store.engine.paging import Row
from store.figures.counting import Ended, count_ended
from store.tables import callbacks, deliveries, delivery_moves, tokens
from store.tokens.rows import raise_version

SLICE = 1000
"""Rows read in a transaction. More: concurrent settlements of these rows wait longer. Fewer: a
great backlog is ready later.
"""

_row, _owner = deliveries.c, callbacks.c


class Walk(msgspec.Struct, frozen=True):
    """How far a callback's open deliveries have been handled, oldest first."""

    until: UnixMs
    """Only deliveries whose age counts from before this moment are handled."""
    generation: int
    """The callback's generation when the walk began."""
    queued_at: int = -1
    """The age of the last delivery handled; -1: none yet."""
    event_id: str = ""
    """The event of the last delivery handled."""


class Step(msgspec.Struct, frozen=True):
    """What one slice of a backlog changed."""

    walk: Walk | None
    """Where the next slice begins; None: all deliveries have been handled."""
    event_type: EventType
    """The event type of the callback."""
    generation: int
    """The callback's generation during this step."""
    discarded: int
    """How many deliveries were discarded."""
    changed: bool
    """Whether any delivery was changed, so that some may be due."""


def with_pending_backlog(connection: Connection) -> list[CallbackId]:
    """Return the callbacks whose backlog waits to be handled."""
    pending = sa.select(_owner.id).where(_owner.backlog_pending)
    return [CallbackId(row_id) for row_id in connection.scalars(pending)]


def step(
    connection: Connection, callback_id: CallbackId, walk: Walk | None, now: UnixMs
) -> Step | None:
    """Handle the next slice of a callback's backlog.

    It is the first slice when `walk` is None or the callback was resumed again meanwhile. Return
    None when nothing is left to do for this callback.
    """
    owner = connection.execute(
        sa.select(callbacks).where(_owner.id == callback_id, _owner.backlog_pending)
    ).one_or_none()
    if owner is None:
        return None
    if walk is None or walk.generation != owner.generation:
        walk = Walk(now, owner.generation)
    rows = _next_rows(connection, callback_id, walk)
    on_resume, held_before = OnResume(owner.on_resume), owner.held_before or 0
    moving = rows
    if on_resume is OnResume.KEEP:  # the others are parked already
        moving = [row for row in rows if row.due_at < LATEST]
    _lock(connection, callback_id, [row.event_id for row in moving])
    held = [row.event_id for row in moving if row.queued_at < held_before]
    waiting = [row.event_id for row in moving if row.queued_at >= held_before]
    discarded = _resume_held(connection, callback_id, on_resume, held, now) if held else 0
    if waiting:
        _hasten(connection, callback_id, waiting, now)
    following = (
        Walk(walk.until, walk.generation, rows[-1].queued_at, rows[-1].event_id)
        if len(rows) == SLICE
        else None
    )
    return Step(following, EventType(owner.type), owner.generation, discarded, bool(moving))


def finish(connection: Connection, callback_id: CallbackId, generation: int) -> None:
    """Mark a backlog as handled, unless the callback was resumed again meanwhile.

    Deliveries that are kept stay held. Discarding was for this time only.
    """
    version = raise_version(connection)
    this = sa.and_(_owner.id == callback_id, _owner.generation == generation)
    owner = connection.execute(sa.select(callbacks).where(this)).one_or_none()
    if owner is None:
        return
    applied = owner.held_before is not None and owner.on_resume != OnResume.KEEP.value
    reset = {"held_before": None, "on_resume": OnResume.RELEASE.value} if applied else {}
    connection.execute(
        sa.update(callbacks)
        .where(_owner.id == callback_id)
        .values({"backlog_pending": False, **reset})
    )
    connection.execute(
        sa.update(tokens).where(tokens.c.id == owner.token_id).values(version=version)
    )


def _next_rows(connection: Connection, callback_id: CallbackId, walk: Walk) -> Sequence[Row]:
    further = sa.or_(_row.queued_at > walk.queued_at, _row.event_id > walk.event_id)
    ahead = sa.and_(_row.queued_at >= walk.queued_at, further, _row.queued_at < walk.until)
    selected = sa.select(_row.event_id, _row.queued_at, _row.due_at).where(
        _row.callback_id == callback_id, _row.due_at.is_not(None), ahead
    )
    return connection.execute(selected.order_by(_row.queued_at, _row.event_id).limit(SLICE)).all()


def _resume_held(
    connection: Connection,
    callback_id: CallbackId,
    on_resume: OnResume,
    event_ids: Sequence[str],
    now: UnixMs,
) -> int:
    """Do with held deliveries what `on_resume` says. Return how many were discarded."""
    if on_resume is OnResume.DISCARD:
        return _discard(connection, callback_id, event_ids, now)
    if on_resume is OnResume.KEEP:
        parked = {"due_at": LATEST, "leased": False}
        _change(connection, callback_id, event_ids, _is_idle(now), parked)
    else:
        # at its old position among what is due, with the whole schedule ahead
        released = {"queued_at": now, "due_at": _row.queued_at, "failures": 0, "leased": False}
        _change(connection, callback_id, event_ids, _is_idle(now), released)
    return 0


def _hasten(
    connection: Connection, callback_id: CallbackId, event_ids: Sequence[str], now: UnixMs
) -> None:
    """Make due what waits for its schedule, as the callback works. What the receiver put off waits
    until then.
    """
    put_off = sa.func.coalesce(_row.outcome, "") == Outcome.THROTTLED.value
    scheduled = sa.and_(
        _row.due_at > now,
        _row.due_at < LATEST,
        sa.not_(sa.or_(_row.leased, _row.awaits_status, put_off)),
    )
    _change(connection, callback_id, event_ids, scheduled, {"due_at": _row.queued_at})


def _is_idle(now: UnixMs) -> sa.ColumnElement[bool]:
    """Return the condition that no dispatcher holds a lease of the delivery."""
    return sa.or_(sa.not_(_row.leased), _row.due_at <= now)


def _change(
    connection: Connection,
    callback_id: CallbackId,
    event_ids: Sequence[str],
    condition: sa.ColumnElement[bool],
    values: Mapping[str, object],
) -> None:
    """Change rows that this transaction has locked."""
    ours = _ours(connection, callback_id, event_ids)
    connection.execute(sa.update(deliveries).where(ours, condition).values(values))


def _discard(
    connection: Connection, callback_id: CallbackId, event_ids: Sequence[str], now: UnixMs
) -> int:
    """Cancel rows that this transaction has locked. Return how many there were."""
    rows = connection.execute(
        sa.update(deliveries)
        .where(_ours(connection, callback_id, event_ids), _is_idle(now))
        .where(delivery_moves.permitted(Move.WITHDRAWN))
        .values(delivery_moves.columns(Move.WITHDRAWN, CancelReason.DISCARDED))
        .returning(_row.event_id, _row.callback_id, _row.type)
    )
    discarded = [Ended(*row) for row in rows]
    count_ended(connection, DeliveryState.CANCELLED, discarded, now)
    return len(discarded)


def _ours(
    connection: Connection, callback_id: CallbackId, event_ids: Sequence[str]
) -> sa.ColumnElement[bool]:
    return sa.and_(
        _row.callback_id == callback_id,
        bulk.among(connection, _row.event_id, event_ids),
        _row.due_at.is_not(None),
    )


def _lock(connection: Connection, callback_id: CallbackId, event_ids: Sequence[str]) -> None:
    """Lock a whole slice at once, in the order in which settling does (`store.engine.bulk`)."""
    if event_ids and connection.dialect.name == "postgresql":
        these = sa.and_(
            _row.callback_id == callback_id, bulk.among(connection, _row.event_id, event_ids)
        )
        connection.execute(
            bulk.by_key(connection, sa.select(_row.event_id).where(these), _row.event_id)
        ).all()
