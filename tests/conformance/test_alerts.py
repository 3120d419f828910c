"""Operational events in the store, the same on SQLite and PostgreSQL: written together with what
they report, sent by one dispatcher, seldom twice.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from schemas.alerts import AlertKind
from schemas.deliveries.deliveries import DeliveryState, Trigger
from schemas.deliveries.settlement import Settlement, given_back
from schemas.events.types import EventType
from schemas.ids import CallbackId, EventId, delivery_id
from schemas.times import UnixMs
from schemas.tokens.fields import CallbackFields
from schemas.tokens.tokens import Token
from store.deliveries import due, settlement
from store.engine.database import Database
from store.events import claims
from store.tables import alerts as rows
from store.tables import deliveries
from store.tokens import alerts
from store.tokens.alerts import EXHAUSTED_EVERY_MS, Exhausted
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.locks import has_waiting_locks
from tests.kit.making import a_claim, a_delivery
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import wait_for

RECEIVED, STATUS = EventType.MESSAGE_RECEIVED, EventType.MESSAGE_STATUS
NOW = UnixMs(1_764_000_000_000)
LEASE_MS = 25_000
VAULT = Vault(["a-key-for-tests-" * 2])
URL = "https://crm.example/hook"


@pytest.fixture
def token(database: Database) -> Token:
    """With two callbacks."""
    urls = {RECEIVED: CallbackFields(f"{URL}?key=hidden"), STATUS: CallbackFields(f"{URL}/status")}
    return Tokens(database, VAULT).create(token_fields("ACME CRM"), urls, NOW, TESTER).token


@pytest.fixture
def callback_id(token: Token) -> CallbackId:
    return token.callbacks[RECEIVED].id


def alerts_to_send(database: Database) -> list[dict[str, Any]]:
    """What is to be sent, oldest first."""
    with database.read() as connection:
        return [
            msgspec.json.decode(body)
            for body in connection.execute(sa.select(rows.c.body).order_by(rows.c.id)).scalars()
        ]


def exhaust(
    database: Database,
    callback_id: CallbackId,
    *event_ids: str,
    now: UnixMs = NOW,
    state: str = "exhausted",
) -> None:
    """Rows in this state, written by a process that says that they are exhausted."""
    with database.write() as connection:
        unalerted = alerts.lock_unalerted(connection, [callback_id], now)
        for event_id in event_ids:
            connection.execute(sa.insert(deliveries).values(a_row(event_id, callback_id, state)))
        alerts.alert_exhausted(
            connection,
            [Exhausted(EventId(e), callback_id, "10 attempts failed") for e in event_ids],
            unalerted,
            now,
        )


def a_row(event_id: str, callback_id: CallbackId, state: str) -> dict[str, object]:
    identity = {
        "event_id": event_id,
        "callback_id": callback_id,
        "token_id": "tok_1",
        "type": RECEIVED.value,
    }
    return identity | {
        "state": state,
        "created_at": NOW,
        "leased": False,
        "lease": 0,
        "failures": 0,
    }


def tell_and_break_off(database: Database) -> None:
    with database.write() as connection:
        alerts.add(connection, AlertKind.TOKEN_EXPIRING, {}, NOW)
        raise ZeroDivisionError


def test_an_alert_looks_like_a_webhook(
    database: Database, token: Token, callback_id: CallbackId
) -> None:
    """One kind of body, one way to verify it; and it says whose callback it is, without the keys in
    its URL.
    """
    with database.write() as connection:
        alerts.add_for_callback(
            connection,
            AlertKind.CALLBACK_DISABLED,
            callback_id,
            {"reason": "the receiver is gone"},
            NOW,
        )

    (body,) = alerts_to_send(database)
    assert body.pop("id").startswith("alt_")
    assert body == {
        "type": "callback.disabled",
        "schema_version": "1",
        "timestamp": "2025-11-24T16:00:00.000Z",
        "data": {
            "token": {"id": token.id, "name": "ACME CRM"},
            "callback": {"type": "message.received", "url": f"{URL}?key=***"},
            "reason": "the receiver is gone",
        },
    }


def test_a_callback_that_was_deleted_has_no_alerts(database: Database) -> None:
    """A settlement may outlive it."""
    with database.write() as connection:
        alerts.add_for_callback(
            connection, AlertKind.CALLBACK_FAILING, CallbackId("f" * 16), {}, NOW
        )

    assert alerts_to_send(database) == []


def test_what_is_rolled_back_is_not_alerted(database: Database) -> None:
    """Neither the change nor its alert."""
    with pytest.raises(ZeroDivisionError):
        tell_and_break_off(database)

    assert alerts_to_send(database) == []


def test_only_one_sends_an_alert(database: Database) -> None:
    """The dispatcher that leases it has it until the lease ends; then any other may."""
    with database.write() as connection:
        alerts.add(connection, AlertKind.TOKEN_EXPIRING, {}, NOW)

    with database.write() as connection:
        (first,) = alerts.lease(connection, 10, NOW, LEASE_MS)
        again = alerts.lease(connection, 10, UnixMs(NOW + LEASE_MS - 1), LEASE_MS)
        (lapsed,) = alerts.lease(connection, 10, UnixMs(NOW + LEASE_MS), LEASE_MS)

    assert again == []
    assert (lapsed.id, lapsed.body, lapsed.failures) == (first.id, first.body, 0)


def test_alerts_are_taken_oldest_first_and_only_so_many(database: Database) -> None:
    """A pile of them neither fills the memory nor hides the first."""
    with database.write() as connection:
        for number in range(5):
            alerts.add(
                connection, AlertKind.TOKEN_EXPIRING, {"number": number}, UnixMs(NOW - number)
            )

    with database.write() as connection:
        taken = alerts.lease(connection, 3, NOW, LEASE_MS)

    assert [msgspec.json.decode(alert.body)["data"]["number"] for alert in taken] == [4, 3, 2]


def test_a_failed_attempt_is_put_off_and_counted(database: Database) -> None:
    """By the same schedule as deliveries: the count says where in it."""
    with database.write() as connection:
        alerts.add(connection, AlertKind.TOKEN_EXPIRING, {}, NOW)
        (alert,) = alerts.lease(connection, 10, NOW, LEASE_MS)

    with database.write() as connection:
        alerts.put_off(connection, alert, UnixMs(NOW + 60_000))
        early = alerts.lease(connection, 10, UnixMs(NOW + 59_999), LEASE_MS)
        (later,) = alerts.lease(connection, 10, UnixMs(NOW + 60_000), LEASE_MS)

    assert early == []
    assert later.failures == 1


def test_a_failure_under_a_lapsed_lease_changes_nothing(database: Database) -> None:
    """Another dispatcher is sending it by now: it must not come due meanwhile."""
    with database.write() as connection:
        alerts.add(connection, AlertKind.TOKEN_EXPIRING, {}, NOW)
        (slow,) = alerts.lease(connection, 10, NOW, LEASE_MS)
        (_other,) = alerts.lease(connection, 10, UnixMs(NOW + LEASE_MS), LEASE_MS)

    with database.write() as connection:
        alerts.put_off(connection, slow, UnixMs(NOW + LEASE_MS))
        assert alerts.lease(connection, 10, UnixMs(NOW + LEASE_MS), LEASE_MS) == []


def test_a_delivered_alert_is_forgotten(database: Database) -> None:
    """A row exists only while its alert is still to be sent."""
    with database.write() as connection:
        alerts.add(connection, AlertKind.TOKEN_EXPIRING, {}, NOW)
        (alert,) = alerts.lease(connection, 10, NOW, LEASE_MS)
        alerts.forget(connection, alert.id)

    assert alerts_to_send(database) == []


def test_exhausted_deliveries_are_alerted_once_an_hour_for_each_callback(
    database: Database, token: Token
) -> None:
    """One is enough to draw attention; another callback is another matter."""
    received, status = token.callbacks[RECEIVED].id, token.callbacks[STATUS].id

    exhaust(database, received, "evt_1", "evt_2")
    exhaust(database, received, "evt_3", now=UnixMs(NOW + EXHAUSTED_EVERY_MS - 1))
    exhaust(database, status, "evt_1")
    exhaust(database, received, "evt_4", now=UnixMs(NOW + EXHAUSTED_EVERY_MS))

    found = [
        (body["type"], body["data"]["callback"]["type"], body["data"]["delivery_id"])
        for body in alerts_to_send(database)
    ]
    assert found == [
        ("delivery.exhausted", "message.received", delivery_id(EventId("evt_1"), received)),
        ("delivery.exhausted", "message.status", delivery_id(EventId("evt_1"), status)),
        ("delivery.exhausted", "message.received", delivery_id(EventId("evt_4"), received)),
    ]
    assert alerts_to_send(database)[0]["data"]["reason"] == "10 attempts failed"


def test_a_delivery_that_is_not_exhausted_after_all_is_not_alerted(
    database: Database, callback_id: CallbackId
) -> None:
    """Its lease had lapsed and it was delivered by another dispatcher: the hour stays free for one
    that is exhausted.
    """
    exhaust(database, callback_id, "evt_1", state=DeliveryState.DELIVERED.value)
    exhaust(database, callback_id, "evt_2")

    assert [body["data"]["event_id"] for body in alerts_to_send(database)] == ["evt_2"]


def test_a_settlement_tells_that_a_delivery_is_exhausted(
    database: Database, callback_id: CallbackId
) -> None:
    """In its transaction. The person who made a test sees its answer."""
    given_up = {"state": DeliveryState.EXHAUSTED, "reason": "10 attempts failed", "failures": 10}
    tested = Settlement(a_delivery("evt_0_test", callback_id, trigger=Trigger.TEST), **given_up)

    with database.write() as connection:
        settlement.settle(
            connection, [tested, Settlement(a_delivery("evt_1", callback_id), **given_up)], NOW
        )
        settlement.settle(
            connection, [Settlement(a_delivery("evt_2", callback_id), DeliveryState.DELIVERED)], NOW
        )

    assert [
        (body["data"]["event_id"], body["data"]["reason"]) for body in alerts_to_send(database)
    ] == [("evt_1", "10 attempts failed")]


def test_poison_is_alerted_too(database: Database, callback_id: CallbackId) -> None:
    """It is given up without an attempt: nothing else would say so."""
    with database.write() as connection:
        claims.claim(connection, [a_claim("evt_1", callback_id)], NOW)
        settlement.settle(connection, [given_back(a_delivery("evt_1", callback_id))], NOW)
        connection.execute(sa.update(deliveries).values(lease_count=due.MAX_LEASES))

        taken = due.lease(
            connection,
            {due.Share(callback_id, False): due.LeaseRequest(1)},
            NOW,
            LEASE_MS,
            lapsed=True,
            most=1,
        )

    assert taken.poisoned == {callback_id: ["evt_1"]}
    with database.write() as connection:
        due.give_up(connection, callback_id, ["evt_1"], NOW)
    assert [body["data"]["reason"] for body in alerts_to_send(database)] == [due.POISON]


def test_two_dispatchers_do_not_wait_for_each_other(shared: Database) -> None:
    """What one is just taking, the other leaves, and takes the next."""
    with shared.write() as connection:
        for number in range(2):
            alerts.add(connection, AlertKind.TOKEN_EXPIRING, {"number": number}, NOW)

    with shared.write() as one, shared.write() as other:
        (first,) = alerts.lease(one, 1, NOW, LEASE_MS)
        (second,) = alerts.lease(other, 1, NOW, LEASE_MS)

    assert first.id != second.id


def test_two_dispatchers_that_exhaust_at_once_tell_it_once(shared: Database) -> None:
    """The second finds the hour taken when the first has committed."""
    urls = {RECEIVED: CallbackFields(URL)}
    callback_id = (
        Tokens(shared, VAULT).create(token_fields(), urls, NOW, TESTER).token.callbacks[RECEIVED].id
    )

    with ThreadPoolExecutor(1) as thread:
        with shared.write() as connection:
            unalerted = alerts.lock_unalerted(connection, [callback_id], NOW)
            connection.execute(
                sa.insert(deliveries).values(a_row("evt_1", callback_id, "exhausted"))
            )
            alerts.alert_exhausted(
                connection, [Exhausted(EventId("evt_1"), callback_id, None)], unalerted, NOW
            )
            second = thread.submit(exhaust, shared, callback_id, "evt_2")
            wait_for("the second to wait", lambda: has_waiting_locks(shared))
        second.result()

    assert [body["data"]["event_id"] for body in alerts_to_send(shared)] == ["evt_1"]
