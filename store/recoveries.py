"""Recoveries as jobs: asked for, looked at, stopped, and worked on a slice at a time.

A slice is one transaction: what it changes, how far that was, and the figures. So a process that dies in it leaves nothing
half done, and whoever is next goes on where it began. The job's row is locked meanwhile; that lock is the lease, and it ends
with its holder. `recovery_rows` has what a slice reads and writes; `consumers.recovering` decides.
"""

import msgspec
import sqlalchemy as sa

from schemas.deliveries import DeliveryState
from schemas.errors import Fault, Invalid, NotFound
from schemas.ids import RecoveryId, new_recovery_id
from schemas.recoveries import Recoverable, Recovery, RecoveryQuery, RecoveryState
from schemas.times import UnixMs
from store import recovery_rows
from store.database import Connection, Database
from store.paging import Row
from store.recovery_rows import Key
from store.tables import recoveries, tokens

RING = "recoveries"

_decode_query = msgspec.json.Decoder(RecoveryQuery).decode


class Position(msgspec.Struct, frozen=True):
    """Where a slice begins: among what, and behind which row; None: at the first."""

    state: Recoverable
    after: Key | None = None


class Job(msgspec.Struct, frozen=True):
    """A recovery that is this transaction's to work on."""

    recovery: Recovery
    position: Position


class Slice(msgspec.Struct, frozen=True):
    """What was done of a job, and where it goes on; None: that was all."""

    done: int
    skipped: int
    following: Position | None


_decode_position = msgspec.json.Decoder(Position).decode


def create(database: Database, query: RecoveryQuery) -> Recovery:
    """Have it worked on. What is made later than now is not of it. Raises Invalid for a token that never was."""
    with database.write() as connection:
        now = database.now(connection)
        if query.token and connection.scalar(sa.select(tokens.c.id).where(tokens.c.id == query.token)) is None:
            raise Invalid("there is no such token", faults=[Fault(f"there is no token {query.token}", "/token")])
        query = msgspec.structs.replace(query, until=min(query.until, now))
        recovery = Recovery(new_recovery_id(), query, RecoveryState.RUNNING, _count(connection, query), 0, 0, now)
        connection.execute(sa.insert(recoveries).values(_row(recovery)))
        database.ring(connection, RING)
    return recovery


def get(connection: Connection, recovery_id: RecoveryId) -> Recovery:
    """Raises NotFound."""
    row = connection.execute(sa.select(recoveries).where(recoveries.c.id == recovery_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no recovery {recovery_id}")
    return _recovery(row)


def stop(database: Database, recovery_id: RecoveryId) -> Recovery:
    """Let the rest be as it is; what was recovered stays so. One that has ended is left alone. Raises NotFound."""
    this = sa.and_(recoveries.c.id == recovery_id, recoveries.c.state == RecoveryState.RUNNING.value)
    with database.write() as connection:
        connection.execute(sa.update(recoveries).where(this).values(state=RecoveryState.CANCELLED.value))
        return get(connection, recovery_id)


def any_running(connection: Connection) -> bool:
    return connection.scalar(sa.select(sa.exists().where(recoveries.c.state == RecoveryState.RUNNING.value))) is True


def take(connection: Connection) -> Job | None:
    """The one whose turn it is, of those that nobody works on; it stays ours until the transaction ends."""
    statement = sa.select(recoveries).where(recoveries.c.state == RecoveryState.RUNNING.value)
    turn = statement.order_by(recoveries.c.worked_at, recoveries.c.id).limit(1).with_for_update(skip_locked=True)
    row = connection.execute(turn).one_or_none()
    if row is None:
        return None
    recovery = _recovery(row)
    return Job(recovery, Position(recovery.query.states[0]) if row.position is None else _decode_position(row.position))


def put_last(connection: Connection, recovery_id: RecoveryId, now: UnixMs) -> None:
    """All others have their turn before it."""
    connection.execute(sa.update(recoveries).where(recoveries.c.id == recovery_id).values(worked_at=now))


def advance(connection: Connection, job: Job, worked: Slice, now: UnixMs) -> Recovery:
    """Write down how far it has come."""
    before = job.recovery
    done, skipped = before.done + worked.done, before.skipped + worked.skipped
    ended = worked.following is None
    after = msgspec.structs.replace(
        before,
        state=RecoveryState.DONE if ended else RecoveryState.RUNNING,
        total=done + skipped if ended else max(before.total, done + skipped),
        done=done,
        skipped=skipped,
    )
    position = None if worked.following is None else msgspec.json.encode(worked.following).decode()
    changed = {"state": after.state.value, "total": after.total, "done": done, "skipped": skipped, "position": position, "worked_at": now}
    connection.execute(sa.update(recoveries).where(recoveries.c.id == before.id).values(changed))
    return after


def _count(connection: Connection, query: RecoveryQuery) -> int:
    """What is missing is counted when it is found: it takes a look at every event."""
    stored = [DeliveryState(state) for state in query.states if state is not Recoverable.MISSING]
    return sum(recovery_rows.count(connection, query, state) for state in stored)


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
    query, created_at = _decode_query(row.query), UnixMs(row.created_at)
    return Recovery(RecoveryId(row.id), query, RecoveryState(row.state), row.total, row.done, row.skipped, created_at)
