"""The settler against both databases: what goes wrong with one settlement costs that one, and loses
nothing.
"""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest
import sqlalchemy as sa

from consumers.pipeline.settler import PendingAck, Settler
from consumers.pipeline.store_availability import StoreStatus
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.settlement import Settlement
from schemas.errors import StoreRefused
from schemas.log_events import LogEvent
from schemas.times import UnixMs
from store.engine import bulk
from store.engine.database import Database
from store.events import claims
from store.tables import attempts, deliveries
from tests.conformance.test_intake import Memory
from tests.kit.making import a_claim, a_delivery, an_attempt
from tests.kit.notes import Notes

HALF = "half of a pair: \ud83d"
"""What neither driver spells."""


async def settled(
    database: Database, source: Memory, notes: Notes, *settlements: Settlement
) -> None:
    """All in one batch, each the last delivery of a message whose receipt is its event's id."""
    with database.write() as connection:
        claims.claim(
            connection,
            [a_claim(one.delivery.event_id, one.delivery.callback_id) for one in settlements],
            UnixMs(1_000),
        )
    settler = Settler(database, notes, StoreStatus(notes))
    for one in settlements:
        settler.add(one, PendingAck(source, one.delivery.event_id, 1))
    task = asyncio.create_task(settler.run())
    await settler.flushed()
    task.cancel()


def delivered(event_id: str, *, error: str | None = None, reason: str | None = None) -> Settlement:
    return Settlement(
        a_delivery(event_id), DeliveryState.DELIVERED, reason, attempt=an_attempt(error=error)
    )


async def test_an_attempt_that_cannot_be_recorded_costs_its_details_alone(
    database: Database,
) -> None:
    """The delivery has its outcome, its message is done with, and its neighbours lack nothing."""
    source, notes = Memory(), Notes()

    await settled(
        database,
        source,
        notes,
        delivered("evt_1"),
        delivered("evt_2", error=HALF),
        delivered("evt_3"),
    )

    assert sorted(map(str, source.acknowledged)) == ["evt_1", "evt_2", "evt_3"]
    assert notes.said == [LogEvent.SETTLEMENT_REFUSED, LogEvent.ATTEMPT_NOT_RECORDED]
    with database.read() as connection:
        assert set(connection.scalars(sa.select(deliveries.c.state))) == {"delivered"}
        assert sorted(connection.scalars(sa.select(attempts.c.event_id))) == ["evt_1", "evt_3"]


async def test_of_an_outcome_that_cannot_be_recorded_at_all_the_message_is_kept(
    database: Database,
) -> None:
    """Then it comes again, and its delivery with it. It ends no loop, and holds up no other."""
    source, notes = Memory(), Notes()

    await settled(
        database,
        source,
        notes,
        delivered("evt_1"),
        delivered("evt_2", reason=HALF),
        delivered("evt_3"),
    )

    assert sorted(map(str, source.acknowledged)) == ["evt_1", "evt_3"]
    assert notes.said == [
        LogEvent.SETTLEMENT_REFUSED,
        LogEvent.ATTEMPT_NOT_RECORDED,
        LogEvent.OUTCOME_NOT_RECORDED,
    ]
    with database.read() as connection:
        assert sorted(connection.scalars(sa.select(deliveries.c.event_id))) == ["evt_1", "evt_3"]


async def test_a_message_with_a_delivery_that_could_not_be_recorded_is_never_given_up(
    database: Database,
) -> None:
    """However many others of it are recorded later."""
    source, notes = Memory(), Notes()
    settler = Settler(database, notes, StoreStatus(notes))
    with database.write() as connection:
        claims.claim(connection, [a_claim("evt_1", "a" * 16, "b" * 16)], UnixMs(1_000))
    pending_ack = PendingAck(source, "evt_1", 2)
    task = asyncio.create_task(settler.run())

    settler.add(delivered("evt_1", reason=HALF), pending_ack)
    await settler.flushed()
    settler.add(
        msgspec.structs.replace(delivered("evt_1"), delivery=a_delivery("evt_1", "b" * 16)),
        pending_ack,
    )
    await settler.flushed()

    task.cancel()
    assert source.acknowledged == []


async def test_an_internal_error_costs_a_settlement_and_not_the_process(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is."""
    source, notes = Memory(), Notes()
    write_all = Settler._write_all

    def mistaken(
        self: Settler, settlements: list[Settlement], finished: list[PendingAck]
    ) -> Sequence[Settlement]:
        if any(one.delivery.event_id == "evt_2" for one in settlements):
            raise ZeroDivisionError
        return write_all(self, settlements, finished)

    monkeypatch.setattr(Settler, "_write_all", mistaken)

    await settled(
        database, source, notes, delivered("evt_1"), delivered("evt_2"), delivered("evt_3")
    )

    assert sorted(map(str, source.acknowledged)) == ["evt_1", "evt_3"]


@pytest.mark.parametrize(("column", "value"), [("error", HALF), ("duration_ms", 2**70)])
def test_what_a_driver_cannot_spell_is_refused_data(
    database: Database, column: str, value: object
) -> None:
    """The drivers raise errors of Python's own for it, which SQLAlchemy lets through."""
    row = {
        "event_id": "e",
        "callback_id": "c",
        "id": "a",
        "number": 1,
        "trigger": "first",
        "started_at": 0,
        "duration_ms": 0,
    }
    row |= {"outcome": "delivered", "request_headers": b"", "response_body": b"", column: value}

    with pytest.raises(StoreRefused), database.write() as connection:
        bulk.insert(connection, attempts, [row])
