"""Figures counted again from the stored events and attempts: the same as when they were counted
first.
"""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.settlement import Settlement
from schemas.figures import HOUR_MS, Figures, Step
from schemas.ids import new_test_event_id
from schemas.times import UnixMs, now_ms
from store.engine.database import Database
from store.figures.rows import UNMERGED_MINUTES
from store.figures.settled import SETTLED_AFTER_MS
from store.maintenance import figure_compaction, figure_rebuild, figure_replacement
from store.maintenance.figure_rebuild import Progress, rebuild
from store.stats.figures import figures
from store.tables import figure_callback_hours, figure_hours, figure_minutes
from tests.kit.figures import count_live, ended_hour, kept, settlements

DAY_MS = 24 * HOUR_MS
KEPT_FOR_MS = 30 * DAY_MS
TABLES = (figure_minutes, figure_hours, figure_callback_hours)


@pytest.fixture
def counted(database: Database) -> Database:
    """Two recent hours, merged and with what came late, and one without minutes."""
    for seed, hours_ago in enumerate((0, 1, 60), 1):
        made = settlements(300, ended_hour(hours_ago), seed=seed, within_ms=HOUR_MS - 10_000)
        count_live(database, made)
    with database.write() as connection:
        later = UnixMs(now_ms() + SETTLED_AFTER_MS + 1)
        while figure_compaction.merge_minutes(connection, later):
            pass
        while figure_compaction.delete_minutes(connection, later):
            pass
    count_live(database, settlements(100, ended_hour(1), seed=9, within_ms=60_000))
    return database


def run(database: Database, since: int, kept_for_ms: int = KEPT_FOR_MS) -> Progress:
    *_, last = rebuild(database, UnixMs(since), kept_for_ms)
    return last


def spoil(database: Database) -> None:
    """Half of the rows lose what is rebuilt."""
    with database.write() as connection:
        for table in TABLES:
            keys = connection.execute(sa.select(*table.primary_key)).all()
            half = sa.tuple_(*table.primary_key).in_([tuple(key) for key in keys[::2]])
            lost = {"delivered": 0, "failed": 0, "failures": None, "latency": None}
            connection.execute(sa.update(table).where(half).values(lost))
        connection.execute(sa.update(figure_minutes).values(accepted=1, first_delay=None))
        connection.execute(sa.update(figure_hours).values(accepted=1, first_delay=None))


def by_minute(database: Database) -> list[Figures | None]:
    now = now_ms()
    with database.read() as connection:
        found = figures(connection, UnixMs(now - 5 * HOUR_MS), UnixMs(now), Step.MINUTE)
    return [point.figures for point in found.points]


def test_what_is_rebuilt_equals_what_was_counted(
    counted: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In slices, and with memory for a few callbacks only."""
    monkeypatch.setattr(figure_rebuild, "SLICE", 50)
    monkeypatch.setattr(figure_rebuild, "CALLBACK_HOURS", 4)
    monkeypatch.setattr(figure_replacement, "_CALLBACKS", 2)
    before, minutes = kept(counted), by_minute(counted)
    spoil(counted)
    assert kept(counted) != before

    done = run(counted, ended_hour(61))

    assert kept(counted) == before
    assert by_minute(counted) == minutes
    assert (done.events, done.attempts, done.hours) == (1000, 1000, 62)
    assert done.read > 2 * 1000, "the attempts were read several times"


def test_rebuilding_twice_or_next_to_a_compaction_changes_nothing(counted: Database) -> None:
    """It may be interrupted, and begun again."""
    before = kept(counted)

    for number, _ in enumerate(rebuild(counted, UnixMs(ended_hour(61)), KEPT_FOR_MS)):
        if number == 20:
            break
    assert kept(counted) == before
    with counted.write() as connection:
        figure_compaction.merge_callbacks(connection, now_ms())
    run(counted, ended_hour(61))
    run(counted, ended_hour(61))

    assert kept(counted) == before


def test_counts_that_attempts_do_not_tell_are_kept(counted: Database) -> None:
    """When a delivery was cancelled is stored nowhere else."""
    with counted.write() as connection:
        for table in TABLES:
            counts = sa.update(table).values(cancelled=200, superseded=100)
            unmerged = [UNMERGED_MINUTES] if table is figure_minutes else []
            connection.execute(counts.where(*unmerged))
    before = kept(counted)

    run(counted, ended_hour(61))

    assert kept(counted) == before
    assert sum(one.ended[DeliveryState.CANCELLED] for one in before[0].values()) > 0


def test_hours_whose_attempts_may_be_deleted_stay_as_they_are(counted: Database) -> None:
    """Otherwise a rebuild would turn last month into nothing."""
    before = kept(counted)
    with counted.write() as connection:
        connection.execute(sa.text("DELETE FROM attempts"))
        connection.execute(sa.text("DELETE FROM events"))

    done = run(counted, 0, kept_for_ms=2 * HOUR_MS)
    assert (done.hours, kept(counted)) == (0, before)

    done = run(counted, 0, kept_for_ms=40 * HOUR_MS)
    assert done.since >= now_ms() - 40 * HOUR_MS
    by_type, _ = kept(counted)
    assert sum(one.accepted for one in by_type.values()) == 300, "those of 60 hours ago"


def test_tests_and_hours_that_dispatchers_still_write_to_are_left_out(database: Database) -> None:
    """An attempt that a dispatcher counts meanwhile would count twice."""
    young = settlements(50, now_ms(), within_ms=1)
    old = settlements(50, ended_hour(0), seed=2, within_ms=1)
    tests = [as_test(one) for one in settlements(50, ended_hour(0), seed=3, within_ms=1)]
    for made in (young, old, tests):
        count_live(database, made)
    with database.write() as connection:
        connection.execute(sa.update(figure_minutes).values(accepted=0))

    done = run(database, ended_hour(1))

    assert (done.events, done.attempts, done.hours) == (50, 50, 2)
    by_type, by_callback = kept(database)
    assert sum(one.accepted for one in by_type.values()) == 50
    assert sum(one.delivered + one.failed for one in by_callback.values()) == 100


def as_test(one: Settlement) -> Settlement:
    delivery: Any = msgspec.structs.replace(one.delivery, event_id=new_test_event_id())
    return msgspec.structs.replace(one, delivery=delivery)
