"""Lists of events with their deliveries, the same on SQLite and PostgreSQL."""

import pytest

from schemas.events.types import EventType
from schemas.ids import EventId
from schemas.listings import DeliveryFilter, EventFilter
from schemas.times import UnixMs
from store.deliveries.listing import list_deliveries
from store.engine import paging
from store.engine.database import Database
from store.events import claims
from store.events.listing import get_event, list_events
from tests.kit.delivery_rows import add_delivery
from tests.kit.making import a_claim

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)


@pytest.mark.parametrize("recorded", [0, 150])
def test_of_very_many_deliveries_an_event_shows_the_first(
    database: Database, recorded: int
) -> None:
    """An event for five thousand callbacks, on a page of a hundred, would be half a million
    objects. The list has them all, in pages.
    """
    made = [f"{number:016x}" for number in range(150)]
    with database.write() as connection:
        claims.claim(connection, [a_claim("evt_1", *made), a_claim("evt_2", *made[:2])], NOW)
    for callback_id in made[:recorded]:
        add_delivery(database, "evt_1", callback_id)
    add_delivery(database, "evt_2", made[0])

    with database.read() as connection:
        second, first = list_events(connection, EventFilter(), 10).rows
        alone = get_event(connection, EventId("evt_1"))
        every = list_deliveries(connection, DeliveryFilter(event=EventId("evt_1")), 1_000).rows

    shown = (
        100 if recorded else 0
    )  # what is under way shows no more than its callback does, and there is none here
    assert alone == first
    assert ([one.callback_id for one in first.deliveries], first.deliveries_total) == (
        made[:shown],
        150,
    )
    assert ([one.callback_id for one in second.deliveries], second.deliveries_total) == (
        made[:1],
        2,
    )
    assert len(every) == recorded


def test_a_page_of_events_that_finds_little_says_where_to_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists of deliveries do the same."""
    monkeypatch.setattr(paging, "SCAN_ROWS", 4)
    with database.write() as connection:
        claims.claim(
            connection,
            [a_claim(f"evt_{number}", accepted_at=1000 + number) for number in range(10)],
            NOW,
        )

    with database.read() as connection:
        first = list_events(connection, EventFilter(type=EventType.MESSAGE_STATUS), 3)
        second = list_events(
            connection, EventFilter(type=EventType.MESSAGE_STATUS), 3, first.next_cursor
        )
        third = list_events(
            connection, EventFilter(type=EventType.MESSAGE_STATUS), 3, second.next_cursor
        )
        full = list_events(connection, EventFilter(type=RECEIVED), 3)

    assert [(page.rows, page.looked_until) for page in (first, second, third)] == [
        ([], 1006),
        ([], 1002),
        ([], None),
    ]
    assert (len(full.rows), full.looked_until) == (3, 1007)


def test_events_are_paged_and_chosen(database: Database) -> None:
    """Newest first; by type and by when they were accepted."""
    with database.write() as connection:
        claims.claim(
            connection,
            [a_claim(f"evt_{number}", accepted_at=1000 + number // 2) for number in range(5)],
            NOW,
        )

    with database.read() as connection:
        first = list_events(connection, EventFilter(), 3)
        second = list_events(connection, EventFilter(), 3, first.next_cursor)
        since = list_events(connection, EventFilter(since=UnixMs(1002)), 3)
        until = list_events(connection, EventFilter(until=UnixMs(1001)), 3)
        other = list_events(connection, EventFilter(type=EventType.MESSAGE_STATUS), 3)

    assert [event.id for event in first.rows + second.rows] == [
        "evt_4",
        "evt_3",
        "evt_2",
        "evt_1",
        "evt_0",
    ]
    assert second.next_cursor is None
    assert [event.id for event in since.rows] == ["evt_4"]
    assert [event.id for event in until.rows] == ["evt_1", "evt_0"]
    assert other.rows == []
