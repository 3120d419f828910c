"""Figures against what they are counted from: equal to the attempts, whatever fails in between."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from consumers.pipeline.settler import Settler
from consumers.pipeline.store_availability import StoreStatus
from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.errors import StoreUnavailable
from schemas.figures import HOUR_MS, MINUTE_MS, Step, percentiles
from schemas.ids import new_test_event_id
from schemas.log_events import LogEvent
from schemas.times import UnixMs, now_ms
from store.deliveries.settlement import settle
from store.engine import bulk
from store.engine.database import Connection, Database
from store.figures import settled
from store.figures.settled import SettledCounts
from store.maintenance.figure_compaction import merge_callbacks
from store.stats.figures import by_callback, figures
from store.tables import figure_callback_hours, figure_gauges, figure_minutes
from tests.kit.figures import (
    CALLBACKS,
    ended_rows,
    ends,
    kept,
    of_attempts,
    outcomes,
    settlements,
)
from tests.kit.making import a_delivery, an_attempt
from tests.kit.notes import Notes


async def settle_all(database: Database, *batches: Sequence[Settlement]) -> None:
    """Each by a settler of its own, all at once, then a stop."""
    settlers = [Settler(database, Notes(), StoreStatus(Notes())) for _ in batches]
    tasks = [asyncio.create_task(settler.run()) for settler in settlers]
    for settler, batch in zip(settlers, batches, strict=True):
        for one in batch:
            settler.add(one, None)
    for settler in settlers:
        await settler.flushed()
        await settler.flush_figures()
    for task in tasks:
        task.cancel()


async def test_sums_of_figures_equal_the_attempts(database: Database) -> None:
    """By type, by outcome and by callback, whichever dispatcher settled them."""
    now = now_ms()
    made = [settlements(2_500, now, seed=seed) for seed in (1, 2)]

    await settle_all(database, *made)

    by_type, of_callbacks = kept(database)
    assert (outcomes(by_type), outcomes(of_callbacks)) == of_attempts(database)
    assert outcomes(by_type).total() == 5_000
    assert ends(by_type) == ends(of_callbacks) == ended_rows(database)
    assert {sum(one.latency.values()) for one in of_callbacks.values()} == {
        sum(one.outcomes.values()) for one in of_callbacks.values()
    }


async def test_a_series_has_the_percentiles_of_all_its_attempts(database: Database) -> None:
    """Of each step, and of the whole range: from one sum, never from other percentiles."""
    now = now_ms()
    made = settlements(3_000, now)
    await settle_all(database, made)

    with database.read() as connection:
        series = figures(
            connection, UnixMs(now - 10 * MINUTE_MS), UnixMs(now + 1), Step.FIVE_MINUTES
        )

    durations = sorted(one.attempt.duration_ms for one in made if one.attempt)
    shown = percentiles(series.total.latency)
    assert shown.p50_ms == pytest.approx(durations[1_499], rel=0.09)
    assert shown.p95_ms == pytest.approx(durations[2_849], rel=0.09)
    assert shown.p99_ms == pytest.approx(durations[2_969], rel=0.09)
    counted = [point.figures for point in series.points if point.figures]
    assert sum(one.delivered + one.failed for one in counted) == 3_000
    prompt = [
        one
        for one in made
        if one.attempt and one.attempt.started_at - one.delivery.created_at <= 2_500
    ]
    assert sum(series.total.first_delay.values()) == len(prompt) < 3_000
    assert sum(one.delivered for one in series.by_type.values()) == series.total.delivered


def test_a_point_without_figures_and_sample_is_a_gap(database: Database) -> None:
    """Zero means that a dispatcher ran, and that nothing happened."""
    counts, now = SettledCounts(), now_ms()
    minute = now - now % MINUTE_MS
    write(database, counts, settlements(3, minute + 1, within_ms=1), UnixMs(now))
    with database.write() as connection:
        connection.execute(
            sa.insert(figure_gauges).values(minute_at=minute - MINUTE_MS, deliveries_due=4)
        )

    with database.read() as connection:
        series = figures(
            connection, UnixMs(minute - 3 * MINUTE_MS), UnixMs(minute + 1), Step.MINUTE
        )

    assert [point.figures and point.figures.delivered for point in series.points[:3]] == [
        None,
        None,
        0,
    ]
    assert [point.gauges and point.gauges.deliveries_due for point in series.points] == [
        None,
        None,
        4,
        None,
    ]
    assert series.points[2].figures is not None
    assert percentiles(series.points[2].figures.latency).p50_ms is None
    assert (series.points[3].start, series.until) == (minute, minute + MINUTE_MS)


def write(
    database: Database, counts: SettledCounts, made: Sequence[Settlement], now: UnixMs
) -> None:
    """One batch, committed, and its callbacks."""
    with database.write() as connection:
        settle(connection, made, now)
        counts.write(connection, made, now)
    counts.committed(now)
    with database.write() as connection:
        hours = counts.flush(connection, now)
    counts.committed(now)
    counts.flushed(hours, now)
    counts.close_hours(now)


async def test_a_commit_that_may_have_happened_counts_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is written again, as no one can know whether it was written."""
    write, lost = database.write, ["outcomes", "outcomes again"]

    @contextlib.contextmanager
    def committed_and_lost() -> Iterator[Connection]:
        with write() as connection:
            yield connection
        if lost:
            raise StoreUnavailable(f"the connection was lost: {lost.pop()}")

    monkeypatch.setattr(database, "write", committed_and_lost)

    await settle_all(database, settlements(300, now_ms()))

    assert lost == []
    by_type, of_callbacks = kept(database)
    assert (outcomes(by_type), outcomes(of_callbacks)) == of_attempts(database)
    assert ends(by_type) == ended_rows(database)


async def test_what_is_rolled_back_does_not_count(database: Database) -> None:
    """A refused batch is written one by one: its figures are those of what was written then."""
    made = settlements(50, now_ms())
    bad = msgspec.structs.replace(made[7], reason="half of a pair: \ud83d")

    await settle_all(database, [*made[:7], bad, *made[8:]])

    by_type, of_callbacks = kept(database)
    assert outcomes(by_type).total() == 49
    assert (outcomes(by_type), outcomes(of_callbacks)) == of_attempts(database)


async def test_tests_of_callbacks_are_in_no_figure(database: Database) -> None:
    """Nor are repeats of a test: its event is one."""
    test = a_delivery(new_test_event_id(), trigger=Trigger.TEST, attempt_id="att_1")
    made = [
        Settlement(test, DeliveryState.DELIVERED, attempt=an_attempt()),
        Settlement(test, DeliveryState.EXHAUSTED, "the test failed", attempt=an_attempt()),
    ]

    await settle_all(database, made)

    assert kept(database) == ({}, {})


async def test_an_error_in_figures_costs_no_outcome(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is logged, not hidden."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(SettledCounts, "flush", broken)
    monkeypatch.setattr(SettledCounts, "write", broken)
    notes = Notes()
    settler = Settler(database, notes, StoreStatus(notes))
    task = asyncio.create_task(settler.run())
    made = settlements(5, now_ms())

    for one in made:
        settler.add(one, None)
    await settler.flushed()
    settler.figures.accept({(0, made[0].delivery.type): 1})
    await settler.flush_figures()
    task.cancel()

    assert of_attempts(database)[0].total() == 5
    assert (
        notes.of(LogEvent.INTERNAL_ERROR)
        == [{"loop": "figures", "error": "ZeroDivisionError()"}] * 2
    )
    assert not settler.figures._counts.flushable


def test_a_batch_writes_a_row_for_each_type_and_none_for_callbacks(database: Database) -> None:
    """Those come later, in rows of the same writer: a hundred callbacks are a hundred rows."""
    counts, now = SettledCounts(), now_ms()
    minute = now - now % MINUTE_MS
    for seed in (1, 2, 3):
        made = settlements(100, minute + 1_000, seed=seed, within_ms=1_000)
        with database.write() as connection:
            counts.write(connection, made, UnixMs(now))
        counts.committed(UnixMs(now))

    assert (rows_of(database, figure_minutes), rows_of(database, figure_callback_hours)) == (3, 0)

    write(database, counts, [], UnixMs(now))

    assert rows_of(database, figure_callback_hours) == len(CALLBACKS)
    assert outcomes(kept(database)[1]).total() == 300


def rows_of(database: Database, table: sa.Table) -> int:
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_row_that_was_forgotten_is_never_written_over(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that ends long after its minute gets another row of it."""
    monkeypatch.setattr(settled, "OPEN_CALLBACK_HOURS", 2)
    counts, now = SettledCounts(), UnixMs(now_ms() // HOUR_MS * HOUR_MS + MINUTE_MS)
    surplus = len(CALLBACKS) - 2
    for number in range(4):
        late = UnixMs(now + number * (settled.OPEN_MS + MINUTE_MS))
        counts.close_hours(late)
        write(database, counts, settlements(100, now, seed=number, within_ms=1), late)

    by_type, of_callbacks = kept(database)
    assert outcomes(by_type).total() == outcomes(of_callbacks).total() == 400
    assert rows_of(database, figure_minutes) == 4 * 3
    rows = len(CALLBACKS) + 3 * surplus
    assert rows_of(database, figure_callback_hours) == rows, "two are always kept"


def test_an_hour_that_waited_for_the_store_too_long_gets_a_row_of_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that was written before may be merged by then: to write it again would count it
    twice.
    """
    counts, now = SettledCounts(), UnixMs(now_ms() // HOUR_MS * HOUR_MS + MINUTE_MS)
    write(database, counts, settlements(100, now, seed=1, within_ms=1), now)
    with database.write() as connection:  # settled, while the figures of callbacks cannot be
        counts.write(connection, settlements(100, now, seed=2, within_ms=1), now)
    counts.committed(now)
    insert = bulk.insert

    def away(connection: Connection, table: sa.Table, rows: Any, upsert: Any) -> None:
        if table is figure_callback_hours:
            raise StoreUnavailable("it just went away")
        insert(connection, table, rows, upsert)

    with monkeypatch.context() as patched:
        patched.setattr(bulk, "insert", away)
        with pytest.raises(StoreUnavailable), database.write() as connection:
            counts.flush(connection, now)

    late = UnixMs(now + 2 * HOUR_MS + settled.MERGED_AFTER_MS)
    with database.write() as connection:
        assert merge_callbacks(connection, late) == len(CALLBACKS)
    counts.close_hours(late)
    write(database, counts, [], late)

    by_type, of_callbacks = kept(database)
    assert outcomes(by_type).total() == outcomes(of_callbacks).total() == 200


async def test_what_was_accepted_is_counted_once_by_when_it_was(database: Database) -> None:
    """With the next outcomes, or with the next flush where there are none."""
    settler = Settler(database, Notes(), StoreStatus(Notes()))
    minute = now_ms() // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS
    made = settlements(1, now_ms())
    kind = made[0].delivery.type
    task = asyncio.create_task(settler.run())

    settler.figures.accept({(minute, kind): 2})
    await settler.flush_figures()
    settler.figures.accept({(minute, kind): 3, (minute + MINUTE_MS, kind): 1})
    settler.add(made[0], None)
    await settler.flushed()
    task.cancel()

    with database.read() as connection:
        series = figures(connection, UnixMs(minute), UnixMs(minute + 3 * MINUTE_MS), Step.MINUTE)
    assert [point.figures and point.figures.accepted for point in series.points] == [5, 1, None]


def test_callbacks_with_the_most_failures_come_first(database: Database) -> None:
    """Operations look at those first, over the hours that they choose."""
    now = now_ms()
    write(database, SettledCounts(), settlements(700, now, within_ms=1), now)
    write(database, SettledCounts(), settlements(50, now - 30 * HOUR_MS, seed=2), now)

    with database.read() as connection:
        listed = by_callback(connection, UnixMs(now - HOUR_MS), UnixMs(now + 1), 5)
        series = figures(
            connection,
            UnixMs(now - 40 * HOUR_MS),
            UnixMs(now + 1),
            Step.HOUR,
            callback=listed[0].callback_id,
        )

    failed = [one.figures.failed for one in listed]
    assert failed == sorted(failed, reverse=True)
    assert len(listed) == 5
    of_it = [point.figures for point in series.points if point.figures]
    assert sum(one.failed for one in of_it) == series.total.failed > failed[0]
    assert series.total.first_delay == {}
    assert series.by_type == {}
