"""The due poller against both databases: for which callbacks it leases rows, which it leaves alone,
and what it reports of spilled rows.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa

from consumers.pipeline.due_poller import DuePoller
from consumers.pipeline.settler import PendingAck, Settler
from consumers.pipeline.store_availability import StoreStatus
from consumers.pipeline.unsettled import Unsettled
from schemas.deliveries.callback_health import HealthFinding, HealthReport
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.settlement import Settlement, given_back
from schemas.ids import CallbackId
from schemas.log_events import LogEvent
from schemas.observer import NullObserver
from schemas.times import UnixMs, now_ms
from schemas.tokens.tokens import Callback, CallbackHealth, Token
from store.deliveries import settlement
from store.deliveries.due import MAX_LEASES
from store.engine.database import Database
from store.events import claims
from store.tables import deliveries
from store.tokens import callback_health
from tests.kit.making import a_callback, a_claim, a_delivery, a_token
from tests.kit.unsettled_scene import Unsent
from tests.kit.waiting import eventually
from tests.kit.waiting_rows import Patient

GOOD, OTHER = CallbackId("a" * 16), CallbackId("b" * 16)


class Known:
    """A directory of callbacks that are all of one active token."""

    def __init__(self) -> None:
        self.callbacks: dict[CallbackId, Callback] = {}

    def add(self, callback_id: CallbackId, **fields: object) -> None:
        self.callbacks[callback_id] = dataclasses.replace(
            a_callback(),
            id=callback_id,
            **fields,  # type: ignore[arg-type]  # its fields
        )

    def callback(self, callback_id: CallbackId) -> tuple[Token, Callback] | None:
        found = self.callbacks.get(callback_id)
        return None if found is None else (a_token(), found)


class Counting(NullObserver):
    """An observer of settlements and notes."""

    def __init__(self) -> None:
        self.exhausted = 0
        self.notes: list[dict[str, object]] = []

    def log(self, event: LogEvent, **fields: object) -> None:
        self.notes.append({"event": event, **fields})

    def settled(self, kind: object, state: DeliveryState, count: int = 1) -> None:
        self.exhausted += count * (state is DeliveryState.EXHAUSTED)


class Source:
    """A source of messages whose acknowledgements do not matter."""

    def delete(self, connection: object, receipts: object) -> None: ...
    def acknowledge(self, receipts: object) -> None: ...


class Scene:
    """A due poller with real unsettled deliveries and a real settler, on a real database; only the
    dispatcher is a fake.
    """

    def __init__(self, database: Database):
        self.database, self.directory, self.lanes, self.observer = (
            database,
            Known(),
            Unsent(),
            Counting(),
        )
        watch = StoreStatus(self.observer)
        self.settler = Settler(database, self.observer, watch)
        self.unsettled = Unsettled(self.settler, self.observer, 25.0)
        directory: Any = self.directory  # as much of it as is needed
        self.poller = DuePoller(
            database,
            directory,
            unsettled=self.unsettled,
            observer=self.observer,
            status=watch,
            lease_s=25.0,
        )
        lanes: Any = self.lanes  # as much of it as is needed
        self.unsettled.connect(lanes, self.poller.wake)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        settle = asyncio.create_task(self.settler.run())
        self.poller.start()
        yield
        await self.poller.stop(20.0)
        await self.settler.flushed()
        settle.cancel()

    def lay(self, event_id: str, callback_id: CallbackId = GOOD, **fields: int) -> None:
        """A first attempt that was put off, of a conversation of its own."""
        with self.database.write() as connection:
            claims.claim(connection, [a_claim(event_id, callback_id)], UnixMs(2_000))
            spilled = given_back(
                a_delivery(
                    event_id,
                    callback_id,
                    conversation=event_id,
                    **fields,  # type: ignore[arg-type]  # its fields
                )
            )
            settlement.settle(connection, [spilled], UnixMs(3_000))

    def bring(self, event_id: str, callback_id: CallbackId = GOOD) -> None:
        """A new delivery, as it comes from a claim."""
        with self.database.write() as connection:
            claims.claim(connection, [a_claim(event_id, callback_id)], UnixMs(4_000))
        new = a_delivery(event_id, callback_id, conversation=event_id, queued_at=4_000)
        source: Any = Source()  # as much of it as is needed
        self.unsettled.add([new], PendingAck(source, event_id, 1))


async def test_only_healthy_callbacks_are_taken_from(database: Database) -> None:
    """The others are probed, or held: their rows wait, and none of their attempts is burnt."""
    scene = Scene(database)
    scene.directory.add(GOOD)
    unhealthy: dict[str, dict[str, object]] = {
        "failing": {"health": CallbackHealth(failing_since=UnixMs(1))},
        "disabled": {"health": CallbackHealth(failing_since=UnixMs(1), disabled_at=UnixMs(1))},
        "off": {"enabled": False},
    }
    for name, fields in unhealthy.items():
        scene.directory.add(CallbackId(name), **fields)
        scene.lay(f"evt_{name}", CallbackId(name))
    scene.lay("evt_good")
    async with scene.running():
        await eventually("the healthy one's is taken", lambda: scene.lanes.ids)
        scene.lay("evt_later")
        await eventually("another look was taken", lambda: "evt_later" in scene.lanes.ids)

    assert scene.lanes.ids == ["evt_good", "evt_later"]


async def test_what_the_directory_lost_is_left_until_it_is_found_again(database: Database) -> None:
    """The store knows the callback: whatever memory says, nothing of it is cancelled for good."""
    scene, patient = Scene(database), Patient(database)
    patient.wait("evt_1", 2_000)
    scene.directory.add(GOOD)
    async with scene.running():
        for number in range(3):  # looks, each after the one before
            scene.lay(f"evt_look_{number}")
            await eventually(
                "there was a look", lambda number=number: f"evt_look_{number}" in scene.lanes.ids
            )  # type: ignore[misc]  # its default
        assert patient.rows("state") == {"evt_1": "pending"}

        scene.directory.add(patient.id)
        await eventually("it is taken", lambda: "evt_1" in scene.lanes.ids)


async def test_what_neither_the_directory_nor_the_store_knows_is_cancelled(
    database: Database,
) -> None:
    """Its callback was deleted by a process that died before its rows were cancelled."""
    scene = Scene(database)
    scene.lay("evt_1", OTHER)
    async with scene.running():
        await eventually(
            "it is cancelled",
            lambda: state_of(database, "evt_1") == ("cancelled", "the callback was deleted"),
        )


def state_of(database: Database, event_id: str) -> tuple[str, str | None]:
    with database.read() as connection:
        row = connection.execute(
            sa.select(deliveries).where(deliveries.c.event_id == event_id)
        ).one()
    return row.state, row.reason


async def test_a_row_that_cannot_be_read_costs_its_callback_and_neither_the_others_nor_the_loop(
    database: Database,
) -> None:
    """A type of a later version, say: the process would end of it at each start."""
    scene = Scene(database)
    scene.directory.add(GOOD)
    scene.directory.add(OTHER)
    scene.lay("evt_unreadable", OTHER)
    with database.write() as connection:
        connection.execute(sa.update(deliveries).values(type="conversation.archived"))
    async with scene.running():
        await eventually("it is said", lambda: scene.observer.notes)
        scene.lay("evt_good")
        await eventually(
            "that of another callback is taken", lambda: scene.lanes.ids == ["evt_good"]
        )

        with database.write() as connection:
            connection.execute(sa.update(deliveries).values(type="message.received"))

        await eventually(
            "it is taken as soon as it can be read",
            lambda: set(scene.lanes.ids) == {"evt_good", "evt_unreadable"},
        )
    assert {note["loop"] for note in scene.observer.notes} == {"due_poller"}


async def test_nothing_is_taken_into_a_pause_that_another_dispatcher_was_asked_for(
    database: Database,
) -> None:
    """What was refused is due again at once: it would be sent before the directory has heard of the
    pause.
    """
    scene, patient, now = Scene(database), Patient(database), now_ms()
    scene.directory.add(GOOD)
    scene.directory.add(patient.id)
    patient.wait("evt_refused", UnixMs(now - 1_000), outcome="throttled")
    with database.write() as connection:
        callback_health.record(
            connection,
            [
                HealthReport(
                    patient.id,
                    patient.callback.health.generation,
                    HealthFinding.THROTTLED,
                    pause_s=600.0,
                )
            ],
            now,
        )
    async with scene.running():
        scene.lay("evt_good")
        await eventually("that of another callback is taken", lambda: scene.lanes.ids)
        assert scene.lanes.ids == ["evt_good"]

        scene.directory.add(patient.id, health=patient.callback.health)

        await eventually("it is taken by who knows of the pause", lambda: len(scene.lanes.ids) == 2)


async def test_what_was_claimed_before_a_callback_came_back_is_left(database: Database) -> None:
    """The callback monitor sees to it (docs/invariants.md#held-is-derived)."""
    scene = Scene(database)
    scene.directory.add(GOOD, held_before=UnixMs(2_500))
    scene.lay("evt_held", queued_at=2_000)
    scene.lay("evt_new", queued_at=2_500)
    async with scene.running():
        await eventually("the new one is taken", lambda: scene.lanes.ids == ["evt_new"])


async def test_new_deliveries_wait_behind_spilled_ones_and_go_directly_when_those_are_gone(
    database: Database,
) -> None:
    """Oldest first, also after a restart that knows of no spilling."""
    scene = Scene(database)
    scene.directory.add(GOOD)
    scene.directory.add(OTHER)
    scene.lanes.slots = 0
    scene.lay("evt_old")
    async with scene.running():
        await eventually("there was a first look", lambda: scene.unsettled.is_roomy)
        scene.bring("evt_new")
        scene.bring("evt_new", OTHER)
        assert [(one.event_id, one.callback_id) for one in scene.lanes.given] == [
            ("evt_new", OTHER)
        ]

        scene.lanes.slots = 10
        await eventually(
            "both were taken, in their order",
            lambda: scene.lanes.ids == ["evt_new", "evt_old", "evt_new"],
        )
        finish(scene)
        await eventually("new ones go directly", lambda: goes_directly(scene))


def finish(scene: Scene) -> None:
    for delivery in scene.lanes.given:
        scene.unsettled.settle(Settlement(delivery, DeliveryState.DELIVERED))
    scene.lanes.given.clear()


def goes_directly(scene: Scene) -> bool:
    scene.bring(f"evt_{scene.settler.enqueued}")
    return bool(scene.lanes.given and scene.lanes.given[-1].lease == 0)


async def test_poison_is_counted_as_exhausted(database: Database) -> None:
    """An operator should look at it."""
    scene = Scene(database)
    scene.directory.add(GOOD)
    scene.lay("evt_1")
    with database.write() as connection:
        connection.execute(sa.update(deliveries).values(lease_count=MAX_LEASES))
    async with scene.running():
        await eventually("it is counted", lambda: scene.observer.exhausted == 1)

    assert scene.lanes.ids == []
