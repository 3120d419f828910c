"""Operational events, as the people who run Ringback get them: real processes, a real receiver, the
reference library.
"""

import base64
import dataclasses
import json

import sqlalchemy as sa

from schemas.log_events import LogEvent
from schemas.times import now_ms
from store.engine.database import Database
from store.tables import alerts
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.flows.conftest import Starting
from tests.kit.platform import MESSAGE, ids_at, message, verify_all, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import wait_for

OLD, NEW = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
DAY_MS = 86_400_000


def test_an_exhausted_delivery_is_alerted_once_signed_and_again_if_it_was_not_received(
    start: Starting, receiver: Receiver
) -> None:
    """One of two is reported, and the first try meets a 500. Either secret verifies it."""
    ringback = start(
        dispatchers=2,
        RETRY_SCHEDULE="300ms",
        ALERT_URL=receiver.url("/fail/1/ops"),
        ALERT_SECRET=f"{OLD},{NEW}",
    )
    token = ringback.token("ACME CRM", callbacks={MESSAGE: receiver.url("/status/500/crm")})

    deliveries = [
        wait_for_state(ringback.admin, ringback.publisher.publish(message(n)), "exhausted")
        for n in range(2)
    ]

    first, second = receiver.wait_for("/fail/1/ops", 2)
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert (first.headers["ringback-attempt"], second.headers["ringback-attempt"]) == ("1", "2")
    for secret in (OLD, NEW):
        verify_all(receiver, "/fail/1/ops", secret)
    alert = json.loads(second.body)
    assert (alert["type"], alert["id"], alert["schema_version"]) == (
        "delivery.exhausted",
        second.headers["webhook-id"],
        "1",
    )
    assert alert["data"] == {
        "token": {"id": token["id"], "name": "ACME CRM"},
        "callback": {"type": MESSAGE, "url": receiver.url("/status/500/crm")},
        "delivery_id": deliveries[0]["id"],
        "event_id": deliveries[0]["event_id"],
        "reason": "2 attempts failed",
    }
    wait_for("nothing to be left to tell", lambda: not left(ringback))
    assert len(ids_at(receiver, "/fail/1/ops")) == 1


def test_the_end_of_a_token_is_alerted_once_over_all_dispatchers_and_restarts(
    start: Starting, receiver: Receiver
) -> None:
    """It is the supplier's last day. The second token shows that everything was looked at again."""
    ringback = start(dispatchers=0, ALERT_URL=receiver.url("/ok/ops"), ALERT_SECRET=NEW)
    dispatchers = ["dispatch-1", "dispatch-2"] if ringback.on_services else ["serve"]
    first = make_ending(ringback, days=0.9)
    restart(ringback, dispatchers)
    receiver.wait_for("/ok/ops", 1)

    second = make_ending(ringback, days=6.9)
    restart(ringback, dispatchers)

    alerts = [json.loads(request.body) for request in receiver.wait_for("/ok/ops", 2)]
    verify_all(receiver, "/ok/ops", NEW)
    found = [(one["type"], one["data"]["token"]["id"], one["data"]["days"]) for one in alerts]
    assert found == [("token.expiring", first, 1), ("token.expiring", second, 7)]


def test_what_becomes_of_a_callback_is_alerted_as_it_happens(
    start: Starting, receiver: Receiver
) -> None:
    """Its receiver breaks, is mended, and is then taken away."""
    ringback = start(ALERT_URL=receiver.url("/ok/ops"), ALERT_SECRET=NEW)
    token = ringback.token("crm", callbacks={MESSAGE: receiver.url("/switch/crm")})

    receiver.switch("crm", 500)
    for n in range(20):
        ringback.publisher.publish(message(n))
    receiver.wait_for("/ok/ops", 1)
    receiver.switch("crm", 200)
    receiver.wait_for("/ok/ops", 2, limit_s=30)
    receiver.switch("crm", 410)
    ringback.publisher.publish(message("last"))

    alerts = [json.loads(request.body) for request in receiver.wait_for("/ok/ops", 3)]
    verify_all(receiver, "/ok/ops", NEW)
    assert [one["type"] for one in alerts] == [
        "callback.failing",
        "callback.recovered",
        "callback.disabled",
    ]
    assert {one["data"]["token"]["id"] for one in alerts} == {token["id"]}
    assert alerts[0]["data"]["failing_since"] == alerts[1]["data"]["failing_since"]
    assert alerts[2]["data"]["reason"] == "its receiver answered 410 Gone"


def test_without_an_address_alerts_are_in_the_log(start: Starting, receiver: Receiver) -> None:
    """Nothing of it is stored."""
    ringback = start(RETRY_SCHEDULE="300ms")
    token = ringback.token("crm", callbacks={MESSAGE: receiver.url("/status/500/crm")})

    ringback.publisher.publish(message(1))

    (name,) = ringback.dispatchers
    wait_for("the note", lambda: notes(ringback, name))
    (note,) = notes(ringback, name)
    assert (note["kind"], note["token_id"], note["type"]) == (
        "delivery.exhausted",
        token["id"],
        MESSAGE,
    )
    assert receiver.url("/") not in ringback.log(name)
    wait_for("nothing to be left", lambda: not left(ringback))


def notes(ringback: Ringback, name: str) -> list[dict[str, str]]:
    lines = [
        json.loads(line)
        for line in ringback.log(name).splitlines()
        if line.startswith("{") and line.endswith("}")
    ]
    return [line for line in lines if line["event"] == LogEvent.ALERT]


def make_ending(ringback: Ringback, days: float) -> str:
    """A token of last year that ends in so many days: its id."""
    now = now_ms()
    fields = dataclasses.replace(token_fields("ending"), expires_at=now + int(days * DAY_MS))
    database = Database(ringback.database_url)
    vault = Vault([ringback.env["RINGBACK_SECRET_KEY"]])
    made = Tokens(database, vault).create(fields, {}, now - 365 * DAY_MS, TESTER).token.id
    database.close()
    return made


def restart(ringback: Ringback, names: list[str]) -> None:
    for name in names:
        if name in ringback.running():
            assert ringback.stop(name) == 0
    ringback.start(*names)


def left(ringback: Ringback) -> int:
    """Alerts that are still to be sent."""
    database = Database(ringback.database_url)
    with database.read() as connection:
        found = connection.scalar(sa.select(sa.func.count()).select_from(alerts)) or 0
    database.close()
    return found
