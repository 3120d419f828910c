"""The callback monitor, while one of its queries is too slow or fails: all other callbacks are
looked after, on both databases.
"""

import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.maintenance.callback_monitor import CallbackMonitor
from consumers.pipeline.settler import Settler
from consumers.pipeline.store_availability import StoreStatus
from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.callback_health import HealthFinding
from schemas.errors import StatementTimedOut, StoreRefused
from schemas.log_events import LogEvent
from schemas.times import now_ms
from store.engine.database import Connection, Database
from tests.kit.dispatch_scene import Notes
from tests.kit.unsettled_scene import Unsent
from tests.kit.waiting import eventually
from tests.kit.waiting_rows import Patient

FAR = 80_000_000
SLOW = StatementTimedOut("the database took too long for this: x")


class Sluggish:
    """A database for which every statement that names one of `words` takes too long, or ends in
    another `error`.
    """

    def __init__(self, database: Database):
        self._database, self.words, self.refused = database, set[str](), 0
        self.error: Exception = SLOW
        self.takes_s = 0.0
        self.now, self.notify = database.now, database.notify
        self.read, self.write = self._slow(database.read), self._slow(database.write)
        sa.event.listen(database.engine, "before_cursor_execute", self._look_at)

    def _look_at(
        self, _connection: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if any(word in statement or word in str(parameters) for word in self.words):
            self.refused += 1
            time.sleep(self.takes_s)
            raise _TookTooLong

    def _slow(self, begin: object) -> object:
        @contextlib.contextmanager
        def begun() -> Iterator[Connection]:
            try:
                with begin() as connection:  # type: ignore[operator]  # either of two methods
                    yield connection
            except _TookTooLong:
                raise self.error from None

        return begun


class _TookTooLong(Exception):
    """In the place of the driver's error."""


class Scene:
    """A callback monitor with real unsettled deliveries, on a real database that is slow when the
    test says so.
    """

    def __init__(self, database: Database):
        self.database, self.lanes, self.observer = Sluggish(database), Unsent(), Notes()
        self.watch = StoreStatus(self.observer)
        self.unsettled = Unsettled(
            Settler(database, self.observer, self.watch), self.observer, 25.0
        )
        lanes: Any = self.lanes  # as much of it as is needed
        self.unsettled.connect(lanes, lambda: None)
        database: Any = self.database  # the same
        self.monitor = CallbackMonitor(
            database,
            self.unsettled,
            observer=self.observer,
            status=self.watch,
            lease_s=25.0,
            horizon=dt.timedelta(days=3),
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.monitor.start()
        yield
        await self.monitor.stop(20.0)


@pytest.fixture
def scene(database: Database) -> Scene:
    return Scene(database)


def failing(database: Database, name: str) -> Patient:
    """To be probed now, with a delivery that waits."""
    made = Patient(database, name)
    made.found(HealthFinding.FAILING, now_ms() - 60_000)
    made.wait(f"evt_{name}", now_ms() - 60_000, due_at=now_ms() + FAR)
    return made


def back(database: Database, name: str) -> Patient:
    """It works again, and a delivery waits to be hastened."""
    made = failing(database, name)
    made.found(HealthFinding.WORKS, now_ms() - 1000)
    return made


def is_hastened(patient: Patient) -> bool:
    (due_at,) = patient.rows("due_at").values()
    return bool(due_at < now_ms())


@pytest.mark.parametrize(
    "words",
    [("callbacks.probe_at <=",), ("deliveries.queued_at <=",)],
    ids=["for probes", "for what is too old"],
)
async def test_a_slow_query_does_not_keep_callbacks_from_coming_back(
    scene: Scene, database: Database, words: tuple[str, ...]
) -> None:
    """The store is not taken for unavailable: lapsed leases are taken as ever."""
    failing(database, "probed")
    patient = back(database, "back")
    scene.database.words |= set(words)

    async with scene.running():
        await eventually("it is brought back", lambda: is_hastened(patient))

    assert scene.database.refused > 0
    assert scene.watch.has_caught_up
    assert [note["event"] for note in scene.observer.notes] == [LogEvent.STORE_SLOW]


@pytest.mark.parametrize(
    "error",
    [SLOW, ZeroDivisionError("of ours"), StoreRefused("no such value")],
    ids=["slow", "mistaken", "refused"],
)
async def test_one_callback_that_cannot_be_seen_to_does_not_keep_the_others_waiting(
    scene: Scene, database: Database, error: Exception
) -> None:
    """This holds for those that come back and for those that are probed; and the process does not
    end of it, at each start.
    """
    scene.database.error = error
    slow, quick = [
        (failing(database, f"{name}_probed"), back(database, f"{name}_back"))
        for name in ("slow", "quick")
    ]
    probed, released = slow
    scene.database.words |= {f"({one.id!r}" for one in slow} | {f"'{one.id}'" for one in slow}

    async with scene.running():
        await eventually("the other one is brought back", lambda: is_hastened(quick[1]))
        await eventually("the other one is probed", lambda: scene.lanes.given)
        assert scene.database.refused > 0
        scene.database.words.clear()
        await eventually(
            "the slow one is brought back when it can be", lambda: is_hastened(released)
        )
        await eventually(
            "and probed",
            lambda: {one.callback_id for one in scene.lanes.given} == {probed.id, quick[0].id},
        )


async def test_a_process_that_is_to_stop_does_not_wait_for_every_callback_that_takes_long(
    scene: Scene, database: Database
) -> None:
    """Each may take seconds, and there is no end to how many there are."""
    slow = [back(database, f"slow_{n}") for n in range(10)]
    scene.database.words |= {f"'{one.id}'" for one in slow} | {f"({one.id!r}" for one in slow}
    scene.database.takes_s = 0.3

    async with scene.running():
        await eventually("the first takes long", lambda: scene.database.refused)

    assert scene.database.refused < len(slow)
