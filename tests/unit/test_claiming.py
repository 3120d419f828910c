"""Claiming a batch: which messages are ours to deliver, which are done with, which are no events."""

import pytest

from consumers.claiming import Batch, claim
from exchange.port import Message
from schemas.errors import StoreUnavailable
from schemas.event_types import EventType
from schemas.ids import CallbackId
from schemas.times import UnixMs
from schemas.tokens import Callback, DatedSecret, Token
from store.database import Database
from tests.conftest import lay_tables
from tests.kit.making import CALLBACK, TOKEN, message_body

NOW = UnixMs(10_000)


class Channels:
    """A directory with one callback, which sees one channel."""

    def __init__(self, channel: str = "chn_1") -> None:
        self.channel, self.is_fresh, self.refreshed = channel, True, 0
        self.callback_ = Callback(CALLBACK, TOKEN, EventType.MESSAGE_RECEIVED, "https://x", True, {})
        self.token = Token(
            id=TOKEN, name="x", hint="", created_at=UnixMs(0), activates_at=UnixMs(0), expires_at=None, revoked_at=None, enabled=True,
            permissions=frozenset(), channels=None, callbacks={}, last_used_at=None, hashes=(), signing_keys=(DatedSecret(b"k"),),
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


def claimed(store: Database, directory: Channels, *bodies: bytes) -> Batch:
    messages = [Message(body, NOW, None, 0, receipt) for receipt, body in enumerate(bodies)]
    with store.write() as connection:
        return claim(connection, messages, directory, NOW, start_by_s=5.0, lease_ms=25_000)


def test_each_message_ends_in_one_of_three_places(store: Database) -> None:
    """Ours, done with, or no event: nothing is forgotten and nothing counted twice."""
    bodies = [message_body("evt_1"), message_body("evt_2", channel="chn_other"), b"{nope", message_body("evt_1")]

    batch = claimed(store, Channels(), *bodies)

    assert [(one.receipt, [d.event_id for d in one.deliveries]) for one in batch.to_deliver] == [(0, ["evt_1"])]
    assert batch.done == [1, 3]
    assert [message.receipt for message, _ in batch.invalid] == [2]
    assert [event.id for event in batch.duplicates] == ["evt_1"]


def test_of_two_contents_under_one_id_only_the_first_can_be_sent(store: Database) -> None:
    """Even when nobody may see the first: the second was never taken in."""
    batch = claimed(store, Channels(), message_body("evt_1", channel="chn_other"), message_body("evt_1"))

    assert batch.to_deliver == []
    assert batch.done == [0, 1]
    assert [event.id for event in batch.conflicting] == ["evt_1"]


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


def test_a_mistake_of_ours_costs_one_message(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would otherwise end every dispatcher, at each restart."""
    directory = Channels()
    match = directory.match
    monkeypatch.setattr(directory, "match", lambda kind, channel: 1 / 0 if channel == "chn_bad" else match(kind, channel))

    batch = claimed(store, directory, message_body("evt_1", channel="chn_bad"), message_body("evt_2"))

    assert [one.receipt for one in batch.to_deliver] == [1]
    assert "a mistake of Ringback's" in batch.invalid[0][1]
