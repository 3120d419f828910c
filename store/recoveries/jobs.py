"""Recoveries as jobs: created, read, stopped, and worked on a slice at a time.

A slice is one transaction: what it changes, how far that was, and the counts. So a process that
dies in it leaves nothing half done, and the next process continues where that slice began. The
job's row is locked meanwhile. That lock is the lease, and it ends with its holder. A slice that
fails is tried again in halves, and lets the other jobs go first. `store.recoveries.candidates` and
`.reopening` have what a slice reads and writes; `consumers.maintenance.recovery_runner` decides.
"""

import msgspec
import sqlalchemy as sa

from schemas.deliveries.recoveries import (
    Counted,
    Recoverable,
    Recovery,
    RecoveryQuery,
    RecoveryState,
)
from schemas.errors import Fault, Invalid, NotFound
from schemas.ids import RecoveryId, new_recovery_id
from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.engine.paging import Row
from store.recoveries import counting
from store.recoveries.missing import Matched
from store.recoveries.scanning import Key
from store.tables import recoveries, tokens

NOTIFICATION = "recoveries"
"""The notification that is sent when a recovery is created."""

PUT_OFF_MS = 60_000
"""How long the other jobs go first when a slice of one failed, in milliseconds: it may have taken
as long as a statement may. Longer: a job that a passing error stopped waits longer. Shorter: a job
that always fails takes more of the others' time.
"""

_decode_query = msgspec.json.Decoder(RecoveryQuery).decode


class RecoveryPosition(msgspec.Struct, frozen=True):
    """Where a slice begins."""

    state: Recoverable
    """What is recovered there."""
    after: Key | None = None
    """The row after which the slice begins; None: at the first."""


class Job(msgspec.Struct, frozen=True):
    """A recovery that this transaction has locked, to work on it."""

    recovery: Recovery
    position: RecoveryPosition
    """Where its next slice begins."""
    slice_rows: int | None = None
    """How many rows a slice has; None: the usual number."""


class Slice(msgspec.Struct, frozen=True):
    """What a slice of a job did."""

    done: int
    """How many deliveries were made due."""
    skipped: int
    """How many cannot be sent now."""
    following: RecoveryPosition | None
    """Where the next slice begins; None: this was the last."""


_decode_position = msgspec.json.Decoder(RecoveryPosition).decode


def create(database: Database, query: RecoveryQuery) -> Recovery:
    """Create a recovery. Deliveries made later than now do not belong to it. Raises Invalid for an
    unknown token.

    What is missing is counted when it is found: that needs a scan of every event.
    """
    total = count(database, query).total
    with database.write() as connection:
        now = database.now(connection)
        query = msgspec.structs.replace(query, until=min(query.until, now))
        recovery = Recovery(new_recovery_id(), query, RecoveryState.RUNNING, total, 0, 0, now)
        connection.execute(sa.insert(recoveries).values(_row(recovery)))
        database.notify(connection, NOTIFICATION)
    return recovery


def count(database: Database, query: RecoveryQuery, matched: Matched | None = None) -> Counted:
    """Count the deliveries that a recovery would find now, of very many a part; those that are
    missing only with `matched`. Raises Invalid for an unknown token.
    """
    with database.read() as connection:
        _require_token(connection, query)
        return counting.count(connection, query, matched)


def get(connection: Connection, recovery_id: RecoveryId) -> Recovery:
    """Return a recovery. Raises NotFound."""
    row = connection.execute(
        sa.select(recoveries).where(recoveries.c.id == recovery_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no recovery {recovery_id}")
    return _recovery(row)


def latest(connection: Connection, limit: int) -> list[Recovery]:
    """Return at most `limit` recoveries, those first that were created last."""
    newest_first = sa.select(recoveries).order_by(recoveries.c.id.desc()).limit(limit)
    return [_recovery(row) for row in connection.execute(newest_first)]


def stop(database: Database, recovery_id: RecoveryId) -> Recovery:
    """Stop a recovery, unless it has ended. What was recovered stays so. Raises NotFound."""
    this = sa.and_(
        recoveries.c.id == recovery_id, recoveries.c.state == RecoveryState.RUNNING.value
    )
    with database.write() as connection:
        connection.execute(
            sa.update(recoveries).where(this).values(state=RecoveryState.CANCELLED.value)
        )
        return get(connection, recovery_id)


def any_running(connection: Connection) -> bool:
    """Whether any recovery is running."""
    return (
        connection.scalar(
            sa.select(sa.exists().where(recoveries.c.state == RecoveryState.RUNNING.value))
        )
        is True
    )


def acquire(connection: Connection) -> Job | None:
    """Lock and return the job that waits longest, of those that no other transaction has locked.

    Return None when there is none.
    """
    statement = sa.select(recoveries).where(recoveries.c.state == RecoveryState.RUNNING.value)
    selected = (
        statement.order_by(recoveries.c.worked_at, recoveries.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(selected).one_or_none()
    if row is None:
        return None
    recovery = _recovery(row)
    position = (
        RecoveryPosition(recovery.query.states[0])
        if row.position is None
        else _decode_position(row.position)
    )
    return Job(recovery, position, row.slice_rows)


def put_off(database: Database, job: Job, slice_rows: int, reason: str) -> None:
    """Record that a slice of `slice_rows` failed, in a transaction of its own.

    The other jobs get their turn, and the next slice of this one is half as large. A job that
    another process works on already is left alone.
    """
    this = (
        sa.select(recoveries.c.id)
        .where(recoveries.c.id == job.recovery.id)
        .with_for_update(skip_locked=True)
    )
    with database.write() as connection:
        changed = {
            "worked_at": database.now(connection) + PUT_OFF_MS,
            "slice_rows": max(1, slice_rows // 2),
            "trouble": reason,
        }
        connection.execute(sa.update(recoveries).where(recoveries.c.id.in_(this)).values(changed))


def advance(
    connection: Connection, job: Job, worked: Slice, now: UnixMs, slice_rows: int | None
) -> Recovery:
    """Record the progress of a job, and how many rows its next slice has. Return the recovery."""
    before = job.recovery
    done, skipped = before.done + worked.done, before.skipped + worked.skipped
    ended = worked.following is None
    after = msgspec.structs.replace(
        before,
        state=RecoveryState.DONE if ended else RecoveryState.RUNNING,
        total=done + skipped if ended else max(before.total, done + skipped),
        done=done,
        skipped=skipped,
        worked_at=now,
        trouble=None,
    )
    position = None if worked.following is None else msgspec.json.encode(worked.following).decode()
    changed = {
        "state": after.state.value,
        "total": after.total,
        "done": done,
        "skipped": skipped,
        "position": position,
    }
    changed |= {"worked_at": now, "slice_rows": slice_rows, "trouble": None}
    connection.execute(sa.update(recoveries).where(recoveries.c.id == before.id).values(changed))
    return after


def _require_token(connection: Connection, query: RecoveryQuery) -> None:
    if (
        query.token is not None
        and connection.scalar(sa.select(tokens.c.id).where(tokens.c.id == query.token)) is None
    ):
        raise Invalid(
            "there is no such token",
            faults=[Fault(f"there is no token {query.token}", "/token")],
        )


def _row(recovery: Recovery) -> dict[str, object]:
    return {
        "id": recovery.id,
        "state": recovery.state.value,
        "query": msgspec.json.encode(recovery.query).decode(),
        "total": recovery.total,
        "done": 0,
        "skipped": 0,
        "created_at": recovery.created_at,
        "worked_at": 0,
    }


def _recovery(row: Row) -> Recovery:
    return Recovery(
        id=RecoveryId(row.id),
        query=_decode_query(row.query),
        state=RecoveryState(row.state),
        total=row.total,
        done=row.done,
        skipped=row.skipped,
        created_at=UnixMs(row.created_at),
        worked_at=UnixMs(row.worked_at),
        trouble=row.trouble,
    )
