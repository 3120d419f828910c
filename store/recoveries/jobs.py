"""Recoveries as jobs: asked for, looked at, stopped, and worked on a slice at a time.

A slice is one transaction: what it changes, how far that was, and the figures. So a process that
dies in it leaves nothing half done, and whoever is next goes on where it began. The job's row is
locked meanwhile; that lock is the lease, and it ends with its holder. A slice that fails is tried
again in halves, and lets the others go first. `recovery_rows` has what a slice reads and writes;
`consumers.maintenance.recovery_runner` decides.
"""

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Recoverable, Recovery, RecoveryQuery, RecoveryState
from schemas.errors import Fault, Invalid, NotFound
from schemas.ids import RecoveryId, new_recovery_id
from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.engine.paging import Row
from store.recoveries import candidates
from store.recoveries.candidates import Key
from store.tables import recoveries, tokens

NOTIFICATION = "recoveries"

PUT_OFF_MS = 60_000
"""How long the others go first when a slice of one failed: it may have taken as long as a statement
may. Longer: what one moment's trouble stopped waits longer. Shorter: one that always fails takes
more of the others' time.
"""

_decode_query = msgspec.json.Decoder(RecoveryQuery).decode


class RecoveryPosition(msgspec.Struct, frozen=True):
    """Where a slice begins: among what, and behind which row; None: at the first."""

    state: Recoverable
    after: Key | None = None


class Job(msgspec.Struct, frozen=True):
    """A recovery that is this transaction's to work on. `slice_rows` None: in slices of the usual
    size.
    """

    recovery: Recovery
    position: RecoveryPosition
    slice_rows: int | None = None


class Slice(msgspec.Struct, frozen=True):
    """What was done of a job, and where it goes on; None: that was all."""

    done: int
    skipped: int
    following: RecoveryPosition | None


_decode_position = msgspec.json.Decoder(RecoveryPosition).decode


def create(database: Database, query: RecoveryQuery) -> Recovery:
    """Have it worked on. What is made later than now is not of it. Raises Invalid for a token that
    never was.
    """
    with database.read() as connection:
        if (
            query.token is not None
            and connection.scalar(sa.select(tokens.c.id).where(tokens.c.id == query.token)) is None
        ):
            raise Invalid(
                "there is no such token",
                faults=[Fault(f"there is no token {query.token}", "/token")],
            )
        total = _count(connection, query)
    with database.write() as connection:
        now = database.now(connection)
        query = msgspec.structs.replace(query, until=min(query.until, now))
        recovery = Recovery(new_recovery_id(), query, RecoveryState.RUNNING, total, 0, 0, now)
        connection.execute(sa.insert(recoveries).values(_row(recovery)))
        database.notify(connection, NOTIFICATION)
    return recovery


def get(connection: Connection, recovery_id: RecoveryId) -> Recovery:
    """Raises NotFound."""
    row = connection.execute(
        sa.select(recoveries).where(recoveries.c.id == recovery_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no recovery {recovery_id}")
    return _recovery(row)


def stop(database: Database, recovery_id: RecoveryId) -> Recovery:
    """Let the rest be as it is; what was recovered stays so. One that has ended is left alone.
    Raises NotFound.
    """
    this = sa.and_(
        recoveries.c.id == recovery_id, recoveries.c.state == RecoveryState.RUNNING.value
    )
    with database.write() as connection:
        connection.execute(
            sa.update(recoveries).where(this).values(state=RecoveryState.CANCELLED.value)
        )
        return get(connection, recovery_id)


def any_running(connection: Connection) -> bool:
    return (
        connection.scalar(
            sa.select(sa.exists().where(recoveries.c.state == RecoveryState.RUNNING.value))
        )
        is True
    )


def take(connection: Connection) -> Job | None:
    """The one whose turn it is, of those that nobody works on; it stays ours until the transaction
    ends.
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
    """A slice of so many rows failed, and nothing of it remains. In a transaction of its own: the
    others get their turn, and the next slice of this one is half as large. Left alone when somebody
    works on it already.
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
    """Write down how far it has come, and how much of it is to be worked on next."""
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


def _count(connection: Connection, query: RecoveryQuery) -> int:
    """Of very many a part. What is missing is counted when it is found: it takes a look at every
    event.
    """
    stored = [DeliveryState(state) for state in query.states if state is not Recoverable.MISSING]
    return sum(candidates.count(connection, query, state) for state in stored)


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
