"""Copies of a message: of whatever size and spelling it was, what was accepted once can be claimed
again, and costs nothing.
"""

import json
from itertools import product

import pytest
import sqlalchemy as sa

from consumers.pipeline.claiming import Batch, Terms, claim
from exchange.port import QueuedMessage
from schemas.events.events import MAX_EVENT_BYTES
from schemas.times import UnixMs
from store.engine.database import Database
from store.tables import deliveries, events
from tests.kit.delivery_rows import add_callback
from tests.kit.making import message_body
from tests.kit.statuses import status_body
from tests.unit.test_claiming import NOW, Channels, store

__all__ = ["store"]

AROUND_THE_LIMIT = (
    262_000,
    262_143,
    262_144,
    262_145,
    262_268,
    262_269,
    262_341,
    262_400,
    262_401,
    262_600,
)
TIMES: tuple[dict[str, str], ...] = ({}, {"timestamp": "2026-11-22T10:00:00Z"})


def claimed(store: Database, *messages: QueuedMessage) -> Batch:
    with store.write() as connection:
        return claim(
            connection, messages, Channels(), NOW, Terms(100, start_by_s=5.0, lease_ms=25_000)
        )


def sized(body: bytes, size: int) -> bytes:
    """The event with so much text in its data that it has this size."""
    assert b'"data": {' in body
    return body.replace(
        b'"data": {', b'"data": {"x":"%s",' % (b"y" * (size - len(body) - len('"x":"",')))
    )


@pytest.mark.parametrize("accepted_at", [None, NOW], ids=["by AMQP", "by the API"])
@pytest.mark.parametrize("size", AROUND_THE_LIMIT)
def test_a_message_of_any_size_around_the_limit_may_come_twice(
    store: Database, size: int, accepted_at: UnixMs | None
) -> None:
    """A webhook is longer than its message, and is stored: what was taken by the limit of messages
    was too long to be read back. With its id in the body or in a property, with a time or without.
    """
    fits = size <= (MAX_EVENT_BYTES if accepted_at is None else MAX_EVENT_BYTES + 256)
    for number, (as_property, more) in enumerate(product((False, True), TIMES)):
        event = (
            json.loads(status_body(f"evt_{number}".ljust(64, "_"), "sent", f"msg_{number}")) | more
        )
        message_id = event.pop("id") if as_property else None
        message = QueuedMessage(
            sized(json.dumps(event).encode(), size), accepted_at, message_id, 0, number
        )

        first, second = claimed(store, message), claimed(store, message)

        assert (bool(first.to_deliver), bool(first.invalid)) == (fits, not fits)
        assert (second.done == [number], bool(second.invalid)) == (fits, not fits)


def test_a_copy_of_odd_json_finds_the_order_of_its_first(store: Database) -> None:
    """It is read off what was stored: half of a surrogate pair, a number beyond all bounds."""
    add_callback(store, kind="message.status")
    message = QueuedMessage(
        status_body("evt_1", "sent").replace(b'"data": {', rb'"data": {"x":"\ud83d","y":1e400,'),
        NOW,
        None,
        0,
        1,
    )

    claimed(store, message)
    claimed(store, message)

    with store.read() as connection:
        row = connection.execute(sa.select(deliveries)).one()
    assert (row.conversation_id, row.message_id, row.status) == ("cnv_1", "msg_1", "sent")


def test_copies_with_other_content_are_counted_in_one_batch(store: Database) -> None:
    """Each of them, on the event; those with the same content are duplicates."""
    bodies = [
        message_body("evt_1"),
        *(message_body("evt_1", text=f"other {n}") for n in range(50)),
        message_body("evt_1"),
    ]

    batch = claimed(
        store, *(QueuedMessage(body, NOW, None, 0, number) for number, body in enumerate(bodies))
    )

    assert (len(batch.conflicting), len(batch.duplicates)) == (50, 1)
    with store.read() as connection:
        assert connection.scalar(sa.select(events.c.conflicts)) == 50


@pytest.mark.parametrize(
    ("accepted_at", "kept"), [(NOW + 3_600_000, NOW), (NOW - 5, NOW - 5), (None, NOW)]
)
def test_no_event_is_from_the_future(store: Database, accepted_at: int | None, kept: int) -> None:
    """A clock that is ahead, or a header that lies, would put it on top of every list until then,
    and keep it from the retention.
    """
    claimed(
        store,
        QueuedMessage(
            message_body("evt_1"), None if accepted_at is None else UnixMs(accepted_at), None, 0, 1
        ),
    )

    with store.read() as connection:
        assert connection.execute(sa.select(events.c.accepted_at, events.c.timestamp)).one() == (
            kept,
            kept,
        )


def test_a_status_without_a_rank_waits_for_none_and_overtakes_none(store: Database) -> None:
    """It goes in the order of acceptance, whatever else of its message is in flight; and what is
    lower than `read` still goes after it.
    """
    bodies = [
        status_body("evt_1", "sent"),
        status_body("evt_2", "played"),
        status_body("evt_3", "archived"),
        status_body("evt_4", "queued", "msg_2"),
    ]

    batch = claimed(
        store, *(QueuedMessage(body, NOW, None, 0, number) for number, body in enumerate(bodies))
    )

    assert [one.receipt for one in batch.to_deliver] == [0, 1, 2, 3]
    assert [one.deliveries[0].status for one in batch.to_deliver] == ["sent", None, None, "queued"]
    assert (batch.waiting, batch.overtaken) == (0, 0)
