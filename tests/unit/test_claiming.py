"""Claiming a batch: which messages are ours to deliver, which are done with,
which are no events.
"""

from typing import Any

import pytest
import sqlalchemy as sa

from consumers.pipeline.claiming import Batch, Terms, claim
from exchange.port import QueuedMessage
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.settlement import Settlement
from schemas.errors import StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, DatedSecret, Token
from store.deliveries.settlement import settle
from store.engine.database import Database
from store.tables import callbacks, deliveries
from tests.kit.delivery_rows import callback_row
from tests.kit.making import CALLBACK, TOKEN, an_attempt, message_body
from tests.kit.statuses import status_body
from tests.kit.tables import lay_tables

NOW = UnixMs(10_000)


class Channels:
    """A directory with one callback, which sees one channel."""

    def __init__(self, channel: str = "chn_1") -> None:
        self.channel, self.is_fresh, self.refreshed = channel, True, 0
        self.callback_ = Callback(
            CALLBACK, TOKEN, EventType.MESSAGE_RECEIVED, "https://x", True, {}
        )
        self.token = Token(
            id=TOKEN, name="x", hint="", created_at=UnixMs(0), activates_at=UnixMs(0),
            expires_at=None, revoked_at=None, enabled=True,
            permissions=frozenset(), channels=None, callbacks={}, last_used_at=None, hashes=(),
            signing_keys=(DatedSecret(b"k"),),
        )  # fmt: skip

    def match(self, _kind: EventType, channel_id: str) -> list[tuple[Token, Callback]]:
        return [(self.token, self.callback_)] if channel_id == self.channel else []

    def callback(self, _callback_id: CallbackId) -> tuple[Token, Callback] | None:
        return self.token, self.callback_

    def fresh(self) -> bool:
        return self.is_fresh

    def refresh(self) -> None:
        self.refreshed += 1
        if self.refreshed > 1:
            raise StoreUnavailable("away")
        self.is_fresh = True


@pytest.fixture
def store(tmp_path: object) -> Database:
    database = Database(f"sqlite:///{tmp_path}/x.db")
    lay_tables(database)
    return database


def claimed(store: Database, directory: Channels, *bodies: bytes, room: int = 100) -> Batch:
    messages = [QueuedMessage(body, NOW, None, 0, receipt) for receipt, body in enumerate(bodies)]
    with store.write() as connection:
        return claim(
            connection, messages, directory, NOW, Terms(room, start_by_s=5.0, lease_ms=25_000)
        )


def test_each_message_has_one_of_three_outcomes(store: Database) -> None:
    """Ours, done with, or no event: nothing is forgotten and nothing counted twice."""
    bodies = [
        message_body("evt_1"),
        message_body("evt_2", channel="chn_other"),
        b"{nope",
        message_body("evt_1"),
    ]

    batch = claimed(store, Channels(), *bodies)

    assert [(one.receipt, [d.event_id for d in one.deliveries]) for one in batch.to_deliver] == [
        (0, ["evt_1"])
    ]
    assert batch.done == [1, 3]
    assert [message.receipt for message, _ in batch.invalid] == [2]
    assert [event.id for event in batch.duplicates] == ["evt_1"]


def test_of_two_contents_under_one_id_only_the_first_can_be_sent(store: Database) -> None:
    """Even when no token may see the first: the second was never accepted."""
    batch = claimed(
        store, Channels(), message_body("evt_1", channel="chn_other"), message_body("evt_1")
    )

    assert batch.to_deliver == []
    assert batch.done == [0, 1]
    assert [event.id for event in batch.conflicting] == ["evt_1"]


def test_of_several_statuses_of_a_message_one_is_ours_and_the_others_wait_as_rows(
    store: Database,
) -> None:
    """Their messages are done with: the rows are what remembers them."""
    bodies = [
        status_body("evt_2", "sent"),
        status_body("evt_1", "queued"),
        status_body("evt_3", "read", "msg_2"),
        message_body("evt_4"),
    ]

    batch = claimed(store, Channels(), *bodies)

    assert [one.receipt for one in batch.to_deliver] == [1, 2, 3]
    assert (batch.done, batch.waiting, batch.overtaken) == ([0], 1, 0)


def test_a_status_that_comes_too_late_is_done_with(store: Database) -> None:
    """It counts as superseded, and no callback is called."""
    (first,) = claimed(store, Channels(), status_body("evt_1", "read")).to_deliver
    with store.write() as connection:
        settle(
            connection,
            [Settlement(first.deliveries[0], DeliveryState.DELIVERED, attempt=an_attempt())],
            NOW,
        )

    batch = claimed(store, Channels(), status_body("evt_2", "sent"))

    assert (batch.to_deliver, batch.done, batch.waiting, batch.overtaken) == ([], [0], 0, 1)


def test_nothing_is_claimed_by_a_directory_that_is_behind(store: Database) -> None:
    """An event matched against callbacks of yesterday would be lost to those of today."""
    directory = Channels()
    directory.is_fresh = False
    claimed(store, directory, message_body("evt_1"))
    directory.is_fresh = False

    with pytest.raises(StoreUnavailable):
        claimed(store, directory, message_body("evt_2"))

    assert directory.refreshed == 2
    directory.is_fresh = True
    assert len(claimed(store, directory, message_body("evt_2")).to_deliver) == 1


def test_an_internal_error_costs_one_message(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would otherwise end every dispatcher, at each restart."""
    directory = Channels()
    match = directory.match
    monkeypatch.setattr(
        directory,
        "match",
        lambda kind, channel: 1 / 0 if channel == "chn_bad" else match(kind, channel),
    )

    batch = claimed(
        store, directory, message_body("evt_1", channel="chn_bad"), message_body("evt_2")
    )

    assert [one.receipt for one in batch.to_deliver] == [1]
    assert "because of a bug in Ringback" in batch.invalid[0][1]


class Crowd(Channels):
    """A directory in which this many callbacks see channel `chn_wide`, and one sees the other."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def match(self, kind: EventType, channel_id: str) -> list[tuple[Token, Callback]]:
        if channel_id != "chn_wide":
            return super().match(kind, channel_id)
        callbacks = [
            Callback(CallbackId(f"{n:016x}"), TOKEN, kind, "https://x", True, {})
            for n in range(self.size)
        ]
        return [(self.token, callback) for callback in callbacks]


def stored(store: Database) -> list[Any]:
    """Rows of deliveries, in the order in which they come due."""
    with store.read() as connection:
        return list(
            connection.execute(
                sa.select(deliveries).order_by(
                    deliveries.c.due_at, deliveries.c.sequence, deliveries.c.event_id
                )
            )
        )


def test_an_event_for_very_many_callbacks_is_claimed_as_rows_and_its_message_released(
    store: Database,
) -> None:
    """What is claimed stays bounded in sum, however many callbacks see it
    (docs/invariants.md#lanes-are-fair).
    """
    batch = claimed(store, Crowd(1_234), message_body("evt_1", channel="chn_wide"))

    assert (batch.to_deliver, batch.done, len(batch.spilled)) == ([], [0], 1_234)
    rows = stored(store)
    assert len({row.callback_id for row in rows}) == 1_234
    assert {
        (row.state, row.due_at, row.leased, row.lease, row.is_retry, row.conversation_id)
        for row in rows
    } == {("pending", NOW, False, 0, False, "cnv_1")}


def test_what_comes_after_an_event_that_found_no_room_does_not_overtake_it(store: Database) -> None:
    """Both may be of one conversation: they come due in their order."""
    wide, narrow = message_body("evt_z", channel="chn_wide"), message_body("evt_a")

    batch = claimed(store, Crowd(101), message_body("evt_1"), wide, narrow)

    assert [one.receipt for one in batch.to_deliver] == [0]
    assert batch.done == [1, 2]
    assert [row.event_id for row in stored(store)] == ["evt_z"] * 101 + ["evt_a"]


def test_a_copy_of_an_event_for_very_many_callbacks_lacks_none(store: Database) -> None:
    """The process of its first claim may have died with all of them in flight; and a database takes
    only so many values at once.
    """
    with store.write() as connection:
        connection.execute(
            sa.insert(callbacks), [callback_row(f"{n:016x}", f"tok_{n}") for n in range(1_234)]
        )
    claimed(store, Crowd(1_234), message_body("evt_1", channel="chn_wide"), room=2_000)

    claimed(store, Crowd(1_234), message_body("evt_1", channel="chn_wide"))

    assert len(stored(store)) == 1_234


def test_a_batch_says_how_many_deliveries_a_message_makes(store: Database) -> None:
    """The next is as small as that asks for."""
    narrow, wide = message_body("evt_1"), message_body("evt_2", channel="chn_wide")

    assert claimed(store, Crowd(9), narrow, wide).fan_out == 5.0
    assert claimed(store, Crowd(9), narrow, wide).fan_out == 1.0


def test_a_message_nested_too_deeply_is_no_event_and_costs_only_itself(store: Database) -> None:
    """A backend on the exchange is not validated before: it may send anything."""
    deep = b"[" * 100_000 + b"]" * 100_000
    bodies = [
        deep,
        message_body("evt_1").replace(b'"data": {', b'"data": {"x": ' + deep + b","),
        message_body("evt_2"),
    ]

    batch = claimed(store, Channels(), *bodies)

    assert [message.receipt for message, _ in batch.invalid] == [0, 1]
    assert "nested too deeply" in batch.invalid[1][1]
    assert [d.event_id for one in batch.to_deliver for d in one.deliveries] == ["evt_2"]
