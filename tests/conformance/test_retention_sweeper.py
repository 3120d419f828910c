"""The loop that deletes what is old: whose turn it is, slice by slice, and what it does when
something goes wrong.
"""

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
import sqlalchemy as sa

from consumers.maintenance import retention_sweeper
from consumers.maintenance.retention_sweeper import RetentionSweeper
from schemas.errors import StoreUnavailable
from schemas.log_events import LogEvent
from schemas.observer import EXPIRING, NullObserver
from schemas.times import UnixMs, now_ms
from store import tables
from store.engine.database import Connection, Database
from store.maintenance import job_leases, retention
from tests.kit.old_rows import Attic
from tests.kit.waiting import eventually

KEPT_FOR = dt.timedelta(days=30)
EVENTS = retention.SWEEPS[0]


class Watching(NullObserver):
    """Counts what was deleted, and remembers notes."""

    def __init__(self) -> None:
        self.gone: Counter[str] = Counter()
        self.notes: list[dict[str, object]] = []

    def expired(self, table: str, count: int) -> None:
        self.gone[table] += count

    def log(self, event: LogEvent, **fields: object) -> None:
        self.notes.append({"event": event, **fields})


@pytest.fixture
def observer() -> Watching:
    return Watching()


@pytest.fixture
def attic(database: Database) -> Attic:
    """Seven old events, and some of everything else that is old."""
    made = Attic(database)
    for number in range(7):
        made.lay(f"evt_{number}", "a" * 16)
    made.add_delivery("evt_gone", "a" * 16)
    made.add_place("a" * 16, "msg_1")
    made.add("requests", id="req_0", at=1)
    made.add("audit_log", token_id="tok_1", at=1, action="changed", by="tok_2", details="{}")
    made.add("people_log", email="a@x.example", at=1, action="added", by="tok_2", details="{}")
    made.add(
        "recoveries",
        id="rec_0",
        state="done",
        query="{}",
        total=0,
        done=0,
        skipped=0,
        created_at=1,
        worked_at=1,
    )
    made.lay("evt_young", "a" * 16, at=now_ms())
    return made


@asynccontextmanager
async def running(sweeper: RetentionSweeper) -> AsyncIterator[None]:
    sweeper.start()
    try:
        yield
    finally:
        await sweeper.stop(10)


def end_turns(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.update(tables.leases).values(until=0))


async def test_all_that_is_old_goes_in_one_sweep(attic: Attic, observer: Watching) -> None:
    """From every table, and it is counted."""
    async with running(RetentionSweeper(attic.database, KEPT_FOR, observer, 3)):
        await eventually(
            "all to be gone",
            lambda: observer.gone.keys() >= set(EXPIRING) and observer.gone["events"] == 7,
        )

    assert observer.gone == Counter(
        events=7,
        deliveries=8,
        attempts=8,
        status_locks=1,
        requests=1,
        audit_log=1,
        people_log=1,
        recoveries=1,
    )
    assert attic.ids() == ["evt_young"]


async def test_one_at_a_time_has_the_turn(attic: Attic, observer: Watching) -> None:
    """One of all dispatchers sweeps. It goes on where it was, and the next one begins when the
    lease is over.
    """
    first, second = (RetentionSweeper(attic.database, KEPT_FOR, observer, 3) for _ in range(2))

    for _ in range(20):
        first.work()
        second.work()
        if observer.gone["events"] == 7:
            break
    attic.lay("evt_later", "a" * 16)
    assert second.work() == first.work() == pytest.approx(30), "they look again in half a minute"
    end_turns(attic.database)
    second.work()

    assert attic.ids() == ["evt_young"]


async def test_no_table_waits_for_anothers_backlog(attic: Attic, observer: Watching) -> None:
    """Each has a slice in turn."""
    sweeper = RetentionSweeper(attic.database, KEPT_FOR, observer, 1)

    for _ in range(len(EXPIRING)):
        sweeper.work()

    assert observer.gone.keys() == set(EXPIRING)
    assert observer.gone["events"] < 7


async def test_a_table_without_an_index_for_it_is_walked_through_seldom(
    attic: Attic, observer: Watching
) -> None:
    """Once a day, with a retention of thirty days, however many sweeps there are."""
    sweeper = RetentionSweeper(attic.database, KEPT_FOR, observer)
    with attic.database.write() as connection:
        now = attic.database.now(connection)
        assert job_leases.acquire(connection, "status_locks", UnixMs(now - 86_390_000), 86_400_000)

    for _ in range(20):
        sweeper.work()

    assert observer.gone["events"] == 7
    assert "status_locks" not in observer.gone


def test_a_turn_is_taken_once_until_it_ends(database: Database) -> None:
    """A lease that would end later than any, too: the clock was set back."""
    now = UnixMs(1_000_000)

    def taken(at: int) -> bool:
        with database.write() as connection:
            return job_leases.acquire(connection, "x", UnixMs(at), 500)

    assert [taken(now), taken(now + 499), taken(now + 500), taken(now + 501)] == [
        True,
        False,
        True,
        False,
    ]
    assert taken(now - 10_000)
    assert taken(now - 9_999) is False


def test_a_sweep_takes_a_tenth_of_the_time(
    attic: Attic, observer: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause is as long as the slice has earned, however long that took."""
    times = iter((100.0, 102.0))
    sweeper = RetentionSweeper(attic.database, KEPT_FOR, observer)
    monkeypatch.setattr(retention_sweeper.time, "monotonic", lambda: next(times))

    assert sweeper.work() == pytest.approx(18)


def test_a_sweep_that_did_not_end_in_its_turn_hurries(
    attic: Attic, observer: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a turn is enough again: more must not come than goes."""
    sweeper = RetentionSweeper(attic.database, KEPT_FOR, observer, 1)
    sweeper.work()
    end_turns(attic.database)
    sweeper._until_s = 0.0
    times = iter((100.0, 102.0))
    monkeypatch.setattr(retention_sweeper.time, "monotonic", lambda: next(times))

    assert sweeper.work() == pytest.approx(2)


async def test_a_store_that_is_away_is_awaited(
    attic: Attic, observer: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word: the loops that deliver have said it."""
    away = [True] * 3
    original = job_leases.acquire

    def take(*arguments: object) -> bool:
        if away:
            away.pop()
            raise StoreUnavailable("away")
        return original(*arguments)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr(job_leases, "acquire", take)
    monkeypatch.setattr(retention_sweeper, "MOST_APART_S", 0.1)

    async with running(RetentionSweeper(attic.database, KEPT_FOR, observer)):
        await eventually("all to be gone", lambda: observer.gone["events"] == 7)

    assert observer.notes == []


async def test_an_internal_error_is_noted_and_costs_one_table(
    attic: Attic, observer: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatcher that ended of it would deliver nothing any more, for the sake of old rows."""
    broken = retention.Sweep(
        "broken",
        lambda *_: 1 / 0,  # type: ignore[arg-type, return-value]  # the error of this test
        lambda *_: Counter(),
    )
    monkeypatch.setattr(retention, "SWEEPS", (broken, *retention.SWEEPS))
    monkeypatch.setattr("consumers.loop.ERROR_PAUSE_S", 0.01)

    async with running(RetentionSweeper(attic.database, KEPT_FOR, observer)):
        await eventually("all to be gone", lambda: observer.gone["events"] == 7)

    assert observer.notes == [
        {
            "event": LogEvent.INTERNAL_ERROR,
            "loop": "retention_sweeper",
            "error": "ZeroDivisionError('division by zero')",
        }
    ]


def test_a_scan_that_takes_too_long_is_repeated_under_the_same_lease(
    attic: Attic, observer: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement or a lock that has no time any more is no reason to leave a table for the whole
    turn.
    """
    slow = [True]

    def look(*arguments: object) -> retention.ExpiryScan:
        if slow:
            slow.pop()
            raise StoreUnavailable("statement timeout")
        return EVENTS.scan(*arguments)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr(retention, "SWEEPS", (msgspec.structs.replace(EVENTS, scan=look),))
    sweeper = RetentionSweeper(attic.database, KEPT_FOR, observer)

    with pytest.raises(StoreUnavailable):
        sweeper.work()
    for _ in range(3):
        sweeper.work()

    assert attic.ids() == ["evt_young"]


@pytest.mark.parametrize("error", [StoreUnavailable("statement timeout"), ZeroDivisionError()])
def test_an_event_that_cannot_be_deleted_costs_only_itself(
    attic: Attic, observer: Watching, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What is younger than it goes, and the operator reads which it is. It is tried again in the
    next sweep.
    """

    def remove(
        connection: Connection, age: retention.Age, expired: Sequence[retention.Key]
    ) -> Counter[str]:
        if stuck and "evt_3" in {key[1] for key in expired}:
            raise error
        return EVENTS.remove(connection, age, expired)

    stuck = [True]
    monkeypatch.setattr(retention, "SWEEPS", (msgspec.structs.replace(EVENTS, remove=remove),))
    sweeper = RetentionSweeper(attic.database, KEPT_FOR, observer)

    for _ in range(20):
        with contextlib.suppress(type(error)):
            sweeper.work()

    assert attic.ids() == ["evt_3", "evt_young"]
    assert [(note["event"], note["sweep"]) for note in observer.notes] == [
        (LogEvent.RETENTION_FAILED, "events")
    ]
    assert "evt_3" in str(observer.notes[0]["key"])
    stuck.clear()
    end_turns(attic.database)
    sweeper._until_s = 0.0
    sweeper.work()
    assert attic.ids() == ["evt_young"]


async def test_a_stop_waits_for_no_pause(attic: Attic, observer: Watching) -> None:
    """Half a minute would be all the time that a drain has."""
    sweeper = RetentionSweeper(attic.database, KEPT_FOR, observer)
    for _ in range(20):
        sweeper.work()

    async with running(sweeper):  # it has nothing to do for half a minute
        await eventually("it to have begun", lambda: sweeper._thread._threads)
        task = sweeper._task

    assert task
    assert task.done()


@pytest.mark.parametrize(
    ("kept_for", "apart_s"),
    [(dt.timedelta(days=30), 300), (dt.timedelta(hours=1), 36), (dt.timedelta(seconds=5), 1)],
)
async def test_how_often_is_by_the_retention(
    attic: Attic, observer: Watching, kept_for: dt.timedelta, apart_s: float
) -> None:
    """Every five minutes, and with a short retention more often."""
    sweeper = RetentionSweeper(attic.database, kept_for, observer)
    pauses_s = [sweeper.work() for _ in range(20)]

    assert pauses_s[-1] == pytest.approx(apart_s / 10), "all are gone: it waits for its next turn"
    assert observer.gone["events"] == 7
