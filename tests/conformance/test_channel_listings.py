"""Channels seen lately, the same on SQLite and PostgreSQL."""

from schemas.times import UnixMs
from store.engine.database import Database
from store.events.channels import list_channels
from store.events.claims import Claim, claim
from tests.kit.making import an_event


def see(database: Database, event_id: str, channel: dict[str, str], at: int) -> None:
    """An event of this channel was taken then."""
    message = {"id": "m", "conversation_id": "c", "content": {"type": "text", "text": "x"}}
    event = an_event(
        event_id, data={"message": message, "customer": {"id": "cus"}, "channel": channel}
    )
    with database.write() as connection:
        claim(
            connection,
            [Claim(event, UnixMs(at), False, (), event.webhook_body(UnixMs(at)))],
            UnixMs(at),
        )


def test_each_channel_is_listed_once_by_its_latest_event(database: Database) -> None:
    """Page by page, also where several were seen in the same millisecond."""
    see(database, "evt_1", {"id": "a", "kind": "sms"}, 1_000)
    see(database, "evt_2", {"id": "b", "kind": "sms"}, 2_000)
    see(database, "evt_3", {"id": "a", "kind": "whatsapp", "address": "+39"}, 3_000)
    see(database, "evt_4", {"id": "c", "kind": "sms"}, 3_000)
    listed, cursor = [], None

    while True:
        with database.read() as connection:
            page = list_channels(connection, 1, cursor)
        listed += page.rows
        if (cursor := page.next_cursor) is None:
            break

    assert [
        (channel.id, channel.kind, channel.address, channel.last_seen_at) for channel in listed
    ] == [
        ("c", "sms", None, 3_000),
        ("a", "whatsapp", "+39", 3_000),
        ("b", "sms", None, 2_000),
    ]


def test_before_the_first_event_there_is_none(database: Database) -> None:
    """A new installation."""
    with database.read() as connection:
        assert list_channels(connection, 10).rows == []
