"""Deliveries that end for good: only where the store says so, whatever a process remembers; on both
databases.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
import sqlalchemy as sa

from consumers.pipeline.settler import Settler
from consumers.pipeline.store_availability import StoreStatus
from dispatcher.decision import withdrawn
from schemas.deliveries.deliveries import Delivery, DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement
from schemas.events.types import EventType
from schemas.observer import NullObserver
from schemas.times import UnixMs
from store.deliveries import settlement, withdrawal
from store.engine.database import Database
from store.tables import callbacks, deliveries, requested_attempts, tokens
from tests.kit.making import a_delivery
from tests.kit.tokens import TESTER
from tests.kit.waiting import eventually
from tests.kit.waiting_rows import RECEIVED, Patient

NOW = UnixMs(10_000_000)
REMEMBERED = "the callback was deleted"
"""What a process says whose directory lost a callback."""

Change = Callable[[Patient], object]

ENDS: dict[str, Change] = {
    "the callback was deleted": lambda patient: patient.callbacks.delete(
        patient.token_id, RECEIVED, TESTER
    ),
    "the token was revoked": lambda patient: patient.tokens.revoke(patient.token_id, NOW, TESTER),
    "the token has expired": lambda patient: patient.tokens.change(
        patient.token_id, lambda fields: replace(fields, expires_at=NOW), TESTER
    ),
    "the token may no longer see this channel": lambda patient: see(patient, "chn_2"),
}


def see(patient: Patient, *channels: str) -> None:
    patient.tokens.change(
        patient.token_id, lambda fields: replace(fields, channels=frozenset(channels)), TESTER
    )


def judged(patient: Patient, delivery: Delivery, now: UnixMs = NOW) -> Settlement:
    """What is written of a delivery that a dispatcher would not send."""
    with patient.database.write() as connection:
        (one,) = withdrawal.judge(connection, [withdrawn(delivery, REMEMBERED)], now)
    return one


@pytest.mark.parametrize("reason", ENDS)
def test_what_the_store_calls_ended_is_cancelled_with_the_stores_reason(
    database: Database, reason: str
) -> None:
    """A dispatcher may know less than that, or something older."""
    patient = Patient(database)
    ENDS[reason](patient)

    one = judged(patient, a_delivery("evt_1", patient.id))

    assert (one.state, one.reason) == (DeliveryState.CANCELLED, reason)


@pytest.mark.parametrize(
    "channels", [None, ("chn_1", "chn_2")], ids=["all channels", "its channel"]
)
def test_what_the_store_does_not_call_ended_is_only_given_back(
    database: Database, channels: tuple[str, ...] | None
) -> None:
    """A directory that lost a token, or a clock that leapt, must not cost anybody a delivery."""
    patient = Patient(database)
    if channels is not None:
        see(patient, *channels)

    one = judged(patient, a_delivery("evt_1", patient.id, failures=2))

    assert (one.state, one.reason, one.failures) == (DeliveryState.PENDING, None, 2)
    assert one.due_in_s == withdrawal.DOUBT_S


def test_an_end_that_has_not_come_by_the_stores_clock_ends_nothing(database: Database) -> None:
    """Exclusive, as everywhere."""
    patient = Patient(database)
    ENDS["the token has expired"](patient)

    assert (
        judged(patient, a_delivery("evt_1", patient.id), UnixMs(NOW - 1)).state
        is DeliveryState.PENDING
    )
    assert judged(patient, a_delivery("evt_1", patient.id), NOW).state is DeliveryState.CANCELLED


def test_a_test_is_of_no_channel(database: Database) -> None:
    """It shows a sample, where that callback may be called at all."""
    patient = Patient(database)
    see(patient)
    asked = a_delivery("evt_1", patient.id, trigger=Trigger.TEST, attempt_id="att_1")

    assert judged(patient, asked).state is None


def test_the_store_is_not_asked_about_what_is_not_cancelled(database: Database) -> None:
    """Settling is the way of every event: it must not cost a query more."""
    asked: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    settlements = [Settlement(a_delivery(), DeliveryState.DELIVERED)]

    with database.read() as connection:
        assert withdrawal.judge(connection, settlements, NOW) is settlements

    assert asked == []


class Counting(NullObserver):
    """An observer of what deliveries became."""

    def __init__(self) -> None:
        self.states: list[DeliveryState] = []

    def settled(self, kind: EventType, state: DeliveryState, count: int = 1) -> None:
        self.states += [state] * count


async def test_what_is_written_is_counted_and_not_what_was_remembered(database: Database) -> None:
    """Two that a dispatcher would not send; the callback of one exists."""
    patient, gone = Patient(database, "there"), Patient(database, "gone")
    gone.callbacks.delete(gone.token_id, RECEIVED, TESTER)
    observer = Counting()
    settler = Settler(database, observer, StoreStatus(observer))
    for one in (patient, gone):
        settler.add(withdrawn(a_delivery("evt_1", one.id), REMEMBERED), None)

    running = asyncio.create_task(settler.run())
    await eventually("both are settled", lambda: not settler.backlog)
    await settler.flushed()
    running.cancel()

    assert observer.states == [DeliveryState.CANCELLED]
    assert patient.rows("state") == {"evt_1": "pending"}
    assert gone.rows("state", "reason") == {"evt_1": ("cancelled", REMEMBERED)}


def test_an_attempt_that_was_asked_for_stays_asked_for(database: Database) -> None:
    """Its row is not this dispatcher's to move, and another may carry it out."""
    patient = Patient(database)
    patient.wait("evt_1", NOW, state="exhausted", due_at=None)
    asked = {
        "id": "att_1",
        "event_id": "evt_1",
        "callback_id": patient.id,
        "trigger": "manual",
        "due_at": NOW,
    }
    with database.write() as connection:
        connection.execute(sa.insert(requested_attempts).values(asked))
    one = judged(
        patient, a_delivery("evt_1", patient.id, trigger=Trigger.MANUAL, attempt_id="att_1")
    )

    with database.write() as connection:
        settlement.settle(connection, [one], NOW)

    with database.read() as connection:
        assert connection.scalar(sa.select(requested_attempts.c.id)) == "att_1"
    assert patient.rows("state") == {"evt_1": "exhausted"}


@pytest.mark.parametrize("reason", list(ENDS)[:3])
def test_due_rows_are_cancelled_only_when_the_store_says_so(
    database: Database, reason: str
) -> None:
    """The taker asks for it by what it remembers."""
    patient = Patient(database)
    patient.wait("evt_1", NOW - 1)
    with database.write() as connection:
        assert withdrawal.cancel(connection, patient.id, UnixMs(NOW - 1)) == 0
    assert patient.rows("state") == {"evt_1": "pending"}
    end_without_cancelling(patient, reason)

    with database.write() as connection:
        assert withdrawal.cancel(connection, patient.id, NOW) == 1

    assert patient.rows("state", "reason", "due_at") == {"evt_1": ("cancelled", reason, None)}


def end_without_cancelling(patient: Patient, reason: str) -> None:
    """The process that revoked or deleted died in the middle."""
    ended = {
        "the token was revoked": {"revoked_at": 1},
        "the token has expired": {"expires_at": NOW},
    }
    with patient.database.write() as connection:
        if columns := ended.get(reason):
            connection.execute(sa.update(tokens).values(columns))
        else:
            connection.execute(sa.delete(callbacks))


def test_what_is_just_being_delivered_is_not_cancelled(shared: Database) -> None:
    """`delivered` always wins: a cancellation skips a row that is being settled."""
    patient = Patient(shared)
    for event_id in ("evt_answered", "evt_waiting"):
        patient.wait(event_id, NOW - 1)
    end_without_cancelling(patient, "the token was revoked")
    answered = msgspec.structs.replace(
        a_delivery("evt_answered", patient.id), token_id=patient.token_id
    )

    with shared.write() as settler:
        settlement.settle(settler, [Settlement(answered, DeliveryState.DELIVERED)], NOW)
        with shared.write() as canceller:
            assert withdrawal.cancel(canceller, patient.id, NOW) == 1

    assert patient.rows("state") == {"evt_answered": "delivered", "evt_waiting": "cancelled"}
    with shared.read() as connection:
        assert (
            connection.scalar(sa.select(sa.func.count()).where(deliveries.c.due_at.is_not(None)))
            == 0
        )
