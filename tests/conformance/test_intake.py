"""The intake against both databases: what it claims, what it gives back, what it makes a dead
letter, and when it may be used directly.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from consumers.pipeline.claiming import Batch
from consumers.pipeline.intake import BATCH_BYTES, SUSPECT_FROM, Intake
from consumers.pipeline.settler import Settler
from consumers.pipeline.store_availability import StoreStatus
from consumers.pipeline.unsettled import Unsettled
from exchange.port import QueuedMessage
from schemas.errors import StoreUnavailable
from schemas.observer import NullObserver
from schemas.times import UnixMs
from store.engine.database import Connection, Database
from store.events import claims
from store.events.claims import Claim, Claimed
from store.tables import deliveries, events
from tests.kit.making import message_body
from tests.kit.unsettled_scene import Unsent
from tests.kit.waiting import eventually
from tests.unit.test_claiming import Channels, Crowd


class Memory:
    """A source that is a list; remembers what was acknowledged and what became a dead letter."""

    def __init__(self) -> None:
        self.waiting: list[QueuedMessage] = []
        self.acknowledged: list[object] = []
        self.dead_lettered: list[tuple[object, str]] = []
        self.some = asyncio.Event()
        self.limits: list[int] = []

    def bring(self, *bodies: bytes) -> None:
        self.waiting += [QueuedMessage(body, UnixMs(1_000), None, 0, body) for body in bodies]
        self.some.set()

    def start(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def delete(self, connection: Connection, receipts: Sequence[object]) -> None: ...

    async def wait(self) -> None:
        while not self.waiting:
            self.some.clear()
            await self.some.wait()

    def fetch(self, _connection: Connection, limit: int) -> list[QueuedMessage]:
        self.limits.append(limit)
        taken, self.waiting[:limit] = self.waiting[:limit], []
        return taken

    def put_back(self, messages: Sequence[QueuedMessage]) -> None:
        self.waiting[:0] = messages
        self.some.set()

    def acknowledge(self, receipts: Sequence[object]) -> None:
        self.acknowledged += receipts

    async def dead_letter(self, message: QueuedMessage, reason: str) -> None:
        self.dead_lettered.append((message.receipt, reason))

    def connected(self) -> bool:
        return True

    async def close(self) -> None: ...


class Absent:
    """A database that is away for its first calls."""

    def __init__(self, database: Database, calls: int):
        self._database, self.left, self.now = database, calls, database.now

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        if self.left:
            self.left -= 1
            raise StoreUnavailable("away")
        with self._database.write() as connection:
            yield connection


class Scene:
    """An intake between fakes, on a real database."""

    def __init__(self, database: Database | Absent):
        self.source, self.dispatching, self.directory = Memory(), Unsent(), Channels()
        watch = StoreStatus(NullObserver())
        directory: Any = self.directory  # as much of it as is needed
        store: Any = database  # `Absent` has as much of it as is needed
        settler = Settler(store, NullObserver(), watch)
        self.unsettled = Unsettled(settler, NullObserver(), 25.0)
        dispatcher: Any = self.dispatching  # as much of it as is needed
        self.unsettled.connect(dispatcher, lambda: None)
        self.unsettled.end_scan(self.unsettled.begin_scan(), ())
        self.thread = ThreadPoolExecutor(1)
        self.intake = Intake(
            self.source,
            store,
            directory=directory,
            unsettled=self.unsettled,
            observer=NullObserver(),
            status=watch,
            figures=settler.figures,
            thread=self.thread,
            lease_s=25.0,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.intake.run())
        yield
        await self.intake.stop()
        await task
        self.thread.shutdown()


async def test_what_is_brought_is_claimed_and_handed_over(database: Database) -> None:
    """A message that is no event becomes a dead letter at the same time."""
    scene = Scene(database)
    async with scene.running():
        scene.source.bring(
            message_body("evt_1"), b"{nope", message_body("evt_2", channel="chn_other")
        )
        await eventually(
            "all is dealt with",
            lambda: scene.source.dead_lettered and scene.dispatching.ids == ["evt_1"],
        )

    assert [receipt for receipt, _ in scene.source.dead_lettered] == [b"{nope"]
    assert scene.source.acknowledged == [message_body("evt_2", channel="chn_other")]


async def test_an_event_that_the_store_refuses_becomes_a_dead_letter_alone(
    database: Database,
) -> None:
    """Its neighbours are claimed (docs/invariants.md#one-bad-row-costs-only-itself)."""
    with database.write() as connection:
        connection.execute(sa.text(REFUSING[database.dialect]))
        if database.dialect == "postgresql":
            connection.execute(
                sa.text(
                    "CREATE UNIQUE INDEX refusing ON events (refuse(id)) WHERE refuse(id) IS NOT "
                    "NULL"
                )
            )
    scene = Scene(database)
    async with scene.running():
        scene.source.bring(
            *(message_body(f"evt_{n}") for n in range(20)),
            message_body("evt_bad"),
            message_body("evt_last"),
        )
        await eventually("the last is handed over", lambda: "evt_last" in scene.dispatching.ids)

    assert [receipt for receipt, _ in scene.source.dead_lettered] == [message_body("evt_bad")]
    assert sorted(scene.dispatching.ids) == sorted([*(f"evt_{n}" for n in range(20)), "evt_last"])


async def test_an_internal_error_in_a_claim_costs_the_message_that_it_is_about(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is: the message would otherwise end one dispatcher after the other, at each start
    again.
    """
    claim = claims.claim

    def mistaken(connection: Connection, batch: Sequence[Claim], now: UnixMs) -> Claimed:
        if any(one.event.id == "evt_bad" for one in batch):
            raise KeyError("evt_bad\0\ud83d")
        return claim(connection, batch, now)

    monkeypatch.setattr(claims, "claim", mistaken)
    scene = Scene(database)
    async with scene.running():
        scene.source.bring(
            *(message_body(f"evt_{n}") for n in range(20)),
            message_body("evt_bad"),
            message_body("evt_last"),
        )
        await eventually("the last is handed over", lambda: "evt_last" in scene.dispatching.ids)

    (dead_lettered,) = scene.source.dead_lettered
    assert dead_lettered[0] == message_body("evt_bad")
    assert "because of a bug in Ringback" in dead_lettered[1]
    assert dead_lettered[1].encode()
    assert sorted(scene.dispatching.ids) == sorted([*(f"evt_{n}" for n in range(20)), "evt_last"])


REFUSING = {
    "sqlite": "CREATE TRIGGER refusing BEFORE INSERT ON events WHEN NEW.id = 'evt_bad' BEGIN "
    "SELECT RAISE(ABORT, 'refused'); END",
    "postgresql": "CREATE FUNCTION refuse(id text) RETURNS int IMMUTABLE LANGUAGE sql AS "
    "$$ SELECT CASE WHEN id = 'evt_bad' THEN 1 / (length(id) - 7) END $$",
}


async def test_large_events_are_claimed_a_few_at_a_time(database: Database) -> None:
    """A claim copies each several times; two hundred of the largest would be hundreds
    of megabytes.
    """
    scene = Scene(database)
    async with scene.running():
        scene.source.bring(*(message_body(f"evt_{n}", text="x" * 200_000) for n in range(40)))
        await eventually("all are handed over", lambda: len(scene.dispatching.given) == 40)
        assert max(scene.source.limits) <= BATCH_BYTES // 200_000

        scene.source.bring(*(message_body(f"small_{n}") for n in range(100)))
        await eventually("more at a time", lambda: len(scene.dispatching.given) == 140)
        assert max(scene.source.limits) > 2 * BATCH_BYTES // 200_000


async def test_while_the_store_is_away_nothing_is_lost(database: Database) -> None:
    """What was taken is given back to its source, and claimed when the store is back."""
    scene = Scene(Absent(database, calls=1))
    async with scene.running():
        scene.source.bring(message_body("evt_1"), message_body("evt_2"))
        await eventually(
            "both are handed over", lambda: scene.dispatching.ids == ["evt_1", "evt_2"]
        )

    assert scene.source.dead_lettered == []


async def test_a_publisher_may_claim_directly_only_while_nothing_older_waits(
    database: Database,
) -> None:
    """A new event must not overtake one of its conversation in the outbox."""
    scene = Scene(database)
    assert not scene.intake.is_open()
    async with scene.running():
        scene.source.bring(message_body("evt_1"))
        await eventually("it has caught up", scene.intake.is_open)
        scene.intake.fell_behind()
        assert not scene.intake.is_open()
        scene.source.bring(message_body("evt_2"))
        await eventually("it has caught up again", scene.intake.is_open)
        scene.directory.is_fresh = False
        assert not scene.intake.is_open()


async def test_what_is_claimed_directly_is_handed_over_after_the_commit(database: Database) -> None:
    """Never before: what is sent must be durable."""
    scene = Scene(database)
    async with scene.running():
        with database.write() as connection:
            committed = scene.intake.claim(
                connection, [QueuedMessage(message_body("evt_1"), UnixMs(1_000), None, 0, 7)]
            )
            assert scene.dispatching.given == []
        committed()
        await eventually("it is handed over", lambda: scene.dispatching.ids == ["evt_1"])

    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(events)) == 1


async def test_a_message_that_came_back_too_often_is_only_claimed_and_given_up(
    database: Database,
) -> None:
    """Alone, as a row due now: if it brings us down, then not all others with it, and it is counted
    (docs/invariants.md#poison-is-contained).
    """
    scene = Scene(database)
    bodies = [message_body(f"evt_{n}") for n in range(4)]
    scene.source.waiting = [
        QueuedMessage(body, UnixMs(1_000), None, SUSPECT_FROM if body is bodies[1] else 0, body)
        for body in bodies
    ]
    scene.source.some.set()
    batches = lay_ear(scene)
    async with scene.running():
        await eventually("all are claimed", lambda: sum(map(len, batches)) == 4)
        await eventually("it is acknowledged", lambda: bodies[1] in scene.source.acknowledged)

    assert batches == [["evt_0"], ["evt_1"], ["evt_2", "evt_3"]]
    with database.read() as connection:
        rows = connection.execute(
            sa.select(deliveries.c.event_id, deliveries.c.leased).where(
                deliveries.c.due_at.is_not(None)
            )
        )
        assert ("evt_1", False) in rows.all()
    assert "evt_0" in scene.dispatching.ids
    assert "evt_1" not in scene.dispatching.ids


def lay_ear(scene: Scene) -> list[list[str]]:
    """The ids of what is claimed together."""
    heard: list[list[str]] = []
    claim = scene.intake._claim

    def listening(connection: Connection, messages: Sequence[QueuedMessage]) -> Batch:
        heard.append([json.loads(message.body)["id"] for message in messages])
        return claim(connection, messages)

    # What is claimed together is visible nowhere else.
    scene.intake._claim = listening  # type: ignore[method-assign]  # see above
    return heard


async def test_of_events_for_many_callbacks_fewer_are_claimed_at_once(database: Database) -> None:
    """What is in flight stays bounded; the rest waits in the pipe, not as rows."""
    scene = Scene(database)
    scene.directory = scene.intake._directory = Crowd(100)
    batches = lay_ear(scene)
    async with scene.running():
        scene.source.bring(message_body("evt_first", channel="chn_wide"))
        await eventually("the first is handed over", lambda: len(scene.dispatching.given) == 100)
        scene.source.bring(*(message_body(f"evt_{n}", channel="chn_wide") for n in range(30)))
        await eventually("more are claimed", lambda: len(batches) == 2)

    assert len(batches[1]) == 4, "there is room for 400 more"
    assert scene.source.acknowledged == []
