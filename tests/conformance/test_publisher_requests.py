"""Publishing by many requests on one event loop: those that wait cost no thread, those that are
cancelled leave nothing behind, and a loop that was held up blames no broker.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.broker_circuit import LONGEST_PAUSE_S
from exchange.failover import CONFIRM_TIMEOUT_S, FailoverPublisher
from schemas.log_events import LogEvent
from store.engine.database import Database
from tests.conformance.test_publisher_failover import SLOW_S, Way
from tests.kit.pipes import outgoing
from tests.kit.rabbit import Rabbit
from tests.kit.tables import lay_tables
from tests.kit.waiting import eventually, wait_for


@pytest.fixture
def way(rabbit: Rabbit, tmp_path: Path) -> Iterator[Way]:
    """Publishing by the broker, which is well."""
    database = Database(f"sqlite:///{tmp_path}/ringback.db")
    lay_tables(database)
    made = Way(rabbit.url, database)
    wait_for("publishing uses the broker", made.by_broker)
    yield made
    made.close()
    database.close()


def unconfirmed(publisher: FailoverPublisher) -> int:
    """Messages that wait for the broker."""
    return len(publisher._primary._confirms._waiting)


def test_a_thousand_requests_wait_for_a_silent_broker_without_a_thread_and_are_answered_in_time(
    way: Way, rabbit: Rabbit
) -> None:
    """With a thread for each, those that wait would be all that the API can do."""
    stored, publisher = way.in_outbox(), way.publisher.inner
    rabbit.freeze()

    async def a_thousand() -> tuple[int, float]:
        started_s = time.monotonic()
        requests = [
            asyncio.create_task(publisher.publish(outgoing(f"evt_{number}")))
            for number in range(1000)
        ]
        await eventually("all wait", lambda: unconfirmed(publisher) == 1000)
        threads = threading.active_count()
        await asyncio.gather(*requests)
        return threads, time.monotonic() - started_s

    before = threading.active_count()
    during, took_s = way.publisher.thread.call(a_thousand())

    assert during <= before
    assert CONFIRM_TIMEOUT_S <= took_s < SLOW_S
    assert way.in_outbox() == stored + 1000


def test_a_probe_whose_request_is_cancelled_is_not_awaited_for_ever(
    way: Way, rabbit: Rabbit
) -> None:
    """No other would be sent on this connection: all events would go through the outbox."""
    publisher = way.publisher.inner
    generation = publisher._primary.generation
    assert generation is not None
    publisher._circuit.failed(generation, time.monotonic() - LONGEST_PAUSE_S)
    rabbit.freeze()

    async def cancelled() -> None:
        probe = asyncio.create_task(publisher.publish(outgoing("evt_probe")))
        await eventually("it waits for its confirm", lambda: unconfirmed(publisher))
        probe.cancel()
        await asyncio.wait([probe])
        assert probe.cancelled()

    way.publisher.thread.call(cancelled())
    rabbit.thaw()

    wait_for("publishing uses the broker again", way.by_broker)
    assert publisher._primary.generation == generation


def test_a_confirm_that_came_while_the_loop_was_held_up_is_in_time(way: Way) -> None:
    """After a callback of a socket, uvloop fires timers before it reads: it would give up a broker
    that is well.
    """
    stored, publisher = way.in_outbox(), way.publisher.inner
    near, far = socket.socketpair()

    def hold_up() -> None:
        near.recv(1)
        time.sleep(CONFIRM_TIMEOUT_S * 2)

    async def held_up() -> None:
        asyncio.get_running_loop().add_reader(near, hold_up)
        request = asyncio.create_task(publisher.publish(outgoing("evt_1")))
        for _ in range(5):  # turns of the loop until it is sent, and not confirmed yet
            await asyncio.sleep(0)
        far.send(b"x")
        await request
        asyncio.get_running_loop().remove_reader(near)

    with near, far:
        way.publisher.thread.call(held_up())

    assert way.in_outbox() == stored
    assert way.notes.of(LogEvent.PUBLISHING_VIA_OUTBOX) == []


def test_a_broker_that_had_no_time_to_answer_is_not_blamed(way: Way) -> None:
    """Something may hold up the loop between the publish and its sending: the confirm cannot be
    there in time then, whatever the broker does.
    """
    stored, publisher = way.in_outbox(), way.publisher.inner
    generation = publisher._primary.generation

    async def published() -> None:
        loop = asyncio.get_running_loop()
        # it runs before the message is sent, in the same turn
        loop.call_soon(time.sleep, CONFIRM_TIMEOUT_S + 0.2)
        await publisher.publish(outgoing("evt_late"))

    way.publisher.thread.call(published())

    assert way.notes.of(LogEvent.PUBLISHING_VIA_OUTBOX) == []
    assert publisher._primary.generation == generation
    assert way.in_outbox() <= stored + 1  # a copy does no harm
