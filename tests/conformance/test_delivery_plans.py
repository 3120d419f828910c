"""Lists of events and deliveries are read by an index, however many there are."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.listings import DeliveryFilter, EventFilter
from schemas.times import UnixMs
from store.deliveries import listing as delivery_listing
from store.deliveries.listing import list_deliveries
from store.engine import paging
from store.engine.database import Connection, Database
from store.events import listing as event_listing
from store.tables import deliveries, events
from store.tokens.vault import Vault
from tests.kit.plans import explain, plans

RECEIVED = EventType.MESSAGE_RECEIVED
NOW = UnixMs(1_000_000)
VAULT = Vault(["a-key-for-tests-" * 2])
ABSENT = CallbackId("f" * 16)


def test_pages_are_read_in_the_order_of_an_index(database: Database) -> None:
    """At ten million rows a page must cost what it shows: no sort, and no walk over the table. What
    is held may be sorted: where few callbacks hold, that is less than walking past everything that
    is open.
    """
    fill(database)
    cursor = paging.cursor_of((5900, "e", "c"))
    for query in (
        delivery_listing.page_query(DeliveryFilter(), 50, cursor),
        delivery_listing.page_query(
            DeliveryFilter(token=TokenId("tok_2"), since=UnixMs(3)), 50, cursor
        ),
        delivery_listing.page_query(DeliveryFilter(state=DeliveryState.EXHAUSTED), 50, cursor),
        delivery_listing.page_query(DeliveryFilter(state=DeliveryState.DELIVERED), 50, None),
        event_listing.page_query(EventFilter(), 50, paging.cursor_of((5900, "e"))),
    ):
        plan = explain(database, query)

        assert "INDEX" in plan, plan
        assert not any(
            word in plan
            for word in ("SORT", "TEMP B-TREE", "SEQ SCAN ON DELIVERIES", "SEQ SCAN ON EVENTS")
        ), plan
        assert not any(
            line.strip() in ("SCAN DELIVERIES", "SCAN EVENTS") for line in plan.splitlines()
        ), plan


@pytest.mark.parametrize(
    "chosen",
    [DeliveryFilter(status_code=500), *(DeliveryFilter(state=state) for state in DeliveryState)],
)
@pytest.mark.parametrize("look", [100, 20_000])
def test_a_token_is_read_by_its_own_index(
    database: Database, chosen: DeliveryFilter, look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the filter, and whether or not its deliveries are many: not by what is undelivered
    or open of all tokens, unless PostgreSQL has counted that this is next to nothing.
    """
    monkeypatch.setattr(paging, "SCAN_ROWS", look)
    fill(database)

    own = replace(chosen, token=TokenId("tok_2"))
    found = plans(
        database,
        lambda connection: list_deliveries(
            connection, own, 50, paging.cursor_of((5_900, "e", "c"))
        ),
    )

    for plan in found[:2]:
        is_next_to_nothing = database.dialect == "postgresql" and "rows=1 " in plan.splitlines()[0]
        assert "ix_deliveries_token_id" in plan or is_next_to_nothing, plan


@pytest.mark.parametrize(
    "chosen",
    [
        DeliveryFilter(error=Outcome.TLS),
        DeliveryFilter(type=EventType.MESSAGE_STATUS, since=UnixMs(100)),
        DeliveryFilter(state=DeliveryState.DELIVERED),
        DeliveryFilter(state=DeliveryState.EXHAUSTED, status_code=418),
        EventFilter(type=EventType.MESSAGE_STATUS),
    ],
)
def test_what_a_page_of_all_tokens_reads_is_bounded(
    database: Database, chosen: DeliveryFilter | EventFilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where looking stops is read off the index by time, and so is what lies before it: no walk to
    the end of the table. What is so little may be sorted.
    """
    monkeypatch.setattr(paging, "SCAN_ROWS", 100)
    fill(database)

    found = plans(database, lambda connection: listed(connection, chosen))

    for plan in found[:2]:
        assert "ix_deliveries" in plan or "ix_events" in plan, plan
        assert "SEQ SCAN" not in plan.upper(), plan


def listed(connection: Connection, chosen: DeliveryFilter | EventFilter) -> None:
    if isinstance(chosen, EventFilter):
        event_listing.list_events(connection, chosen, 50)
    else:
        list_deliveries(connection, chosen, 50)


def fill(database: Database) -> None:
    """Enough rows, and the statistics of them, for the planner to choose as it would with many."""
    common = {"type": RECEIVED.value, "leased": False, "lease": 0, "failures": 0}
    rows = [
        common
        | {
            "event_id": f"e{n}",
            "callback_id": ABSENT,
            "token_id": f"tok_{n % 5}",
            "created_at": n,
            "state": ("delivered", "exhausted", "pending")[n % 3],
        }
        for n in range(6000)
    ]
    event = {
        "type": RECEIVED.value,
        "timestamp": 1,
        "via_amqp": False,
        "channel_id": "c",
        "conversation_id": "c",
        "content_hash": b"",
    }
    with database.write() as connection:
        connection.execute(sa.insert(deliveries), rows)
        connection.execute(
            sa.insert(events),
            [
                event
                | {
                    "id": f"e{n}",
                    "accepted_at": n,
                    "conflicts": 0,
                    "callbacks": "",
                    "body": b"x" * 100,
                }
                for n in range(6000)
            ],
        )
        connection.execute(sa.text("ANALYZE"))
