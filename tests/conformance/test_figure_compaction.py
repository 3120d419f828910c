"""Old figures become fewer rows, and say the same; what waits is sampled once a minute."""

import contextlib
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from consumers.maintenance.figure_compactor import FigureCompactor
from consumers.maintenance.figure_sampler import FigureSampler
from schemas.errors import ExchangeUnavailable
from schemas.figures import HOUR_MS, KEPT_BY_HOUR_MS, MINUTE_MS, Figures, Step
from schemas.observer import NullObserver
from schemas.times import UnixMs, now_ms
from store.engine.database import Connection, Database
from store.figures.settled import SETTLED_AFTER_MS, SettledCounts
from store.maintenance import figure_compaction
from store.stats.figures import figures
from store.tables import (
    figure_callback_hours,
    figure_gauges,
    figure_hours,
    figure_minutes,
    leases,
)
from tests.kit.figures import CALLBACKS, kept, settlements
from tests.kit.waiting import eventually

DAY_MS = 24 * HOUR_MS


def fill(database: Database, hours_ago: int, *, seed: int, written_at: int | None = None) -> None:
    """A batch of a writer of its own, so long ago. Nothing more comes for its rows."""
    counts, now = SettledCounts(), UnixMs(written_at or now_ms() - SETTLED_AFTER_MS - 1)
    made = settlements(200, now - hours_ago * HOUR_MS, seed=seed, within_ms=HOUR_MS)
    with database.write() as connection:
        counts.accept({(now - hours_ago * HOUR_MS, made[0].delivery.type): 7})
        counts.write(connection, made, now)
    counts.committed(now)
    with database.write() as connection:
        hours = counts.flush(connection, now)
    counts.committed(now)
    counts.flushed(hours, now)


def compact(database: Database, now: int | None = None) -> int:
    """All slices; how many rows were handled."""
    handled = 0
    for step in figure_compaction.STEPS:
        while True:
            with database.write() as connection:
                rows = step(connection, UnixMs(now or now_ms()))
            handled += rows
            if not rows:
                break
    return handled


def rows_of(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def series(database: Database, step: Step, hours: int = 72) -> list[Figures | None]:
    now = now_ms()
    with database.read() as connection:
        found = figures(connection, UnixMs(now - hours * HOUR_MS), UnixMs(now + 1), step)
    return [point.figures for point in found.points]


def test_old_minutes_become_hours_and_say_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slice by slice, over all writers; what is young stays. Compacting again changes nothing."""
    monkeypatch.setattr(figure_compaction, "SLICE", 7)
    for seed, hours_ago in enumerate((1, 50, 50, 60), 1):
        fill(database, hours_ago, seed=seed)
    before, by_hour = kept(database), series(database, Step.HOUR)
    young = series(database, Step.MINUTE, 3)

    assert compact(database) > 0
    once = (kept(database), rows_of(database, figure_hours), rows_of(database, figure_minutes))
    assert compact(database) == 0

    assert once == (
        before,
        rows_of(database, figure_hours),
        rows_of(database, figure_minutes),
    )
    assert series(database, Step.HOUR) == by_hour
    assert series(database, Step.MINUTE, 3) == young
    with database.read() as connection:
        oldest = connection.scalar(sa.select(sa.func.min(figure_minutes.c.minute_at)))
        merged = connection.scalars(
            sa.select(figure_callback_hours.c.writer).where(
                figure_callback_hours.c.hour_at < now_ms() - 49 * HOUR_MS
            )
        ).all()
    assert oldest is not None
    assert oldest >= now_ms() - 49 * HOUR_MS
    assert set(merged) == {""}
    assert len(merged) <= 4 * len(CALLBACKS)


def test_minutes_of_several_dispatchers_become_one_row_soon(database: Database) -> None:
    """So that a chart reads few rows. But not while a dispatcher may still write to its own: it
    writes them as what they hold in all.
    """
    for seed in (1, 2, 3):
        fill(database, 2, seed=seed)
    fill(database, 2, seed=4, written_at=now_ms())
    before, minutes = kept(database), series(database, Step.MINUTE, 4)
    by_hour = series(database, Step.HOUR)

    compact(database)

    assert (kept(database), series(database, Step.MINUTE, 4)) == (before, minutes)
    assert series(database, Step.HOUR) == by_hour
    assert sum(one.accepted for one in by_hour if one) == 4 * 7
    with database.read() as connection:
        c = figure_minutes.c
        written = connection.execute(sa.select(c.minute_at, c.type).where(c.writer == "")).all()
        left = connection.scalars(sa.select(c.written_at).where(c.writer != "")).all()
    assert len(written) == len(set(written)) > 0
    assert left
    assert min(left) > now_ms() - SETTLED_AFTER_MS


def test_what_comes_late_is_added_to_its_hour(database: Database) -> None:
    """A dispatcher that was cut off for days still counts."""
    fill(database, 60, seed=1)
    compact(database)
    fill(database, 60, seed=2)
    both = kept(database)

    compact(database)

    assert kept(database) == both
    assert rows_of(database, figure_minutes) == 0


def test_a_slice_that_is_rolled_back_loses_and_repeats_nothing(database: Database) -> None:
    """The hour and its minutes change together."""
    fill(database, 60, seed=1)
    before = kept(database)

    with contextlib.suppress(ZeroDivisionError), database.write() as connection:
        assert figure_compaction.merge_minutes(connection, now_ms()) > 0
        raise ZeroDivisionError
    assert kept(database) == before
    assert rows_of(database, figure_hours) == 0

    compact(database)
    assert kept(database) == before


def test_of_an_old_hours_samples_the_highest_is_kept(database: Database) -> None:
    """At its beginning. A queue that was not read is not an empty one."""
    hour = now_ms() // HOUR_MS * HOUR_MS
    old, older = hour - 60 * HOUR_MS, hour - 70 * HOUR_MS
    rows = [
        (old + MINUTE_MS, 3, 10, 0, None),
        (old + 2 * MINUTE_MS, 2, 30, 1, None),
        (older, 1, 1, 1, 5),
        (older + MINUTE_MS, 2, 0, 0, 4),
        (hour, 9, 9, 9, 9),
    ]
    with database.write() as connection:
        connection.execute(sa.insert(figure_gauges), [_sample(*row) for row in rows])

    compact(database)

    with database.read() as connection:
        kept_rows = connection.execute(
            sa.select(figure_gauges).order_by(figure_gauges.c.minute_at)
        ).all()
    assert kept_rows == [(older, 2, 1, 1, 5), (old, 3, 30, 1, None), (hour, 9, 9, 9, 9)]
    assert compact(database) == 0


def _sample(at: int, due: int, oldest: int, outbox: int, queue: int | None) -> dict[str, object]:
    return {
        "minute_at": at,
        "deliveries_due": due,
        "oldest_due_ms": oldest,
        "outbox_depth": outbox,
        "queue_depth": queue,
    }


def test_figures_are_deleted_after_thirteen_months(database: Database) -> None:
    """A month can be compared with that of the year before; a year with none."""
    hours_ago = KEPT_BY_HOUR_MS // HOUR_MS
    fill(database, hours_ago - 4, seed=1)  # its hours begin earlier, by up to two
    fill(database, hours_ago + 3, seed=2)
    with database.write() as connection:
        old = now_ms() - KEPT_BY_HOUR_MS - MINUTE_MS
        connection.execute(sa.insert(figure_gauges), [_sample(old, 1, 1, 1, 1)])

    compact(database)

    by_type, by_callback = kept(database)
    assert sum(one.accepted for one in by_type.values()) == 7
    assert sum(one.delivered + one.failed for one in by_callback.values()) == 200
    assert rows_of(database, figure_gauges) == 0


async def test_one_dispatcher_at_a_time_compacts(database: Database) -> None:
    """Whichever asks first, until its lease ends; then it does what is left."""
    fill(database, 60, seed=1)
    first, second = (FigureCompactor(database, NullObserver()) for _ in range(2))

    first.work()
    assert second.work() == pytest.approx(30), "it looks again in half a minute"
    first.start()
    await eventually("all is merged", lambda: rows_of(database, figure_minutes) == 0)
    await first.stop(10)
    end_leases(database)
    fill(database, 60, seed=2)
    second.start()

    await eventually("all is merged", lambda: rows_of(database, figure_minutes) == 0)
    await second.stop(10)


def end_leases(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.update(leases).values(until=0))


async def test_a_step_that_fails_keeps_no_other_from_being_done(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again with the next lease."""

    def fails(_connection: Connection, _now: UnixMs) -> int:
        raise ZeroDivisionError

    fill(database, 60, seed=1)
    monkeypatch.setattr(figure_compaction, "STEPS", (fails, *figure_compaction.STEPS))
    compactor = FigureCompactor(database, NullObserver())

    with pytest.raises(ZeroDivisionError):
        compactor.work()
    for _ in range(20):
        compactor.work()

    assert rows_of(database, figure_minutes) == 0


def absent() -> int:
    raise ExchangeUnavailable("no broker")


@pytest.mark.parametrize(("depth", "known"), [(lambda: 5, 5), (lambda: None, None), (absent, None)])
def test_a_minute_is_sampled_once_by_whichever_asks_first(
    database: Database, depth: Callable[[], int | None], known: int | None
) -> None:
    """And the pause lasts until the next one."""
    samplers = [FigureSampler(database, NullObserver(), depth) for _ in range(3)]

    began = now_ms()
    pauses = [sampler.work() for sampler in samplers]
    while now_ms() // MINUTE_MS != began // MINUTE_MS:  # the minute ended meanwhile: once more
        began = now_ms()
        end_samples(database)
        pauses = [sampler.work() for sampler in samplers]

    with database.read() as connection:
        (row,) = connection.execute(sa.select(figure_gauges)).all()
    assert row == (began // MINUTE_MS * MINUTE_MS, 0, 0, 0, known)
    left_s = (MINUTE_MS - began % MINUTE_MS) / 1000
    assert all(left_s - 5 <= pause <= left_s + 0.1 for pause in pauses)


def end_samples(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.delete(figure_gauges))
        connection.execute(sa.delete(leases))
