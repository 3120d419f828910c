"""Callbacks that work again, or that a person brought back: what becomes of the deliveries that
waited for that.

Slice by slice, each in a transaction of its own, oldest first; whoever dies in between leaves the
callback marked, and the next one begins anew: every step may be repeated. Called by
`consumers.maintenance.callback_monitor`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Move, Outcome, next_state
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import LATEST, UnixMs
from schemas.tokens.tokens import OnResume
from store.engine import bulk
from store.engine.database import Connection
from store.tables import callbacks, deliveries, tokens
from store.tokens.rows import raise_version

SLICE = 1000
"""Rows a transaction looks at. More: whoever settles one of them waits longer. Fewer: a great
backlog is ready later.
"""

DISCARDED = "discarded"

_row, _owner = deliveries.c, callbacks.c


class Walk(msgspec.Struct, frozen=True):
    """How far a callback's open deliveries have been seen to, as it was in `generation`: those whose age counts from before
    `until`, oldest first.
    """

    until: UnixMs
    generation: int
    queued_at: int = -1
    event_id: str = ""


class Step(msgspec.Struct, frozen=True):
    """`walk` is None when all have been seen to, as the callback was in `generation`; `discarded` of this step, in which some
    deliveries were `changed`.
    """

    walk: Walk | None
    kind: EventType
    generation: int
    discarded: int
    changed: bool


def with_pending_backlog(connection: Connection) -> list[CallbackId]:
    return [
        CallbackId(found)
        for found in connection.scalars(sa.select(_owner.id).where(_owner.backlog_pending))
    ]


def step(
    connection: Connection, callback_id: CallbackId, walk: Walk | None, now: UnixMs
) -> Step | None:
    """See to the next slice; to the first, when nothing was seen to yet or the callback came back
    once more meanwhile. None when nothing is to be done for this callback any more.
    """
    owner = connection.execute(
        sa.select(callbacks).where(_owner.id == callback_id, _owner.backlog_pending)
    ).one_or_none()
    if owner is None:
        return None
    if walk is None or walk.generation != owner.generation:
        walk = Walk(now, owner.generation)
    further = sa.or_(_row.queued_at > walk.queued_at, _row.event_id > walk.event_id)
    ahead = sa.and_(_row.queued_at >= walk.queued_at, further, _row.queued_at < walk.until)
    chosen = sa.select(_row.event_id, _row.queued_at, _row.due_at).where(
        _row.callback_id == callback_id, _row.due_at.is_not(None), ahead
    )
    seen = connection.execute(chosen.order_by(_row.queued_at, _row.event_id).limit(SLICE)).all()
    on_resume, held_before = OnResume(owner.on_resume), owner.held_before or 0
    moving = (
        seen if on_resume is not OnResume.KEEP else [row for row in seen if row.due_at < LATEST]
    )  # the others are parked already
    _lock(connection, callback_id, [row.event_id for row in moving])
    held = [row.event_id for row in moving if row.queued_at < held_before]
    waiting = [row.event_id for row in moving if row.queued_at >= held_before]
    discarded = _see_to_held(connection, callback_id, on_resume, held, now) if held else 0
    if waiting:
        _hasten(connection, callback_id, waiting, now)
    following = (
        Walk(walk.until, walk.generation, seen[-1].queued_at, seen[-1].event_id)
        if len(seen) == SLICE
        else None
    )
    return Step(following, EventType(owner.type), owner.generation, discarded, bool(moving))


def finish(connection: Connection, callback_id: CallbackId, generation: int) -> None:
    """All have been seen to, unless it came back once more meanwhile. What is kept stays held;
    discarding was for this time only.
    """
    version = raise_version(connection)
    this = sa.and_(_owner.id == callback_id, _owner.generation == generation)
    owner = connection.execute(sa.select(callbacks).where(this)).one_or_none()
    if owner is None:
        return
    applied = owner.held_before is not None and owner.on_resume != OnResume.KEEP.value
    left = {"held_before": None, "on_resume": OnResume.RELEASE.value} if applied else {}
    connection.execute(
        sa.update(callbacks)
        .where(_owner.id == callback_id)
        .values({"backlog_pending": False, **left})
    )
    connection.execute(
        sa.update(tokens).where(tokens.c.id == owner.token_id).values(version=version)
    )


def _see_to_held(
    connection: Connection,
    callback_id: CallbackId,
    on_resume: OnResume,
    event_ids: Sequence[str],
    now: UnixMs,
) -> int:
    """Returns how many were discarded."""
    if (
        on_resume is OnResume.RELEASE
    ):  # in its old place among what is due, with the whole schedule before it
        _change(
            connection,
            callback_id,
            event_ids,
            _is_idle(now),
            {"queued_at": now, "due_at": _row.queued_at, "failures": 0, "leased": False},
        )
    elif on_resume is OnResume.KEEP:
        _change(
            connection, callback_id, event_ids, _is_idle(now), {"due_at": LATEST, "leased": False}
        )
    else:
        cancelled = next_state(DeliveryState.PENDING, Move.WITHDRAWN).value
        settled = {"state": cancelled, "reason": DISCARDED, "due_at": None, "leased": False}
        return _change(connection, callback_id, event_ids, _is_idle(now), settled)
    return 0


def _hasten(
    connection: Connection, callback_id: CallbackId, event_ids: Sequence[str], now: UnixMs
) -> None:
    """What waits for its schedule need not, as the callback works; but what the receiver put off
    waits until then.
    """
    put_off = sa.func.coalesce(_row.outcome, "") == Outcome.THROTTLED.value
    scheduled = sa.and_(
        _row.due_at > now,
        _row.due_at < LATEST,
        sa.not_(sa.or_(_row.leased, _row.awaits_status, put_off)),
    )
    _change(connection, callback_id, event_ids, scheduled, {"due_at": _row.queued_at})


def _is_idle(now: UnixMs) -> sa.ColumnElement[bool]:
    """Whether nobody has it in hand."""
    return sa.or_(sa.not_(_row.leased), _row.due_at <= now)


def _change(
    connection: Connection,
    callback_id: CallbackId,
    event_ids: Sequence[str],
    condition: sa.ColumnElement[bool],
    values: dict[str, Any],
) -> int:
    """Of rows that are locked."""
    ours = sa.and_(
        _row.callback_id == callback_id,
        bulk.among(connection, _row.event_id, event_ids),
        _row.due_at.is_not(None),
    )
    return connection.execute(sa.update(deliveries).where(ours, condition).values(values)).rowcount


def _lock(connection: Connection, callback_id: CallbackId, event_ids: Sequence[str]) -> None:
    """All of a slice at once, in the order in which settling does (`store.engine.bulk`)."""
    if event_ids and connection.dialect.name == "postgresql":
        these = sa.and_(
            _row.callback_id == callback_id, bulk.among(connection, _row.event_id, event_ids)
        )
        connection.execute(
            bulk.by_key(connection, sa.select(_row.event_id).where(these), _row.event_id)
        ).all()
